"""The statistics of the claim: tables of coherence in, p-values and intervals out.

Two nulls are tested. *Rotation*: the natural basis is one more uniformly random basis of the
layer's space. Then within each network it is exchangeable with the Haar rotations it is compared
with, so its rank among them is uniform: the test is exact whatever the dependence between
directions that share a basis or top images. *Untrained*: the difference natural − random is what
the architecture gives before any training. A difference counts only if it is too large for both,
which keeps the level under either (an intersection-union test).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import torch
from jaxtyping import Float
from scipy import stats
from torch import Tensor

_PERMUTATIONS = 20_000
"""Of a test that are drawn where all would be more: a p of .05 is then good to .0015."""
_RESAMPLES = 4_000
"""Of a bootstrap: 100 lie beyond either end of a 95 % interval."""


@dataclass(frozen=True)
class MeasuredLayer:
    """One network's layer: coherence of each natural direction and of each of m random bases.

    NaN marks directions that rank nothing (units that never respond).
    """

    natural: Float[Tensor, " direction"]
    random: Float[Tensor, "basis direction"]

    @property
    def natural_mean(self) -> float:
        """Mean coherence of the natural directions."""
        return float(self.natural.nanmean())

    @property
    def random_means(self) -> Float[Tensor, " basis"]:
        """Mean coherence of each random basis."""
        means: Tensor = self.random.nanmean(1)
        return means

    def difference(self, bases: int | None = None) -> float:
        """Natural less random, of the first `bases` random bases (of all: None)."""
        return self.natural_mean - float(self.random_means[:bases].mean())


@dataclass(frozen=True)
class Tails:
    """One-sided p-values: that natural is more coherent (`high`), or less (`low`), by chance."""

    high: float
    low: float

    @property
    def two_sided(self) -> float:
        """Twice the smaller."""
        return min(1.0, 2 * min(self.high, self.low))

    def both(self, other: "Tails") -> "Tails":
        """Against two nulls at once: each side as large as under the milder."""
        return Tails(max(self.high, other.high), max(self.low, other.low))


def rotation_test(networks: Sequence[MeasuredLayer], generator: torch.Generator) -> Tails:
    """Monte Carlo test of the rotation null.

    In each network the natural basis takes the place of any of its m random ones; all (m + 1)^S
    choices are equally likely under the null. They are enumerated, or 20,000 are drawn.
    """
    tables = [torch.cat((torch.tensor([x.natural_mean]), x.random_means)) for x in networks]
    if not all(bool(table.isfinite().all()) for table in tables):
        return Tails(1.0, 1.0)
    sizes = [len(table) for table in tables]
    if math.prod(sizes) <= _PERMUTATIONS:
        choices = torch.tensor(list(product(*map(range, sizes))))
    else:
        drawn = [torch.randint(size, (_PERMUTATIONS,), generator=generator) for size in sizes]
        drawn = [torch.cat((torch.tensor([0]), one)) for one in drawn]  # the one that was observed
        choices = torch.stack(drawn, 1)
    picked = torch.stack([table[choices[:, s]] for s, table in enumerate(tables)], 1).mean(1)
    slack = 1e-9 * max(1.0, float(picked.abs().max()))  # equal means may differ by rounding
    return Tails(
        float((picked >= picked[0] - slack).double().mean()),
        float((picked <= picked[0] + slack).double().mean()),
    )


def untrained_test(
    trained: Sequence[MeasuredLayer], untrained: Sequence[MeasuredLayer], bases: int
) -> Tails:
    """Student's two-sample test of the untrained null, with one variance for both.

    The difference natural − random, over the first `bases` random bases of each network, is taken
    to be normal over initialisations: a mean over many units.
    """
    ours = torch.tensor([x.difference(bases) for x in trained], dtype=torch.float64)
    theirs = torch.tensor([x.difference(bases) for x in untrained], dtype=torch.float64)
    ours_in, theirs_in = ours[ours.isfinite()], theirs[theirs.isfinite()]
    freedom = len(ours_in) + len(theirs_in) - 2
    if len(ours_in) < len(ours) or not len(ours) or len(theirs_in) < 2:
        return Tails(1.0, 1.0)
    spread = sum(float((x - x.mean()).square().sum()) for x in (ours_in, theirs_in)) / freedom
    error = math.sqrt(max(spread, 1e-24) * (1 / len(ours_in) + 1 / len(theirs_in)))
    t = float(ours_in.mean() - theirs_in.mean()) / error
    return Tails(float(stats.t.sf(t, freedom)), float(stats.t.cdf(t, freedom)))


@dataclass(frozen=True)
class Effect:
    """The mean difference natural − random with what a bootstrap says about it.

    Networks are drawn with replacement, then units and random bases within each (Davison and
    Hinkley, 1997, §3.8); of one network, its units only. So few draws vary too little, and normal
    quantiles are too short for them: quantiles are taken further out (Hesterberg, 2015), by the
    factor `scale` and as Student's t with `freedom` degrees (Satterthwaite's, of the variance
    between networks and that within).
    """

    mean: float
    resampled: Float[Tensor, " resample"]
    scale: float = 1.0
    freedom: float = math.inf

    def interval(self, confidence: float = 0.95) -> tuple[float, float]:
        """Widened percentile interval."""
        tail = float(stats.norm.cdf(self.scale * stats.t.ppf((1 - confidence) / 2, self.freedom)))
        low, high = self.resampled.quantile(
            torch.tensor([tail, 1 - tail], dtype=torch.float64)
        ).tolist()
        return low, high

    def equivalence(self, delta: float) -> float:
        """Two one-sided tests: p that a difference of ±delta or beyond looks so near to 0."""
        if not math.isfinite(self.mean) or abs(self.mean) >= delta:
            return 1.0
        beyond = max(int((self.resampled >= delta).sum()), int((self.resampled <= -delta).sum()))
        tail = (beyond + 1) / (len(self.resampled) + 1)
        return float(stats.t.cdf(stats.norm.ppf(tail) / self.scale, self.freedom))


def effect(networks: Sequence[MeasuredLayer], generator: torch.Generator) -> Effect:
    """The mean over networks of natural − random, with its hierarchical bootstrap."""
    differences = torch.tensor([x.difference() for x in networks], dtype=torch.float64)
    if not bool(differences.isfinite().all()):
        return Effect(math.nan, torch.full((_RESAMPLES,), math.nan, dtype=torch.float64))
    mean, seeds = float(differences.mean()), len(networks)
    units = [int(x.natural.isfinite().sum()) for x in networks]
    within = torch.stack([_resample(x, generator) for x in networks])
    freedom = max(sum(units) - seeds, 1)
    if seeds == 1:
        return Effect(mean, within[0], math.sqrt(units[0] / freedom), freedom)
    chosen = torch.randint(seeds, (seeds, _RESAMPLES), generator=generator)
    # The same network twice in a resample is two draws of its units, so that they vary apart.
    again = torch.randint(_RESAMPLES, (seeds, _RESAMPLES), generator=generator)
    between, inside = float(differences.var()) / seeds, float(within.var(1).mean()) / seeds
    drawn = between * (seeds - 1) / seeds
    if between + inside == 0:
        return Effect(mean, within[chosen, again].mean(0))
    return Effect(
        mean,
        within[chosen, again].mean(0),
        math.sqrt((between + inside) / (drawn + inside)),
        (between + inside) ** 2 / (between**2 / (seeds - 1) + inside**2 / freedom),
    )


def _resample(network: MeasuredLayer, generator: torch.Generator) -> Float[Tensor, " resample"]:
    """Differences of one network over resampled units and random bases."""
    natural = network.natural[network.natural.isfinite()].double()
    random = network.random_means.double()
    units, bases = (
        values[torch.randint(len(values), (_RESAMPLES, len(values)), generator=generator)].mean(1)
        for values in (natural, random)
    )
    return units - bases


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down adjustment: reject where the adjusted p is at most the level.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    adjusted, running = [0.0] * len(p_values), 0.0
    for rank, i in enumerate(order):
        running = max(running, min(1.0, (len(p_values) - rank) * p_values[i]))
        adjusted[i] = running
    return adjusted

"""The sentence of §3 as a test: is there a distinction between units and random combinations?

For each layer the mean coherence of the natural directions' top images is compared with that of
uniformly random (Haar) bases. `intriguing.units.inference` says what is tested, and how.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor, nn

from intriguing.data.dataset import ImageSet
from intriguing.errors import InputError
from intriguing.measures import Progress, ProgressCallback
from intriguing.units.inference import (
    MeasuredLayer,
    Tails,
    effect,
    holm,
    rotation_test,
    untrained_test,
)
from intriguing.units.measured import Draws, Measure, Tables, reinitialised, units_of

Verdict: TypeAlias = Literal[
    "no distinction", "natural more coherent", "random more coherent", "not decided"
]
UNITS = {"purity": "share", "entropy": "bits", "pixels": "cosine", "features": "cosine"}
LEVEL = 0.05
"""The probability of a false verdict where nothing else is said, as tests commonly have it."""
DELTAS = {"purity": 0.05, "entropy": 0.15, "pixels": 0.01, "features": 0.02}
"""The largest difference of means that counts as none: about a quarter of the standard deviation
over directions of one basis, which is smaller on photographs than on digits for cosines."""

# Of untrained networks few random bases are measured, and the trained are compared with them on as
# many, so that both differences vary alike.
_FEW = 4


@dataclass(frozen=True)
class LayerClaim:
    """What the test says about one layer.

    Attributes:
        layer: Its name; `units` it has, `tested` of them were compared (all, unless there are
            very many), and `silent` of those respond to nothing, on average over networks.
        natural, random: Mean coherence of the natural and of the random directions.
        difference: natural − random, with its 95 % `interval` over units and seeds.
        untrained: The mean difference in untrained networks (NaN: not measured).
        p_rotation, p_untrained: Two-sided p-values under each null alone (1: not tested).
        p: Of the test against both; `p_holm` after Holm's correction over layers.
        p_equivalent: Of the two one-sided tests of |difference| ≥ δ; then the same corrected.
        verdict: In words.
        measured: Each network's coherence, direction by direction.
    """

    layer: str
    units: int
    tested: int
    silent: float
    natural: float
    random: float
    difference: float
    interval: tuple[float, float]
    untrained: float
    p_rotation: float
    p_untrained: float
    p: float
    p_holm: float
    p_equivalent: float
    p_equivalent_holm: float
    verdict: Verdict
    measured: tuple[MeasuredLayer, ...]


@dataclass(frozen=True)
class Claim:
    """The test of the claim for several layers; see `compare_bases` for the settings."""

    layers: tuple[LayerClaim, ...]
    measure: Measure
    unit: str
    k: int
    delta: float
    level: float
    networks: int
    rotations: int
    untrained: int
    images: int
    null: str

    def sentence(self, layer: LayerClaim) -> str:
        """The verdict on a layer with its numbers, for people."""
        low, high = layer.interval
        words = (
            f"{layer.layer}: {_words(layer.verdict, self.delta)}. {self.measure} "
            f"{layer.natural:.3f} natural, {layer.random:.3f} random: {layer.difference:+.3f} "
            f"[{low:+.3f}, {high:+.3f}]"
        )
        if math.isfinite(layer.untrained):
            words += f", {layer.untrained:+.3f} in untrained networks"
        if layer.verdict == "not decided" and layer.p_rotation <= self.level < layer.p_untrained:
            words += ", so that training need not be why"
        return f"{words} (p = {layer.p_holm:.2g}, equivalence p = {layer.p_equivalent_holm:.2g})"


def compare_bases(
    models: nn.Module | Sequence[nn.Module],
    layers: str | Sequence[str],
    images: ImageSet,
    *,
    measure: Measure = "purity",
    features: Float[Tensor, "image feature"] | None = None,
    k: int = 9,
    delta: float | None = None,
    level: float = LEVEL,
    rotations: int | None = None,
    untrained: int | Sequence[nn.Module] = 8,
    batch_size: int | None = None,
    seed: int = 0,
    progress: ProgressCallback | None = None,
) -> Claim:
    """Test of §3's "no distinction between individual units and random linear combinations".

    Under the null of rotation the natural basis of a layer is as good as any Haar-random one;
    under the null of no training, it stands out no more than in untrained networks of the shape.
    "natural more coherent" and "random more coherent" mean that both are rejected, "no
    distinction" that the difference is within ±δ (two one-sided tests), each at `level` after
    Holm's correction over layers; what is both is "no distinction".

    Args:
        models: One trained network, or one a seed, in evaluation mode.
        layers: Names of layers, the same in every network.
        images: Held-out images with their labels.
        measure: Coherence of the k images with the greatest ⟨φ(x), v⟩: "purity", the share of
            their commonest label; "entropy" of the labels, negated; mean cosine of pairs of
            centred "pixels", or of `features`, vectors of another network.
        features: One vector an image, for the measure of that name.
        k: How many images a direction.
        delta: The largest difference that counts as none, in the unit of the measure; None for the
            measure's own (`DELTAS`).
        level: The probability of a false verdict, over all layers together.
        rotations: Random bases a network; None for as many as the level needs.
        untrained: How many copies of the first network are initialised anew by their modules'
            `reset_parameters`, or the untrained networks themselves; 0 to test rotation alone.
        batch_size: How many images pass through a network at once.
        seed: Of rotations, initialisations and resampling.
        progress: Told after each network.

    Raises:
        InputError: If there are fewer than k images, a setting makes no sense, or a network cannot
            be initialised anew.
    """
    comparison = Comparison.of(
        models, layers, images, measure=measure, features=features, k=k, delta=delta, level=level,
        rotations=rotations, untrained=untrained, batch_size=batch_size, seed=seed,
    )  # fmt: skip
    tables, parts = comparison.tables, []
    for part in range(len(tables.parts)):
        parts.append(tables.measured(part))
        if progress is not None:
            progress(Progress("networks and bases", part + 1, len(tables.parts)))
    return comparison.judged(parts)


@dataclass(frozen=True)
class Comparison:
    """What `compare_bases` does, in pieces that know nothing of each other, and the verdict on all.

    Attributes:
        tables: What is measured, the trained networks first.
        trained, rotations: How many networks are trained, and random bases of each.
        delta, level: As `compare_bases` takes them.
        state: Of the generator, for resampling.
    """

    tables: Tables
    trained: int
    rotations: int
    delta: float
    level: float
    state: Tensor

    @classmethod
    def of(
        cls,
        models: nn.Module | Sequence[nn.Module],
        layers: str | Sequence[str],
        images: ImageSet,
        *,
        measure: Measure = "purity",
        features: Float[Tensor, "image feature"] | None = None,
        k: int = 9,
        delta: float | None = None,
        level: float = LEVEL,
        rotations: int | None = None,
        untrained: int | Sequence[nn.Module] = 8,
        batch_size: int | None = None,
        seed: int = 0,
    ) -> "Comparison":
        """Look after what is asked and go over all draws; as `compare_bases`."""
        trained = (models,) if isinstance(models, nn.Module) else tuple(models)
        names = (layers,) if isinstance(layers, str) else tuple(layers)
        delta = DELTAS.get(measure, math.nan) if delta is None else delta
        _check(trained, names, images, measure, features, k, delta, level)
        needed = _rotations(len(trained), len(names), level) if rotations is None else rotations
        if needed < 2:
            raise InputError(
                f"rotations={rotations}; give 2 or more, or None for what the level needs"
            )
        generator = torch.Generator().manual_seed(seed)
        fresh = untrained
        if isinstance(fresh, int):
            seeds = torch.randint(2**31, (max(fresh, 0),), generator=generator).tolist()
            fresh = [reinitialised(trained[0], one) for one in seeds]
        networks, draws = (*trained, *fresh), []
        units = units_of(trained[0], names, images)
        for done in range(len(networks)):
            bases = needed if done < len(trained) else min(_FEW, needed)
            draws.append({n: Draws.of(units[n], bases, needed, generator) for n in names})
        tables = Tables(networks, names, images, measure, features, k, tuple(draws), batch_size)
        return cls(tables, len(trained), needed, delta, level, generator.get_state())

    def judged(self, parts: Iterable[Mapping[str, MeasuredLayer]]) -> Claim:
        """The verdict on every layer, by what all pieces measured."""
        generator = torch.Generator()
        generator.set_state(self.state)
        every, asked = self.tables.joined(parts), self.tables
        found = [
            _judge(
                name,
                [table[name] for table in every[: self.trained]],
                [table[name] for table in every[self.trained :]],
                min(_FEW, self.rotations),
                self.delta,
                generator,
                asked.draws[0][name].units,
            )
            for name in asked.layers
        ]
        fresh = len(asked.networks) - self.trained
        return Claim(
            _corrected(found, self.level), asked.measure, UNITS[asked.measure], asked.k, self.delta,
            self.level, self.trained, self.rotations, fresh, len(asked.images), _null(fresh),
        )  # fmt: skip


def _judge(
    layer: str,
    trained: list[MeasuredLayer],
    untrained: list[MeasuredLayer],
    few: int,
    delta: float,
    generator: torch.Generator,
    units: int,
) -> LayerClaim:
    """Everything about one layer but the correction over layers, and so the verdict."""
    turned = rotation_test(trained, generator)
    fresh = untrained_test(trained, untrained, few) if untrained else Tails(0.0, 0.0)
    p = turned.both(fresh).two_sided
    size = effect(trained, generator)
    equivalent = size.equivalence(delta)
    return LayerClaim(
        layer,
        units,
        len(trained[0].natural),
        sum(int(x.natural.isnan().sum()) for x in trained) / len(trained),
        sum(x.natural_mean for x in trained) / len(trained),
        sum(float(x.random_means.mean()) for x in trained) / len(trained),
        size.mean,
        size.interval(),
        _mean([x.difference() for x in untrained]),
        turned.two_sided,
        fresh.two_sided if untrained else 1.0,
        p,
        p,
        equivalent,
        equivalent,
        "not decided",
        tuple(trained),
    )


def _corrected(layers: Sequence[LayerClaim], level: float) -> tuple[LayerClaim, ...]:
    """Holm's correction over layers, and the verdicts."""
    differ = holm([layer.p for layer in layers])
    equal = holm([layer.p_equivalent for layer in layers])
    return tuple(
        replace(layer, p_holm=p, p_equivalent_holm=q, verdict=_verdict(layer, p, q, level))
        for layer, p, q in zip(layers, differ, equal, strict=True)
    )


def _verdict(layer: LayerClaim, p: float, p_equivalent: float, level: float) -> Verdict:
    if p_equivalent <= level:
        return "no distinction"
    if p > level:
        return "not decided"
    return "natural more coherent" if layer.difference > 0 else "random more coherent"


def _words(verdict: Verdict, delta: float) -> str:
    return f"no distinction within ±{delta:g}" if verdict == "no distinction" else verdict


def _null(untrained: int) -> str:
    rotation = "the natural basis is one more Haar-random basis of the layer's space"
    if not untrained:
        return f"rotation: {rotation}"
    return (
        f"either of two, both to be rejected: rotation, {rotation}; no training, the difference is "
        f"that of {untrained} untrained networks of the shape"
    )


def _rotations(networks: int, layers: int, level: float) -> int:
    """So many that the smallest two-sided p passes Holm's first step."""
    needed = 2 * layers / level
    return max(99 if networks == 1 else 19, math.ceil(math.pow(needed, 1 / networks)) - 1)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else math.nan


def _check(
    models: Sequence[nn.Module],
    layers: Sequence[str],
    images: ImageSet,
    measure: str,
    features: Tensor | None,
    k: int,
    delta: float,
    level: float,
) -> None:
    if not models or not layers:
        raise InputError("give at least one network and one layer")
    if measure not in UNITS:
        raise InputError(f"measure={measure!r}; give one of {', '.join(UNITS)}")
    if (features is None) == (measure == "features"):
        raise InputError('features go with measure="features", and that with them; give both')
    if features is not None and len(features) != len(images):
        raise InputError(f"{len(features)} features for {len(images)} images; give as many")
    if not 2 <= k <= len(images):
        raise InputError(f"k={k} of {len(images)} images; give 2 … {len(images)}")
    if not (delta > 0 and 0 < level < 1):
        raise InputError(f"delta={delta}, level={level}; give delta above 0 and level in (0, 1)")

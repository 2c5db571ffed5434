"""Is a learned dictionary more coherent than units, than random directions, than its own control?

Half of the images are learned from, and the other half is ranked: rows of images that a dictionary
had seen would look more alike than those of directions that had seen none.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, TypeAlias

import torch
from jaxtyping import Int64
from scipy import stats
from torch import Tensor, nn

from intriguing.data.dataset import ImageSet
from intriguing.errors import InputError
from intriguing.measures import Progress, ProgressCallback, mean_interval
from intriguing.units.dictionary import (
    OVERCOMPLETE,
    layer_vectors,
    learn_dictionary,
    learning_seconds,
)
from intriguing.units.directions import Basis, haar, natural
from intriguing.units.measured import Measure, row_coherence, scorer, units_of
from intriguing.units.topk import top_images

Compared: TypeAlias = Literal["sae-frozen", "natural", "random"]
"""What a learned dictionary is compared with."""
COMPARED: tuple[Compared, ...] = ("sae-frozen", "natural", "random")
Better: TypeAlias = Literal["better", "no better", "not decided"]
Interval: TypeAlias = tuple[float, float]
FEWEST = 2
"""Dictionaries from which an interval can be had at all."""


@dataclass(frozen=True)
class OneLearned:
    """One learned dictionary of a layer and its control, of one network and seed.

    Attributes:
        coherence: Mean over directions that respond, on the images that are ranked, by basis.
        units: Of each unit that responds; their mean is the natural basis's.
        explained, dead: Share of variance explained, and dead features, by dictionary.
        features: Of each dictionary.
    """

    coherence: dict[str, float]
    units: tuple[float, ...]
    explained: dict[str, float]
    dead: dict[str, int]
    features: int


@dataclass(frozen=True)
class Lead:
    """By how much the learned dictionary is more coherent than `reference`, and the verdict.

    *Better*: the interval is above 0, and not below δ; *no better*:
    it is below δ, so that a lead that would count is refuted.
    """

    reference: Compared
    difference: float
    low: float
    high: float
    verdict: Better


@dataclass(frozen=True)
class LearnedLayer:
    """What is known of a layer: every dictionary, and the leads."""

    layer: str
    features: int
    learned: tuple[OneLearned, ...]
    leads: tuple[Lead, ...]


def halves(images: ImageSet, seed: int) -> tuple[Int64[Tensor, " half"], Int64[Tensor, " half"]]:
    """Which images are learned from, and which are ranked: a random half each."""
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(seed))
    middle = len(images) // 2
    return order[:middle].sort().values, order[middle:].sort().values


def compare_dictionaries(
    models: Sequence[nn.Module],
    layers: Sequence[str],
    images: ImageSet,
    *,
    measure: Measure,
    delta: float,
    features: Tensor | None = None,
    k: int = 9,
    size: int | None = None,
    dictionaries: int = 5,
    level: float = 0.05,
    seed: int = 0,
    progress: ProgressCallback | None = None,
) -> tuple[LearnedLayer, ...]:
    """Dictionaries of every layer, from several seeds, beside their controls and other bases.

    A lead has Student's interval over the networks, or of one network over its dictionaries; that
    says nothing of other networks. Units of one network are the same beside every dictionary: there
    the interval is Welch's, of the dictionaries' mean and of the units'. Intervals hold for all
    layers together (Bonferroni).

    Args:
        models: A network, or several of one shape from other seeds, in evaluation mode.
        layers: Names of layers.
        images: Half of them is learned from, the other half ranked.
        measure, features, k: Of coherence, as in `compare_bases`.
        delta: The lead below which one dictionary counts as no better, in the measure's unit.
        size: Features; twice as many as units when None.
        dictionaries: Seeds, a network.
        level: The probability of a wrong verdict, over all layers together.
        seed: Of halves, of initial weights and of rotations.
        progress: Told after each dictionary.

    Raises:
        InputError: If there are too few images or dictionaries for an interval.
    """
    study = DictionaryStudy(
        tuple(models), tuple(layers), images, measure, delta, features, k, size, dictionaries,
        level, seed,
    )  # fmt: skip
    learned = []
    for index in range(len(study)):
        learned.append(study.learn(index))
        if progress is not None:
            progress(Progress("learning dictionaries", index + 1, len(study)))
    return study.joined(learned)


@dataclass(frozen=True)
class DictionaryStudy:
    """What `compare_dictionaries` compares, one dictionary at a time, in any order, by anybody."""

    models: tuple[nn.Module, ...]
    layers: tuple[str, ...]
    images: ImageSet
    measure: Measure
    delta: float
    features: Tensor | None = None
    k: int = 9
    size: int | None = None
    dictionaries: int = 5
    level: float = 0.05
    seed: int = 0

    def __post_init__(self) -> None:
        if len(self.images) // 2 < self.k:
            raise InputError(
                f"k={self.k} of {len(self.images)} images, half of which are learned from; give "
                f"{2 * self.k} or more"
            )
        if self.dictionaries < FEWEST:
            raise InputError(
                f"{self.dictionaries} dictionaries have no interval; give {FEWEST} or more"
            )

    def __len__(self) -> int:
        """Dictionaries in all."""
        return len(self.models) * len(self.layers) * self.dictionaries

    def learn(self, index: int) -> OneLearned:
        """One of them, in the order of networks, then layers, then seeds."""
        place, one = divmod(index, self.dictionaries)
        model, layer = divmod(place, len(self.layers))
        vectors, held_out = self._vectors(model, layer)
        size = vectors.shape[1] * OVERCOMPLETE if self.size is None else self.size
        _, ranked, score = self._halves
        return _one(
            self.models[model], self.layers[layer], ranked, score, self.k, vectors, held_out, size,
            self.seed + one,
        )  # fmt: skip

    def seconds(self) -> float:
        """What one of them takes at most, with its control, but for the passes of the network."""
        units = max(units_of(self.models[0], self.layers, self.images).values())
        size = units * OVERCOMPLETE if self.size is None else self.size
        return 2 * learning_seconds(units, size)

    def joined(self, learned: Sequence[OneLearned]) -> tuple[LearnedLayer, ...]:
        """What all of them come to, given in their order."""
        confidence, made = 1 - self.level / len(self.layers), []
        for place, layer in enumerate(self.layers):
            starts = [
                (model * len(self.layers) + place) * self.dictionaries
                for model in range(len(self.models))
            ]
            several = [learned[start : start + self.dictionaries] for start in starts]
            made.append(
                LearnedLayer(
                    layer, several[0][0].features, tuple(one for mine in several for one in mine),
                    tuple(_lead(several, which, self.delta, confidence) for which in COMPARED),
                )
            )  # fmt: skip
        return tuple(made)

    @cached_property
    def _halves(self) -> tuple[ImageSet, ImageSet, Callable[[Tensor], Tensor]]:
        """What is learned from, what is ranked, and the measure of what is ranked."""
        learning, ranking = halves(self.images, self.seed)
        seen, ranked = self.images.subset(learning), self.images.subset(ranking)
        features = None if self.features is None else self.features[ranking]
        return seen, ranked, scorer(self.measure, ranked, features)

    def _vectors(self, model: int, layer: int) -> tuple[Tensor, Tensor]:
        """Of both halves; kept, as the next dictionary is most likely of the same layer."""
        kept: dict[tuple[int, int], tuple[Tensor, Tensor]] = vars(self).setdefault("_kept", {})
        if (model, layer) not in kept:
            kept.clear()
            seen, held_out = (
                layer_vectors(self.models[model], self.layers[layer], half, len(half), self.seed)
                for half in self._halves[:2]
            )
            kept[model, layer] = seen, held_out
        return kept[model, layer]


def _one(
    model: nn.Module,
    layer: str,
    ranked: ImageSet,
    score: Callable[[Tensor], Tensor],
    k: int,
    vectors: Tensor,
    held_out: Tensor,
    size: int,
    seed: int,
) -> OneLearned:
    """A dictionary and its control, from the same initial weights."""
    learned = {
        name: learn_dictionary(vectors, held_out, size, frozen=frozen, seed=seed)
        for name, frozen in (("sae", False), ("sae-frozen", True))
    }
    units = vectors.shape[1]
    turned = haar(units, torch.Generator().manual_seed(seed))
    bases: list[Basis] = [natural(units), turned, *(d.basis(n) for n, d in learned.items())]
    tops = top_images(model, [layer], ranked, {layer: bases}, k=k, sign="positive", bins=0)
    coherence = {b.name: row_coherence(tops[layer, b.name], score) for b in bases}
    responding = coherence["natural"][~coherence["natural"].isnan()]
    return OneLearned(
        {name: float(rows.nanmean()) for name, rows in coherence.items()},
        tuple(responding.tolist()),
        {name: one.explained for name, one in learned.items()},
        {name: int((~one.alive).sum()) for name, one in learned.items()},
        size,
    )


def _lead(
    several: Sequence[Sequence[OneLearned]], reference: Compared, delta: float, confidence: float
) -> Lead:
    """Of a list of dictionaries a network."""
    leads = [[one.coherence["sae"] - one.coherence[reference] for one in mine] for mine in several]
    over = [sum(mine) / len(mine) for mine in leads] if len(leads) > 1 else leads[0]
    units = several[0][0].units
    if len(leads) == 1 and reference == "natural" and len(units) > 1:
        low, high = _welch([one.coherence["sae"] for one in several[0]], units, confidence)
    else:
        low, high = mean_interval(over, confidence)
    return Lead(reference, sum(over) / len(over), low, high, verdict_of(low, high, delta))


def _welch(ours: Sequence[float], theirs: Sequence[float], confidence: float) -> Interval:
    """Of the difference of two means; the difference itself twice where nothing varies.

    >>> _welch([2.0, 2.0], [1.0, 1.0, 1.0], 0.95)
    (1.0, 1.0)
    """
    difference = sum(ours) / len(ours) - sum(theirs) / len(theirs)
    if len(set(ours)) == len(set(theirs)) == 1:
        return difference, difference
    found = stats.ttest_ind(ours, theirs, equal_var=False).confidence_interval(confidence)
    return float(found.low), float(found.high)


def verdict_of(low: float, high: float, delta: float) -> Better:
    """Whether an interval of a lead refutes one that counts, or shows that there is one.

    >>> verdict_of(0.01, 0.2, 0.05), verdict_of(0.01, 0.04, 0.05), verdict_of(-0.1, 0.1, 0.05)
    ('better', 'no better', 'not decided')
    """
    if high < delta:
        return "no better"
    return "better" if low > 0 else "not decided"

"""Coherence of the natural and of random bases in one network: the table that the test is of."""

import copy
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal, TypeAlias

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from intriguing.data.dataset import ImageSet
from intriguing.errors import InputError
from intriguing.models.classifier import device_of
from intriguing.training.draws import drawing_from
from intriguing.units.activations import activations
from intriguing.units.coherence import (
    all_cosines,
    check_rows,
    label_entropy,
    label_purity,
    mean_cosine,
    mean_of_pairs,
    unit_vectors,
)
from intriguing.units.directions import Basis, haar
from intriguing.units.inference import MeasuredLayer
from intriguing.units.topk import TopImages, top_images

Measure: TypeAlias = Literal["purity", "entropy", "pixels", "features"]

# Weights of all random directions of a layer; of a layer with very many units, fewer are compared.
_WEIGHTS = 1 << 27
_BASES = 20
"""Random bases of a piece of work: that a network is asked again for the next costs little."""


@dataclass(frozen=True)
class Draws:
    """Random bases of a layer that anybody can draw: each from where the generator was before it.

    Attributes:
        units: Of the layer.
        chosen: Those whose directions are compared.
        states: Of the generator, one a basis.
    """

    units: int
    chosen: Int64[Tensor, " column"]
    states: tuple[Tensor, ...]

    @classmethod
    def of(cls, units: int, bases: int, most_bases: int, generator: torch.Generator) -> "Draws":
        """Go over what so many bases take of the generator."""
        columns = max(1, min(units, _WEIGHTS // (units * most_bases)))
        chosen = torch.arange(units)
        if columns < units:  # one subset for all networks, drawn without looking at them
            chosen = torch.randperm(units, generator=torch.Generator().manual_seed(units))[:columns]
        states = []
        for _ in range(bases):
            states.append(generator.get_state())
            torch.randn(units, columns, generator=generator, dtype=torch.float64)
        return cls(units, chosen.sort().values, tuple(states))

    def bases(self, some: slice) -> list[Basis]:
        """Of some draws all directions as one basis; with the first, the natural one."""
        generator, found = torch.Generator(), []
        for state in self.states[some]:
            generator.set_state(state)
            found.append(haar(self.units, generator, len(self.chosen)).matrix.float())
        natural = [Basis("natural", torch.eye(self.units)[:, self.chosen])]
        return (natural if some.start == 0 else []) + [Basis("random", torch.cat(found, 1))]


@dataclass(frozen=True)
class Tables:
    """The coherence of natural and random bases in several networks, measured part by part.

    Attributes:
        networks: In evaluation mode.
        layers, images, measure, features, k, batch_size: As `compare_bases` takes them.
        draws: Of each network the random bases of every layer.
    """

    networks: tuple[nn.Module, ...]
    layers: tuple[str, ...]
    images: ImageSet
    measure: Measure
    features: Tensor | None
    k: int
    draws: tuple[Mapping[str, Draws], ...]
    batch_size: int | None = None

    def on(self, rows: Int64[Tensor, " chosen"]) -> "Tables":
        """The same on some of the images."""
        features = None if self.features is None else self.features[rows]
        return replace(self, images=self.images.subset(rows), features=features)

    @cached_property
    def parts(self) -> list[tuple[int, slice]]:
        """Pieces of the work: a network and some of its bases."""
        found = []
        for place, draws in enumerate(self.draws):
            bases = len(draws[self.layers[0]].states)
            found += [(place, slice(i, min(i + _BASES, bases))) for i in range(0, bases, _BASES)]
        return found

    @cached_property
    def score(self) -> Callable[[Tensor], Tensor]:
        """What gives rows of images their coherence."""
        return scorer(self.measure, self.images, self.features)

    def measured(self, part: int) -> dict[str, MeasuredLayer]:
        """One piece, from one pass of the images; of the natural basis something in the first."""
        place, some = self.parts[part]
        asked = {layer: draws.bases(some) for layer, draws in self.draws[place].items()}
        found = top_images(
            self.networks[place], self.layers, self.images, asked, k=self.k, sign="positive",
            bins=0, batch_size=self.batch_size,
        )  # fmt: skip
        none = torch.empty(0, dtype=torch.float64)
        return {
            layer: MeasuredLayer(
                row_coherence(found[layer, "natural"], self.score) if some.start == 0 else none,
                row_coherence(found[layer, "random"], self.score).view(some.stop - some.start, -1),
            )
            for layer in self.layers
        }

    def joined(
        self, parts: Iterable[Mapping[str, MeasuredLayer]]
    ) -> list[dict[str, MeasuredLayer]]:
        """The table of each network from all pieces, in their order."""
        several: list[list[Mapping[str, MeasuredLayer]]] = [[] for _ in self.networks]
        for (place, _), one in zip(self.parts, parts, strict=True):
            several[place].append(one)
        return [
            {
                layer: MeasuredLayer(
                    some[0][layer].natural, torch.cat([one[layer].random for one in some])
                )
                for layer in self.layers
            }
            for some in several
        ]


def measure_bases(
    model: nn.Module,
    layers: Sequence[str],
    images: ImageSet,
    measure: Measure,
    k: int,
    bases: int,
    generator: torch.Generator,
) -> dict[str, MeasuredLayer]:
    """Coherence of the natural and of `bases` random directions of one network's layers."""
    draws = {
        layer: Draws.of(units, bases, bases, generator)
        for layer, units in units_of(model, layers, images).items()
    }
    tables = Tables((model,), tuple(layers), images, measure, None, k, (draws,))
    (made,) = tables.joined(map(tables.measured, range(len(tables.parts))))
    return made


def units_of(model: nn.Module, layers: Sequence[str], images: ImageSet) -> dict[str, int]:
    """How many units layers have, by one image."""
    some = next(activations(model, layers, images.images[:1]))
    return {name: phi.shape[1] for name, phi in some.items()}


def scorer(
    measure: Measure, images: ImageSet, features: Tensor | None
) -> Callable[[Int64[Tensor, "direction k"]], Float[Tensor, " direction"]]:
    """What gives rows of images their coherence by a measure, the greater the more coherent."""
    labels = images.labels.cpu()
    if measure == "purity":
        return lambda rows: label_purity(labels[rows])
    if measure == "entropy":
        return lambda rows: -label_entropy(labels[rows])
    unit = unit_vectors(images.images if features is None else features)
    # A test scores thousands of rows of the same images.
    cosines = all_cosines(unit)
    if cosines is not None:
        return lambda rows: mean_of_pairs(cosines, rows)
    return lambda rows: mean_cosine(unit, rows)


def reinitialised(model: nn.Module, seed: int) -> nn.Module:
    """A copy of a network with every module's own initialisation drawn anew.

    Raises:
        InputError: If parameters belong to modules without `reset_parameters`.
    """
    fresh = copy.deepcopy(model).cpu()
    with drawing_from(seed):
        for name, module in fresh.named_modules():
            if callable(reset := getattr(module, "reset_parameters", None)):
                reset()
            elif list(module.parameters(recurse=False)):
                raise InputError(
                    f"{name or 'the network'} ({type(module).__name__}) has no reset_parameters(); "
                    "give untrained networks yourself, untrained=[...], or untrained=0"
                )
    return fresh.to(device_of(model)).eval()


def row_coherence(top: TopImages, score: Callable[[Tensor], Tensor]) -> Float[Tensor, " direction"]:
    """Of each direction; NaN where the last of the k images excites it no more than any other."""
    check_rows(top.indices, top.images)
    responds = top.values[:, -1].double() > top.histogram.lowest
    return score(top.indices).double().masked_fill(~responds, torch.nan)

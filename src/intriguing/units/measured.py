"""Coherence of the natural and of random bases in one network: the table that the test is of."""

import copy
from collections.abc import Callable, Sequence
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


def measure_bases(
    model: nn.Module,
    layers: Sequence[str],
    images: ImageSet,
    score: Callable[[Tensor], Tensor],
    k: int,
    bases: int,
    most_bases: int,
    generator: torch.Generator,
    batch_size: int | None,
) -> dict[str, MeasuredLayer]:
    """Coherence of the natural and of `bases` random directions, from one pass of the images."""
    asked: dict[str, list[Basis]] = {}
    some = next(activations(model, layers, images.images[:1]))
    for layer, phi in some.items():
        units = phi.shape[1]
        columns = max(1, min(units, _WEIGHTS // (units * most_bases)))
        chosen = torch.arange(units)
        if columns < units:  # one subset for all networks, drawn without looking at them
            chosen = torch.randperm(units, generator=torch.Generator().manual_seed(units))[:columns]
        rotations = [haar(units, generator, columns).matrix.float() for _ in range(bases)]
        asked[layer] = [
            Basis("natural", torch.eye(units)[:, chosen.sort().values]),
            Basis("random", torch.cat(rotations, 1)),
        ]
    found = top_images(
        model, layers, images, asked, k=k, sign="positive", bins=0, batch_size=batch_size
    )
    return {
        layer: MeasuredLayer(
            row_coherence(found[layer, "natural"], score),
            row_coherence(found[layer, "random"], score).view(bases, -1),
        )
        for layer in layers
    }


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

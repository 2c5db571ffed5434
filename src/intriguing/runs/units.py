"""What the units of a network respond to, as a results folder keeps it: §3 on any network.

One pass ranks the images for every direction of every layer and basis; then each row's coherence,
the test of the claim, and the path from the natural basis to rotated ones.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from intriguing.data.dataset import ImageSet
from intriguing.measures import ProgressCallback
from intriguing.results.parquet import write_columns, write_rows
from intriguing.results.rows import ClaimRow, CoherenceRow, Measurement, TopRow
from intriguing.results.schema import Stage
from intriguing.runs import distinction, ranked
from intriguing.runs.study import Asked, choose_bases
from intriguing.units.activations import activations
from intriguing.units.coherence import coherence
from intriguing.units.topk import top_images


@dataclass(frozen=True)
class Studied:
    """What a run record and the tables need besides the rows and tensors that were written."""

    rows: tuple[Measurement, ...]
    stages: tuple[Stage, ...]
    notes: tuple[str, ...]


def analyse(
    folder: Path,
    name: str,
    models: Sequence[nn.Module],
    images: ImageSet,
    asked: Asked,
    *,
    other: Mapping[str, Tensor] | None = None,
    progress: ProgressCallback | None = None,
) -> Studied:
    """Rank, measure and test; rows and tensors go to `folder`.

    Args:
        folder: An open results folder.
        name: Of the network, in every row.
        models: The network, and others of its shape trained from other seeds, for the test.
        images: Held-out images.
        asked: By `prepare`.
        other: Vectors of the images in another network's space, by its name.
        progress: Called within every stage.
    """
    start = time.perf_counter()
    study, model = asked.study, models[0]
    bases = {layer.name: choose_bases(study, model, layer, images) for layer in asked.layers}
    found = top_images(
        model, asked.names, images, {n: [b for b, _ in some] for n, some in bases.items()},
        k=study.k, sign="both", seed=study.seed,
        progress=ranked.renamed(progress, "ranking the images"),
    )  # fmt: skip
    shown = ranked.shown(list(found.values()))
    ranked.write_pictures(folder, images, shown)
    own = _own_spaces(model, asked.names, images, progress)
    # Labels that no two images share say nothing of any row.
    alone = int(images.labels.bincount().max()) == 1
    constant = ("purity", "entropy") if alone else ()
    tops, rows = [], []
    for layer, field in zip(asked.layers, asked.fields, strict=True):
        for basis, numbers in bases[layer.name]:
            top = found[layer.name, basis.name]
            tops += ranked.top_columns(name, top, numbers, field, images)
            measured = coherence(top, images, own=own[layer.name], features=other, seed=study.seed)
            rows += [
                ranked.coherence_columns(name, top, numbers, value, ranked.responds(top))
                for value in measured.values()
                if value.name not in constant
            ]
    write_columns(folder, TopRow, tops)
    write_columns(folder, CoherenceRow, rows)
    strongest = ranked.strongest(model, found, images, shown, progress)
    for layer, field in zip(asked.layers, asked.fields, strict=True):
        ranked.write_directions(folder, layer, field, bases[layer.name], found, strongest)
    passes = 2 * len(images) + len(shown)
    stages = [Stage("rank the images", time.perf_counter() - start, passes)]
    if not study.claim:
        return Studied((), tuple(stages), notes(asked, images, len(models)))
    features = next(iter(other.values())) if other and asked.measure == "features" else None
    case = distinction.Case(folder, name, models, images, asked, features, progress)
    claims, stage = distinction.judge(case)
    write_rows(folder, ClaimRow, claims)
    stages.append(stage)
    path: list[Measurement] = []
    if study.paths and distinction.followed(asked):
        path, stage = distinction.follow(case)
        stages.append(stage)
    return Studied(tuple(path), tuple(stages), notes(asked, images, len(models)))


def _own_spaces(
    model: nn.Module, names: Sequence[str], images: ImageSet, progress: ProgressCallback | None
) -> dict[str, Tensor]:
    """The images in every layer's own space, averaged over positions, from one pass."""
    told = ranked.renamed(progress, "reading the layers")
    parts: dict[str, list[Tensor]] = {name: [] for name in names}
    for phi in activations(model, names, images, progress=told):
        for name, one in phi.items():
            parts[name].append(one.unsqueeze(2).flatten(2).mean(2).cpu())
    return {name: torch.cat(some) for name, some in parts.items()}


def notes(asked: Asked, images: ImageSet, networks: int) -> tuple[str, ...]:
    """What a reader of the pictures and of the verdicts should know."""
    study = asked.study
    said = [
        f"Every row shows the {study.k} of {len(images):,} images that excite a direction most. "
        "The directions in a picture were not chosen for what they show: they are evenly spaced "
        "among those that respond.",
    ]
    if any(len(layer.shape) == 3 for layer in asked.layers):
        said.append(
            "In a convolutional layer a unit is a channel; its activation for an image is the "
            "largest over positions, and crops are the pixels that this position sees."
        )
    if asked.measure == "pixels":
        said.append(
            "The labels of these images cannot tell coherent rows from others, so the claim is "
            "tested by the mean cosine of pairs of images in pixels, which sees colour and layout "
            "and no meaning."
        )
    wide = [layer.name for layer in asked.layers if layer not in distinction.followed(asked)]
    if study.claim and study.paths and wide:
        said.append(
            "The path from the natural basis to rotated ones is not followed in "
            f"{', '.join(wide)}, of more than {distinction.WIDEST:,} units."
        )
    least = 2 * len(asked.layers) / ((study.rotations or 1_000_000) + 1) ** networks
    if study.claim and least > 0.05:
        said.append(
            f"{study.rotations} rotations are too few to find any difference: the smallest p-value "
            f"that they allow is {min(least, 1):.2g}. Leave --rotations out for enough."
        )
    if networks == 1 and study.claim:
        said.append("The test knows one trained network: its interval says nothing of other seeds.")
    return tuple(said)

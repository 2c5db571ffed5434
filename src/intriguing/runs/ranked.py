"""What a results folder keeps of a ranking: pictures, rows, histograms, nearest directions."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from intriguing.data.dataset import ImageSet
from intriguing.data.png import shown_as
from intriguing.measures import ProgressCallback
from intriguing.names import file_name
from intriguing.results.store import write_tensors
from intriguing.units import directions
from intriguing.units.activations import Layer
from intriguing.units.directions import Basis
from intriguing.units.receptive_field import ReceptiveField
from intriguing.units.topk import TopImages

NEAREST = 5
"""Neighbours listed for a direction."""
_AT_ONCE = 64
"""Pictures that are brought to 8 bits at once: each is four times as large before, and copied."""


def responds(top: TopImages) -> Tensor:
    """Of each direction, whether its last image shown excites it more than the least exciting."""
    return top.values[:, -1].double() > top.histogram.lowest


def shown(tops: Sequence[TopImages]) -> Tensor:
    """Indices of the images that any direction shows, in their order."""
    every = [r.indices.flatten() for t in tops for r in (t.ranking, t.opposite) if r is not None]
    found = np.unique(torch.cat(every).numpy())
    return torch.from_numpy(found[found >= 0])


def write_pictures(folder: Path, images: ImageSet, shown: Tensor) -> None:
    """The images at these indices, in 8 bits, with their ids and labels."""
    parts = (shown_as(images.images[some]).clamp(0, 1) for some in torch.split(shown, _AT_ONCE))
    pixels = torch.cat([(part * 255).round().to(torch.uint8).cpu() for part in parts]).numpy()
    metadata = {
        "kind": "unit-images",
        "title": "The images that any direction shows, in 8 bits",
        "ids": json.dumps([images.ids[i] for i in shown.tolist()], ensure_ascii=False),
        "classes": json.dumps(images.class_names, ensure_ascii=False),
        "count": str(len(images)),
    }
    tensors = {"images": pixels, "labels": images.labels[shown].cpu().numpy()}
    write_tensors(folder, "pictures", tensors, metadata)


def top_columns(
    name: str, top: TopImages, numbers: np.ndarray, field: ReceptiveField, images: ImageSet
) -> list[dict[str, Any]]:
    """Columns of tops.parquet: every image of every row, of both signs, with what it saw."""
    labels, ids = images.labels.cpu().numpy(), np.array(images.ids, dtype=object)
    boxes = np.array([[b.top, b.left, b.bottom, b.right] for b in field.boxes])
    parts = []
    for sign, ranking in (("positive", top.ranking), ("negative", top.opposite)):
        if ranking is None:
            continue
        count, k = ranking.indices.shape
        where = ranking.indices.numpy().ravel()
        position = ranking.positions.numpy().ravel()
        box = boxes[np.clip(position, 0, len(boxes) - 1)]
        parts.append({
            "network": name, "seed": 0, "layer": top.layer, "basis": top.basis,
            "direction": np.repeat(numbers, k), "sign": sign,
            "rank": np.tile(np.arange(k), count), "image_id": ids[where].tolist(),
            "label": labels[where], "value": ranking.values.double().numpy().ravel(),
            "position": position, "top": box[:, 0], "left": box[:, 1], "bottom": box[:, 2],
            "right": box[:, 3],
        })  # fmt: skip
    return parts


def coherence_columns(
    name: str, top: TopImages, numbers: np.ndarray, value: Any, responding: Tensor
) -> dict[str, Any]:
    """Columns of coherence.parquet: one measure of every row."""
    return {
        "network": name, "seed": 0, "layer": top.layer, "basis": top.basis, "direction": numbers,
        "measure": value.name, "unit": value.unit, "value": value.values.double().numpy(),
        "chance": value.chance.double().numpy(), "low": float(value.low), "high": float(value.high),
        "responds": responding.numpy(),
    }  # fmt: skip


def write_directions(
    folder: Path,
    layer: Layer,
    field: ReceptiveField,
    bases: Sequence[tuple[Basis, np.ndarray]],
    found: Mapping[tuple[str, str], TopImages],
    strongest: Mapping[tuple[str, str], tuple[Tensor, Tensor]],
) -> None:
    """Histograms, nearest directions and what images excite, one file a layer and basis."""
    for place, (basis, numbers) in enumerate(bases):
        others = [(i, b, n) for i, (b, n) in enumerate(bases) if i != place and len(b)]
        others = others or [(place, basis, numbers)]
        whole = Basis("others", torch.cat([b.matrix.double() for _, b, _ in others], 1))
        near, cosines = directions.nearest_directions(
            basis, basis if others[0][0] == place else whole, NEAREST
        )
        whose = np.concatenate([np.full(len(n), i) for i, _, n in others])
        which = np.concatenate([n for _, _, n in others])
        top = found[layer.name, basis.name]
        units, strength = strongest[layer.name, basis.name]
        tensors = {
            "numbers": numbers.astype(np.int64),
            "counts": top.histogram.counts.numpy(),
            "first": top.histogram.first.numpy(),
            "width": top.histogram.width.numpy(),
            "lowest": top.histogram.lowest.numpy(),
            "highest": top.histogram.highest.numpy(),
            "near_basis": whose[near.numpy()],
            "near": which[near.numpy()],
            "cosines": cosines.numpy(),
            "strongest": numbers[units.numpy()],
            "strength": strength.numpy(),
        }
        metadata = {
            "kind": "directions", "layer": layer.name, "basis": basis.name,
            "title": f"{layer.name}, {basis.name}", "type": layer.kind,
            "shape": json.dumps(layer.shape), "whole": field.whole,
            "bases": json.dumps([b.name for b, _ in bases]), "invalid": str(top.invalid),
        }  # fmt: skip
        write_tensors(folder, file_name("directions", layer.name, basis.name), tensors,
                      metadata)  # fmt: skip


def renamed(progress: ProgressCallback | None, stage: str) -> ProgressCallback | None:
    """Progress under another name."""
    if progress is None:
        return None
    return lambda step: progress(replace(step, stage=stage))

"""A unit analysis made by hand, whose every number is known: images of one grey, planted rows."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from intriguing.results.parquet import write_columns, write_rows
from intriguing.results.rows import ClaimRow, CoherenceRow, TopRow
from intriguing.results.schema import DataRecord, ModelRecord, RunRecord
from intriguing.results.store import write_run, write_tensors

K, STRONGEST, BASES = 5, 3, ("natural", "random")
LAYERS = {"conv": 12, "fc": 2000}
"""Layer → units; of each as many random directions."""


@dataclass(frozen=True)
class Known:
    """What the page must show, by (layer, basis)."""

    folder: Path
    ids: tuple[str, ...]
    greys: np.ndarray
    tops: dict[tuple[str, str], dict[str, np.ndarray]]
    purity: dict[tuple[str, str], np.ndarray]
    responds: dict[tuple[str, str], np.ndarray]
    strongest: dict[tuple[str, str], np.ndarray]


def write_units(
    folder: Path, layers: dict[str, int] = LAYERS, *, side: int = 12, channels: int = 1,
    count: int = 200,
) -> Known:  # fmt: skip
    """Write the folder: `count` images, the i-th all of one grey, unlike its neighbours'."""
    rng = np.random.default_rng(3)
    greys = (np.arange(count) * 97 % 256).astype(np.uint8)
    ids = tuple(f"made/{i:04d}" for i in range(count))
    labels = np.arange(count) % 4
    pixels = np.broadcast_to(greys[:, None, None, None], (count, channels, side, side))
    write_tensors(
        folder, "pictures", {"images": np.ascontiguousarray(pixels), "labels": labels},
        {"kind": "unit-images", "title": "Greys", "ids": json.dumps(ids),
         "classes": json.dumps(["ant", "bee", "<cow>", "dog & cat"]), "count": "5000"},
    )  # fmt: skip
    tops, purity, responds, strongest = {}, {}, {}, {}
    top_parts, rows = [], []
    for layer, units in layers.items():
        for basis in BASES:
            key = layer, basis
            shown = {s: rng.integers(0, count, (units, K)) for s in ("positive", "negative")}
            values = -np.sort(-rng.normal(3, 1, (units, K)), axis=1)
            box = [3, 2, 8, 9] if layer == "conv" else [0, 0, side, side]
            for sign, images in shown.items():
                signed = values if sign == "positive" else -values
                signed[20:21] = 0 if sign == "negative" else signed[20:21]
                top_parts.append({
                    "network": "made", "seed": 0, "layer": layer, "basis": basis,
                    "direction": np.repeat(np.arange(units), K), "sign": sign,
                    "rank": np.tile(np.arange(K), units),
                    "image_id": [ids[i] for i in images.ravel()], "label": labels[images.ravel()],
                    "value": signed.ravel(), "position": np.zeros(units * K, int),
                    "top": box[0], "left": box[1], "bottom": box[2], "right": box[3],
                })  # fmt: skip
            counts = np.stack([(labels[shown["positive"]] == c).sum(1) for c in range(4)])
            pure, alive = counts.max(0) / K, np.arange(units) % 10 != 7
            rows.append({
                "network": "made", "seed": 0, "layer": layer, "basis": basis,
                "direction": np.arange(units), "measure": "purity", "unit": "share", "value": pure,
                "chance": np.full(units, 0.4), "low": 0.4, "high": 0.6, "responds": alive,
            })  # fmt: skip
            other = np.stack([rng.permutation(units)[:2] for _ in range(units)])
            excited = np.stack([rng.permutation(units)[:STRONGEST] for _ in range(count)])
            write_tensors(
                folder, f"directions-{layer}-{basis}",
                {
                    "numbers": np.arange(units), "counts": rng.integers(0, 40, (units, 16)),
                    "first": np.full(units, -3), "width": np.full(units, 0.5),
                    "lowest": np.full(units, -1.5), "highest": np.full(units, 6.5),
                    "near_basis": np.full((units, 2), 1 - BASES.index(basis)), "near": other,
                    "cosines": np.tile([0.5, 0.25], (units, 1)), "strongest": excited,
                    "strength": np.tile([3.0, 2.0, 1.0], (count, 1)),
                },
                {"kind": "directions", "layer": layer, "basis": basis, "title": f"{layer} {basis}",
                 "type": "ReLU", "shape": "[8, 6, 6]" if layer == "conv" else f"[{units}]",
                 "whole": "" if layer == "conv" else "the layer sees all of it",
                 "bases": json.dumps(BASES), "invalid": "0"},
            )  # fmt: skip
            tops[key], purity[key], responds[key], strongest[key] = shown, pure, alive, excited
    write_columns(folder, TopRow, top_parts)
    write_columns(folder, CoherenceRow, rows)
    write_rows(folder, ClaimRow, [
        ClaimRow("made", layer, "purity", K, 5000, 1, 99, 8, units, 0.05, 0.05, 0.0, 0.5, 0.45,
                 0.05, 0.01, 0.09, 0.0, 0.01, 0.6, "natural more coherent",
                 f"{layer}: natural more coherent.")
        for layer, units in layers.items()
    ])  # fmt: skip
    write_run(
        folder,
        RunRecord(
            kind="units", command="intriguing units made </script> made", config={},
            status="complete", seeds=(0,), versions={"intriguing": "0"},
            machine={"platform": "here"}, data=(DataRecord("made", 5000, "0" * 64),),
            models=(ModelRecord("made", 0, "0" * 64, 1000, "made", {}),),
        ),
    )  # fmt: skip
    return Known(folder, ids, greys, tops, purity, responds, strongest)

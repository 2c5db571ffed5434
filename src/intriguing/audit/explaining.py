"""One image of an audit: its whole story, from what the audit kept."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import nn

from intriguing.distortion.minimum import minimum_distortion
from intriguing.distortion.penalty import PaperConfig
from intriguing.errors import InputError
from intriguing.measures import ProgressCallback
from intriguing.models.classifier import Classifier
from intriguing.models.resized import fitted
from intriguing.models.weights import model_sha256
from intriguing.results.damage import blame
from intriguing.results.explained import Nearest, Said, Solve, Story
from intriguing.results.parquet import schema, stream_columns
from intriguing.results.rows import CertificateRow, ImageRow, Row
from intriguing.results.schema import RunRecord
from intriguing.results.store import find_tensors, read_run, read_tensors

SOLVES = 12
"""Minimisations of the path of c at most: enough to see it close in."""


def explain(
    folder: Path,
    image_id: str,
    networks: Mapping[str, nn.Module] | None = None,
    *,
    path: bool = True,
    progress: ProgressCallback | None = None,
) -> Story:
    """What an audit found out about one image.

    Args:
        folder: Of an audit.
        image_id: The image's id, or the end of it, or a part that only it has.
        networks: The audited networks by name, for the path of c; without them the story has none.
        path: Whether to follow the path of c, which takes a search by the paper's method.
        progress: Called within that search.

    Raises:
        InputError: If `folder` is of no audit, or there is no such image among the attacked ones.
    """
    run = _check(folder)
    attacked = attacked_ids(folder)
    with blame(folder):
        return _explained(folder, run, attacked, image_id, networks or {}, path, progress)


def _explained(
    folder: Path, run: RunRecord, attacked: Sequence[str], image_id: str,
    networks: Mapping[str, nn.Module], path: bool, progress: ProgressCallback | None,
) -> Story:  # fmt: skip
    image = _find(image_id, attacked, folder)
    rows, proofs = _rows_of(folder, ImageRow, image), _rows_of(folder, CertificateRow, image)
    made = []
    for name in dict.fromkeys(rows["network"].tolist()):
        row = int((rows["network"] == name).nonzero()[0][0])
        where = proofs["network"] == name
        certified = float(proofs["certified"][where][0]) if where.any() else None
        solves: tuple[Solve, ...] = ()
        if path and name in networks:
            goal = int(rows["target"][row])
            solves = _path_of_c(folder, run, name, networks[name], image, goal, progress)
        said = _said(folder, name, attacked.index(image))
        made.append(
            Nearest(
                name, int(rows["target"][row]), str(rows["status"][row]),
                float(rows["distortion"][row]), float(rows["l2"][row]), certified, said, solves,
            )
        )  # fmt: skip
    label = int(rows["label"][0])
    names = _class_names(folder)
    return Story(image, label, tuple(made), names)


def _rows_of(folder: Path, kind: type[Row], image: str) -> dict[str, np.ndarray]:
    """The rows about one image, as columns."""
    parts = [{name: np.empty(0, dtype=object) for name in schema(kind).names}]
    for part in stream_columns(folder, kind):
        here = part["image_id"] == image
        if here.any():
            parts.append({name: column[here] for name, column in part.items()})
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def attacked_ids(folder: Path) -> list[str]:
    """Ids of the images that an audit attacked.

    Raises:
        InputError: If it is of no audit, or of one that has attacked none yet.
    """
    _check(folder)
    file = find_tensors(folder, kind="judged")
    if file is None:
        raise InputError(
            f"the audit in {folder} has attacked no image yet; run its command again: see run.json"
        )
    with blame(folder):
        ids = json.loads(read_tensors(folder, file)[1]["ids"])
        if not isinstance(ids, list) or not all(isinstance(one, str) for one in ids):
            raise ValueError(f"the ids of tensors/{file}.safetensors are no names")
    return ids


def _check(folder: Path) -> RunRecord:
    """The record of an audit; InputError for another."""
    run = read_run(folder)
    if run.kind != "audit":
        raise InputError(f"{folder} is of `intriguing {run.kind}`; give the --out of an audit")
    return run


def _class_names(folder: Path) -> tuple[str, ...]:
    file = find_tensors(folder, kind="judged")
    return () if file is None else tuple(json.loads(read_tensors(folder, file)[1]["classes"]))


def _find(wanted: str, ids: Sequence[str], folder: Path) -> str:
    """The one id that is meant."""
    for fits in (
        [one for one in ids if one == wanted],
        [one for one in ids if one.endswith(wanted)],
        [one for one in ids if wanted in one],
    ):
        if len(fits) == 1:
            return fits[0]
        if len(fits) > 1:
            raise InputError(f"{wanted} may be {', '.join(fits[:4])}; give more of the id")
    raise InputError(
        f"{folder} keeps the answers to no attacked image {wanted}; it has those to {len(ids):,}, "
        f"such as {', '.join(ids[:4])}"
    )


def _said(folder: Path, name: str, place: int) -> tuple[Said, ...]:
    """What every network says of the image and of the example made for `name`."""
    file = find_tensors(folder, kind="judged", network=name)
    if file is None:
        return ()
    tensors, words = read_tensors(folder, file)
    return tuple(
        Said(
            judge,
            _pairs(tensors, "before", number, place), _pairs(tensors, "after", number, place),
            float(tensors[f"before_label_{number}"][place]),
            float(tensors[f"after_label_{number}"][place]),
        )
        for number, judge in enumerate(json.loads(words["networks"]))
    )  # fmt: skip


def _pairs(
    tensors: Mapping[str, np.ndarray], when: str, number: int, place: int
) -> tuple[tuple[int, float], ...]:
    classes = tensors[f"{when}_classes_{number}"][place].tolist()
    logits = tensors[f"{when}_logits_{number}"][place].tolist()
    return tuple((int(one), float(logit)) for one, logit in zip(classes, logits, strict=True))


def _path_of_c(
    folder: Path, run: RunRecord, name: str, model: nn.Module, image: str, goal: int,
    progress: ProgressCallback | None,
) -> tuple[Solve, ...]:  # fmt: skip
    """The paper's search from the image to the nearest example's class, one c after another."""
    original = original_of(folder, name, image)
    if original is None or goal < 0:
        return ()
    x = torch.from_numpy(original.astype(np.float32) / 255)[None]
    ready = fitted(model, tuple(x.shape[1:]))
    known = {record.name: record.sha256 for record in run.models}
    if model_sha256(ready) != known.get(name):
        raise InputError(
            f"{name} is not the network that was audited: its weights have changed; give the old "
            "ones, or --no-path to leave out the path of c"
        )
    with torch.no_grad():
        said = int(Classifier.of(ready)(x).argmax(1))
    if said == goal:
        return ()
    found = minimum_distortion(
        ready, x, torch.tensor([said]), torch.tensor([goal]), "paper",
        config=PaperConfig(max_solves=SOLVES), progress=progress,
    )  # fmt: skip
    trace = found.trace[0]
    return tuple(
        Solve(float(c), float(l2), bool(margin > 0))
        for c, l2, margin in trace[~trace.isnan().any(1)].tolist()
    )


def original_of(folder: Path, name: str, image: str) -> np.ndarray | None:
    """The image in 8 bits, from the pairs that the audit kept; None where it did not."""
    file = find_tensors(folder, kind="pairs", made="nearest", network=name)
    if file is None:
        return None
    tensors, words = read_tensors(folder, file)
    ids = [one["id"] for one in json.loads(words["words"])]
    return tensors["original"][ids.index(image)] if image in ids else None

"""One network attacked on one set of images: what the verbs attack and transfer share."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from intriguing.cli.setup import slug
from intriguing.data.dataset import ImageSet
from intriguing.distortion.result import Status
from intriguing.distortion.targets import choose_targets
from intriguing.errors import InputError
from intriguing.measures import ProgressCallback, mean_interval, median_interval, wilson_interval
from intriguing.models.classifier import check_classifier
from intriguing.results.schema import Cell, RunRecord, Stage
from intriguing.results.store import write_tensors
from intriguing.scale.attack import attack_in_shards
from intriguing.transfer.matrix import count_errors

GALLERY = 8
Goal = Literal["random", "runner-up", "all"] | int


@dataclass(frozen=True)
class Plan:
    """The images to attack, one for every target, and the targets.

    Attributes:
        images: What the outcome is about.
        tried: The same, or with `copies` above 1 each image so many times in a row.
        targets: A wrong class for each of `tried`.
        copies: Targets of an image; the nearest is kept.
    """

    images: ImageSet
    tried: ImageSet
    targets: Tensor
    copies: int = 1


@dataclass(frozen=True)
class Outcome:
    """The attack on every image, tensors over images as in `Distortions`; images in memory."""

    images: ImageSet
    columns: dict[str, Tensor]
    wall_seconds: float
    passes: tuple[int, int]

    @cached_property
    def found(self) -> Tensor:
        """Distortions of the images for which an adversarial image was found."""
        return self.columns["distortion"][self.columns["success"]]

    def pairs(self) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Originals, adversarial images and labels, where found."""
        kept = self.columns["success"]
        yield self.images.images[kept], self.columns["adversarial"][kept], self.images.labels[kept]

    def statuses(self) -> dict[str, int]:
        """How many images ended how."""
        codes, counts = np.unique(self.columns["status"].numpy(), return_counts=True)
        return {
            Status(code).name: count
            for code, count in zip(codes.tolist(), counts.tolist(), strict=True)
        }


def parse_targets(text: str) -> Goal:
    """ "random", "runner-up", "all", or the number of a class."""
    if text in ("random", "runner-up", "all"):
        return text  # type: ignore[return-value]
    if text.isdecimal():
        return int(text)
    raise InputError(
        f"unknown --targets {text!r}; one of random, runner-up, all, or a class number"
    )


def disk_bytes(images: ImageSet) -> int:
    """About what the results of one network need on disk."""
    return 2 * images.images.numel() * images.images.element_size() + 4_000_000


def notes(goal: Goal, levels: int | None) -> tuple[str, ...]:
    """What a reader of the numbers should know."""
    meaning = {
        "random": "Each image has one random wrong class as target, as the paper's distortions "
        "imply; the nearest wrong class lies about half as far.",
        "runner-up": "The target is the likeliest wrong class of the unchanged image.",
        "all": "Every wrong class was tried and the nearest kept: the untargeted distortion.",
    }.get(str(goal), f"The target is class {goal}; images of that class were left out.")
    if levels is None:
        return (meaning,)
    return (meaning, f"Adversarial images take {levels} values a channel, as a file keeps them.")


def plan(model: nn.Module, images: ImageSet, goal: Goal, seed: int) -> Plan:
    """The target of every image, drawn for the whole set; with "all", every wrong class."""
    like = next(model.parameters(), images.images)
    classes = check_classifier(model, images.images[:16].to(like.device, like.dtype), images.labels)
    labels = images.labels.cpu()
    if goal == "random":
        generator = torch.Generator().manual_seed(seed)
        return Plan(images, images, choose_targets(labels, classes, generator))
    if goal == "runner-up":
        return Plan(images, images, _runner_up(model, images))
    if goal == "all":
        copies = torch.arange(len(images)).repeat_interleave(classes - 1)
        step = torch.arange(1, classes).repeat(len(images))
        targets = (labels[copies] + step) % classes
        return Plan(images, images.subset(copies), targets, classes - 1)
    if not (isinstance(goal, int) and 0 <= goal < classes):
        raise InputError(f"--targets {goal}, but the network has classes 0 … {classes - 1}")
    others = (labels != goal).nonzero()[:, 0]
    if not len(others):
        raise InputError(f"all images are of class {goal}; give another --targets")
    kept = images.subset(others)
    return Plan(kept, kept, torch.full((len(others),), goal))


@torch.no_grad()
def _runner_up(model: nn.Module, images: ImageSet) -> Tensor:
    like = next(model.parameters(), images.images)
    logits = torch.cat([model(b.images.to(like.device, like.dtype)) for b in images.batches(1000)])
    return logits.cpu().scatter(1, images.labels.cpu()[:, None], -torch.inf).argmax(1)


def attack_network(
    name: str,
    model: nn.Module,
    plan: Plan,
    folder: Path,
    *,
    method: str = "paper",
    levels: int | None = None,
    progress: ProgressCallback | None = None,
) -> Outcome:
    """Attack every image in shards under `folder`; the same call again continues."""
    attacked = attack_in_shards(
        model, plan.tried, plan.targets, folder / "shards" / slug(name),
        method=method, levels=levels, stage=f"attacking {name}", progress=progress,
    )  # fmt: skip
    columns = {key: attacked.shards.column(key) for key in _COLUMNS}
    passes = (int(columns["forward_passes"].sum()), int(columns["backward_passes"].sum()))
    if plan.copies > 1:
        columns = _nearest(columns, plan.copies)
    return Outcome(plan.images, columns, attacked.shards.wall_seconds, passes)


def _nearest(columns: dict[str, Tensor], wrong: int) -> dict[str, Tensor]:
    """Of every image's `wrong` targets the one with the smallest distortion, passes added up."""
    best = columns["distortion"].view(-1, wrong).argmin(1)
    rows = torch.arange(len(best)) * wrong + best
    kept = {name: column[rows] for name, column in columns.items()}
    for name in ("forward_passes", "backward_passes"):
        kept[name] = columns[name].view(-1, wrong).sum(1)
    return kept


def summary(name: str, model: nn.Module, outcome: Outcome, row: int) -> list[Cell]:
    """The row of one network: its error before, how many it fooled, and how far away."""
    images = outcome.images
    before = count_errors({name: model}, [(images.images, images.labels)])[name]
    fooled = int(outcome.columns["success"].sum())
    cells = [
        _share(name, row, "Error before", 0, before.count, before.total),
        _share(name, row, "Fooled", 1, fooled, len(images)),
    ]
    if len(found := outcome.found.double()):
        mean, median = float(found.mean()), float(found.median())
        cells += [
            _length(name, row, "Mean distortion", 2, mean, mean_interval(found), outcome),
            _length(name, row, "Median distortion", 3, median, median_interval(found), outcome),
        ]
    return cells


def _length(
    name: str, row: int, column: str, order: int, value: float, interval: tuple[float, float],
    outcome: Outcome,
) -> Cell:  # fmt: skip
    low, high = interval
    counts = len(outcome.found), len(outcome.images)
    return Cell("attack", name, column, row, order, "distortion", value, low, high, *counts)


def _share(name: str, row: int, column: str, order: int, count: int, total: int) -> Cell:
    low, high = wilson_interval(count, total)
    share = 100.0 * count / total
    return Cell("attack", name, column, row, order, "%", share, 100 * low, 100 * high, count, total)


def image_columns(name: str, outcome: Outcome, seed: int) -> dict[str, Any]:
    """Rows for images.parquet."""
    columns = outcome.columns
    lost = ~columns["success"]
    numbers = {
        key: columns[key].masked_fill(lost, torch.nan).numpy() for key in ("distortion", "l2", "c")
    }
    whole = ("success", "forward_passes", "backward_passes")
    return {
        "network": name,
        "seed": seed,
        "image_id": list(outcome.images.ids),
        "label": outcome.images.labels.numpy(),
        "target": columns["targets"].numpy(),
        "status": [Status(code).name for code in columns["status"].tolist()],
        **numbers,
        **{key: columns[key].numpy() for key in whole},
    }


@torch.no_grad()
def write_gallery(folder: Path, name: str, model: nn.Module, outcome: Outcome) -> None:
    """The first images for which one was found: original and adversarial, for the report."""
    rows = outcome.columns["success"].nonzero()[:GALLERY, 0]
    if not len(rows):
        return
    like = next(model.parameters(), outcome.images.images)
    adversarial = outcome.columns["adversarial"][rows]
    says = model(adversarial.to(like.device, like.dtype)).argmax(1).tolist()
    names = outcome.images.class_names
    labels = outcome.images.labels[rows].tolist()
    words = [
        f"{names[label]} → {names[said] if said < len(names) else said}"
        for label, said in zip(labels, says, strict=True)
    ]
    tensors = {
        "original": outcome.images.images[rows].numpy(),
        "distorted": adversarial.float().numpy(),
    }
    metadata = {"kind": "gallery", "title": f"{name}: the first images", "words": json.dumps(words)}
    write_tensors(folder, f"gallery-{slug(name)}", tensors, metadata)


def write_pngs(folder: Path, outcome: Outcome) -> None:
    """Every adversarial image as an 8-bit PNG under its id, to be read back without any change."""
    from PIL import Image

    folder.mkdir(parents=True, exist_ok=True)
    for row in outcome.columns["success"].nonzero()[:, 0].tolist():
        pixels = np.rint(255.0 * outcome.columns["adversarial"][row].double().numpy())
        picture = pixels.astype(np.uint8)
        flat = picture[0] if picture.shape[0] == 1 else np.moveaxis(picture, 0, -1)
        target = int(outcome.columns["targets"][row])
        Image.fromarray(flat).save(folder / f"{slug(outcome.images.ids[row])}-as-{target}.png")


def completed(run: RunRecord, *stages: Stage, **more: Any) -> RunRecord:
    """The record of a finished run."""
    return replace(run, status="complete", stages=stages, **more)


_COLUMNS = (
    "adversarial", "distortion", "l2", "success", "status", "targets", "c", "forward_passes",
    "backward_passes",
)  # fmt: skip

"""The stages of an audit that show images to networks: accuracy, attack, target, noise."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from intriguing.audit.kept import Made
from intriguing.audit.subject import Subject
from intriguing.distortion.result import Status
from intriguing.errors import InputError
from intriguing.estimates import Rows
from intriguing.keys import derive_key
from intriguing.measures import Progress, median, median_interval, wilson_interval
from intriguing.models.clean_accuracy import clean_accuracy
from intriguing.names import file_name
from intriguing.results.rows import Condition, Metric, first
from intriguing.runs.attacking import Outcome
from intriguing.runs.pairs import Words, write_pairs
from intriguing.runs.predicting import predict
from intriguing.runs.summary import add_certainty
from intriguing.runs.targeted import PAPER, ostriches, target_rows, write_figure
from intriguing.scale.attack import attack_in_shards
from intriguing.scale.shards import run_in_shards

PICTURES = 500
"""Pairs of the nearest examples that are kept; the report shows the first of them."""
DRAWS = 4
"""Noises of the same size that every image is given."""
MULTIPLES = (1.0, 3.0, 10.0, 30.0, 100.0)
"""Sizes of noise, in medians of the distortion, at which accuracy is measured."""
SHARD = 1000
"""Images whose classes are kept at a time."""
SAMPLE, SMALL = 256, 3 * 64 * 64
"""Images on which other normalisations are tried where accuracy is low; fewer of large ones."""


def accuracy(subject: Subject, name: str) -> Made:
    """How often the network is right, over all images."""
    model, images = subject.networks[name], subject.images

    def compute(items: slice, report: Callable[[int], None]) -> dict[str, Tensor]:
        said, logits = predict(model, images.images[items], subject.batches[name])
        report(items.stop - items.start)
        return {"predicted": said, "confidence": logits.softmax(1).amax(1)}

    key = derive_key(model, images.sha256)
    shards = run_in_shards(
        compute, len(images), SHARD, subject.folder / "shards" / file_name("accuracy", name),
        key, stage=f"accuracy of {name}", progress=subject.progress,
    )  # fmt: skip
    right = int((shards.column("predicted") == images.labels).sum())
    rows = Rows("accuracy", network=name, condition=Condition.CLEAN)
    rows.share(Metric.ACCURACY if subject.labelled else Metric.AGREEMENT, right, len(images))
    confidence = shards.column("confidence").double()
    rows.mean(Metric.CONFIDENCE, "share", confidence, len(images))
    warnings: list[str] = []
    if subject.labelled:
        few = SAMPLE if images.images[0].numel() <= SMALL else SAMPLE // 4
        looked = clean_accuracy(model, images, sample=few, seed=subject.config.seed)
        warnings = [str(finding) for finding in looked.findings]
    facts = {
        "correct": right, "total": len(images), "labelled": subject.labelled,
        "interval": wilson_interval(right, len(images)), "confidence": float(confidence.mean()),
        "classes": subject.classes[name], "warnings": warnings,
    }  # fmt: skip
    return Made((), facts, tuple(rows.made), passes=(len(images), 0))


def nearest(subject: Subject, name: str, shard_size: int) -> Outcome:
    """The nearest example of any wrong class of every chosen image, from disk where it is there."""
    config, images = subject.config, subject.chosen()
    attacked = attack_in_shards(
        subject.networks[name], images, "untargeted",
        subject.folder / "shards" / file_name("attack", name),
        shard_size=shard_size, method=config.method,
        budget=config.passes, config=config.search(targeted=False), seed=config.seed,
        batch_size=config.batch_size, stage=f"attacking {name}", progress=subject.progress,
    )  # fmt: skip
    columns = {column: attacked.shards.column(column) for column in _COLUMNS}
    return Outcome(images, config.method, columns, attacked.shards.wall_seconds)


_COLUMNS = (
    "adversarial", "distortion", "l2", "success", "status", "targets", "c", "gap", "local_gap",
    "forward_passes", "backward_passes",
)  # fmt: skip


def attack(subject: Subject, name: str, outcome: Outcome) -> Made:
    """How near the nearest examples are."""
    model, total = subject.networks[name], len(outcome)
    found = outcome.columns["success"]
    sizes = torch.where(found, outcome.columns["distortion"], torch.inf)
    l2, pixels = outcome.columns["l2"], outcome.images.images[0].numel()
    rows = Rows("attack", network=name, seed=subject.config.seed, method=outcome.method)
    rows.add(Metric.PIXELS, "numbers", pixels)
    rows.share(Metric.FOOLED, int(found.sum()), total)
    rows.mean(Metric.MEAN_DISTORTION, "distortion", outcome.found, total)
    rows.median(Metric.MEDIAN_DISTORTION, "distortion", sizes, total)
    rows.mean(Metric.MEAN_L2, "l2", l2[found], total)
    rows.median(Metric.MEDIAN_L2, "l2", torch.where(found, l2, torch.inf), total)
    rows.mean(Metric.PASSES, "passes", outcome.cost, total)
    add_certainty(rows, outcome)
    proved = int((outcome.columns["status"] == int(Status.OPTIMAL)).sum())
    middle = median(sizes) if total else math.nan
    facts: dict[str, Any] = {
        "found": int(found.sum()), "total": total, "proved": proved, "method": outcome.method,
        "passes": subject.config.passes, "pixels": pixels,
        "median": middle if math.isfinite(middle) else None,
        "interval": [end if math.isfinite(end) else None for end in median_interval(sizes)],
        "mean": float(outcome.found.double().mean()) if len(outcome.found) else None,
        "statuses": {key: int(count) for key, count in outcome.statuses().items()},
    }  # fmt: skip
    _show(subject, name, model, outcome)
    return Made((), facts, tuple(rows.made), passes=outcome.passes, seconds=outcome.wall_seconds)


def _show(subject: Subject, name: str, model: nn.Module, outcome: Outcome) -> None:
    """Keep the first pairs for the report's viewer."""
    rows = outcome.columns["success"].nonzero()[:PICTURES, 0]
    if not len(rows) or outcome.images.images.ndim != 4:
        return
    images, adversarial = outcome.images, outcome.columns["adversarial"][rows]
    says = predict(model, adversarial)[0].tolist()
    words = [
        Words(
            images.ids[row],
            class_name(subject, int(images.labels[row])),
            class_name(subject, said),
            float(outcome.columns["distortion"][row]),
        )
        for row, said in zip(rows.tolist(), says, strict=True)
    ]
    title = f"The nearest examples found for {name}"
    write_pairs(subject.folder, file_name("pairs", name), title, images.images[rows], adversarial,
                words, network=name)  # fmt: skip


def class_name(subject: Subject, number: int) -> str:
    """A class in words, its number where it has none."""
    names = subject.images.class_names
    return names[number] if 0 <= number < len(names) else str(number)


def target(subject: Subject, name: str, shard_size: int) -> Made:
    """Every chosen image as `config.target`, in 8 bits, saved and classified afresh."""
    config, goal = subject.config, subject.config.target
    assert goal is not None
    chosen = subject.chosen()
    chosen = chosen.subset((chosen.labels != goal).nonzero()[:, 0])
    if not len(chosen):
        raise InputError(
            f"all attacked images are of class {class_name(subject, goal)} already; give another "
            "target"
        )
    made = ostriches(
        subject.networks[name], chosen, subject.folder, name=file_name("target", name), target=goal,
        budget=config.target_passes, config=config.search(targeted=True), seed=config.seed,
        batch_size=config.batch_size, shard_size=shard_size, progress=subject.progress,
    )  # fmt: skip
    called = class_name(subject, goal)
    write_figure(
        subject.folder, f"Made {called} for {name}", made, name=file_name("figure5", name),
        network=name, count=config.attacked or len(chosen),
    )  # fmt: skip
    sizes = made.attacked.distortion[made.attacked.success]
    rows = target_rows(name, made)
    paper = PAPER if first(rows, reference="figure5") else None
    forward, backward = made.attacked.forward_passes, made.attacked.backward_passes
    facts = {
        "target": goal, "called": called, "found": int(made.attacked.success.sum()),
        "again": int(made.again.sum()), "total": len(chosen),
        "mean": made.attacked.mean if len(sizes) else None, "paper": paper,
        "median": median(sizes) if len(sizes) else None,
    }  # fmt: skip
    return Made(
        (), facts, tuple(rows), passes=(int(forward.sum()), int(backward.sum())),
        seconds=made.attacked.shards.wall_seconds,
    )  # fmt: skip


def noise(subject: Subject, name: str, outcome: Outcome) -> Made:
    """What Gaussian noise exactly as long as each change does, and how much longer it must be."""
    kept = outcome.columns["success"] & (outcome.columns["distortion"] > 0)
    if not bool(kept.any()):
        return Made(("No example was found whose size noise could have.",), {"total": 0})
    images, labels = outcome.images.images[kept], outcome.images.labels[kept]
    sizes = outcome.columns["distortion"][kept]
    generator = torch.Generator().manual_seed(subject.config.seed)
    middle = float(sizes.double().median())
    rows = Rows("noise", network=name, seed=subject.config.seed)
    rows.add(Metric.MEDIAN_DISTORTION, "distortion", middle, len(sizes), len(outcome))
    fooled, total = _fooled(subject, name, images, labels, sizes, DRAWS, generator, 0)
    rows.share(Metric.FOOLED, len(sizes), len(sizes), condition=Condition.ADVERSARIAL)
    rows.share(Metric.FOOLED, fooled, total, condition=Condition.NOISE)
    curve = []
    for place, multiple in enumerate(MULTIPLES):
        size = multiple * middle
        if size > 1:
            break
        several = torch.full_like(sizes, size)
        count, of = _fooled(subject, name, images, labels, several, 1, generator, place + 1)
        rows.share(
            Metric.FOOLED, count, of, condition=Condition.NOISE, size=size,
            setting=f"{multiple:g}",
        )  # fmt: skip
        curve.append((size, count, of))
    facts = {
        "fooled": fooled, "total": total, "median": middle, "curve": curve,
        "half_at": _half_at(curve),
    }  # fmt: skip
    passes = total + sum(of for _, _, of in curve)
    return Made((), facts, tuple(rows.made), passes=(passes, 0))


def _fooled(
    subject: Subject, name: str, images: Tensor, labels: Tensor, sizes: Tensor, draws: int,
    generator: torch.Generator, done: int,
) -> tuple[int, int]:  # fmt: skip
    """How many images noise of exactly these sizes makes misclassified, over `draws` noises."""
    fooled = 0
    for _ in range(draws):
        for part in torch.split(torch.arange(len(images)), 256):
            r = torch.randn(images[part].shape, generator=generator)
            scale = sizes[part] / r.flatten(1).square().mean(1).sqrt()
            noisy = images[part] + scale.view(-1, *[1] * (images.ndim - 1)) * r
            said, _ = predict(subject.networks[name], noisy, subject.batches[name])
            fooled += int((said != labels[part]).sum())
    if subject.progress is not None:
        subject.progress(Progress(f"noise for {name}", done + 1, len(MULTIPLES) + 1))
    return fooled, draws * len(images)


def _half_at(curve: list[tuple[float, int, int]]) -> float | None:
    """The size at which noise fools half, by a line through logarithms; None beyond the curve."""
    before: tuple[float, float] | None = None
    for size, count, total in curve:
        share = count / total
        if share >= 0.5:
            if before is None or share == before[1]:
                return size
            weight = (0.5 - before[1]) / (share - before[1])
            return math.exp((1 - weight) * math.log(before[0]) + weight * math.log(size))
        before = (size, share)
    return None

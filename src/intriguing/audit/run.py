"""An audit of anybody's networks: every analysis in a sensible order, each kept once it is done."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import nn

from intriguing.audit import composing, cost, measuring
from intriguing.audit.checks import preflight
from intriguing.audit.config import STAGES, AuditConfig
from intriguing.audit.kept import Finished, Made, finish_stage, left_out
from intriguing.audit.subject import Subject, relabelled
from intriguing.data.checks import check_images
from intriguing.data.dataset import ImageSet
from intriguing.errors import InputError
from intriguing.measures import UNIT_BOX, ProgressCallback
from intriguing.models.asking import device_of
from intriguing.models.classifier import check_classifier
from intriguing.models.resized import Resized, fitted
from intriguing.report.contents import read_contents
from intriguing.report.findings import findings
from intriguing.report.html import draw_report
from intriguing.results.audit import StageRecord, write_audit
from intriguing.results.opening import open_results
from intriguing.results.parquet import write_columns, write_rows
from intriguing.results.rows import CertificateRow, ImageRow, LayerRow, Measurement
from intriguing.results.schema import RunRecord, Stage
from intriguing.results.store import write_run
from intriguing.runs import certifying, provenance
from intriguing.runs.attacking import Outcome, disk_bytes
from intriguing.runs.predicting import first_correct, predict
from intriguing.runs.summary import image_columns
from intriguing.runs.transfer_table import NOTES

KEPT = ("models_sha256", "images_sha256", "labelled")
"""What a folder serves: these networks on these images; all else may change from call to call."""


FEW = 64
"""Images of a rehearsal."""


@dataclass(frozen=True)
class Audit:
    """An audit that is finished.

    Attributes:
        folder: The results folder.
        page: Its report.
        records: What became of every stage.
        sentences: The findings in plain words.
    """

    folder: Path
    page: Path
    records: tuple[StageRecord, ...]
    sentences: tuple[str, ...]


def run_audit(
    networks: Mapping[str, nn.Module] | nn.Module,
    images: ImageSet,
    folder: Path | str,
    config: AuditConfig | None = None,
    *,
    labelled: bool = True,
    settings: Mapping[str, Any] | None = None,
    words: Sequence[str] = (),
    command: str = "",
    fresh: bool = False,
    progress: ProgressCallback | None = None,
) -> Audit:
    """Run every analysis on a classifier, or on several, and draw one report.

    The stages are those of `STAGES`. Each is kept in `folder` when it is done, so the same call
    after an interruption goes on where it was; one that fails says why in the report.

    Args:
        networks: A classifier in evaluation mode, from images in [0, 1] to logits; or several by
            name. What wants images of another size gets them resized.
        images: What they are judged on, held out from their training.
        folder: New, or of an audit of the same networks on the same images.
        config: How much to do.
        labelled: Whether the images' labels are true classes; if not, what the first network says
            of an image takes the place of its class, and the report says so.
        settings: More entries for the record, such as where networks and images came from.
        words: Remarks for the report, such as files that could not be read.
        command: The shell command, for the record.
        fresh: Delete the results in `folder` first.
        progress: Called within every stage.

    Raises:
        InputError: Before any work, if the networks do not take the images, or the folder is
            another audit's or cannot be written.

    Example:
        >>> from intriguing import load_data, load_model, run_audit
        >>> model = load_model("fc.safetensors")                       # doctest: +SKIP
        >>> images = load_data("mnist-5k").test                        # doctest: +SKIP
        >>> print(*run_audit(model, images, "results/audit").sentences)  # doctest: +SKIP
    """
    config, folder = config or AuditConfig(), Path(folder)
    given = {"the network": networks} if isinstance(networks, nn.Module) else dict(networks)
    subject = prepare(given, images, folder, config, labelled, words, progress)
    kept: dict[str, Any] = {
        "models": list(given), "models_sha256": list(subject.digests.values()),
        "images_sha256": images.sha256, "labelled": labelled, **asdict(config), **(settings or {}),
    }  # fmt: skip
    space = len(given) * disk_bytes(images.first(config.attacked or len(images)))
    may_differ = tuple(key for key in kept if key not in KEPT)
    with open_results(folder, "audit", kept, space, fresh=fresh, may_differ=may_differ):
        run = RunRecord(
            "audit", command, kept, seeds=(config.seed,), versions=provenance.versions(),
            machine=provenance.machine(device_of(next(iter(given.values())))),
            data=(provenance.record_data(subject.images),),
            models=tuple(provenance.record_model(n, m) for n, m in subject.networks.items()),
            tables=("accuracy", "attack", "target", "noise", "transfer", "certify"),
            notes=(*_notes(subject), *NOTES),
        )  # fmt: skip
        write_run(folder, run)
        finished = _Stages(subject, run).all()
        page = draw_report(folder)
    said = findings(read_contents(folder))
    return Audit(folder, page, tuple(one.record for one in finished), said.sentences)


def prepare(
    networks: Mapping[str, nn.Module],
    images: ImageSet,
    folder: Path,
    config: AuditConfig,
    labelled: bool = True,
    words: Sequence[str] = (),
    progress: ProgressCallback | None = None,
) -> Subject:
    """Fit networks and images to each other.

    Raises:
        InputError: If there is nothing to audit, or they do not fit.
    """
    if not networks or not len(images):
        raise InputError("there is nothing to audit; give a network and at least one image")
    if not all(name.strip() for name in networks):
        raise InputError("a network has no name; give each one, such as its file's")
    check_images(images.images, UNIT_BOX)
    if images.images.dtype.itemsize < 4:  # files and figures keep no 16-bit numbers
        images = images.to(images.images.device, torch.float32)
    shape = tuple(images.images.shape[1:])
    ready = {name: fitted(model, shape) for name, model in networks.items()}
    if not labelled:
        first = next(iter(ready.values()))
        classes = check_classifier(first, images.images[:16])
        images = relabelled(images, predict(first, images.images)[0], classes)
    subject = Subject(ready, images, labelled, folder, config, progress, tuple(words))
    counts = subject.classes
    if config.target is not None and config.target >= min(counts.values()):
        raise InputError(
            f"target {config.target}, but a network has classes 0 … {min(counts.values()) - 1}"
        )
    return subject


class _Stages:
    """The stages one after another; what is finished is written after each."""

    def __init__(self, subject: Subject, run: RunRecord) -> None:
        self.subject, self.run, self.config = subject, run, subject.config
        self.finished: list[Finished] = []
        self.outcomes: dict[str, Outcome] = {}
        self.certified: list[str] = []

    def all(self) -> list[Finished]:
        """Every stage in its order."""
        subject, names = self.subject, list(self.subject.networks)
        for name in names:
            self.make("preflight", name, preflight, name)
        for name in names:
            self.make("accuracy", name, measuring.accuracy, name)
        if self.choose():
            self.examples(names)
        for name in names:
            self.make("spectrum", name, composing.spectrum, name)
        if len(subject.kept["attacked"]):
            self.proofs(names)
        first, *others = names
        self.make("units", first, composing.units, first)
        for name in others:
            why = f"The units were studied of {first} only, the first network."
            self.add(left_out("units", name, why))
        self.save("complete")
        return self.finished

    def choose(self) -> bool:
        """Draw the images to attack; False, and why, where there are none."""
        subject, count = self.subject, self.config.attacked or len(self.subject.images)
        networks = list(subject.networks.values())
        chosen = first_correct(networks, subject.images, count, self.config.seed)
        subject.keep("attacked", chosen)
        if len(chosen):
            return True
        both = "the network classifies" if len(networks) == 1 else "all networks classify"
        why = (
            f"There is no image that {both} correctly, so there is none to attack. Most likely the "
            "normalisation is wrong, or the labels are in another order than the outputs."
        )
        for stage in ("attack", "target", "noise", "transfer", "certify"):
            self.add(left_out(stage, "", why))
        return False

    def examples(self, names: Sequence[str]) -> None:
        """Attack, noise, the target, and what the other networks say."""
        subject, config = self.subject, self.config
        plan = cost.shard_sizes(subject)
        for name in names:
            self.make("attack", name, self.attack, name, plan[name])
            if self.finished[-1].record.status == "done" and name not in self.outcomes:
                shown = subject.for_stage("attack")
                self.outcomes[name] = measuring.nearest(shown, name, plan[name])
        for name in names:
            if name not in self.outcomes:
                self.add(left_out("noise", name, "There are no examples to compare noise with."))
                continue
            self.make("noise", name, measuring.noise, name, self.outcomes[name])
        for name in names:
            if config.target is None:
                self.add(left_out("target", name, "No class was asked for (--target)."))
                continue
            self.make("target", name, measuring.target, name, plan[name])
        if len(names) < 2:
            why = "Transfer needs two networks or more; give another one to compare with."
            self.add(left_out("transfer", "", why))
        elif self.outcomes:
            self.make("transfer", "", composing.transfer, self.outcomes)
        if self.outcomes:
            self.finish("judge", "", composing.judge, self.outcomes)

    def attack(self, subject: Subject, name: str, shard_size: int) -> Made:
        """The nearest examples of a network."""
        self.outcomes[name] = measuring.nearest(subject, name, shard_size)
        return measuring.attack(subject, name, self.outcomes[name])

    def proofs(self, names: Sequence[str]) -> None:
        """Certificates of the attacked images."""
        for name in names:
            outcome = self.outcomes.get(name)
            self.make("certify", name, composing.certify, name, outcome)
            if self.finished[-1].record.status == "done":
                self.certified.append(name)

    def make(self, stage: str, name: str, work: Callable[..., Made], *arguments: Any) -> None:
        """One stage, unless it is to be skipped: `work` of the subject and these arguments."""
        if stage in self.config.skip:
            self.add(left_out(stage, name, "It was left out on request (--skip)."))
        else:
            self.add(self.finish(stage, name, work, *arguments))

    def finish(self, stage: str, name: str, work: Callable[..., Made], *arguments: Any) -> Finished:
        """What `work` makes, kept under all that it is given."""
        subject = self.subject.for_stage(stage)
        given = (subject.key, arguments)
        return finish_stage(
            subject.folder, stage, name, given, partial(work, subject, *arguments)
        )  # fmt: skip

    def add(self, done: Finished) -> None:
        """Note what became of a stage, and write what there is."""
        self.finished.append(done)
        self.save("running")

    def save(self, status: str) -> None:
        """Write the rows and the record as they are now."""
        folder = self.subject.folder
        write_audit(folder, [one.record for one in self.finished])
        write_rows(folder, Measurement, [row for one in self.finished for row in one.made.rows])
        write_rows(folder, LayerRow, [row for one in self.finished for row in one.made.layers])
        if status == "complete":
            self.rows()
        stages = tuple(
            Stage(
                f"{one.record.stage} {one.record.network}".strip(), one.record.wall_seconds,
                *one.made.passes,
            )
            for one in self.finished
            if one.record.status == "done"
        )  # fmt: skip
        done = "complete" if status == "complete" else "running"
        write_run(folder, replace(self.run, status=done, stages=stages))  # type: ignore[arg-type]

    def rows(self) -> None:
        """One row an image: of the attack, and of the certificates."""
        subject, seed = self.subject, self.config.seed
        write_columns(
            subject.folder,
            ImageRow,
            (image_columns(name, one, seed) for name, one in self.outcomes.items()),
        )
        parts = [
            certifying.columns(
                name, subject.chosen(), composing.certificates(subject, name),
                self.outcomes.get(name), seed,
            )
            for name in self.certified
        ]  # fmt: skip
        if parts:
            write_columns(subject.folder, CertificateRow, parts)


def _notes(subject: Subject) -> tuple[str, ...]:
    """What a reader of the numbers should know."""
    config = subject.config
    names = list(subject.networks)
    every = "the network classifies" if len(names) == 1 else "every network classifies"
    count = "all images" if config.attacked is None else f"the first {config.attacked:,} images"
    said = [
        *subject.words,
        f"Attacked were {count} that {every} correctly, in an order drawn by seed {config.seed}; "
        "none was left out for what became of it.",
        f"The search was `{config.method}` with at most {config.passes:,} passes an image, for any "
        "wrong class. What it finds is an upper bound of the true distance.",
        "Distortion is the root mean square change of a pixel, on a scale where pixels run from 0 "
        "to 1; L2 is that times the square root of the number of pixels.",
    ]
    if not subject.labelled:
        said.insert(
            0,
            f"The images came without classes: what {names[0]} says of an image takes the place of "
            "its class. So the accuracies are agreements with that network, and nothing here says "
            "whether it is right.",
        )
    resized = [n for n, m in subject.networks.items() if isinstance(m, Resized)]
    if resized:
        said.append(
            f"{', '.join(resized)} got the images resized inside the network, so that all networks "
            "judge the same pixels."
        )
    return tuple(said)


def rehearse(subject: Subject) -> float:
    """Seconds that a small audit takes besides its stages, for the cost model."""
    few = subject.images.first(FEW)
    config = replace(subject.config, attacked=4, units_on=FEW, rotations=19)
    with TemporaryDirectory() as folder:
        start = time.perf_counter()
        audit = run_audit(subject.networks, few, Path(folder), config, labelled=subject.labelled)
        seconds = time.perf_counter() - start
    inside = [r.wall_seconds for r in audit.records if r.stage != "preflight"]
    return max(seconds - math.fsum(inside), 0.0)


def estimate(subject: Subject) -> float:
    """About how many seconds an audit takes at most, by a moment's probe."""
    return math.fsum(cost.quick(subject).values())


__all__ = ["STAGES", "Audit", "AuditConfig", "estimate", "prepare", "run_audit"]

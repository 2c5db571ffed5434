"""An audit of anybody's networks: every analysis in a sensible order, each kept once it is done."""

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import nn

from intriguing.addresses import as_folder
from intriguing.audit import stages
from intriguing.audit.config import AuditConfig
from intriguing.audit.cost import quick, shard_sizes
from intriguing.audit.judge import Judge
from intriguing.audit.labelling import with_classes
from intriguing.audit.right import first_right
from intriguing.audit.stage import LeftOut
from intriguing.audit.subject import Subject
from intriguing.data.checks import check_images
from intriguing.data.dataset import ImageSet
from intriguing.errors import InputError
from intriguing.measures import UNIT_BOX, ProgressCallback
from intriguing.models.classifier import device_of
from intriguing.models.resized import Resized, fitted
from intriguing.models.weights import model_sha256
from intriguing.report.contents import read_contents
from intriguing.report.findings import findings
from intriguing.report.html import draw_report
from intriguing.results.audit import StageRecord
from intriguing.runs.attacking import disk_bytes
from intriguing.runs.request import Request
from intriguing.runs.run import Run, open_run
from intriguing.runs.spreading import ahead
from intriguing.runs.stage import Network
from intriguing.runs.transfer_table import NOTES
from intriguing.scale.engine import HERE, Engine

KEPT = ("models_sha256", "images_sha256", "labelled")
"""What a folder serves: these networks on these images; all else may change from call to call."""


FEW = 64
"""Images of a rehearsal."""


@dataclass(frozen=True)
class Audit:
    """An audit that is finished.

    Attributes:
        folder: The results folder.
        page: Its report; None where it was not drawn.
        records: What became of every stage.
        sentences: The findings in plain words.
    """

    folder: Path
    page: Path | None
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
    engine: Engine = HERE,
    fresh: bool = False,
    report: bool = True,
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
        engine: Who computes; the results are the same.
        fresh: Delete the results in `folder` first.
        report: Whether the report is drawn; `intriguing report` draws it later as well.
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
    config, folder = config or AuditConfig(), as_folder(folder)
    given = {"the network": networks} if isinstance(networks, nn.Module) else dict(networks)
    subject = prepare(given, images, config, labelled, words)
    kept: dict[str, Any] = {
        "models": list(given),
        "models_sha256": [model_sha256(one.model) for one in subject.networks],
        "images_sha256": images.sha256, "labelled": labelled, **asdict(config), **(settings or {}),
    }  # fmt: skip
    asked = Request(
        "audit", kept, tuple(key for key in kept if key not in KEPT), subject.networks,
        images=(subject.images,), seeds=(config.seed,), command=command, goes_on=True,
        tables=("accuracy", "attack", "target", "noise", "transfer", "transfer-net", "certify"),
        notes=(*_notes(subject), *NOTES), device=device_of(subject.networks[0].model),
        required_bytes=len(given) * disk_bytes(images.first(config.images or len(images))),
    )  # fmt: skip
    with open_run(folder, asked, engine=engine, fresh=fresh, progress=progress) as run:
        _all_stages(subject, run)
        run.finish()
        page = draw_report(folder) if report else None
    said = findings(read_contents(folder))
    return Audit(folder, page, tuple(one.record for one in run.done), said.sentences)


def _all_stages(subject: Subject, run: Run) -> None:
    """Every question in its order: done, or noted with the reason why not."""
    subject = with_classes(subject, run)
    subject = replace(subject, right=first_right(subject, run))
    if len(subject.right):
        subject = replace(subject, shards=shard_sizes(subject, run.folder))
    for kind in stages.STAGES:
        if kind.attacked and not len(subject.right):
            run.leave_out(kind, "", _nothing_to_attack(subject))
            continue
        asked = list(kind.of(subject, run))
        if kind.name not in subject.config.skip:
            ahead(run, (one for one in asked if not isinstance(one, LeftOut)))
        for one in asked:
            if isinstance(one, LeftOut):
                run.leave_out(kind, one.network, one.why, asked=one.asked)
            elif kind.name in subject.config.skip:
                run.leave_out(kind, one.about, "It was left out on request (--skip).")
            else:
                run.do(one)
    attacks = tuple(
        subject.examples(one) for one in subject.networks if run.was_done("attack", one.name)
    )
    if attacks:
        run.attempt(Judge(subject.networks, attacks, subject.batches))


def _nothing_to_attack(subject: Subject) -> str:
    both = "the network classifies" if len(subject.networks) == 1 else "all networks classify"
    return (
        f"There is no image that {both} correctly, so there is none to attack. Most likely the "
        "normalisation is wrong, or the labels are in another order than the outputs."
    )


def prepare(
    networks: Mapping[str, nn.Module],
    images: ImageSet,
    config: AuditConfig,
    labelled: bool = True,
    words: Sequence[str] = (),
) -> Subject:
    """Fit networks and images to each other.

    Raises:
        InputError: If there is nothing to audit, or they do not fit.
    """
    if not networks or not len(images):
        raise InputError("there is nothing to audit; give a network and at least one image")
    if not all(name.strip() for name in networks):
        raise InputError("a network has no name; give each one, such as its file's")
    if images.in_memory:
        check_images(images.images, UNIT_BOX)
    if images.images.dtype.itemsize < 4:  # files and figures keep no 16-bit numbers
        images = images.to(images.images.device, torch.float32)
    shape = tuple(images.images.shape[1:])
    ready = tuple(Network(name, fitted(model, shape)) for name, model in networks.items())
    if not labelled:  # until a run has asked the first network (`with_classes`)
        images = replace(images, labels=torch.zeros_like(images.labels))
    subject = Subject(ready, images, labelled, config, tuple(words))
    counts = subject.classes
    if config.target is not None and config.target >= min(counts.values()):
        raise InputError(
            f"target {config.target}, but a network has classes 0 … {min(counts.values()) - 1}"
        )
    return subject


def _notes(subject: Subject) -> tuple[str, ...]:
    """What a reader of the numbers should know."""
    config = subject.config
    names = [one.name for one in subject.networks]
    every = "the network classifies" if len(names) == 1 else "every network classifies"
    count = "all images" if config.images is None else f"the first {config.images:,} images"
    order = "" if config.images is None else f", in an order drawn by seed {config.seed}"
    said = [
        *subject.words,
        f"Attacked were {count} that {every} correctly{order}; none was left out for what became "
        "of it.",
        f"The search was `{config.method}` with at most {config.budget:,} passes an image, for any "
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
    resized = [one.name for one in subject.networks if isinstance(one.model, Resized)]
    if resized:
        said.append(
            f"{', '.join(resized)} got the images resized inside the network, so that all networks "
            "judge the same pixels."
        )
    return tuple(said)


def rehearse(subject: Subject) -> float:
    """Seconds that a small audit takes besides its stages, for the cost model."""
    few = subject.images.first(FEW)
    config = replace(subject.config, images=4, units_on=FEW, rotations=19)
    with TemporaryDirectory() as folder:
        start = time.perf_counter()
        networks = {one.name: one.model for one in subject.networks}
        audit = run_audit(networks, few, Path(folder), config, labelled=subject.labelled)
        seconds = time.perf_counter() - start
    inside = [r.wall_seconds for r in audit.records if r.stage != "preflight"]
    return max(seconds - math.fsum(inside), 0.0)


def estimate(subject: Subject) -> float:
    """About how many seconds an audit takes at most, by a moment's probe."""
    return math.fsum(quick(subject).values())

"""A gate: images in a random order, until what they say is enough for a verdict."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from intriguing.data.dataset import ImageSet
from intriguing.errors import InputError
from intriguing.gate.config import GateConfig
from intriguing.gate.early import ends_beyond
from intriguing.gate.masking import Flaws, hides
from intriguing.gate.plan import ROUNDS, Baseline, Plan
from intriguing.gate.sequential import SequentialTest
from intriguing.gate.stages import TIGHT, Round, Verdict, counted
from intriguing.measures import Progress, ProgressCallback
from intriguing.models.classifier import Classifier, device_of
from intriguing.models.requirements import check_classifier
from intriguing.models.resized import fitted
from intriguing.models.weights import model_sha256
from intriguing.report.html import draw_report
from intriguing.results.gate import FlawRow, GateRow, Ruling, RulingRow
from intriguing.runs.certificates import Certificates
from intriguing.runs.request import Request
from intriguing.runs.run import Run, open_run
from intriguing.runs.spreading import ahead
from intriguing.runs.stage import Network
from intriguing.scale.engine import HERE, Engine

_LOOKED = 16
"""Images of the checks that take no search."""
_HIDDEN = 160
"""Images that are searched at most where these find a flaw that stands in the way of a pass: they
may yet show a fail."""
_PIXELS = 3 * 64 * 64
"""Of images, up to which certificates are tried without being asked for: beyond,
bounds cost minutes and reach no distance that matters."""


@dataclass(frozen=True)
class Gate:
    """A gate that has ended.

    Attributes:
        folder: The results folder.
        page: Its report; None where it was not drawn.
        verdict: With what it rests on; `verdict.ruling` is "pass", "fail" or "undecided".
        rows: The images that were looked at.
        flaws: What is wrong with the network.
    """

    folder: Path
    page: Path | None
    verdict: RulingRow
    rows: tuple[GateRow, ...]
    flaws: tuple[FlawRow, ...]

    @property
    def ruling(self) -> Ruling:
        """The verdict in a word."""
        return self.verdict.ruling


def run_gate(
    model: nn.Module,
    images: ImageSet,
    folder: Path | str,
    config: GateConfig,
    *,
    baseline: Baseline | None = None,
    name: str = "the network",
    surrogates: Mapping[str, nn.Module] | None = None,
    settings: Mapping[str, Any] | None = None,
    words: Sequence[str] = (),
    command: str = "",
    engine: Engine = HERE,
    fresh: bool = False,
    report: bool = True,
    progress: ProgressCallback | None = None,
) -> Gate:
    """Look at as many images as it takes to decide whether a network is as hard to fool as asked.

    A wrong pass and a wrong fail are at most as probable as `config.level` each, for images like
    these, whenever the gate ends (`gate/sequential.py`). What is too near is what a search found,
    so a pass says that no more was found, not that there is no more; where a certificate decides,
    it is proved. A network whose gradients hide examples does not pass.

    The same call after an interruption goes on where it was.

    Args:
        model: A classifier in evaluation mode, from images in [0, 1] to logits.
        images: Held out from its training, with true classes. They are taken for a random sample of
            all images that the network will see.
        folder: New, or of the same gate.
        config: What is asked, and how much may be spent.
        baseline: What `config.no_worse_than` compares with.
        name: What the report calls the network.
        surrogates: Other networks, whose examples are shown to it before it passes.
        settings: More entries for the record, such as where networks and images came from.
        words: Remarks for the report.
        command: The shell command, for the record.
        engine: Who computes; the verdict is the same.
        fresh: Delete the results in `folder` first.
        report: Whether the report is drawn.
        progress: Called within every stage.

    Raises:
        InputError: Before any work, if the network does not take the images, a baseline is missing
            or too much, or the folder is another run's or cannot be written.
    """
    folder = Path(folder)
    if not len(images):
        raise InputError("there are no images; give at least one")
    if (baseline is None) != (config.no_worse_than is None):
        raise InputError("--against and --no-worse-than belong together; give both or neither")
    shape = images.images.shape[1:]
    network = Network(name, fitted(model, shape))
    check_classifier(network.model, next(images.pixels(16)), images.labels)
    others = tuple(Network(n, fitted(one, shape)) for n, one in (surrogates or {}).items())
    chosen, order = _drawn(images, config)
    plan = Plan(network, chosen, config, baseline, order, others)
    kept = {
        "images_sha256": images.sha256, "model_sha256": model_sha256(network.model),
        **asdict(config), "levels": plan.search.levels,
        "baseline": "" if baseline is None else baseline.name,
        "surrogates": [model_sha256(one.model) for one in others], **(settings or {}),
    }  # fmt: skip
    asked = Request(
        "gate", kept, networks=(network, *plan.compared, *others), images=(images,),
        seeds=(config.seed,), notes=tuple(words), command=command,
        device=device_of(network.model),
    )  # fmt: skip
    with open_run(folder, asked, engine=engine, fresh=fresh, progress=progress) as run:
        verdict = _decide(plan, run)
        run.finish()
        made = [row for one in run.done for row in one.made.rows]
    page = draw_report(folder) if report else None
    rows = tuple(row for row in made if isinstance(row, GateRow))
    flaws = tuple(row for row in made if isinstance(row, FlawRow))
    return Gate(folder, page, verdict, rows[: verdict.images], flaws)


def _drawn(images: ImageSet, config: GateConfig) -> tuple[ImageSet, Tensor]:
    """The images to look at, in a random order, and their places."""
    generator = torch.Generator().manual_seed(config.seed)
    order = torch.randperm(len(images), generator=generator)[: config.images]
    return images.subset(order), order


def _decide(plan: Plan, run: Run) -> RulingRow:
    """Round after round, until it is decided; then what stands in the way of a pass."""
    test = SequentialTest(plan.config.demand.share, plan.config.level)
    flaws = Flaws(plan.network, plan.images.first(_LOOKED))
    at_once = run.engine.most
    rounds = list(plan.rounds(_radii(plan, run)))
    beyond = ends_beyond([], plan.config.far)
    ahead(run, (flaws, *plan.wave(rounds, [], beyond, at_once)))
    run.do(flaws)
    certified = plan.config.demand.certified
    most = _HIDDEN if hides(run, flaws) and not certified else len(plan.images)
    waiting = [one for one in rounds if one.start < most]
    done: list[Round] = []
    ruling: Ruling = "undecided"
    while waiting and ruling == "undecided" and not _in_vain(counted(run, done)):
        rows = counted(run, done)
        beyond = beyond or ends_beyond(rows, plan.config.far)
        wave = plan.wave(waiting, rows, beyond, at_once)
        waiting = waiting[len(wave) :]
        ahead(run, wave)
        for one in wave:
            run.do(one)
            done.append(one)
            rows = counted(run, done)
            ruling, evidence = test.decided([row.near for row in rows])
            if run.progress:
                words = f"{evidence.near:,} too near; {ruling}"
                run.progress(Progress("images", len(rows), most, words))
            if ruling != "undecided":  # what was done ahead counts for nothing
                break
    masking, longer = None, None
    if ruling != "fail" and not certified:
        masking = plan.masking(counted(run, done))
        run.do(masking)
    if ruling == "pass" and not certified:
        longer = plan.longer(counted(run, done), test)
        if longer is not None:
            run.do(longer)
    baseline = "" if plan.given is None else plan.given.name
    verdict = Verdict(
        plan.network, tuple(done), plan.config, flaws, masking, longer, baseline,
        len(plan.images),
        tuple(plan.images.class_names),
    )  # fmt: skip
    (row,) = run.do(verdict).made.rows
    assert isinstance(row, RulingRow)
    return row


def _in_vain(rows: Sequence[GateRow]) -> bool:
    """Whether searches fail for most images, so that no number of them would decide."""
    unknown = sum(row.near == "unknown" for row in rows)
    return len(rows) >= sum(ROUNDS[:2]) and unknown > len(rows) / 2


def _radii(plan: Plan, run: Run) -> Tensor | None:
    """Radii around the images by the bounds of the whole network, where these may help.

    They cost a forward pass an image, so that all images are certified at once.
    """
    wanted, shape = plan.config.certificates, plan.images.images.shape[1:]
    if plan.config.demand.kind not in ("distance", "accuracy") or wanted is False:
        return None
    images = plan.images
    if wanted is None:
        with torch.no_grad():
            classes = Classifier.of(plan.network.model)(next(images.pixels(2))).shape[1]
        if classes > TIGHT or shape.numel() > _PIXELS or not images.in_memory:
            return None
    proved = Certificates(plan.network, images.read(), semidefinite=False, local=False)
    try:
        run.keep(proved)
    except InputError:
        if wanted:
            raise
        return None
    return torch.from_numpy(run.loaded(proved).columns["radius"])

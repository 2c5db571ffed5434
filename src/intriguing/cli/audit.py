"""Audit a classifier: every analysis in a sensible order, and one report that says what they mean.

First checks whether the network is fit to be judged, and how often it is right. Then the nearest
adversarial example of a sample of images, beside noise of the same size; whether they fool other
networks; how far each layer can carry a change; how far every image is certified to be safe; and
whether single units stand out. Each part is kept when it is done: stop at any time, and run the
same command again to go on. What cannot be done for a network is said in the report.

MODEL is as for `intriguing attack`: FILE.safetensors, ARCHITECTURE:FILE, FILE.py:FUNCTION,
torchvision:NAME, timm:NAME, hf:OWNER/NAME or onnx:FILE. With several, each is attacked on the same
images. DATA is a folder or zip of pictures with a class a subfolder (folder:PATH, zip:FILE,
imagenet:PATH), or mnist, mnist-5k or digits.

examples:
  intriguing audit net.py:build --data photos/ --out results/audit
  intriguing audit squeezenet:squeezenet.safetensors --data zip:photos.zip --images 64 --target 9
  intriguing audit net.py:small net.py:large --data zip:test.zip --images 20min
  intriguing audit net.py:build --data mnist --dry-run --data-size 1000000    how long it takes
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, arg

from intriguing.audit.stage_names import NAMES
from intriguing.cli.options import READING, RUNNING, Method, Read, Run

if TYPE_CHECKING:
    from collections.abc import Sequence

    from intriguing.audit.probe import Cost

FLEETS = (8, 64)
"""So many machines, or GPUs, a plan is reckoned for where nobody says how many there are."""
SKIP = f"Stages to leave out: {', '.join(NAMES)}."


def audit(
    models: Annotated[Positional[tuple[str, ...]], arg(metavar="MODEL ...")],
    data: Annotated[str, arg(metavar="DATA")],
    images: Annotated[str, arg(metavar="N|TIME|all")] = "64",
    budget: int = 200,
    method: Method = "closest",
    target: Annotated[int | None, arg(metavar="CLASS")] = None,
    target_budget: int = 200,
    semidefinite: bool = True,
    certify_seconds: str | None = None,
    units_on: int = 1000,
    rotations: int = 39,
    untrained: int = 2,
    skip: Annotated[tuple[str, ...], arg(metavar="STAGE ...", help=SKIP)] = (),
    dry_run: bool = False,
    data_size: Annotated[int | None, arg(metavar="N")] = None,
    stream: bool = False,
    reading: Read = READING,
    running: Run = RUNNING,
) -> None:
    """Run every analysis and leave a results folder with one report.

    Args:
        models: One network, or several to compare.
        data: What they are judged on; labels are optional.
        images: How many are attacked: a number, all, or as many as a time allows, such as 90s,
            20min or 2h, which the whole audit is then planned to take.
        budget: Passes an image of the search for the nearest example, a pass being half a forward
            and a backward one; more may find nearer ones.
        method: How that is searched; deepfool is rough and takes tens of passes.
        target: Also make every attacked image this class, as an 8-bit PNG file.
        target_budget: Passes an image of that search.
        semidefinite: Search for certificates better than products; minutes on wide networks.
        certify_seconds: How long certificates around an image may take besides, of one core, such
            as 5s: larger radii of small networks.
        units_on: Images that the units are studied on, at most.
        rotations: Random bases to compare the units with; fewer than 39 find no difference.
        untrained: Untrained networks to compare the units with; 0 for none.
        dry_run: Only measure on a few images how long it would take, stage by stage.
        data_size: With --dry-run: as if DATA had so many images.
        stream: Read pictures when they are looked at, and keep few in memory, however many are
            attacked; done without asking where all would take more than a GiB.
    """
    from intriguing.audit.config import AuditConfig
    from intriguing.audit.cost import measure
    from intriguing.audit.probe import Cost
    from intriguing.audit.run import estimate, prepare, rehearse, run_audit
    from intriguing.audit.sample_size import parse_sample_size
    from intriguing.cli import setup
    from intriguing.cli.command import command, elapsed
    from intriguing.cli.console import Console
    from intriguing.cli.progress import shown
    from intriguing.errors import InputError
    from intriguing.report.html import duration
    from intriguing.runs.network_names import names_of
    from intriguing.runs.proving import parse_seconds

    if not models or len(set(models)) < len(models):
        raise InputError("give one network, or several different ones")
    if data_size is not None and not dry_run:
        raise InputError("--data-size is for --dry-run; --limit takes fewer images of DATA")
    if data_size is not None and data_size < 1:
        raise InputError(f"--data-size {data_size}; give 1 or more")
    asked = parse_sample_size(images)
    config = AuditConfig(
        images=asked.images, budget=budget, method=method, target=target,
        target_budget=target_budget, semidefinite=semidefinite,
        certify_seconds=parse_seconds(certify_seconds, "--certify-seconds"), units_on=units_on,
        rotations=rotations, untrained=untrained, skip=skip, seed=running.seed,
    )  # fmt: skip
    place, names = running.chosen, names_of(models)
    networks = {n: setup.load_network(m, place) for n, m in zip(names, models, strict=True)}
    first, start = networks[names[0]], elapsed()
    loaded = setup.choose_images(models[0], first, data, reading, stream or None)
    found, labelled, words = loaded.images, loaded.labelled, loaded.remarks
    each = (elapsed() - start) / len(found)
    folder = running.folder("audit", names[0])
    console = Console(stderr=True)
    with shown() as progress:
        subject = prepare(networks, found, config, labelled, words)
        if dry_run:
            count = data_size or len(found)
            costs = [Cost("start, reading", "", start, each, count)]
            costs += measure(subject, count, rehearse, progress)
            kind = "GPU" if place.type == "cuda" else "machine"
            _describe(costs, count, folder, kind, running.engine.workers)
            return
        if asked.seconds is not None:
            config = asked.planned(subject, folder)
            subject = prepare(networks, found, config, labelled, words)
            console.print(f"{config.images:,} images will be attacked", highlight=False)
        console.print(
            f"at most about {duration(estimate(subject))}, besides bounds, certificates and the "
            "test of the units; stop at any time, the same command goes on",
            highlight=False, soft_wrap=True,
        )  # fmt: skip
        settings = {"specs": list(models), "data": data, "part": reading.part,
                    "limit": reading.limit}  # fmt: skip
        done = run_audit(
            networks, found, folder, config, labelled=labelled, words=words, settings=settings,
            command=command(), engine=running.engine, fresh=running.fresh, progress=progress,
        )  # fmt: skip
    _say(done.folder)


def _describe(
    costs: "Sequence[Cost]", count: int, folder: Path, kind: str, workers: int | None
) -> None:
    """Print the plan and its time; nothing is written."""
    from rich.table import Table
    from rich.text import Text

    from intriguing.cli.console import Console
    from intriguing.report.html import duration

    table = Table("Stage", "Network", "Images", "fixed", "an image", "about", box=None)
    for cost in costs:
        table.add_row(
            cost.stage, Text(cost.network), f"{cost.images:,}" if cost.images else "–",
            duration(cost.fixed) if cost.fixed else "–",
            f"{1000 * cost.each:,.3g} ms" if cost.each else "–", duration(cost.seconds),
        )  # fmt: skip
    console = Console()
    console.print(table)
    total = sum(cost.seconds for cost in costs)
    spread = ", ".join(
        f"{duration(sum(cost.by(many) for cost in costs))} on {many:,}"
        for many in ((workers,) if workers else FLEETS)
    )
    console.print(
        f"\nfor      {count:,} images\nin       {folder}\n"
        f"takes    about {duration(total)} ({total:,.0f} s), by a probe of this machine now\n"
        f"costs    {total / 3600:,.3g} {kind}-hours; at best {spread} {kind}s like this one "
        "(--engine), where the work on images is spread",
        highlight=False, markup=False, soft_wrap=True,
    )  # fmt: skip


def _say(folder: Path) -> None:
    """Print what the report says first, and where it is."""
    from intriguing.cli.console import Console
    from intriguing.report.contents import read_contents
    from intriguing.report.findings import findings

    console = Console()
    said = findings(read_contents(folder))
    for answer in said.answers:
        console.print(f"\n{answer.question}  [{answer.kind}]", style="bold", markup=False)
        console.print(answer.words, highlight=False, markup=False)
    for alarm in said.alarms:
        console.print(f"! {alarm}", style="bold red", highlight=False, markup=False)
    for place, sentence in enumerate(said.advice, 1):
        console.print(f"\n{place}. {sentence}", highlight=False, markup=False)
    page = folder / "report" / "index.html"
    console.print(f"\nreport   {page}", highlight=False, markup=False, soft_wrap=True)
    console.print(f"results  {folder}", highlight=False, markup=False, soft_wrap=True)

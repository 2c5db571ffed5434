"""What `intriguing reproduce hardening` does: run the study, or say what it would cost."""

from collections import Counter
from pathlib import Path

from rich.table import Table

from intriguing.cli.command import command
from intriguing.cli.console import Console
from intriguing.cli.progress import shown
from intriguing.cli.report import finish
from intriguing.data.named import load_data
from intriguing.paper.config import ScaleName
from intriguing.paper.hardening.config import SCALES, HardeningConfig, trials
from intriguing.paper.hardening.study import study
from intriguing.paper.hardening.timing import training_seconds
from intriguing.report.html import duration
from intriguing.scale.engine import HERE, Engine, cores

MOST_PROCESSES = 8
"""Each holds the images."""
PROBED = 2000
"""Images that the cost is estimated by: enough for what an epoch costs once to matter little."""


def harden(
    scale: ScaleName,
    seeds: int,
    device: str,
    out: Path | None,
    *,
    search: bool,
    fresh: bool,
    dry_run: bool,
) -> None:
    """Train and judge every family, in a results folder of its own."""
    config = HardeningConfig(scale, seeds, device, search)
    folder = out or Path("results") / (
        f"search-hardening-{scale}" if search else f"reproduce-hardening-{scale}"
    )
    if dry_run:
        _describe(config, folder)
        return
    processes = _processes(device)
    engine = Engine("processes", workers=processes) if processes > 1 else HERE
    with shown() as progress:
        study(config, folder, engine=engine, command=command(), fresh=fresh, progress=progress)
    finish(folder)


def _processes(device: str) -> int:
    """Networks at once: the cores that this process may use; on a GPU one after the other."""
    if device != "cpu":
        return 1
    return max(1, min(cores(), MOST_PROCESSES))


def _describe(config: HardeningConfig, folder: Path) -> None:
    """Print the plan and its time; nothing is written."""
    todo = list(trials(config))
    one_each = {trial.family.slug: trial.family for trial in todo}
    with shown() as progress:
        train = load_data(SCALES[config.scale].data, progress=progress).train
        seconds = training_seconds(
            list(one_each.values()), train, config.device, images=PROBED, progress=progress
        )
    many = Counter(trial.family.slug for trial in todo)
    table = Table("Training", "networks", "about, each", box=None)
    for slug, family in one_each.items():
        table.add_row(family.name, str(many[slug]), duration(seconds[slug]))
    processes = _processes(config.device)
    total = sum(seconds[trial.family.slug] for trial in todo) / min(processes, len(todo))
    console = Console()
    console.print(table)
    console.print(
        f"\nin       {folder}\n"
        f"takes    about {duration(total)} on {config.device} for the trainings, {processes} at a "
        "time, by a short probe of them now; judging the networks adds about a third",
        highlight=False, markup=False, soft_wrap=True,
    )  # fmt: skip

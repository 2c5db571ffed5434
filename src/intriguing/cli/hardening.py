"""How many networks of the study of hardening are trained at once, and what all would cost."""

from collections import Counter
from pathlib import Path

from rich.table import Table

from intriguing.cli.console import Console
from intriguing.cli.progress import shown
from intriguing.data.named import load_data
from intriguing.paper.hardening.config import SCALES, HardeningConfig, trials
from intriguing.paper.hardening.timing import training_seconds
from intriguing.report.html import duration
from intriguing.scale.engine import HERE, Engine, cores

MOST_PROCESSES = 8
"""Each holds the images."""
PROBED = 2000
"""Images that the cost is estimated by: enough for what an epoch costs once to matter little."""


def engine(device: str) -> Engine:
    """Who trains them where nobody says: several processes, on a GPU one after the other."""
    workers = processes(device)
    return Engine("processes", workers=workers) if workers > 1 else HERE


def processes(device: str) -> int:
    """Networks at once: the cores that this process may use; on a GPU one after the other."""
    if device != "cpu":
        return 1
    return max(1, min(cores(), MOST_PROCESSES))


def describe(config: HardeningConfig, folder: Path) -> None:
    """Print the plan and its time; nothing is written."""
    todo = list(trials(config))
    one_each = {trial.regime.slug: trial.regime for trial in todo}
    with shown() as progress:
        train = load_data(SCALES[config.scale].data, progress=progress).train
        seconds = training_seconds(
            list(one_each.values()), train, config.device, images=PROBED, progress=progress
        )
    many = Counter(trial.regime.slug for trial in todo)
    table = Table("Training", "networks", "about, each", box=None)
    for slug, regime in one_each.items():
        table.add_row(regime.name, str(many[slug]), duration(seconds[slug]))
    at_once = processes(config.device)
    total = sum(seconds[trial.regime.slug] for trial in todo) / min(at_once, len(todo))
    console = Console()
    console.print(table)
    console.print(
        f"\nin       {folder}\n"
        f"takes    about {duration(total)} on {config.device} for the trainings, {at_once} at a "
        "time, by a short probe of them now; judging the networks adds about a third",
        highlight=False, markup=False, soft_wrap=True,
    )  # fmt: skip

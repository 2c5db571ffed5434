"""Progress as people watch it: bars in a terminal, a plain line now and then elsewhere."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console as RichConsole
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as Bars

from intriguing.cli.console import Console
from intriguing.names import visible

if TYPE_CHECKING:  # measures imports torch, which a bar does not need
    from intriguing.measures import Progress, ProgressCallback

INTERVAL = 10.0
"""Seconds between plain lines of one stage."""


@contextmanager
def shown(console: RichConsole | None = None) -> Iterator["ProgressCallback"]:
    """A progress callback that draws on stderr until the block ends."""
    console = console or Console(stderr=True)
    if not console.is_terminal:
        yield _lines(console)
        return
    columns = (
        TextColumn("{task.description}", markup=False), BarColumn(bar_width=28),
        MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn(),
        TextColumn("{task.fields[detail]}", style="dim", markup=False),
    )  # fmt: skip
    with Bars(*columns, console=console) as bars:
        yield _bars(bars)


def _bars(bars: Bars) -> "ProgressCallback":
    tasks: dict[str, TaskID] = {}

    def update(step: "Progress") -> None:
        if step.stage not in tasks:
            tasks[step.stage] = bars.add_task(visible(step.stage), total=step.total, detail="")
        detail = visible(step.detail)
        bars.update(tasks[step.stage], completed=step.done, total=step.total, detail=detail)

    return update


def _lines(console: RichConsole, clock: Callable[[], float] = time.monotonic) -> "ProgressCallback":
    """Writes a stage's first step after a moment, then every `INTERVAL` seconds, and its last."""
    spoken: dict[str, float] = {}
    finished: set[str] = set()

    def update(step: "Progress") -> None:
        now = clock()
        ended = step.done >= step.total
        due = now - spoken.setdefault(step.stage, now - INTERVAL) >= INTERVAL
        if step.stage in finished or not (ended or due):
            return
        spoken[step.stage] = now
        if ended:
            finished.add(step.stage)
        detail = f"  {step.detail}" if step.detail else ""
        line = f"{step.stage}: {step.done:,} of {step.total:,}{detail}"
        console.print(line, highlight=False, markup=False, soft_wrap=True)

    return update

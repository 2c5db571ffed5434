"""A verb's stages run in its results folder, with progress, and the report in the end."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from intriguing.cli.command import command
from intriguing.cli.progress import shown
from intriguing.cli.report import finish
from intriguing.report.takeaway import Findings
from intriguing.runs.run import Request, Run, open_run
from intriguing.runs.stage import Stage
from intriguing.scale.engine import HERE, Engine


def run_verb(
    stages: Sequence[Stage],
    asked: Request,
    folder: Path,
    *,
    engine: Engine = HERE,
    fresh: bool,
    all_layers: bool = False,
) -> tuple[Run, Findings]:
    """Do every stage, write the rows, draw the report and print what it says.

    Args:
        stages: In their order.
        asked: What the record says; the command line is added.
        folder: The results folder.
        engine: Who computes.
        fresh: Delete the results that are in it first.
        all_layers: As `finish` takes it.
    """
    with open_run(folder, replace(asked, command=command()), engine=engine, fresh=fresh) as run:
        with shown() as run.progress:
            run.all(stages)
            run.finish()
        return run, finish(folder, all_layers=all_layers)

"""A verb's stages run in its results folder, with progress, and the report in the end."""

from dataclasses import replace
from pathlib import Path

from intriguing.cli.command import command
from intriguing.cli.progress import shown
from intriguing.cli.report import finish
from intriguing.report.takeaway import Findings
from intriguing.runs.request import Work
from intriguing.runs.run import Run, open_run
from intriguing.scale.engine import HERE, Engine


def run_verb(
    work: Work, folder: Path, *, engine: Engine = HERE, fresh: bool, all_layers: bool = False
) -> tuple[Run, Findings]:
    """Do every stage, write the rows, draw the report and print what it says.

    Args:
        work: What the record says, to which the command line is added, and the stages.
        folder: The results folder.
        engine: Who computes.
        fresh: Delete the results that are in it first.
        all_layers: As `finish` takes it.
    """
    asked = replace(work.asked, command=command())
    with open_run(folder, asked, engine=engine, fresh=fresh) as run:
        with shown() as run.progress:
            run.work(work)
        return run, finish(folder, all_layers=all_layers)

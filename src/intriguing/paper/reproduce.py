"""A reproduction: the stages of the chosen tables and figures, behind the networks that they need.

Everything random has a seed of its own, so the results do not depend on what else is asked for.
"""

from dataclasses import asdict, replace
from itertools import chain
from pathlib import Path
from typing import TypeAlias

import torch

from intriguing.data.limits import LIMITS, Limits
from intriguing.measures import ProgressCallback
from intriguing.paper import figure6
from intriguing.paper.claims import study as claims
from intriguing.paper.claims.config import ClaimsConfig
from intriguing.paper.config import ReproduceConfig
from intriguing.paper.figure6 import Figure6Config
from intriguing.paper.hardening import study
from intriguing.paper.hardening.config import HardeningConfig
from intriguing.paper.items import FIGURES, OF_PHOTOGRAPHS, TABLES
from intriguing.paper.materials import Materials
from intriguing.paper.remarks import COMPARED, Remarks
from intriguing.results.schema import RunRecord
from intriguing.runs.examples import Examples
from intriguing.runs.request import Request, Work
from intriguing.runs.run import run_all
from intriguing.runs.stage import Stage, Trained, with_needs
from intriguing.runs.training import Training
from intriguing.scale.engine import HERE, Engine

MAY_DIFFER = ("items", "seeds", "data_root", "network", "input", "images", "budget", "further")
"""What may change between two runs in one folder: all that is computed stays of use."""


Config: TypeAlias = ReproduceConfig | Figure6Config | HardeningConfig | ClaimsConfig


def reproduce(
    config: Config,
    folder: Path,
    *,
    command: str = "",
    engine: Engine = HERE,
    fresh: bool = False,
    progress: ProgressCallback | None = None,
    limits: Limits = LIMITS,
) -> RunRecord:
    """Train, attack and tabulate what `config` asks for, in a results folder.

    Args:
        config: What to reproduce, and how large.
        folder: New, or of the same configuration: then the run goes on where it was.  The choice
            of items and the number of seeds may change from call to call.
        command: The shell command, for the record.
        engine: Who trains and attacks; the results are the same.
        fresh: Delete the results in `folder` first.
        progress: Called within every stage.
        limits: What one picture of Figures 3 to 5 may ask for; see `Limits`.

    Returns:
        The record, also in folder/run.json, beside rows and tensors.

    Raises:
        InputError: Before any training, if the data cannot be had or `folder` cannot be used.
    """
    work = work_of(config, progress, limits)
    work = replace(work, asked=replace(work.asked, command=command))
    return run_all(work, folder, engine=engine, fresh=fresh, progress=progress)


def work_of(
    config: Config, progress: ProgressCallback | None = None, limits: Limits = LIMITS
) -> Work:
    """The stages of a reproduction; see `reproduce`."""
    if isinstance(config, Figure6Config):
        return figure6.make(config, progress)
    if isinstance(config, HardeningConfig):
        return study.make(config, progress)
    if isinstance(config, ClaimsConfig):
        return claims.make(config, progress)
    given = Materials(config, progress, limits)
    stages = stages_of(given)
    images, networks, notes = given.used
    asked = Request(
        "reproduce", asdict(config), MAY_DIFFER, tuple(networks), images=tuple(images),
        tables=config.tables, figures=config.figures, seeds=tuple(range(config.seeds)),
        notes=notes, required_bytes=required_bytes(stages), device=torch.device(config.device),
    )  # fmt: skip
    return Work(asked, stages)


def stages_of(given: Materials) -> list[Stage]:
    """What is asked for, in its order, behind the networks that it needs, seed by seed."""
    config = given.config
    tables = {item: TABLES[item](given) for item in config.tables}
    figures = [stage for item in config.figures for stage in FIGURES[item](given)]
    asked = [*chain.from_iterable(tables.values()), *figures]
    needed = [one for one in with_needs(asked) if isinstance(one, Training | Examples)]
    needed.sort(key=_seed)
    remarks = []
    if set(config.items) - {"table5", *OF_PHOTOGRAPHS}:
        recipes = [one.recipe for one in needed if isinstance(one, Training)]
        beside = [stage for item in COMPARED for stage in tables.get(item, ())]
        remarks = [
            Remarks(
                config.items, given.scale, config.attack.penalty,
                tuple(dict.fromkeys(recipe.convention for recipe in recipes)),
                tuple(one for one in needed if isinstance(one, Examples)), tuple(beside),
            )
        ]  # fmt: skip
    return with_needs([*needed, *chain.from_iterable(tables.values()), *remarks, *figures])


def _seed(stage: Stage) -> int:
    """Of the network that is trained or attacked."""
    network = stage.network if isinstance(stage, Examples) else stage
    return network.number if isinstance(network, Trained) else 0


def required_bytes(stages: list[Stage]) -> int:
    """About what a run writes: every adversarial image in float32, networks and checkpoints."""
    total = 50_000_000
    for stage in stages:
        if isinstance(stage, Training):
            total += 4_000_000
        elif isinstance(stage, Examples):
            images = stage.plan.images
            total += len(images) * (4 * images.images[0].numel() + 150)
    return total

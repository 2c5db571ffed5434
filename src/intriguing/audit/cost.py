"""How long an audit takes: at most, before it starts; and stage by stage, for any images."""

import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from intriguing.audit import stages
from intriguing.audit.labelling import with_classes
from intriguing.audit.probe import Cost, Probe
from intriguing.audit.subject import Subject
from intriguing.errors import InputError
from intriguing.files import read_json, write_whole
from intriguing.measures import Progress, ProgressCallback
from intriguing.models.pass_time import pass_seconds
from intriguing.runs.run import Run
from intriguing.scale.attack import SHARD_SIZE

SHARD_SECONDS = 60.0
"""What an interruption may cost."""
PROBED = 8
"""Images of a pass that is timed."""


def shard_sizes(subject: Subject, folder: Path) -> dict[str, int]:
    """Images a shard of each network's attack, such that one takes about a minute.

    They are chosen once and kept in the folder, because shards of another size are other shards.
    """
    path, names = folder / "stages" / "plan.json", {one.name for one in subject.networks}
    with suppress(InputError):  # a damaged one is made again
        known = read_json(path, "it is made again")
        if isinstance(known, dict) and set(known) == names and all(map(_is_size, known.values())):
            return dict(known)
    sizes = {}
    for one in subject.networks:
        each = pass_seconds(one.model, next(subject.images.pixels(PROBED)))
        wanted = SHARD_SECONDS / (each * subject.config.budget)
        sizes[one.name] = max(1, min(SHARD_SIZE, 1 << max(int(wanted), 1).bit_length() - 1))
    write_whole(path, json.dumps(sizes))
    return sizes


def _is_size(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value <= SHARD_SIZE


def quick(subject: Subject) -> dict[str, float]:
    """Seconds of the stages that show images to networks, by the number of passes they may take."""
    config, total = subject.config, len(subject.images)
    few = min(config.images or total, total)
    seconds: dict[str, float] = {}
    for one in subject.networks:
        each = pass_seconds(one.model, next(subject.images.pixels(PROBED)))
        passes = config.budget + (config.target_budget if config.target is not None else 0)
        units = total if "units" not in config.skip and one is subject.networks[0] else 0
        forward = total + min(units, config.units_on) * (3 + config.untrained)
        seconds[one.name] = each * (few * 1.3 * passes + 0.4 * forward)
    return seconds


def measure(
    subject: Subject,
    images: int,
    rehearse: Callable[[Subject], float] | None = None,
    progress: ProgressCallback | None = None,
) -> list[Cost]:
    """The cost of an audit of `images` images like these, stage by stage.

    Args:
        subject: Networks and a sample of the images; the more there are, the better.
        images: How many there would be.
        rehearse: Does a small audit and tells what it took besides its stages: the checks before
            them, and the report.
        progress: Called after each kind of stage.
    """
    costs: list[Cost] = []
    with TemporaryDirectory() as folder:
        (kept := Path(folder) / "labels").mkdir()
        subject = with_classes(subject, Run(kept))
        probe = Probe(subject, images, Path(folder))
        for done, kind in enumerate(stages.STAGES):
            if kind.name not in subject.config.skip:
                costs += kind.costs(probe)
            if progress is not None:
                progress(Progress("probing", done + 1, len(stages.STAGES)))
    if rehearse is not None:
        costs.append(Cost("checks, report", "", rehearse(subject), 0.0, 0))
    return costs

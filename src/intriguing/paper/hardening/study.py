"""The study: every family trained for every seed, judged, and laid out; resumable at any moment."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path

import torch

from intriguing.data.dataset import ImageSet
from intriguing.data.named import load_data
from intriguing.measures import ProgressCallback
from intriguing.paper.config import draw
from intriguing.paper.hardening import timing
from intriguing.paper.hardening.config import BUDGET, SCALES, HardeningConfig, Trial, trials
from intriguing.paper.hardening.families import FAMILIES, PLAIN
from intriguing.paper.hardening.measured import Judged, measurements, searched
from intriguing.paper.hardening.network import (
    Trained,
    attack_trained,
    certified_radii,
    image_rows,
    masking,
    train_trial,
)
from intriguing.results.opening import open_results
from intriguing.results.parquet import write_columns, write_rows
from intriguing.results.rows import ImageRow, Measurement
from intriguing.results.schema import RunRecord, Stage
from intriguing.results.store import write_run
from intriguing.runs.provenance import machine, record_data, versions
from intriguing.scale.attack import Attacked
from intriguing.scale.workers import finished_jobs, one_thread

MAY_DIFFER = ("seeds", "data_root")


def study(
    config: HardeningConfig,
    folder: Path,
    *,
    processes: int = 1,
    command: str = "",
    fresh: bool = False,
    progress: ProgressCallback | None = None,
) -> RunRecord:
    """Train and judge every family, or with `config.search` try settings on held-out images.

    Args:
        config: How large, and which of the two.
        folder: New, or of the same configuration: then the run goes on where it was. The number
            of seeds may change from call to call.
        processes: How many networks are trained and attacked at once; the results are the same.
        command: The shell command, for the record.
        fresh: Delete the results in `folder` first.
        progress: Called within every stage.

    Returns:
        The record, also in folder/run.json, beside the rows.

    Raises:
        InputError: Before any training, if the data cannot be had or `folder` cannot be used.
    """
    train, judged_by = _images(config, progress)
    settings = asdict(config)
    todo = list(trials(config))
    space = 50_000_000 + 4 * len(train) * train.images[0].numel() + 3_000_000 * len(todo)
    opened = open_results(folder, "hardening", settings, space, fresh=fresh, may_differ=MAY_DIFFER)
    with opened, one_thread():
        record = RunRecord(
            "hardening", command, settings, seeds=tuple(range(config.seeds)), versions=versions(),
            machine=machine(torch.device(config.device)),
            data=(record_data(train), record_data(judged_by)), notes=_notes(config),
            tables=("settings",) if config.search else ("hardening",),
        )  # fmt: skip
        write_run(folder, record)
        networks: list[Trained] = []
        for one in _trained(todo, train, judged_by, folder, config, processes, progress):
            networks.append(one)
            networks.sort(key=lambda one: todo.index(one.trial))
            record = replace(
                record,
                models=tuple(one.record for one in networks),
                stages=tuple(one.stage for one in networks),
            )
            write_run(folder, record)
        if config.search:
            write_rows(folder, Measurement, searched(networks))
        else:
            stages = _judge(networks, train, judged_by, folder, config, progress)
            record = replace(record, stages=(*record.stages, *stages))
        record = replace(record, status="complete")
        write_run(folder, record)
    return record


def _images(
    config: HardeningConfig, progress: ProgressCallback | None = None
) -> tuple[ImageSet, ImageSet]:
    """What is trained on, and what judges."""
    scale = SCALES[config.scale]
    data = load_data(scale.data, config.data_root, progress)
    if not config.search:
        return data.train, data.test
    generator = torch.Generator().manual_seed(draw("held out", data.name))
    held_out, train = data.train.split(scale.held_out, generator)
    return train, held_out


_loaded = lru_cache(maxsize=1)(_images)
"""Once for all jobs of a process."""


@dataclass(frozen=True)
class _Job:
    """A network to train in another process, and to attack unless settings are searched."""

    trial: Trial
    config: HardeningConfig
    folder: Path


def _work(job: _Job, progress: ProgressCallback) -> None:
    train, judged_by = _loaded(job.config)
    one = train_trial(job.trial, train, judged_by, job.folder, job.config.device, progress)
    if not job.config.search:
        some = judged_by.first(SCALES[job.config.scale].attacked)
        attack_trained(one, some, job.folder, progress)
        certified_radii(one, judged_by, job.folder, progress)


def _trained(
    todo: Sequence[Trial],
    train: ImageSet,
    judged_by: ImageSet,
    folder: Path,
    config: HardeningConfig,
    processes: int,
    progress: ProgressCallback | None,
) -> Iterator[Trained]:
    """Every network once it is trained; with several processes also attacked by then."""
    order: Iterator[int] = iter(range(len(todo)))
    if processes > 1:
        what = "train" if config.search else "train and attack"
        order = finished_jobs(
            _work, [_Job(trial, config, folder) for trial in todo], processes,
            stage=f"{what} {len(todo)} networks", stages=1 if config.search else 3,
            progress=progress,
        )  # fmt: skip
    for index in order:
        yield train_trial(todo[index], train, judged_by, folder, config.device, progress)


def _judge(
    networks: Sequence[Trained],
    train: ImageSet,
    test: ImageSet,
    folder: Path,
    config: HardeningConfig,
    progress: ProgressCallback | None,
) -> list[Stage]:
    """Attack, certify, try to fool without gradients, time, and write all rows."""
    start = time.perf_counter()
    some = test.first(SCALES[config.scale].attacked)
    attacks: dict[str, Attacked] = {}
    judged = []
    for one in networks:
        trial = one.trial
        attacks[trial.key] = attacked = attack_trained(one, some, folder, progress)
        radii = certified_radii(one, test, folder, progress)
        baseline = attacks[f"{PLAIN}-seed{trial.seed}"]
        tried = None if trial.family.curve else masking(one, some, attacked, baseline)
        judged.append(Judged(one, attacked.distortion, radii, tried))
    chosen = [family.scaled(SCALES[config.scale].epochs, SCALES[config.scale].start)
              for family in FAMILIES]  # fmt: skip
    times = timing.relative_times(chosen, train, config.device, progress=progress)
    compared = [one for one in networks if not one.trial.family.curve]
    write_columns(folder, ImageRow, [image_rows(one, attacks[one.trial.key]) for one in compared])
    write_rows(folder, Measurement, measurements(judged, times))
    passes = sum(int(a.forward_passes.sum()) for a in attacks.values())
    back = sum(int(a.backward_passes.sum()) for a in attacks.values())
    return [Stage("judge", time.perf_counter() - start, passes, back)]


def _notes(config: HardeningConfig) -> tuple[str, ...]:
    scale = SCALES[config.scale]
    said = [scale.remark] if scale.remark else []
    if config.search:
        return (
            *said,
            f"Settings are judged by {scale.held_out:,} training images that were held out of the "
            "training; the test images have no part in it.",
        )
    said += [
        f"{family.name}: {family.scaled(scale.epochs, scale.start).in_words}."
        for family in FAMILIES
    ]
    return (
        *said,
        "Weight decay is λ Σ w², undivided; biases do not decay. All families of a seed start from "
        "the same weights and see the images in the same order.",
        "A distortion is that of the nearest adversarial example of any wrong class that `closest` "
        f"finds in {BUDGET} passes; a misclassified image has 0. No pool was made by it.",
        "Time over plain compares whole trainings, pools included, by epochs measured in turn, the "
        f"least of {timing.ROUNDS} rounds, in one thread.",
    )

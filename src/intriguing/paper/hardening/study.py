"""The study: every family trained for every seed, judged, and laid out; resumable at any moment."""

import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import torch

from intriguing.data.dataset import ImageSet
from intriguing.data.named import load_data
from intriguing.measures import ProgressCallback
from intriguing.paper.config import draw
from intriguing.paper.hardening import cells, timing
from intriguing.paper.hardening.config import BUDGET, SCALES, HardeningConfig, trials
from intriguing.paper.hardening.families import FAMILIES, PLAIN
from intriguing.paper.hardening.network import (
    Trained,
    attack_trained,
    certified_radii,
    image_rows,
    masking,
    train_trial,
)
from intriguing.results.opening import open_results
from intriguing.results.schema import RunRecord, Stage
from intriguing.results.store import write_cells, write_images, write_run
from intriguing.scale.attack import Attacked
from intriguing.scale.provenance import machine, record_data, versions

MAY_DIFFER = ("seeds", "data_root")


def study(
    config: HardeningConfig,
    folder: Path,
    *,
    command: str = "",
    fresh: bool = False,
    progress: ProgressCallback | None = None,
) -> RunRecord:
    """Train and judge every family, or with `config.search` try settings on held-out images.

    Args:
        config: How large, and which of the two.
        folder: New, or of the same configuration: then the run goes on where it was. The number
            of seeds may change from call to call.
        command: The shell command, for the record.
        fresh: Delete the results in `folder` first.
        progress: Called within every stage.

    Returns:
        The record, also in folder/run.json, beside cells and images.

    Raises:
        InputError: Before any training, if the data cannot be had or `folder` cannot be used.
    """
    scale = SCALES[config.scale]
    data = load_data(scale.data, config.data_root, progress)
    train, judged_by = data.train, data.test
    if config.search:
        generator = torch.Generator().manual_seed(draw("held out", data.name))
        judged_by, train = train.split(scale.held_out, generator)
    settings = asdict(config)
    todo = list(trials(config))
    space = 50_000_000 + 4 * len(train) * train.images[0].numel() + 3_000_000 * len(todo)
    with open_results(folder, "hardening", settings, space, fresh=fresh, may_differ=MAY_DIFFER):
        record = RunRecord(
            "hardening", command, settings, seeds=tuple(range(config.seeds)), versions=versions(),
            machine=machine(torch.device(config.device)),
            data=(record_data(train), record_data(judged_by)), notes=_notes(config),
            tables=(cells.SEARCH,) if config.search else (cells.ERRORS,),
        )  # fmt: skip
        write_run(folder, record)
        networks: list[Trained] = []
        for trial in todo:
            networks.append(train_trial(trial, train, judged_by, folder, config.device, progress))
            record = replace(
                record,
                models=tuple(one.record for one in networks),
                stages=tuple(one.stage for one in networks),
            )
            write_run(folder, record)
        if config.search:
            write_cells(folder, cells.search_cells(networks))
        else:
            stages = _judge(networks, train, judged_by, folder, config, progress)
            record = replace(record, stages=(*record.stages, *stages))
        record = replace(record, status="complete")
        write_run(folder, record)
    return record


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
        judged.append(cells.Judged(one, attacked.distortion, radii, tried))
    chosen = [family.scaled(SCALES[config.scale].epochs, SCALES[config.scale].start)
              for family in FAMILIES]  # fmt: skip
    times = timing.relative_times(chosen, train, config.device, progress=progress)
    compared = [one for one in networks if not one.trial.family.curve]
    write_images(folder, [image_rows(one, attacks[one.trial.key]) for one in compared])
    write_cells(folder, cells.to_cells(judged, times))
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
        "Time over plain compares whole trainings, pools included, by epochs measured in turn on "
        f"{timing.IMAGES:,} images, the least of {timing.ROUNDS} rounds.",
    )

"""The whole of §3's and §4.2's experiments, one stage after another, each of them resumable.

Stages: data; for each network of each seed training and attack; tables; figures; the units of §3;
and Table 5, of §4.3, which needs none of these.  What finished
is read from the results folder, and everything random has a seed of its own, so the results do
not depend on whether and where a run was interrupted.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch

from intriguing.data.dataset import ImageSet
from intriguing.data.limits import LIMITS, Limits
from intriguing.data.named import load_data
from intriguing.distortion.result import Status
from intriguing.measures import Progress, ProgressCallback
from intriguing.paper import figure5, figures, figures1to4, table5, tables
from intriguing.paper.config import FIGURE7_NETWORKS, SCALES, ReproduceConfig, Scale, draw, jobs
from intriguing.paper.network import Network, Sets, attack_targets, make_network, split_sets
from intriguing.paper.networks import CONVOLUTIONAL
from intriguing.paper.notes import notes
from intriguing.results.opening import open_results
from intriguing.results.parquet import write_columns, write_rows
from intriguing.results.rows import ImageRow, Measurement, Metric, where
from intriguing.results.schema import RunRecord, Stage
from intriguing.results.store import write_run, write_tensors
from intriguing.runs.provenance import machine, record_data, versions

MAY_DIFFER = ("items", "seeds", "data_root", "network", "input", "images", "passes")
"""What may change between two runs in one folder: all that is computed stays of use."""


def reproduce(
    config: ReproduceConfig,
    folder: Path,
    *,
    command: str = "",
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
        fresh: Delete the results in `folder` first.
        progress: Called within every stage.
        limits: What one picture of Figures 3 to 5 may ask for; see `Limits`.

    Returns:
        The record, also in folder/run.json, beside rows and tensors.

    Raises:
        InputError: Before any training, if the data cannot be had or `folder` cannot be used.
    """
    start = time.perf_counter()
    scale = SCALES[config.scale]
    subjects = table5.subjects(config)
    photographs = figures1to4.photographs(config, progress, limits)
    plain = figure5.photographs(config, progress, limits)
    sets, images = _sets(config, scale, progress)
    stages = [Stage("data", time.perf_counter() - start)]
    settings = asdict(config)
    space = required_bytes(config, sets)
    with open_results(folder, "reproduce", settings, space, fresh=fresh, may_differ=MAY_DIFFER):
        record = RunRecord(
            kind="reproduce",
            command=command,
            config=settings,
            seeds=tuple(range(config.seeds)),
            versions=versions(),
            machine=machine(torch.device(config.device)),
            data=tuple(
                record_data(part)
                for part in (*images, *figures1to4.shown(photographs), *figure5.shown(plain))
            ),
            tables=config.tables,
            figures=config.figures,
        )
        write_run(folder, record)
        networks = []
        for job in jobs(config):
            network = make_network(job, sets[job.seed], scale, config, folder, progress)
            networks.append(network)
            stages += network.stages
            record = replace(record, models=(*record.models, network.record), stages=tuple(stages))
            write_run(folder, record)
        rows, stage = tabulate(config, networks, sets, progress)
        stages.append(stage)
        stages.append(_draw_figures(config, networks, sets, folder, progress))
        measured = [table5.measure(one, folder, progress) for one in subjects]
        stages += [one.stage for one in measured]
        rows += [row for one in measured for row in one.rows]
        studied = figures1to4.figures1to4(config, networks, sets, photographs, folder, progress)
        stages += studied.stages
        rows += studied.rows
        fooled = figure5.figure5(config, plain, folder, progress)
        stages += fooled.stages
        rows += fooled.rows
        write_columns(folder, ImageRow, _image_rows(networks))
        write_rows(folder, Measurement, rows)
        record = replace(
            record,
            status="complete",
            stages=tuple(stages),
            models=(
                *record.models,
                *figures1to4.records(photographs),
                *figure5.records(plain),
                *(one.record for one in measured),
            ),
            notes=(
                *_notes(config, scale, networks, rows),
                *studied.notes,
                *fooled.notes,
            ),
            remarks={"table5": tuple(note for one in measured for note in one.notes)}
            if measured
            else {},
        )
        write_run(folder, record)
    return record


def _sets(
    config: ReproduceConfig, scale: Scale, progress: ProgressCallback | None
) -> tuple[list[Sets], tuple[ImageSet, ...]]:
    """The images of each seed, and all of them; none where no item needs any of MNIST's."""
    if not jobs(config):
        return [], ()
    data = load_data(scale.data, config.data_root, progress)
    sets = [split_sets(scale, data, seed) for seed in range(config.seeds)]
    return sets, (data.train, data.test)


def required_bytes(config: ReproduceConfig, sets: Sequence[Sets]) -> int:
    """About what a run writes: every adversarial image in float32, networks and checkpoints."""
    total = 50_000_000
    for job in jobs(config):
        total += 4_000_000
        if job.attacked_on is not None:
            images = sets[job.seed].attacked[job.attacked_on]
            total += len(images) * (4 * images.images[0].numel() + 150)
    return total


def tabulate(
    config: ReproduceConfig,
    networks: Sequence[Network],
    sets: Sequence[Sets],
    progress: ProgressCallback | None = None,
) -> tuple[list[Measurement], Stage]:
    """Measure what the tables asked for need, and say what that cost."""
    start = time.perf_counter()
    rows: list[Measurement] = []
    mnist = [name for name in config.tables if name != "table5"]
    for done, name in enumerate(mnist):
        for seed in range(config.seeds):
            split = name in ("table3", "table4")
            chosen = [
                n
                for n in networks
                if n.job.seed == seed
                and (n.job.trained_on != "train") == split
                and n.job.row != CONVOLUTIONAL
            ]
            rows += _measure(name, chosen, sets[seed], seed)
        if progress is not None:
            progress(Progress("tables", done + 1, len(mnist), name))
    passes = sum(row.total for row in where(rows, metric=Metric.ERROR))
    return rows, Stage("tables", time.perf_counter() - start, passes)


def _measure(name: str, networks: Sequence[Network], sets: Sets, seed: int) -> list[Measurement]:
    models = {network.job.row: network.model for network in networks}
    attacks = {n.job.row: n.attacked for n in networks if n.attacked is not None}
    generator = torch.Generator().manual_seed(draw("noise", name, seed))
    if name == "table1":
        return tables.table1(models, sets.train, sets.test, attacks, seed)
    if name == "table2":
        return tables.table2(models, sets.attacked["train"], attacks, generator, seed)
    if name == "table3":
        parts = {"P1": sets.p1, "P2": sets.p2, "test": sets.test}
        return tables.table3(models, parts, attacks, seed)
    return tables.table4(models, sets.attacked["test"], attacks, generator, seed)


def _draw_figures(
    config: ReproduceConfig,
    networks: Sequence[Network],
    sets: Sequence[Sets],
    folder: Path,
    progress: ProgressCallback | None,
) -> Stage:
    """Write the tensors of the figures asked for."""
    start = time.perf_counter()
    first = {n.job.row: n for n in networks if n.job.seed == 0 and n.job.trained_on == "train"}
    pictures = []
    if "figure7" in config.items:
        images = sets[0].attacked["train"]
        chosen = {row: first[row] for row in FIGURE7_NETWORKS}
        pictures += figures.figure7(
            {row: network.model for row, network in chosen.items()},
            images,
            {row: attack_targets(network.job, images) for row, network in chosen.items()},
            config.attack,
            torch.Generator().manual_seed(draw("figure7")),
        )
    if "filters" in config.items:
        shape = tuple(sets[0].train.images.shape[-2:])
        pictures.append(figures.filters(first["AE400-10"].model, shape))
    for picture in pictures:
        write_tensors(folder, picture.name, picture.tensors, picture.words)
    if progress is not None and pictures:
        progress(Progress("figures", len(pictures), len(pictures)))
    return Stage("figures", time.perf_counter() - start)


def _image_rows(networks: Sequence[Network]) -> Iterator[Mapping[str, Any]]:
    """Columns of images.parquet, shard by shard."""
    for network in networks:
        if network.attacked is None:
            continue
        for images, columns in network.attacked.parts():
            yield {
                "network": network.job.label,
                "seed": network.job.seed,
                "method": "paper",
                "image_id": images.ids,
                "label": images.labels.numpy(),
                "target": columns["targets"].numpy(),
                "status": [Status(code).name for code in columns["status"].tolist()],
                **{name: columns[name].numpy() for name in _AS_THEY_ARE},
            }


_AS_THEY_ARE = (
    "success", "distortion", "l2", "c", "gap", "local_gap", "forward_passes", "backward_passes",
)  # fmt: skip


def _notes(
    config: ReproduceConfig, scale: Scale, networks: Sequence[Network], rows: Sequence[Measurement]
) -> tuple[str, ...]:
    attacks = {n.job.title: n.attacked for n in networks if n.attacked is not None}
    return notes(config, scale, [n.job.recipe for n in networks], attacks, rows)

"""What `intriguing train quocnet-…` does: stages without labels, then a classifier."""

import os
from dataclasses import asdict, replace
from pathlib import Path

import torch
from rich.table import Table

from intriguing.cli.console import Console
from intriguing.cli.progress import shown
from intriguing.cli.running import run_verb
from intriguing.data.limits import LIMITS, Limits
from intriguing.data.named import load_data
from intriguing.data.patches import (
    VIDEOS,
    Patches,
    cut,
    frames,
    of_images,
    open_patches,
    photographs,
    read_pictures,
    write_patches,
)
from intriguing.errors import InputError
from intriguing.keys import derive_key
from intriguing.memory import free_memory, readable
from intriguing.models.families.quocnet import CONFIGS, PAPER_PARAMETERS, QuocNetConfig
from intriguing.models.quocnet_cost import WAYS, device_cost, stage_costs
from intriguing.models.weights import save_model
from intriguing.paper.figure6 import halves, one_against_rest
from intriguing.runs.quocnet import QuocNetTraining
from intriguing.runs.request import Request, Work
from intriguing.runs.run import Run
from intriguing.runs.training import Errors
from intriguing.training.engines import Engine, processes
from intriguing.training.quocnet import PLANS

_PATCHES = 20_000
"""Cut of the photographs that come with packages: ten steps of training see them all."""
_A_PICTURE = 10
"""Patches of a picture or frame, which look much alike."""


def train_quocnet(
    name: str,
    data: str,
    *,
    unlabelled: str | None,
    positive: str,
    engine: Engine,
    steps: int | None,
    rate: float | None,
    seed: int,
    device: torch.device,
    out: Path,
    results: Path,
    dry_run: bool,
    fresh: bool = False,
    limits: Limits = LIMITS,
) -> None:
    """Train on the first half of the training images, as `reproduce figure6` does for network A.

    Raises:
        InputError: If the size or the data are unknown or do not fit.
    """
    if name not in CONFIGS:
        raise InputError(f"unknown size {name}; one of {', '.join(CONFIGS)}")
    config, plan = CONFIGS[name], PLANS[name]
    changed = replace(
        plan.steps,
        count=plan.steps.count if steps is None else steps,
        rate=plan.steps.rate if rate is None else rate,
    )
    plan = replace(plan, steps=changed, later=plan.later if steps is None else None)
    if dry_run:
        describe(config, plan.steps.batch, device)
        return
    with processes(device) as (rank, _):
        with shown() as progress:
            pair = load_data(data, progress=progress if rank == 0 else None)
        first, _ = halves(pair.train, seed)
        if tuple(first.images.shape[1:]) != config.shape:
            raise InputError(
                f"{data} has images of {tuple(first.images.shape[1:])}, {name} takes "
                f"{config.shape}; choose another size or data set"
            )
        patches = (
            of_images(first.name, first.images)
            if unlabelled is None
            else source(unlabelled, config, results, seed, rank, limits)
        )
        cars, test = (one_against_rest(part, positive, seed) for part in (first, pair.test))
        training = QuocNetTraining(
            name, name, config, plan, patches, patches.fingerprint, cars, seed, str(device), engine
        )
        if not follows(training, results, rank, fresh=fresh):
            return
        asked = Request(
            "train",
            {"name": name, "data": data, "unlabelled": unlabelled, "positive": positive,
             "seed": seed, "plan": asdict(plan)},
            images=(first, test), tables=("train",), seeds=(seed,), device=device,
            required_bytes=400_000_000,
        )  # fmt: skip
        errors = Errors(training, {"test": test}, seed)
        run, _ = run_verb(Work(asked, [training, errors]), results, fresh=fresh)
    (record,) = run.keep(training).made.models
    trained = record.training
    said = {"data": data, "unlabelled": unlabelled or first.name, "seed": seed,
            "decay": trained["decay"]}  # fmt: skip
    save_model(out, run.model(training), record.architecture, said)
    counts = ", ".join(f"{one['iterations']:,}" for one in trained["stages"])
    losses = ", ".join(f"{one['objective']:.3g}" for one in trained["stages"])
    seconds = sum(one["wall_seconds"] for one in trained["stages"])
    (error,) = run.keep(errors).made.measured
    assert error.low is not None
    assert error.high is not None
    Console().print(
        f"weights  {out}\n{name}: {counts} steps in {seconds:.0f} s, reconstruction losses "
        f"{losses}; classifier: {trained['classifier']['reason']}\n"
        f"accuracy, {positive} or not, on {len(test):,} test images: "
        f"{100 - error.value:.1f} % [{100 - error.high:.1f}, {100 - error.low:.1f}]\n"
        f"next     intriguing reproduce figure6 --network {out}",
        highlight=False, markup=False, soft_wrap=True,
    )  # fmt: skip


def follows(training: QuocNetTraining, results: Path, rank: int, *, fresh: bool) -> bool:
    """Whether this process is the one that runs the stages; the others train along with it.

    All of them have to know whether there is anything to train, or they would wait for ever.
    """
    if not torch.distributed.is_initialized():
        return True
    kept = [rank == 0 and not fresh and Run(results).holds(training)]
    torch.distributed.broadcast_object_list(kept, 0)
    if rank and not kept[0]:
        training.compute(Run(results))
    return rank == 0


def source(
    text: str, config: QuocNetConfig, folder: Path, seed: int, rank: int, limits: Limits = LIMITS
) -> Patches:
    """Unlabelled images by name: photographs, a folder of pictures or videos, a video, a .npy.

    Patches are cut once, by the first process, into a file of `folder` that all of them map; it is
    called after all that they are cut from, so that no other pictures' patches are taken for them.
    """
    path, side = Path(text), config.shape[1]
    generator = torch.Generator().manual_seed(seed)
    if text == "photographs":
        return cut(photographs(), side, _PATCHES, generator)
    if path.suffix == ".npy":
        return open_patches(path)
    if not path.exists():
        raise InputError(
            f"there is no {text}; give photographs, a folder of pictures or videos, a video, or a "
            ".npy of patches"
        )
    files = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())
    seen = [(p, (found := p.stat()).st_size, found.st_mtime_ns) for p in files]
    key = derive_key(path.resolve(), seen, side, seed, _A_PICTURE, limits)
    file = folder / f"patches-{key[:16]}.npy"
    if rank == 0 and not file.exists():
        videos = [path] if path.is_file() else sorted(
            p for p in path.rglob("*") if p.suffix.lower() in VIDEOS
        )  # fmt: skip
        pictures = (
            (frame for video in videos for frame in frames(video, limits=limits)) if videos
            else iter(read_pictures(path, limits))
        )  # fmt: skip
        write_patches(file, pictures, side, _A_PICTURE, generator)
    if torch.distributed.is_initialized():
        torch.distributed.barrier()
    return open_patches(file)


def describe(config: QuocNetConfig, batch: int, device: torch.device) -> None:
    """Parameters beside the paper's, and what each device needs; nothing is allocated."""
    console = Console()
    costs = stage_costs(config)
    total = sum(cost.parameters for cost in costs)
    console.print(
        f"{config.name}: images {'×'.join(map(str, config.shape))}, {config.features:,} features\n"
        f"parameters {total:,} ({' + '.join(f'{cost.parameters:,}' for cost in costs)}); "
        f"the paper's network has about {PAPER_PARAMETERS:,}: {total / PAPER_PARAMETERS:.3g} of it",
        highlight=False, markup=False, soft_wrap=True,
    )  # fmt: skip
    table = Table("Engine", "devices", "memory each", "received a step", "TFLOP a step", box=None)
    for way in WAYS:
        for devices in (1, 2, 4, 8, 16, 64):
            if way != "copies" and devices == 1:
                continue
            cost = device_cost(config, way, devices, batch, device_type=device.type)
            table.add_row(
                way if devices > 1 else "alone", str(devices), readable(cost.memory),
                readable(cost.received), f"{cost.operations / 1e12:,.3g}",
            )  # fmt: skip
    console.print(table)
    console.print(
        f"of the largest stage, {batch} images over all devices, Adam, float32; "
        f"free here: {readable(free_memory(device))} on {os.cpu_count()} cores",
        highlight=False, markup=False, soft_wrap=True,
    )  # fmt: skip

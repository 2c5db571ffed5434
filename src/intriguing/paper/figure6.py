"""Figure 6: cars that an unsupervised network's classifier knows, and next to nothing hides.

Two QuocNets learn from disjoint halves of the training images, first without labels, then a linear
classifier each: automobile, or not.  Beside them stand the same classifier on raw pixels and on the
features of a network that was never trained.  Every test car that a network knows is moved as
little as the search can find until it is none.
"""

import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import torch
from torch import nn

from intriguing.data.dataset import ImageSet
from intriguing.data.named import load_data
from intriguing.data.patches import of_images
from intriguing.errors import InputError
from intriguing.keys import derive_key
from intriguing.measures import ProgressCallback
from intriguing.models.families.quocnet import CONFIGS, QuocNetClassifier
from intriguing.models.weights import read_model, save_model
from intriguing.paper.blind_spots import accuracy, attack, distortions, transfer, write_pictures
from intriguing.paper.figure6_config import Figure6Config, halves, one_against_rest, plan_of
from intriguing.paper.figures1to4 import Studied, analyse
from intriguing.results.opening import open_results
from intriguing.results.parquet import write_rows
from intriguing.results.rows import Measurement
from intriguing.results.schema import ModelRecord, RunRecord, Stage
from intriguing.results.store import write_run
from intriguing.runs import provenance
from intriguing.runs.study import Study, prepare
from intriguing.training.quocnet import train_unsupervised, with_classifier
from intriguing.training.sharded_checkpoint import remove_sharded

NAMES = ("QuocNet A", "QuocNet B")
LAST = "features"
"""The layer that the classifier is on."""


def figure6(
    config: Figure6Config,
    folder: Path,
    *,
    command: str,
    fresh: bool = False,
    progress: ProgressCallback | None = None,
) -> None:
    """Train both networks, compare, attack, transfer; a run that was stopped goes on."""
    with open_results(folder, "reproduce", asdict(config), 400_000_000, fresh=fresh) as before:
        if before is not None and before.status == "complete":
            return
        pair = load_data(config.data, progress=progress)
        first, second = halves(pair.train, config.seed)
        test = one_against_rest(pair.test, config.positive, config.seed)
        if config.scale == "smoke":
            test = test.first(60)
        run = RunRecord(
            "reproduce", command, asdict(config), seeds=(config.seed,),
            versions=provenance.versions(), machine=provenance.machine(torch.device(config.device)),
            tables=("figure6", "figure6-transfer"), figures=("figure6",),
            data=tuple(provenance.record_data(one) for one in (first, second, test)),
            notes=notes(config, len(first)),
        )  # fmt: skip
        write_run(folder, run)
        models, records, stages = _networks(config, folder, (first, second), progress)
        rows = accuracy(config, models, first, test, progress)
        attacked = {
            name: attack(config, name, model, test, folder, progress)
            for name, model in models.items()
        }
        rows += distortions(attacked, config.seed)
        rows += transfer(models, attacked, config.seed)
        for name, model in models.items():
            write_pictures(folder, name, model, attacked[name], config.seed)
        studied = _units(config, list(models.values()), pair.test, folder, progress)
        write_rows(folder, Measurement, [*rows, *studied.rows])
        done = replace(
            run, status="complete", stages=(*stages, *studied.stages), models=tuple(records),
            notes=(*run.notes, *studied.notes),
        )  # fmt: skip
        write_run(folder, done)


def _units(
    config: Figure6Config,
    models: Sequence[nn.Module],
    images: ImageSet,
    folder: Path,
    progress: ProgressCallback | None,
) -> Studied:
    """§3 asked of the last layer: what excites its units, and what random directions of it."""
    smoke = config.scale == "smoke"
    study = Study(
        (LAST,), k=4 if smoke else 9, directions=40, rotations=2 if smoke else 19,
        untrained=2, paths=0, seed=config.seed,
    )  # fmt: skip
    asked = prepare(study, models[0], images)
    return analyse(folder, NAMES[0], models, images, asked, progress=progress)


def notes(config: Figure6Config, images: int) -> tuple[str, ...]:
    """What a reader has to know."""
    plan = plan_of(config)
    return (
        f"{config.network}, each network trained without labels on {images:,} images that the "
        f"other never sees: {plan.steps.count:,} steps of {plan.steps.batch} images in the first "
        f"stage and {plan.steps_of(1).count:,} in each other, "
        f"λ = {', '.join(f'{value:g}' for value in plan.sparsity)}. Its classifier saw the "
        f"{config.positive} images among them and as many others; the test set is balanced too.",
        "The paper trained on frames of video with about 1 billion parameters; this is the same "
        "architecture at a size that two cores train.",
        *(("This run only tries the machinery; its numbers mean nothing.",)
          if config.scale == "smoke" else ()),
    )  # fmt: skip


def train_half(
    config: Figure6Config,
    half: ImageSet,
    folder: Path,
    slug: str,
    seed: int,
    progress: ProgressCallback | None,
) -> tuple[QuocNetClassifier, dict[str, object]]:
    """One network, from nothing to a classifier, or as it was saved before."""
    path, plan = folder / "models" / f"{slug}.safetensors", plan_of(config)
    size = CONFIGS[config.network]
    key = derive_key(config, size, plan, half.sha256, seed)
    if path.is_file() and (kept := read_model(path)[2]).get("key") == key:
        return load_classifier(path, config), kept
    patches = of_images(half.name, half.images)
    start = time.perf_counter()
    network, reports = train_unsupervised(
        size, patches, plan, seed, device=config.device,
        folder=folder / "models" / f"{slug}.checkpoints", progress=_named(progress, slug),
    )  # fmt: skip
    cars = one_against_rest(half, config.positive, config.seed)
    if config.scale == "smoke":
        cars = cars.first(100)
    model, report, decay = with_classifier(
        network, cars.images, cars.labels, plan, seed, progress=_named(progress, slug)
    )
    said: dict[str, object] = {
        "stages": [asdict(replace(r, history=r.history[:: max(1, len(r.history) // 50)]))
                   for r in reports],
        "classifier": asdict(replace(report, history=())), "decay": decay, "seed": seed, "key": key,
        "wall_seconds": time.perf_counter() - start,
    }  # fmt: skip
    save_model(path, model, model.describe(), said)
    return model, said


def load_classifier(path: Path, config: Figure6Config) -> QuocNetClassifier:
    """A saved network.

    Raises:
        InputError: If the file holds another architecture.
    """
    weights, architecture, _ = read_model(path)
    model = QuocNetClassifier(CONFIGS[config.network])
    if architecture != model.describe():
        raise InputError(f"{path} holds {architecture}, not {model.describe()}")
    model.load_state_dict(weights)
    return model.to(config.device).eval()


def _networks(
    config: Figure6Config,
    folder: Path,
    parts: tuple[ImageSet, ImageSet],
    progress: ProgressCallback | None,
) -> tuple[dict[str, QuocNetClassifier], list[ModelRecord], list[Stage]]:
    models, records, stages = {}, [], []
    for number, (name, half) in enumerate(zip(NAMES, parts, strict=True)):
        slug = f"{config.network}-{name[-1].lower()}"
        if number == 0 and config.given is not None:
            model = load_classifier(Path(config.given), config)
            said: dict[str, object] = {}
        else:
            model, said = train_half(config, half, folder, slug, config.seed + number, progress)
        for used in (folder / "models" / f"{slug}.checkpoints").glob("stage*"):
            remove_sharded(used)
        models[name] = model
        records.append(provenance.record_model(name, model, config.seed + number, training=said))
        stages.append(Stage(f"train {name}", float(str(said.get("wall_seconds", 0)))))
    return models, records, stages


def _named(progress: ProgressCallback | None, name: str) -> ProgressCallback | None:
    if progress is None:
        return None
    return lambda told: progress(replace(told, stage=f"{name}: {told.stage}"))

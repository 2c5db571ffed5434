"""Figure 6: cars that an unsupervised network's classifier knows, and next to nothing hides.

Two QuocNets learn from disjoint halves of the training images, first without labels, then a linear
classifier each: automobile, or not.  Beside them stand the same classifier on raw pixels and on the
features of a network that was never trained.  Every test car that a network knows is moved as
little as the search can find until it is none.
"""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal, TypeAlias

import torch
from torch import Tensor, nn

from intriguing.data.dataset import ImageSet
from intriguing.data.named import load_data
from intriguing.data.patches import of_images
from intriguing.distortion.noise import gaussian_noise
from intriguing.errors import InputError
from intriguing.measures import Progress, ProgressCallback, mean_interval, wilson_interval
from intriguing.models.quocnet import CONFIGS, QuocNetClassifier
from intriguing.models.weights import read_model, save_model
from intriguing.results.opening import open_results
from intriguing.results.schema import Cell, ModelRecord, RunRecord, Stage
from intriguing.results.store import write_cells, write_run, write_tensors
from intriguing.scale import provenance
from intriguing.scale.attack import Attacked, attack_in_shards
from intriguing.training.quocnet import (
    PLANS,
    Plan,
    features_of,
    fit_linear,
    prepared,
    shortened,
    train_unsupervised,
    with_classifier,
)
from intriguing.transfer.matrix import count_errors

ScaleName: TypeAlias = Literal["smoke", "quick", "paper"]
CAR, REST = 1, 0
CLASSES = ("something else", "automobile")
NAMES = ("QuocNet A", "QuocNet B")
SHOWN = 8


@dataclass(frozen=True)
class Figure6Config:
    """What is asked for.

    Attributes:
        scale: "smoke" trains a few steps on few images; its numbers mean nothing.
        network: The size, of `CONFIGS`, that fits the images.
        data: A data set of `load_data`, of which one class is the car.
        positive: The name of that class.
        seed: Of the halves, the weights and all draws.
        budget: Passes of the search for each image; None takes the method's own.
        device: A torch device.
        given: A network trained by `intriguing train` on the first half, in place of A.
    """

    scale: ScaleName = "quick"
    network: str = "quocnet-tiny"
    data: str = "cifar10"
    positive: str = "automobile"
    seed: int = 0
    budget: int | None = 100
    device: str = "cpu"
    given: str | None = None


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
        accuracy = _accuracy(config, models, first, test, progress)
        attacked = {
            name: _attack(config, name, model, test, folder, progress)
            for name, model in models.items()
        }
        cells = [*accuracy, *_distortions(attacked), *_transfer(models, attacked, config.seed)]
        write_cells(folder, cells)
        for name, model in models.items():
            _write_pictures(folder, name, model, attacked[name], config.seed)
        write_run(
            folder, replace(run, status="complete", stages=tuple(stages), models=tuple(records))
        )


def plan_of(config: Figure6Config) -> Plan:
    """How the networks are trained."""
    plan = PLANS[config.network]
    return shortened(plan, 3) if config.scale == "smoke" else plan


def halves(train: ImageSet, seed: int) -> tuple[ImageSet, ImageSet]:
    """The training images in two disjoint random parts of one size."""
    generator = torch.Generator().manual_seed(seed)
    return train.split(len(train) // 2, generator)


def one_against_rest(images: ImageSet, positive: str, seed: int) -> ImageSet:
    """All images of one class, 1, and as many of the others, 0, in mixed order.

    Raises:
        InputError: If there is no such class.
    """
    if positive not in images.class_names:
        raise InputError(
            f"{images.name} has no class {positive!r}; give one of {', '.join(images.class_names)}"
        )
    wanted = images.labels == images.class_names.index(positive)
    cars, others = wanted.nonzero()[:, 0], (~wanted).nonzero()[:, 0]
    generator = torch.Generator().manual_seed(seed)
    others = others[torch.randperm(len(others), generator=generator)[: len(cars)]]
    chosen = torch.cat([cars, others])
    chosen = chosen[torch.randperm(len(chosen), generator=generator)]
    part = images.subset(chosen, f"{images.name}[{positive} or not]")
    return replace(part, labels=wanted[chosen].long(), class_names=("other", positive))


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
    if path.is_file():
        return load_classifier(path, config), read_model(path)[2]
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
        "classifier": asdict(replace(report, history=())), "decay": decay, "seed": seed,
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
        for used in (folder / "models" / f"{slug}.checkpoints").glob("*/*"):
            used.unlink()
        models[name] = model
        records.append(provenance.record_model(name, model, config.seed + number, training=said))
        stages.append(Stage(f"train {name}", float(str(said.get("wall_seconds", 0)))))
    return models, records, stages


def _accuracy(
    config: Figure6Config,
    models: Mapping[str, nn.Module],
    half: ImageSet,
    test: ImageSet,
    progress: ProgressCallback | None,
) -> list[Cell]:
    """Right answers on the balanced test set, of both networks and of the two baselines."""
    plan = plan_of(config)
    errors = count_errors(models, [(test.images, test.labels)])
    right = {name: error.total - error.count for name, error in errors.items()}
    cars = one_against_rest(half, config.positive, config.seed)
    if config.scale == "smoke":
        cars = cars.first(100)
    untrained = prepared(CONFIGS[config.network], of_images(half.name, half.images), plan, 100)
    baselines: dict[str, Callable[[Tensor], Tensor]] = {
        "untrained features": untrained.eval(),
        "raw pixels": lambda images: images.flatten(1),
    }
    for name, features in baselines.items():
        if progress is not None:
            progress(Progress(f"baseline: {name}", 0, 1))
        found = fit_linear(features_of(features, cars.images), cars.labels, plan, config.seed)
        says = found.predict(features_of(features, test.images))
        right[name] = int((says == test.labels).sum())
    cells = []
    for row, (name, count) in enumerate(right.items()):
        low, high = wilson_interval(count, len(test))
        cells.append(
            Cell("figure6", name, "Accuracy", row, 0, "%", 100 * count / len(test), 100 * low,
                 100 * high, count, len(test))
        )  # fmt: skip
    return cells


def _attack(
    config: Figure6Config,
    name: str,
    model: nn.Module,
    test: ImageSet,
    folder: Path,
    progress: ProgressCallback | None,
) -> Attacked:
    """The nearest image that is no car, for every test car that is known."""
    cars = test.subset((test.labels == CAR).nonzero()[:, 0])
    known = features_of(model, cars.images).argmax(1).cpu() == CAR
    chosen = cars.subset(known.nonzero()[:, 0])
    if not len(chosen):
        raise InputError(f"{name} knows none of {len(cars)} cars; train it for longer")
    goals = torch.full((len(chosen),), REST)
    return attack_in_shards(
        model, chosen, goals, folder / "shards" / name.lower().replace(" ", "-"), shard_size=100,
        budget=config.budget, stage=f"minimum distortion, {name}", progress=progress,
    )  # fmt: skip


def _distortions(attacked: Mapping[str, Attacked]) -> list[Cell]:
    cells = []
    for row, (name, found) in enumerate(attacked.items()):
        count, total = int(found.success.sum()), len(found)
        low, high = wilson_interval(count, total)
        cells.append(
            Cell("figure6", name, "Known cars fooled", row, 1, "%", 100 * count / total,
                 100 * low, 100 * high, count, total)
        )  # fmt: skip
        values = found.distortion[found.success]
        if len(values):
            low, high = mean_interval(values)
            cells.append(
                Cell("figure6", name, "Av. min. distortion", row, 2, "distortion", found.mean,
                     low, high, count, total)
            )  # fmt: skip
    return cells


def _transfer(
    models: Mapping[str, nn.Module], attacked: Mapping[str, Attacked], seed: int
) -> list[Cell]:
    """Of cars that both know: how many of one's distorted ones the other takes for no car."""
    cells = []
    for row, (source, found) in enumerate(attacked.items()):
        originals, distorted = (torch.cat(part) for part in zip(
            *((x, changed) for x, changed, _ in found.found()), strict=True
        ))  # fmt: skip
        generator = torch.Generator().manual_seed(seed)
        length = float(found.distortion[found.success].double().mean())
        noisy = gaussian_noise(originals, length, generator).clamp(0, 1)
        for column, (judge, model) in enumerate(models.items()):
            known = features_of(model, originals).argmax(1) == CAR
            for shift, (label, images) in enumerate(
                ((f"{source}", distorted), (f"{source}, noise instead", noisy))
            ):
                says = features_of(model, images[known.cpu()]).argmax(1)
                lost, total = int((says != CAR).sum()), int(known.sum())
                low, high = wilson_interval(lost, total)
                cells.append(
                    Cell("figure6-transfer", label, judge, row + 2 * shift, column, "%",
                         100 * lost / max(total, 1), 100 * low, 100 * high, lost, total)
                )  # fmt: skip
    return cells


def _write_pictures(
    folder: Path, name: str, model: QuocNetClassifier, found: Attacked, seed: int
) -> None:
    """Randomly chosen known cars with their distorted versions, and the first stage's filters."""
    originals, distorted, _ = next(iter(found.found()))
    generator = torch.Generator().manual_seed(seed)
    chosen = torch.randperm(len(originals), generator=generator)[:SHOWN]
    slug = name.lower().replace(" ", "-")
    write_tensors(
        folder, f"figure6-{slug}",
        {"original": originals[chosen].numpy(), "distorted": distorted[chosen].numpy()},
        {"kind": "figure6", "title": name,
         "magnified": f"{_magnification(distorted[chosen] - originals[chosen]):g}"},
    )  # fmt: skip
    weight = model.features.stages[0].get_parameter("filter.weight").detach().cpu()
    rows, columns = weight.shape[:2]
    block = 6
    top, left = (rows - block) // 2, (columns - block) // 2
    middle = weight[top : top + block, left : left + block]
    # Maps beside each other, so that the block of one map shows neighbouring places.
    picked = middle.permute(2, 0, 1, 3, 4, 5).flatten(0, 2)
    write_tensors(
        folder, f"filters-{slug}", {"filters": picked.numpy()},
        {"kind": "colour filters", "title": f"{name}: filters of the first stage",
         "across": str(block), "blocks": str(weight.shape[2])},
    )  # fmt: skip


def _magnification(change: Tensor) -> float:
    """The power of ten that brings the largest change of a pixel to a third of the range or more.

    >>> _magnification(torch.tensor([0.01, -0.004]))
    100.0
    """
    largest = max(float(change.abs().max()), 1e-9)
    return float(10.0 ** max(0, round(-math.log10(largest))))


def _named(progress: ProgressCallback | None, name: str) -> ProgressCallback | None:
    if progress is None:
        return None
    return lambda told: progress(replace(told, stage=f"{name}: {told.stage}"))

"""What Figure 6 says of its networks: accuracy, nearest images that are no cars, and transfer."""

import math
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from intriguing.data.dataset import ImageSet
from intriguing.data.patches import of_images
from intriguing.distortion.noise import gaussian_noise
from intriguing.errors import InputError
from intriguing.estimates import Rows
from intriguing.measures import Progress, ProgressCallback, mean_interval
from intriguing.models.families.quocnet import CONFIGS, QuocNetClassifier
from intriguing.names import file_name
from intriguing.paper.figure6_config import CAR, REST, Figure6Config, one_against_rest, plan_of
from intriguing.results.rows import Condition, Measurement, Metric
from intriguing.results.store import write_tensors
from intriguing.scale.attack import Attacked, attack_in_shards
from intriguing.training.quocnet import features_of, fit_linear, prepared

PIXELS = "raw pixels"
SHOWN, FILTERS = 8, 144
DEAD = 0.1
"""A filter whose norm is below this share of the largest has died."""


def accuracy(
    config: Figure6Config,
    models: Mapping[str, nn.Module],
    half: ImageSet,
    test: ImageSet,
    progress: ProgressCallback | None,
) -> list[Measurement]:
    """Right answers on the balanced test set, of both networks and of the two baselines."""
    plan = plan_of(config)
    right = {
        name: features_of(model, test.images).argmax(1).cpu() == test.labels
        for name, model in models.items()
    }
    cars = one_against_rest(half, config.positive, config.seed)
    if config.scale == "smoke":
        cars = cars.first(100)
    untrained = prepared(CONFIGS[config.network], of_images(half.name, half.images), plan, 100)
    baselines: dict[str, Callable[[Tensor], Tensor]] = {
        "untrained features": untrained.eval(),
        PIXELS: lambda images: images.flatten(1),
    }
    for name, features in baselines.items():
        if progress is not None:
            progress(Progress(f"baseline: {name}", 0, 1))
        found = fit_linear(features_of(features, cars.images), cars.labels, plan, config.seed)
        says = found.predict(features_of(features, test.images))
        right[name] = says.cpu() == test.labels
    rows = []
    for name, known in right.items():
        made = Rows("figure6", network=name, seed=config.seed)
        count = int(known.sum())
        made.share(Metric.ACCURACY, count, len(test))
        if name != PIXELS:
            # The same images are told by both, so that what differs is known better than either.
            more = 100 * (known.double() - right[PIXELS].double())
            made.add(
                Metric.ACCURACY_DIFFERENCE, "% more", float(more.mean()), count, len(test),
                mean_interval(more), reference=PIXELS,
            )  # fmt: skip
        rows += made.made
    return rows


def attack(
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
        model, chosen, goals, folder / "shards" / file_name(name.lower().replace(" ", "-")),
        shard_size=100, budget=config.budget, stage=f"minimum distortion, {name}",
        progress=progress,
    )  # fmt: skip


def distortions(attacked: Mapping[str, Attacked], seed: int) -> list[Measurement]:
    """How many of the cars that a network knows it loses, and by how little."""
    rows = []
    for name, found in attacked.items():
        made = Rows("figure6", network=name, seed=seed)
        made.share(Metric.FOOLED, int(found.success.sum()), len(found))
        values = found.distortion[found.success]
        made.mean(Metric.MEAN_DISTORTION, "distortion", values, len(found))
        rows += made.made
    return rows


def transfer(
    models: Mapping[str, nn.Module], attacked: Mapping[str, Attacked], seed: int
) -> list[Measurement]:
    """Of cars that both know: how many of one's distorted ones the other takes for no car."""
    rows, noises = (Rows("figure6-transfer", seed=seed) for _ in range(2))
    for source, found in attacked.items():
        originals, distorted = (torch.cat(part) for part in zip(
            *((x, changed) for x, changed, _ in found.found()), strict=True
        ))  # fmt: skip
        generator = torch.Generator().manual_seed(seed)
        length = float(found.distortion[found.success].double().mean())
        noisy = gaussian_noise(originals, length, generator).clamp(0, 1)
        for judge, model in models.items():
            known = features_of(model, originals).argmax(1) == CAR
            total = int(known.sum())
            if not total:
                continue
            for made, images, condition, size in (
                (rows, distorted, Condition.ADVERSARIAL, None),
                (noises, noisy, Condition.NOISE, length),
            ):
                lost = int((features_of(model, images[known.cpu()]).argmax(1) != CAR).sum())
                made.share(Metric.ERROR, lost, total, network=judge, made_for=source,
                           condition=condition, size=size)  # fmt: skip
    return rows.made + noises.made


def write_pictures(
    folder: Path, name: str, model: QuocNetClassifier, found: Attacked, seed: int
) -> None:
    """Randomly chosen known cars with their distorted versions, and the first stage's filters."""
    originals, distorted, _ = next(iter(found.found()))
    generator = torch.Generator().manual_seed(seed)
    chosen = torch.randperm(len(originals), generator=generator)[:SHOWN]
    write_tensors(
        folder, file_name("figure6", name.lower().replace(" ", "-")),
        {"original": originals[chosen].numpy(), "distorted": distorted[chosen].numpy()},
        {"kind": "figure6", "title": name,
         "magnified": f"{_magnification(distorted[chosen] - originals[chosen]):g}"},
    )  # fmt: skip
    filters, title = _living_filters(model, generator)
    write_tensors(
        folder, file_name("filters", name.lower().replace(" ", "-")), {"filters": filters.numpy()},
        {"kind": "colour filters", "title": f"{name}: {title}"},
    )  # fmt: skip


def _living_filters(model: QuocNetClassifier, generator: torch.Generator) -> tuple[Tensor, str]:
    """Some filters of the first stage (filter, i, j, channel), and how many there are.

    Pooled sparsely, filters that reconstruct nothing which others do not shrink to nothing.
    """
    weight = model.features.stages[0].get_parameter("filter.weight").detach().cpu().flatten(0, 2)
    norms = weight.flatten(1).norm(dim=1)
    living = (norms >= DEAD * norms.max()).nonzero()[:, 0]
    chosen = living[torch.randperm(len(living), generator=generator)[:FILTERS]]
    return weight[chosen], (
        f"{len(chosen)} of the {len(living):,} living filters of the first stage, which has "
        f"{len(weight):,}"
    )


def _magnification(change: Tensor) -> float:
    """The power of ten that brings the largest change of a pixel to a third of the range or more.

    >>> _magnification(torch.tensor([0.01, -0.004]))
    100.0
    """
    largest = max(float(change.abs().max()), 1e-9)
    return float(10.0 ** max(0, round(-math.log10(largest))))

"""What Figure 6 says of its networks: accuracy, nearest images that are no cars, and transfer."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from intriguing.data.dataset import ImageSet
from intriguing.data.patches import of_images
from intriguing.distortion.noise import gaussian_noise
from intriguing.errors import InputError
from intriguing.estimates import Rows
from intriguing.measures import Progress, mean_interval
from intriguing.models.families.quocnet import QuocNetClassifier, QuocNetConfig
from intriguing.names import file_name
from intriguing.results.measured import Condition, Measurement, Metric
from intriguing.results.store import write_tensors
from intriguing.runs.run import Run
from intriguing.runs.stage import Made, Network, Stage, Trained
from intriguing.scale.attack import Attacked, attack_in_shards
from intriguing.training.quocnet import Plan, features_of, fit_linear, prepared

CAR, REST = 1, 0
"""The classes of a network of Figure 6."""
PIXELS = "raw pixels"
SHOWN, FILTERS = 8, 144
"""Cars and filters in a picture: what a page has room for."""
DEAD = 0.1
"""A filter whose norm is below this share of the largest has died."""


@dataclass(frozen=True)
class KnownCars(Stage):
    """Right answers on the balanced test set, of both networks and of two baselines.

    Attributes:
        networks: The two.
        size, plan: What an untrained one is, and how classifiers are trained.
        half, cars: Training images of the first network, and of its classifier.
        test: The images.
        seed: Of the classifiers.
    """

    name: ClassVar[str] = "figure6"
    question: ClassVar[str] = "How often does what was learned without labels know a car?"
    networks: tuple[Network | Trained, ...]
    size: QuocNetConfig
    plan: Plan
    half: ImageSet
    cars: ImageSet
    test: ImageSet
    seed: int

    def compute(self, run: Run) -> Made:
        """A row a network and a baseline."""
        models = {one.called: run.model(one) for one in self.networks}
        patches = of_images(self.half.name, self.half.images)
        # Another seed than a network's: its untrained beginning would know what it has seen.
        untrained = prepared(self.size, patches, self.plan, 100).eval()
        baselines: dict[str, Callable[[Tensor], Tensor]] = {
            "untrained features": untrained,
            PIXELS: lambda images: images.flatten(1),
        }
        test = self.test
        right = {
            name: features_of(model, test.images).argmax(1).cpu() == test.labels
            for name, model in models.items()
        }
        for name, features in baselines.items():
            if run.progress is not None:
                run.progress(Progress(f"baseline: {name}", 0, 1))
            known = features_of(features, self.cars.images)
            found = fit_linear(known, self.cars.labels, self.plan, self.seed)
            right[name] = found.predict(features_of(features, test.images)).cpu() == test.labels
        return Made(tuple(accuracy(right, self.seed)))


@dataclass(frozen=True)
class Lost(Stage):
    """The nearest image that is no car, for every test car that a network knows.

    Attributes:
        network: Whose.
        test: Balanced images.
        budget: Passes of the search for each image; None takes the method's own.
        seed: Of the networks; draws what is shown.
    """

    name: ClassVar[str] = "lost"
    question: ClassVar[str] = "How little hides a car?"
    network: Network | Trained
    test: ImageSet
    budget: int | None
    seed: int

    def compute(self, run: Run) -> Made:
        """How many are lost, and by how little; pictures."""
        found: Attacked = run.loaded(self)
        model = run.model(self.network)
        assert isinstance(model, QuocNetClassifier)
        write_pictures(run.folder, self.about, model, found, self.seed)
        rows = distortions({self.about: found}, self.seed)
        return Made(tuple(rows), passes=found.passes, seconds=found.wall_seconds)

    def load(self, run: Run) -> Attacked:
        """The examples, searched as far as they are not on disk."""
        model = run.model(self.network)
        cars = self.test.subset((self.test.labels == CAR).nonzero()[:, 0])
        known = features_of(model, cars.images).argmax(1).cpu() == CAR
        chosen = cars.subset(known.nonzero()[:, 0])
        if not len(chosen):
            raise InputError(f"{self.about} knows none of {len(cars)} cars; train it for longer")
        goals = torch.full((len(chosen),), REST)
        return attack_in_shards(
            model, chosen, goals, run.shards(self), shard_size=100, budget=self.budget,
            engine=run.engine, stage=f"minimum distortion, {self.about}", progress=run.progress,
        )  # fmt: skip


@dataclass(frozen=True)
class Shared(Stage):
    """Whether what hides a car from one network hides it from the other.

    Attributes:
        lost: Of both networks.
        seed: Of the networks; draws noise.
    """

    name: ClassVar[str] = "figure6-transfer"
    question: ClassVar[str] = "Does what hides a car from one network hide it from the other?"
    lost: tuple[Lost, ...]
    seed: int

    def compute(self, run: Run) -> Made:
        """A row a pair."""
        models = {one.about: run.model(one.network) for one in self.lost}
        attacked: dict[str, Any] = {one.about: run.loaded(one) for one in self.lost}
        return Made(tuple(transfer(models, attacked, self.seed)))


def accuracy(right: Mapping[str, Tensor], seed: int) -> list[Measurement]:
    """Of which images each answer was right, beside raw pixels."""
    rows = []
    for name, known in right.items():
        made = Rows("figure6", network=name, seed=seed)
        count = int(known.sum())
        made.share(Metric.ACCURACY, count, len(known))
        if name != PIXELS:
            # The same images are told by both, so that what differs is known better than either.
            more = 100 * (known.double() - right[PIXELS].double())
            made.add(
                Metric.ACCURACY_DIFFERENCE, "% more", float(more.mean()), count, len(known),
                mean_interval(more), reference=PIXELS,
            )  # fmt: skip
        rows += made.made
    return rows


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

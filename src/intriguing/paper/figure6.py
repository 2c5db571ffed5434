"""Figure 6: cars that an unsupervised network's classifier knows, and next to nothing hides.

Two QuocNets learn from disjoint halves of the training images, first without labels, then a linear
classifier each: automobile, or not.  Beside them stand the same classifier on raw pixels and on the
features of a network that was never trained.  Every test car that a network knows is moved as
little as the search can find until it is none.
"""

from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch

from intriguing.data.dataset import ImageSet
from intriguing.data.named import DataPair, load_data
from intriguing.data.patches import of_images
from intriguing.errors import InputError
from intriguing.measures import ProgressCallback
from intriguing.models.families.quocnet import CONFIGS, QuocNetClassifier
from intriguing.paper.blind_spots import KnownCars, Lost, Shared
from intriguing.paper.config import ScaleName
from intriguing.runs.quocnet import QuocNetTraining, load_classifier
from intriguing.runs.request import Request, Work
from intriguing.runs.stage import Network, Stage, Trained
from intriguing.runs.study import Study, prepare
from intriguing.runs.units import stages_of
from intriguing.training.quocnet import PLANS, Plan, shortened

NAMES = ("QuocNet A", "QuocNet B")
LAST = "features"
"""The layer that the classifier is on."""


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

    def __post_init__(self) -> None:
        if self.given is not None and not Path(self.given).is_file():
            raise InputError(
                f"there is no file {self.given}; make one with `intriguing train quocnet-tiny "
                "cifar10`"
            )


def plan_of(config: Figure6Config) -> Plan:
    """How the networks are trained."""
    plan = PLANS[config.network]
    return shortened(plan, 3) if config.scale == "smoke" else plan


def make(config: Figure6Config, progress: ProgressCallback | None = None) -> Work:
    """Train both networks, compare, attack, transfer."""
    pair = load_data(config.data, progress=progress)
    halved = halves(pair.train, config.seed)
    test = one_against_rest(pair.test, config.positive, config.seed)
    if config.scale == "smoke":
        test = test.first(60)
    networks = _networks(config, halved)
    given = tuple(one for one in networks if isinstance(one, Network))
    asked = Request(
        "reproduce", asdict(config), networks=given, images=(*halved, test),
        tables=("figure6", "figure6-transfer"), figures=("figure6",), seeds=(config.seed,),
        notes=notes(config, len(halved[0])), required_bytes=400_000_000,
        device=torch.device(config.device),
    )  # fmt: skip
    trained = [one for one in networks if isinstance(one, Stage)]
    lost = tuple(Lost(one, test, config.budget, config.seed) for one in networks)
    accuracy = KnownCars(
        networks, CONFIGS[config.network], plan_of(config), halved[0], _cars(config, halved[0]),
        test, config.seed,
    )  # fmt: skip
    shared = Shared(lost, config.seed)
    stages = [*trained, accuracy, *lost, shared, *_units(config, networks, pair)]
    return Work(asked, stages)


def _networks(
    config: Figure6Config, halved: tuple[ImageSet, ImageSet]
) -> tuple[Network | Trained, ...]:
    """Both; the first one may be given."""
    size = CONFIGS[config.network]
    networks: list[Network | Trained] = []
    for number, (name, half) in enumerate(zip(NAMES, halved, strict=True)):
        if number == 0 and config.given is not None:
            model = load_classifier(Path(config.given), size, config.device)
            networks.append(Network(name, model))
            continue
        patches = of_images(half.name, half.images)
        networks.append(
            QuocNetTraining(
                name, f"{config.network}-{name[-1].lower()}", size, plan_of(config), patches,
                patches.fingerprint, _cars(config, half), config.seed + number, config.device,
            )
        )  # fmt: skip
    return tuple(networks)


def _cars(config: Figure6Config, half: ImageSet) -> ImageSet:
    """What a classifier learns from."""
    cars = one_against_rest(half, config.positive, config.seed)
    return cars.first(100) if config.scale == "smoke" else cars


def _units(
    config: Figure6Config, networks: tuple[Network | Trained, ...], pair: DataPair
) -> list[Stage]:
    """§3 asked of the last layer: what excites its units, and what random directions of it."""
    smoke = config.scale == "smoke"
    study = Study(
        (LAST,), k=4 if smoke else 9, directions=40, rotations=2 if smoke else 19,
        untrained=2, paths=0, seed=config.seed,
    )  # fmt: skip
    like = QuocNetClassifier(CONFIGS[config.network]).eval()
    return stages_of(networks, pair.test, prepare(study, like, pair.test))


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

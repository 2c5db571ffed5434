"""What a study of hardening is asked for."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from intriguing.errors import InputError
from intriguing.keys import derive_key
from intriguing.paper.config import ScaleName
from intriguing.paper.hardening.regimes import REGIMES, Regime, candidates, curve
from intriguing.paper.networks import draw

BUDGET = 400
"""Passes an image of the search that judges the trained networks, `closest`."""


@dataclass(frozen=True)
class HardeningScale:
    """How much of what.

    Attributes:
        data: Name of the images.
        epochs, start: Of each training, and how many of them are without pools.
        held_out: Training images that the search judges settings by.
        attacked: Test images that are attacked, the first so many.
        remark: What a reader must know.
    """

    data: str
    epochs: int
    start: int
    held_out: int
    attacked: int
    remark: str = ""


SCALES: dict[str, HardeningScale] = {
    "smoke": HardeningScale(
        "digits", 10, 2, 300, 20,
        remark="This run only tries the machinery, on 8×8 digits with trainings of ten epochs.",
    ),
    "quick": HardeningScale(
        "mnist-5k", 60, 6, 1000, 100,
        remark="The networks were trained on 4,000 images, the paper's on 60,000, and errors are "
        "of 1,000 images: differences below a percentage point mean nothing here.",
    ),
    "paper": HardeningScale("mnist", 30, 3, 10_000, 500),
}  # fmt: skip
"""All of MNIST, less of it in more epochs, and a trial; of the test images some are attacked, as
there are some fifty networks to attack."""


@dataclass(frozen=True)
class HardeningConfig:
    """A study of hardening.

    Attributes:
        scale: "paper" is all of MNIST, "quick" 5,000 images of it, "smoke" a trial in seconds.
        seeds: Seeds 0 … seeds − 1 for each regime; points of the penalty's curve have seed 0 only.
        device: A torch device.
        search: Try settings on held-out training images, instead of judging the chosen ones by
            the test images.
        data_root: Folder of the user's own copy of the data.
    """

    scale: ScaleName = "quick"
    seeds: int = 1
    device: str = "cpu"
    search: bool = False
    data_root: str | None = None

    def __post_init__(self) -> None:
        if self.scale not in SCALES:
            raise InputError(f"unknown scale {self.scale!r}; one of {', '.join(SCALES)}")
        if self.seeds < 1:
            raise InputError(f"{self.seeds} seeds; give 1 or more")


@dataclass(frozen=True)
class Trial:
    """One network to train.

    Attributes:
        regime: With the settings and epochs that it is trained with.
        seed: Its number.
        of: The slug of the regime that it is, or that it is tried for.
    """

    regime: Regime
    seed: int
    of: str

    def draw(self, what: str) -> int:
        """A seed of its own; weights are the same for all regimes, so that pairs differ less."""
        return draw("hardening", what, self.seed)


def trials(config: HardeningConfig) -> Iterator[Trial]:
    """All networks, those of the first seed first."""
    scale = SCALES[config.scale]
    for seed in range(config.seeds):
        if config.search:
            pairs = list(candidates())
        else:
            chosen = (*REGIMES, *curve()) if seed == 0 else REGIMES
            pairs = [(one.slug, one) for one in chosen]
        for of, one in pairs:
            scaled = one.scaled(scale.epochs, scale.start)
            if config.search:
                scaled = replace(scaled, slug=f"{of}-{derive_key(scaled)[:8]}")
            yield Trial(scaled, seed, of)

"""What verdicts are asked for, and how much of what their networks and images are."""

from dataclasses import dataclass

from intriguing.errors import InputError
from intriguing.paper.config import ScaleName


@dataclass(frozen=True)
class ClaimScale:
    """How much of what.

    Attributes:
        data: Name of the images.
        epochs: Of a training on all of them; on fewer as many steps.
        attacked: Test images that are attacked, the first that the networks read; of five seeds so
            many that a share of all of them can be known to be above 99 %.
        budget: Passes of the search for each.
        widths: Units of a network of one hidden layer.
        depths: Hidden layers of a network of equal layers.
        sizes: How many training images.
        tiny: Seeds of a tiny network, in each of the study's seeds; of five so many that a share of
            none of them can be known to be below 5 %.
        autoencoder: Iterations of the autoencoder.
        remark: What a reader must know.
    """

    data: str
    epochs: int
    attacked: int
    budget: int
    widths: tuple[int, ...]
    depths: tuple[int, ...]
    sizes: tuple[int, ...]
    tiny: int
    autoencoder: int
    remark: str = ""


SCALES: dict[str, ClaimScale] = {
    "smoke": ClaimScale(
        "digits", 40, 12, 15, (4, 64), (1, 3), (300, 1438), 2, 20,
        remark="This run only tries the machinery, on 8×8 digits with short trainings: its "
        "verdicts mean nothing.",
    ),
    "quick": ClaimScale(
        "digits", 30, 120, 40, (4, 16, 64, 256, 1024), (1, 2, 4, 8), (90, 360, 1438), 15, 150,
        remark="The networks learned from 1,438 images of 8×8 pixels that come with the "
        "installation, the paper's from 60,000 of 28×28.",
    ),
    "paper": ClaimScale(
        "mnist", 10, 200, 100, (4, 8, 16, 32, 64, 128, 256, 512, 1024), (1, 2, 3, 4, 6, 8),
        (500, 2000, 8000, 30_000, 60_000), 15, 400,
    ),
}  # fmt: skip
"""A trial; the smaller of the embedded sets of digits, on which all is measured in minutes; all of
MNIST."""


@dataclass(frozen=True)
class ClaimsConfig:
    """Verdicts to be had.

    Attributes:
        claims: Names; none for all.
        scale: "quick" is 1,797 embedded digits, "paper" all of it, "smoke" a trial.
        seeds: Seeds 0 … seeds − 1; each trains all networks afresh.
        device: A torch device.
        data_root: Folder of the user's own copy of the data.
    """

    claims: tuple[str, ...] = ()
    scale: ScaleName = "quick"
    seeds: int = 5
    device: str = "cpu"
    data_root: str | None = None

    def __post_init__(self) -> None:
        if self.scale not in SCALES:
            raise InputError(f"unknown scale {self.scale!r}; one of {', '.join(SCALES)}")
        if self.seeds < 1:
            raise InputError(f"{self.seeds} seeds; give 1 or more")

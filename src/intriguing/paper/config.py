"""What a reproduction is asked for."""

from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from intriguing.distortion.penalty import PaperConfig
from intriguing.errors import InputError
from intriguing.paper.items import (
    ALONE,
    DEFAULT,
    FIGURES,
    ITEMS,
    OF_MNIST,
    OF_NETWORKS,
    OF_PHOTOGRAPHS,
    TABLES,
)
from intriguing.paper.networks import FURTHER

ScaleName: TypeAlias = Literal["smoke", "quick", "paper"]


@dataclass(frozen=True)
class Scale:
    """How much data: its name, how many training images P1 has, and a limit to the attacked ones.

    training: How many images the data set trains on.
    max_iterations, alexnet_width: shorten the trainings, and narrow Table 5's AlexNet, of a scale
        that only tries the machinery.
    """

    data: str
    split: int
    training: int
    limit: int | None = None
    max_iterations: int | None = None
    remark: str = ""
    alexnet_width: int = 96


SCALES: dict[str, Scale] = {
    "smoke": Scale(
        "digits", 700, 1438, limit=60, max_iterations=20, alexnet_width=6,
        remark="This run only tries the machinery, on 8×8 digits with trainings cut short and a "
        "narrow AlexNet: its numbers are not comparable with the paper's.",
    ),
    "quick": Scale(
        "mnist-5k", 2000, 4000,
        remark="The networks were trained on 4,000 images (2,000 in P1 and in P2), the paper's on "
        "60,000 (30,000): test errors are larger here for that reason.",
    ),
    "paper": Scale("mnist", 30_000, 60_000),
}  # fmt: skip
"""The paper's sizes, halves of 30,000 among them (§4.2), and smaller ones in proportion."""


@dataclass(frozen=True)
class ReproduceConfig:
    """A reproduction of §3, of §4.2, and of Table 5.

    Attributes:
        items: Of `ITEMS`; only what they need is computed.
        scale: "paper" is all of MNIST, "quick" 5,000 images of it, "smoke" a trial in seconds.
        seeds: Seeds 0 … seeds − 1; each splits, trains and attacks afresh.
        device: A torch device.
        data_root: Folder of the user's own copy of the data.
        attack: The search for the minimum distortion.
        shard_size: Images attacked between two saves; None chooses by the device.
        network: A network for Table 5 and for Figures 3 to 5, as `load_model` reads it. In Table 5
            weights of AlexNet take the place of random ones, others get a table of their own.
        input: The shape of one of its images, where it does not say that itself.
        images: A folder or zip of pictures, for Figures 3 to 5.
        budget: Passes of the search for each of Figure 5's images.
        further: Of `FURTHER`: networks that Tables 1 to 4 have besides the paper's.
    """

    items: tuple[str, ...] = DEFAULT
    scale: ScaleName = "quick"
    seeds: int = 1
    device: str = "cpu"
    data_root: str | None = None
    attack: PaperConfig = field(default_factory=PaperConfig)
    shard_size: int | None = None
    network: str | None = None
    input: tuple[int, ...] | None = None
    images: str | None = None
    budget: int = 200
    further: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        unknown = [item for item in self.items if item not in (*ITEMS, *ALONE)]
        if unknown or not self.items:
            wrong = f"{', '.join(unknown)} cannot be reproduced" if unknown else "nothing is asked"
            raise InputError(f"{wrong}; choose from {', '.join((*ITEMS, *ALONE))}")
        if alone := [item for item in self.items if item in ALONE]:
            raise InputError(
                f"{alone[0]} stands alone, in a folder of its own: intriguing reproduce {alone[0]}"
            )
        if self.scale not in SCALES:
            raise InputError(f"unknown scale {self.scale!r}; one of {', '.join(SCALES)}")
        if self.seeds < 1:
            raise InputError(f"{self.seeds} seeds; give 1 or more")
        if self.shard_size is not None and self.shard_size < 1:
            raise InputError(f"shards of {self.shard_size} images; give 1 or more")
        pictured = any(item in OF_PHOTOGRAPHS for item in self.items)
        if self.network is not None and "table5" not in self.items and not pictured:
            raise InputError(
                "a network is for table5, figure3, figure4 and figure5, which are not asked "
                "for; add one"
            )
        if pictured and (self.network is None or self.images is None):
            raise InputError(
                "figure3, figure4 and figure5 are of a network for photographs and of a folder of "
                "them; give both: --network squeezenet:FILE.safetensors --images FOLDER"
            )
        if self.images is not None and not pictured:
            raise InputError(
                "images are for figure3 and figure4, or figure5, which are not asked for; add one"
            )
        if pictured and any(item in OF_MNIST for item in self.items):
            raise InputError(
                "figure1 and figure2 are of MNIST, figure3 to figure5 of photographs; ask for "
                "them apart, each with an --out of its own"
            )
        if self.input is not None and self.network is None:
            raise InputError("an input shape is of a network; give the network, too")
        if unknown := [one for one in self.further if one not in FURTHER]:
            raise InputError(
                f"there is no further network {unknown[0]!r}; choose from {', '.join(FURTHER)}"
            )
        if self.further and not set(OF_NETWORKS) & set(self.items):
            raise InputError(
                f"further networks are for {', '.join(OF_NETWORKS)}, which are not asked for; add "
                "one"
            )
        if self.budget < 1:
            raise InputError(f"{self.budget} passes allow no search; give 1 or more")

    @property
    def tables(self) -> tuple[str, ...]:
        """The tables asked for, in the paper's order."""
        return tuple(item for item in TABLES if item in self.items)

    @property
    def figures(self) -> tuple[str, ...]:
        """The figures asked for."""
        return tuple(item for item in FIGURES if item in self.items)

    @property
    def images_per_shard(self) -> int:
        """`shard_size`, or what costs at most about a minute when lost."""
        return self.shard_size or (2000 if self.device.startswith("cpu") else 10_000)

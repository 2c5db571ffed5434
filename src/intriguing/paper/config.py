"""What a reproduction is asked for, and the networks that needs."""

import zlib
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from intriguing.distortion.penalty import PaperConfig
from intriguing.errors import InputError
from intriguing.paper.networks import MNIST_NETWORKS, SPLIT_NETWORKS, convolutional
from intriguing.training.recipe import Recipe

ScaleName: TypeAlias = Literal["smoke", "quick", "paper"]
TABLES = ("table1", "table2", "table3", "table4", "table5")
UNITS = ("figure1", "figure2")
PHOTOGRAPHS = ("figure3", "figure4")
OSTRICHES = ("figure5",)
GIVEN = (*PHOTOGRAPHS, *OSTRICHES)
FIGURES = (*UNITS, "figure7", "filters")
ITEMS = TABLES + FIGURES
"""What is made when nothing is chosen; Figures 3 to 5 need a network and photographs of yours."""
FIGURE7_NETWORKS = ("FC10(1e-4)", "FC200-200-10")


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


@dataclass(frozen=True)
class ReproduceConfig:
    """A reproduction of §3, of §4.2, and of Table 5.

    Attributes:
        items: Which of table1 … table5, figure1 … figure5, figure7 and filters; only what they need
            is computed.
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
        passes: Of the search for each of Figure 5's images.
    """

    items: tuple[str, ...] = ITEMS
    scale: ScaleName = "quick"
    seeds: int = 1
    device: str = "cpu"
    data_root: str | None = None
    attack: PaperConfig = field(default_factory=PaperConfig)
    shard_size: int | None = None
    network: str | None = None
    input: tuple[int, ...] | None = None
    images: str | None = None
    passes: int = 200

    def __post_init__(self) -> None:
        unknown = [item for item in self.items if item not in (*ITEMS, *GIVEN)]
        if unknown or not self.items:
            wrong = f"{', '.join(unknown)} cannot be reproduced" if unknown else "nothing is asked"
            raise InputError(f"{wrong}; choose from {', '.join((*ITEMS, *GIVEN))}")
        if self.scale not in SCALES:
            raise InputError(f"unknown scale {self.scale!r}; one of {', '.join(SCALES)}")
        if self.seeds < 1:
            raise InputError(f"{self.seeds} seeds; give 1 or more")
        if self.shard_size is not None and self.shard_size < 1:
            raise InputError(f"shards of {self.shard_size} images; give 1 or more")
        pictured = any(item in GIVEN for item in self.items)
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
        if pictured and any(item in UNITS for item in self.items):
            raise InputError(
                "figure1 and figure2 are of MNIST, figure3 to figure5 of photographs; ask for "
                "them apart, each with an --out of its own"
            )
        if self.input is not None and self.network is None:
            raise InputError("an input shape is of a network; give the network, too")
        if self.passes < 1:
            raise InputError(f"{self.passes} passes allow no search; give 1 or more")

    @property
    def tables(self) -> tuple[str, ...]:
        """The tables asked for, in the paper's order."""
        return tuple(item for item in TABLES if item in self.items)

    @property
    def figures(self) -> tuple[str, ...]:
        """The figures asked for."""
        every = (*UNITS, *GIVEN, *FIGURES[len(UNITS) :])
        return tuple(item for item in every if item in self.items)

    @property
    def images_per_shard(self) -> int:
        """`shard_size`, or what costs at most about a minute when lost."""
        return self.shard_size or (2000 if self.device.startswith("cpu") else 10_000)


@dataclass(frozen=True)
class Job:
    """One network of one seed: its training set, and the set it is attacked on, if any."""

    recipe: Recipe
    seed: int
    trained_on: Literal["train", "P1", "P2"]
    attacked_on: Literal["train", "test"] | None

    @property
    def row(self) -> str:
        """Its name in the tables."""
        return self.recipe.name

    @property
    def label(self) -> str:
        """Its name where networks of different tables meet: FC100-100-10 is in both."""
        return self.row if self.trained_on == "train" else f"{self.row} ({self.trained_on})"

    @property
    def title(self) -> str:
        """Its name with the seed."""
        return self.label + (f", seed {self.seed}" if self.seed else "")

    @property
    def key(self) -> str:
        """Name of its files."""
        return self.recipe.slug + (f"-seed{self.seed}" if self.seed else "")

    def draw(self, what: str) -> int:
        """A seed of its own for everything that is drawn for this network."""
        return draw(what, self.recipe.slug, self.seed)


def draw(*names: object) -> int:
    """A seed made from names, the same in every process."""
    return zlib.crc32("/".join(map(str, names)).encode())


def jobs(config: ReproduceConfig) -> list[Job]:
    """The networks that the asked items need, no others."""
    whole = {"table1", "table2"} & set(config.items)
    split = {"table3", "table4"} & set(config.items)
    pictured = {
        *(FIGURE7_NETWORKS if "figure7" in config.items else ()),
        *(("AE400-10",) if "filters" in config.items else ()),
    }
    chosen: list[Job] = []
    for seed in range(config.seeds):
        for recipe in MNIST_NETWORKS:
            if whole:
                chosen.append(Job(recipe, seed, "train", "train"))
            elif recipe.name in pictured and seed == 0:
                chosen.append(Job(recipe, seed, "train", None))
        if set(UNITS) & set(config.items):
            recipe = convolutional(SCALES[config.scale].training)
            chosen.append(Job(recipe, seed, "train", None))
        if split:
            chosen += [Job(recipe, seed, part, "test") for recipe, part in SPLIT_NETWORKS]
    return chosen

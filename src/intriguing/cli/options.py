"""The options that verbs share, and their help: known without importing what they run."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias

from tyro.conf import OmitArgPrefixes, Positional, arg

from intriguing.addresses import as_folder
from intriguing.data.limits import LIMITS, Limits
from intriguing.distortion.method_names import Method as Method
from intriguing.scale.engine import Engine, EngineOptions

if TYPE_CHECKING:
    import torch

MODEL = (
    "FILE.safetensors of `intriguing train`, ARCHITECTURE:FILE, FILE.py:FUNCTION, "
    "torchvision:NAME, timm:NAME, hf:OWNER/NAME or onnx:FILE."
)
DATA = (
    "mnist, mnist-5k, digits or cifar10; or pictures, a class a subfolder or labelled by a CSV: "
    "folder:PATH, zip:FILE, tar:PATH (WebDataset's *.tar), parquet:PATH (*.parquet), "
    "imagenet:PATH, hf:OWNER/NAME."
)
TARGETS = (
    "What each image is to be taken for: random (a random wrong class, as in the paper), runner-up "
    "(the likeliest wrong class), untargeted (any wrong class: how close the nearest adversarial "
    "example is), all (every wrong class by itself, keeping the nearest), or the number of a class."
)

Model: TypeAlias = Annotated[Positional[str], arg(metavar="MODEL", help=MODEL)]
Data: TypeAlias = Annotated[Positional[str], arg(metavar="DATA", help=DATA)]
Targets: TypeAlias = Annotated[str, arg(help=TARGETS)]
Sizes: TypeAlias = Annotated[str | None, arg(metavar="SIZES")]
Device: TypeAlias = Literal["auto", "cpu", "cuda"]


@dataclass(frozen=True)
class Reading:
    """Which images of DATA, and how they are read.

    Attributes:
        part: The test or the training images, of a named data set.
        limit: Only so many images: the first, or of a folder evenly spaced ones.
        input: Shape of one image, such as 3,224,224, where pictures do not tell and the network
            neither.
        limits: What one picture may ask for.
    """

    part: Literal["test", "train"] = "test"
    limit: int | None = None
    input: Sizes = None
    limits: Annotated[Limits, OmitArgPrefixes, arg(name="")] = LIMITS


NOTHING_SAID = EngineOptions()


@dataclass(frozen=True)
class Place:
    """Where a verb runs, and where its results go.

    Attributes:
        device: auto takes a GPU where there is one.
        out: The results folder, or its address in an object store, such as s3://BUCKET/PREFIX;
            results/VERB and what it is about when not given.
        fresh: Delete the results that are in the folder and start again.
        computed: Who computes.
    """

    device: Device = "auto"
    out: Path | None = None
    fresh: bool = False
    computed: Annotated[EngineOptions, OmitArgPrefixes, arg(name="")] = NOTHING_SAID

    @property
    def engine(self) -> Engine:
        """Who computes; what cannot be is refused here and not where words are read."""
        return Engine(**vars(self.computed))

    @property
    def chosen(self) -> "torch.device":
        """The device, asked for before anything is loaded: so is an engine that cannot be."""
        from intriguing.cli.setup import choose_device

        _ = self.engine
        return choose_device(self.device)

    def folder(self, verb: str, *names: str) -> Path:
        """The results folder: as asked, else named after the verb and what it is about."""
        from intriguing.cli.setup import default_folder

        return as_folder(self.out or default_folder(verb, *names))


@dataclass(frozen=True)
class Running(Place):
    """Where a verb runs, where its results go, and what it draws.

    Attributes:
        seed: Of all that is drawn at random: targets, noise, bases, initial weights.
    """

    seed: int = 0


READING, PLACE, RUNNING = Reading(), Place(), Running()
Read: TypeAlias = Annotated[Reading, OmitArgPrefixes]
Run: TypeAlias = Annotated[Running, OmitArgPrefixes]

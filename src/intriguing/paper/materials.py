"""What the tables and figures of a reproduction are made of: images, and networks to be trained."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from jaxtyping import Int64
from torch import Tensor

from intriguing.data.dataset import ImageSet
from intriguing.data.folder import list_pictures
from intriguing.data.limits import LIMITS, Limits
from intriguing.data.named import DataPair, load_data
from intriguing.data.preprocessing import of_shape
from intriguing.distortion.search import Search
from intriguing.distortion.targets import choose_targets
from intriguing.errors import InputError
from intriguing.measures import ProgressCallback
from intriguing.models.load import load_model
from intriguing.models.normalized import preprocessing_of
from intriguing.paper.config import SCALES, ReproduceConfig, Scale
from intriguing.paper.networks import (
    MNIST_NETWORKS,
    SPLIT_NETWORKS,
    Part,
    draw,
    further,
    short_name,
)
from intriguing.runs.attacking import Plan
from intriguing.runs.examples import Examples
from intriguing.runs.stage import Network
from intriguing.runs.training import Training
from intriguing.training.recipe import Recipe


@dataclass(frozen=True)
class Sets:
    """The images of one seed: P1 and P2 are its random halves of the training set.

    attacked: the "train" and "test" images to distort; all of them, unless the scale has a limit.
    """

    train: ImageSet
    test: ImageSet
    p1: ImageSet
    p2: ImageSet
    attacked: Mapping[str, ImageSet]

    def training(self, part: Part) -> ImageSet:
        """What a network learns from."""
        return {"train": self.train, "P1": self.p1, "P2": self.p2}[part]


@dataclass(frozen=True)
class Photographs:
    """A network for photographs, and photographs; with classes, where the folder says them."""

    network: Network
    images: ImageSet
    labelled: bool
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Materials:
    """Images and networks, each loaded when a stage first asks for it.

    Attributes:
        config: What is reproduced.
        progress: Called while images are read.
        limits: What one picture may ask for; see `Limits`.
    """

    config: ReproduceConfig
    progress: ProgressCallback | None = None
    limits: Limits = LIMITS

    @property
    def scale(self) -> Scale:
        """How much of what."""
        return SCALES[self.config.scale]

    @cached_property
    def data(self) -> DataPair:
        """MNIST, or what stands for it.

        Raises:
            InputError: If it cannot be had.
        """
        return load_data(self.scale.data, self.config.data_root, self.progress)

    @cached_property
    def sets(self) -> tuple[Sets, ...]:
        """The images of each seed."""
        return tuple(split_sets(self.scale, self.data, seed) for seed in range(self.config.seeds))

    @cached_property
    def photographs(self) -> Photographs:
        """The network and the pictures that were given.

        Raises:
            InputError: If they cannot be had, or do not fit.
        """
        config = self.config
        assert config.network is not None
        assert config.images is not None
        model = load_model(config.network).to(config.device)
        how = preprocessing_of(model) if config.input is None else of_shape(config.input)
        if how is None:
            raise InputError(
                f"{config.network} does not say what shape its images have; give it: --input "
                "3,224,224"
            )
        pictures = list_pictures(config.images, self.limits)
        images, skipped = pictures.read(how, self.progress, self.limits)
        notes = tuple(
            f"{len(skipped)} files could not be read and were left out, for instance {file.name} "
            f"({file.reason})."
            for file in skipped[:1]
        )
        network = Network(short_name(config.network), model)
        return Photographs(network, images, pictures.labelled, notes)

    def training(self, recipe: Recipe, seed: int, part: Part = "train") -> Training:
        """A network of one seed; where networks of different tables meet, it is called after both.

        FC100-100-10 is in Table 1 and in Table 3.
        """
        sets = self.sets[seed]
        images = sets.training(part)
        called = recipe.name if part == "train" else f"{recipe.name} ({part})"
        return Training(
            called, seed, shortened(recipe, self.scale.max_iterations), images,
            draw("training", recipe.slug, seed), self.config.device,
            judged={"train_error": images, "test_error": sets.test},
        )  # fmt: skip

    def attack(self, recipe: Recipe, seed: int, part: Part = "train") -> Examples:
        """It attacked: on images that it learned from, of a half on test images."""
        images = self.sets[seed].attacked["train" if part == "train" else "test"]
        plan = Plan(images, self.targets(recipe, seed, images), images.classes)
        search = Search("paper", config=self.config.attack)
        network = self.training(recipe, seed, part)
        return Examples(network, plan, search, self.config.images_per_shard)

    def targets(self, recipe: Recipe, seed: int, images: ImageSet) -> Int64[Tensor, " image"]:
        """A random wrong class for every image of a whole set, drawn for this network alone."""
        generator = torch.Generator().manual_seed(draw("targets", recipe.slug, seed))
        return choose_targets(images.labels, images.classes, generator)

    def whole(self, seed: int) -> tuple[Examples, ...]:
        """The networks of Tables 1 and 2, the further ones last."""
        besides = further(self.config.further, len(self.sets[seed].train))
        return tuple(self.attack(recipe, seed) for recipe in (*MNIST_NETWORKS, *besides))

    def halves(self, seed: int) -> tuple[Examples, ...]:
        """The networks of Tables 3 and 4, the further ones last, which learn from P1."""
        besides = further(self.config.further, len(self.sets[seed].p1), "P1")
        networks = (*SPLIT_NETWORKS, *((recipe, "P1") for recipe in besides))
        return tuple(self.attack(recipe, seed, part) for recipe, part in networks)

    @property
    def used(self) -> tuple[Sequence[ImageSet], Sequence[Network], tuple[str, ...]]:
        """The images and given networks that stages have asked for so far, with remarks on them."""
        images: list[ImageSet] = []
        networks: list[Network] = []
        notes: tuple[str, ...] = ()
        if "data" in vars(self):
            images += [self.data.train, self.data.test]
        if "photographs" in vars(self):
            images.append(self.photographs.images)
            networks.append(self.photographs.network)
            notes = self.photographs.notes
        return images, networks, notes


def split_sets(scale: Scale, data: DataPair, seed: int) -> Sets:
    """The images of one seed."""
    generator = torch.Generator().manual_seed(draw("split", data.name, seed))
    p1, p2 = data.train.split(scale.split, generator)
    attacked = {"train": data.train, "test": data.test}
    if scale.limit is not None:
        attacked = {name: images.first(scale.limit) for name, images in attacked.items()}
    return Sets(data.train, data.test, p1, p2, attacked)


def shortened(recipe: Recipe, iterations: int | None) -> Recipe:
    """The recipe with at most so many iterations, or one epoch; None leaves it."""
    if iterations is None:
        return recipe
    return replace(
        recipe,
        stop=replace(recipe.stop, max_iterations=iterations),
        schedule=recipe.schedule and recipe.schedule.shortened,
        autoencoder_stop=replace(recipe.autoencoder_stop, max_iterations=iterations),
    )

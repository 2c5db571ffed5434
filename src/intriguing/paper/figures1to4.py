"""Figures 1 to 4: images that excite units, and random directions, most; and the claim tested.

Figures 1 and 2 are of a convolutional network trained on MNIST, on its test images; Figures 3 and 4
of any network for photographs and any folder of them.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from intriguing.models.family import build_network
from intriguing.paper.networks import CONVOLUTIONAL, convolutional
from intriguing.runs.stage import Stage
from intriguing.runs.study import Study, prepare
from intriguing.runs.units import stages_of

if TYPE_CHECKING:
    from intriguing.paper.materials import Materials

LAYERS = ("relu1", "relu2", "relu3")
"""Of the network for MNIST: after each convolution, and the hidden layer."""


def make_units(given: "Materials") -> list[Stage]:
    """Figures 1 and 2, as far as they are asked for; of a network a seed, shown of the first."""
    recipe, images = convolutional(given.scale.training), given.sets[0].test
    networks = [given.training(recipe, seed) for seed in range(given.config.seeds)]
    bases, smoke = _bases(given, ("figure1", "figure2")), given.config.scale == "smoke"
    study = Study(
        LAYERS, bases, rotations=9 if smoke else None, untrained=2 if smoke else 8,
        paths=2 if smoke else 10,
    )  # fmt: skip
    like = build_network(CONVOLUTIONAL, tuple(images.images.shape[1:])).eval()
    return stages_of(networks, images, prepare(study, like, images))


def make_photographs(given: "Materials") -> list[Stage]:
    """Figures 3 and 4, as far as they are asked for; of the last layer of nonlinearities."""
    network, images = given.photographs.network, given.photographs.images
    bases = _bases(given, ("figure3", "figure4"))
    study = Study(bases=bases, rotations=39, untrained=2, paths=0)
    last = prepare(study, network.model, images).names[-1:]
    asked = prepare(replace(study, layers=last), network.model, images)
    return stages_of([network], images, asked)


def _bases(given: "Materials", both: Sequence[str]) -> tuple[str, ...]:
    """The first of both figures is of the natural basis, the second of random directions."""
    pairs = zip(("natural", "random"), both, strict=True)
    return tuple(basis for basis, figure in pairs if figure in given.config.items)

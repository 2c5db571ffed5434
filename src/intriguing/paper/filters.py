"""The first-layer filters of the sparse autoencoder of §4.2."""

from typing import TYPE_CHECKING

from intriguing.paper.networks import MNIST_NETWORKS
from intriguing.runs.stage import Stage
from intriguing.runs.training import Filters

if TYPE_CHECKING:
    from intriguing.paper.materials import Materials

TITLE = "First-layer filters of AE400-10's sparse autoencoder"


def make(given: "Materials") -> list[Stage]:
    """Of the first seed's network."""
    (recipe,) = (one for one in MNIST_NETWORKS if one.architecture == "ae400-10")
    return [Filters(given.training(recipe, 0), TITLE)]

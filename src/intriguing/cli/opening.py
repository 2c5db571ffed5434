"""The networks and images of a verb, made to fit each other and looked at before the work."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from intriguing.cli.setup import Part, choose_any_images, load_network, names_of
from intriguing.data.dataset import ImageSet
from intriguing.data.limits import LIMITS, Limits
from intriguing.errors import InputError
from intriguing.models.asking import Classifier
from intriguing.models.classifier import check_classifier, own_labels
from intriguing.runs.stage import Network

_SMALL = 3 * 64 * 64
"""Images of which a few hundred take no time that is worth a progress bar."""
_LOOKED = 1000
"""Streamed images that are read before the work, to see whether networks and labels fit."""


@dataclass(frozen=True)
class Opened:
    """What a verb works on.

    Attributes:
        networks: In evaluation mode, all for the same images.
        images: With true classes, or those that the first network gives.
        notes: What a reader of the results should know: files that were left out, classes that are
            the network's own, and what looks wrong.
    """

    networks: tuple[Network, ...]
    images: ImageSet
    notes: tuple[str, ...]

    @property
    def only(self) -> Network:
        """The only network."""
        (network,) = self.networks
        return network


def open_all(
    specs: Sequence[str],
    data: str,
    part: Part,
    limit: int | None,
    size: str | None,
    place: torch.device,
    limits: Limits = LIMITS,
) -> Opened:
    """Load networks and images, refuse what does not fit, and warn of what looks wrong.

    Pictures are cut as the first network expects; the others resize them where they want another
    size.

    Raises:
        InputError: If a network or the data cannot be had, or do not fit.
    """
    from intriguing.cli.console import Console
    from intriguing.models.resized import fitted

    loaded = {
        name: load_network(spec, place) for name, spec in zip(names_of(specs), specs, strict=True)
    }
    first = next(iter(loaded.values()))
    images, labelled, remarks = choose_any_images(specs[0], first, data, part, limit, size, limits)
    networks = []
    for spec, (name, network) in zip(specs, loaded.items(), strict=True):
        try:
            networks.append(Network(name, fitted(network, images.images.shape[1:])))
            labels = images.labels if labelled else None
            check_classifier(networks[-1].model, next(images.pixels(16)), labels)
        except InputError as error:
            raise InputError(f"{spec}: {error}") from error
    if not labelled:
        images = own_labels(first, images)
        remarks += (
            f"The images have no labels: the class that {networks[0].name} gives the unchanged "
            "image is taken for the true one, so nothing is said about how often it is right.",
        )
    warnings = tuple(
        warning for one in networks
        for warning in _warnings(one.name, one.model, images, labelled=labelled)
    )  # fmt: skip
    console = Console(stderr=True)
    for remark in (*remarks, *warnings):
        console.print(remark, style="yellow", highlight=False, soft_wrap=True, markup=False)
    return Opened(tuple(networks), images, (*remarks, *warnings))


def _warnings(name: str, network: nn.Module, images: ImageSet, *, labelled: bool) -> Iterator[str]:
    """What looks wrong, in a sentence each."""
    from intriguing.cli.progress import shown
    from intriguing.models.clean_accuracy import clean_accuracy
    from intriguing.models.preflight import randomised

    found = list(randomised(Classifier.of(network), next(images.pixels(16))))
    if labelled:
        with shown() as progress:
            told = progress if images.images[0].numel() > _SMALL else None
            looked = images if images.in_memory else images.sample(_LOOKED).read()
            found += clean_accuracy(network, looked, progress=told).findings
    for finding in found:
        yield f"Warning: {name}: {finding}"

"""The networks and images of a verb, made to fit each other and looked at before the work."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from intriguing.cli.options import READING, Reading
from intriguing.cli.setup import choose_images, load_network
from intriguing.data.dataset import ImageSet
from intriguing.errors import InputError
from intriguing.models.classifier import Classifier
from intriguing.models.requirements import check_classifier, own_labels
from intriguing.models.weights import model_sha256
from intriguing.results.schema import Kind
from intriguing.runs.network_names import names_of
from intriguing.runs.request import Request
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
        record: Where all came from, for the record of the run.
    """

    networks: tuple[Network, ...]
    images: ImageSet
    notes: tuple[str, ...]
    record: Mapping[str, Any]

    @property
    def only(self) -> Network:
        """The only network."""
        (network,) = self.networks
        return network

    def request(
        self, verb: Kind, own: Mapping[str, Any], seed: int, notes: Sequence[str], **more: Any
    ) -> Request:
        """What a verb asks of a run: its own settings and notes besides where all came from."""
        return Request(
            verb, {**self.record, **own, "seed": seed}, networks=self.networks, seeds=(seed,),
            notes=(*notes, *self.notes), **more,
        )  # fmt: skip


def open_all(
    specs: Sequence[str],
    data: str,
    place: torch.device,
    reading: Reading = READING,
    *,
    stream: bool | None = False,
) -> Opened:
    """Load networks and images, refuse what does not fit, and warn of what looks wrong.

    Pictures are cut as the first network expects; the others resize them where they want another
    size.

    Args:
        specs: Of the networks.
        data: Of the images.
        place: Of the networks.
        reading: Which of the images.
        stream: As in `load_images`, for verbs that read images part by part.

    Raises:
        InputError: If a network or the data cannot be had, or do not fit.
    """
    from intriguing.cli.console import Console
    from intriguing.models.resized import fitted

    loaded = {
        name: load_network(spec, place) for name, spec in zip(names_of(specs), specs, strict=True)
    }
    first = next(iter(loaded.values()))
    found = choose_images(specs[0], first, data, reading, stream)
    images, remarks = found.images, found.remarks
    networks = []
    for spec, (name, network) in zip(specs, loaded.items(), strict=True):
        try:
            networks.append(Network(name, fitted(network, images.images.shape[1:])))
            labels = images.labels if found.labelled else None
            check_classifier(networks[-1].model, next(images.pixels(16)), labels)
        except InputError as error:
            raise InputError(f"{spec}: {error}") from error
    if not found.labelled:
        images = own_labels(first, images)
        remarks += (
            f"The images have no labels: the class that {networks[0].name} gives the unchanged "
            "image is taken for the true one, so nothing is said about how often it is right.",
        )
    warnings = tuple(
        warning for one in networks
        for warning in _warnings(one.name, one.model, images, labelled=found.labelled)
    )  # fmt: skip
    console = Console(stderr=True)
    for remark in (*remarks, *warnings):
        console.print(remark, style="yellow", highlight=False, soft_wrap=True, markup=False)
    record = {
        "models": list(specs), "models_sha256": [model_sha256(one.model) for one in networks],
        "data": data, "part": reading.part, "limit": reading.limit,
    }  # fmt: skip
    return Opened(tuple(networks), images, (*remarks, *warnings), record)


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

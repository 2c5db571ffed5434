"""The certified radius of every image of a set, proved in parts."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import numpy as np
import torch

from intriguing.data.checks import check_images
from intriguing.data.dataset import ImageSet
from intriguing.data.streamed import unreadable
from intriguing.errors import InputError
from intriguing.measures import UNIT_BOX
from intriguing.models.requirements import check_classifier
from intriguing.names import file_name
from intriguing.results.store import read_tensors, write_tensors
from intriguing.runs.run import Run
from intriguing.runs.stage import Made, Network, Stage
from intriguing.scale.attack import SHARD_SIZE
from intriguing.scale.shards import Columns
from intriguing.spectral.certificates.certificate import Certifier

PART = 16
"""Images of a part where the network is bounded anew around each: seconds to minutes."""
SAMPLE = 16
"""Images that tell whether a network takes such, and mixes them."""
COLUMNS = ("radius", "margin", "against", "predicted")
NOBODY = -1
"""The class of an image that was not certified."""


@dataclass(frozen=True)
class Certified:
    """Certificates of an image set as numbers, with what they rest on.

    Attributes:
        columns: radius, margin, against and predicted, one entry an image.
        formula, guaranteed, as_run: Of the bound, as in `Certificates`.
    """

    columns: Mapping[str, np.ndarray]
    formula: str
    guaranteed: bool
    as_run: bool


@dataclass(frozen=True)
class Certificates(Stage):
    """The certified radius of every image.

    Attributes:
        network, images: Of which.
        semidefinite: Whether bounds better than products are searched.
        local: Whether the network is then bounded anew around each image.
        multipliers: Whether dense networks are then searched for more, in the box.
        seconds: Of one core, for each image, that this and a relaxation may take; 0 for no limit.
    """

    name: ClassVar[str] = "certificates"
    apart: ClassVar[bool] = True
    cut: ClassVar[bool] = True
    network: Network
    images: ImageSet
    semidefinite: bool
    local: bool = True
    multipliers: bool = False
    seconds: float = 0.0

    def compute(self, run: Run) -> Made:
        """Of the network once what holds around every image, then image by image; a file of all."""
        start, name, model = time.perf_counter(), self.network.name, self.network.model
        try:
            sample = next(self.images.pixels(SAMPLE))
            check_classifier(model, sample, self.images.labels, finite=False)
            certifier = Certifier.of(
                model, sample, semidefinite=self.semidefinite, local=self.local,
                multipliers=self.multipliers, seconds=self.seconds or None, progress=run.progress,
            )  # fmt: skip
            begun = time.perf_counter()
            first = certifier.certificates(sample[:1], self.images.labels[:1].cpu())
            each = time.perf_counter() - begun
            around = first.formula != certifier.bounds.formula
            parts = run.in_parts(
                self, partial(_certified_part, certifier, self.images), len(self.images),
                PART if around else SHARD_SIZE, given_up=_nothing_certified,
                called=f"certificates of {name}", each=lambda: max(each, self.seconds),
            )  # fmt: skip
        except InputError as error:
            raise InputError(f"{name}: {error}") from error
        words = {
            "kind": "certificate", "title": f"{name}: certificates", "network": name,
            "formula": first.formula,
            "guaranteed": "yes" if first.guaranteed else "no",
            "as_run": "yes" if first.as_run else "no",
        }  # fmt: skip
        arrays = {key: parts.column(key).numpy() for key in COLUMNS}
        arrays["pair_bounds"] = first.pair_bounds.detach().cpu().numpy()
        write_tensors(run.folder, self.file, arrays, words)
        lost = int((arrays["predicted"] == NOBODY).sum())
        return Made(notes=_left_out(name, lost), seconds=time.perf_counter() - start)

    def load(self, run: Run) -> Certified:
        """What is in the file."""
        tensors, words = read_tensors(run.folder, self.file)
        return Certified(
            tensors, words["formula"], words["guaranteed"] == "yes", words["as_run"] == "yes"
        )

    @property
    def file(self) -> str:
        """Its name in tensors/."""
        return file_name("certificate", self.network.name)


def _certified_part(
    certifier: Certifier, images: ImageSet, items: slice, report: Callable[[int], None]
) -> Columns:
    """Certificates of some images; nothing of what is no picture."""
    pixels, labels = images.images[items], images.labels[items].cpu()
    good = (~unreadable(pixels)).nonzero()[:, 0]
    count, columns = items.stop - items.start, _nothing_certified(items)
    check_images(pixels[good], UNIT_BOX)
    if not len(good):
        return columns
    made = certifier.certificates(
        pixels[good], labels[good],
        progress=lambda step: report(step.done * count // step.total),
    )  # fmt: skip
    some = {name: getattr(made, name).detach().cpu() for name in COLUMNS}
    return {n: c.to(some[n].dtype).index_copy(0, good, some[n]) for n, c in columns.items()}


def _nothing_certified(items: slice) -> Columns:
    """What stands in the place of images that the network fails on."""
    count = items.stop - items.start
    none = torch.zeros(count)
    nobody = torch.full((count,), NOBODY)
    return {
        "radius": none, "margin": none.double() - torch.inf, "against": nobody,
        "predicted": nobody.clone(),
    }  # fmt: skip


def _left_out(name: str, lost: int) -> tuple[str, ...]:
    if not lost:
        return ()
    return (
        f"{name}: {lost:,} images have no certificate, because they cannot be read or the network "
        "fails on them; their radius is 0 and their predicted class -1.",
    )

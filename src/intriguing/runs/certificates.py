"""Stages that prove how far images are safe, and set beside it what was found."""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch

from intriguing.data.dataset import ImageSet
from intriguing.errors import InputError, UnsoundBound
from intriguing.names import file_name
from intriguing.results.rows import CertificateRow, Row
from intriguing.results.store import read_tensors, write_tensors
from intriguing.runs import certifying
from intriguing.runs.attacking import Outcome
from intriguing.runs.examples import Examples
from intriguing.runs.run import Run
from intriguing.runs.stage import Made, Network, Stage
from intriguing.spectral.certificates.certificate import certify, check_examples


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
    """

    name: ClassVar[str] = "certificates"
    network: Network
    images: ImageSet
    semidefinite: bool
    local: bool = True

    def compute(self, run: Run) -> Made:
        """A file of tensors."""
        start, name = time.perf_counter(), self.network.name
        try:
            made = certify(
                self.network.model, self.images.images, self.images.labels,
                semidefinite=self.semidefinite, local=self.local, progress=run.progress,
            )  # fmt: skip
        except InputError as error:
            raise InputError(f"{name}: {error}") from error
        tensors = {
            "radius": made.radius, "margin": made.margin, "against": made.against,
            "predicted": made.predicted, "pair_bounds": made.pair_bounds,
        }  # fmt: skip
        words = {
            "kind": "certificate", "title": f"{name}: certificates", "network": name,
            "formula": made.formula,
            "guaranteed": "yes" if made.guaranteed else "no",
            "as_run": "yes" if made.as_run else "no",
        }  # fmt: skip
        arrays = {key: tensor.detach().cpu().numpy() for key, tensor in tensors.items()}
        write_tensors(run.folder, self.file, arrays, words)
        return Made(seconds=time.perf_counter() - start)

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


@dataclass(frozen=True)
class Certify(Stage):
    """How far the images are safe, beside what was found.

    Attributes:
        certificates: Of the images.
        attack: The search on the same images; None where there was none.
        epsilons: L2 distances at which accuracies are taken; round ones where there are none.
        seed: As the rows say it.
    """

    name: ClassVar[str] = "certify"
    network: Network
    certificates: Certificates
    attack: Examples | None
    epsilons: tuple[float, ...] = ()
    seed: int = 0

    def compute(self, run: Run) -> Made:
        """Both accuracies; a certificate that an example refutes ends the run.

        Raises:
            UnsoundBound: As `check_examples`.
        """
        if self.attack is not None:
            self._check(run.loaded(self.certificates), run.loaded(self.attack))
        (columns,) = self.columns(run, CertificateRow)
        rows = certifying.rows(self.network.name, columns, self.epsilons)
        return Made(tuple(rows), seconds=run.keep(self.certificates).record.wall_seconds)

    def columns(self, run: Run, kind: type[Row]) -> Iterator[Mapping[str, Any]]:
        """A row an image."""
        if kind is CertificateRow:
            outcome = None if self.attack is None else run.loaded(self.attack)
            yield certifying.columns(
                self.network.name, self.certificates.images,
                run.loaded(self.certificates).columns, outcome, self.seed,
            )  # fmt: skip

    def _check(self, certified: Certified, outcome: Outcome) -> None:
        images = self.certificates.images
        exact = None if certified.as_run else (self.network.model, images.labels)
        radius = torch.from_numpy(certified.columns["radius"])
        try:
            adversarial = outcome.columns["adversarial"]
            check_examples(radius, images.images, adversarial, images.ids, exact=exact)
        except UnsoundBound as refuted:
            raise UnsoundBound(f"{self.network.name}, {refuted}") from None

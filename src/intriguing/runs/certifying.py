"""How far images are safe, proved, beside what was found."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from intriguing.data.dataset import ImageSet
from intriguing.distortion.result import Status, status_names
from intriguing.errors import InputError, UnsoundBound
from intriguing.estimates import Rows
from intriguing.measures import median
from intriguing.results.measured import Measurement, Metric
from intriguing.results.rows import CertificateRow, Row
from intriguing.runs.certificates import Certificates, Certified
from intriguing.runs.examples import PIECE, Examples
from intriguing.runs.proving import LOWER, Proved
from intriguing.runs.run import Run
from intriguing.runs.stage import Made, Network, Stage
from intriguing.scale.attack import Attacked
from intriguing.spectral.certificates.sandwich import ROUNDING, check_examples

SHARES = (0.01, 0.1, 0.5)
"""Of the median distance found: how many images are certified beyond it."""
_ROUNDED = 1e-3
"""Of a length, more than rounding it to float32 takes off."""
EPSILONS = 7
"""Rows of the table of accuracies at most, when no ε is asked for."""


@dataclass(frozen=True)
class Certify(Stage):
    """How far the images are safe, beside what was found.

    Attributes:
        certificates: Of the images.
        attack: The search on the same images, or what was proved from it on; None without one.
        epsilons: L2 distances at which accuracies are taken; round ones where there are none.
        seed: As the rows say it.
    """

    name: ClassVar[str] = "certify"
    network: Network
    certificates: Certificates
    attack: Examples | Proved | None
    epsilons: tuple[float, ...] = ()
    seed: int = 0

    def compute(self, run: Run) -> Made:
        """Both accuracies; a certificate that an example refutes ends the run.

        Raises:
            UnsoundBound: As `check_examples`.
        """
        if self.attack is not None:
            self._check(self._certified(run), run.loaded(self.attack))
        columns = self._columns(run)
        exact = isinstance(self.attack, Proved)
        rows = certified_rows(self.network.name, columns, self.epsilons, exact=exact)
        return Made(tuple(rows), seconds=run.keep(self.certificates).record.wall_seconds)

    def columns(self, run: Run, kind: type[Row]) -> Iterator[Mapping[str, Any]]:
        """A row an image."""
        if kind is CertificateRow:
            whole, ids = self._columns(run), self.certificates.images.ids
            for start in range(0, len(ids), PIECE):
                piece = slice(start, start + PIECE)
                yield {
                    "image_id": list(ids[piece]),
                    **{n: c[piece] if isinstance(c, np.ndarray) else c for n, c in whole.items()},
                }
        elif isinstance(self.attack, Proved):
            yield from self.attack.columns(run, kind)

    def _columns(self, run: Run) -> dict[str, Any]:
        """Columns of `CertificateRow` but the ids."""
        outcome = None if self.attack is None else run.loaded(self.attack)
        return certified_columns(
            self.network.name, self.certificates.images, self._certified(run).columns, outcome,
            self.seed,
        )  # fmt: skip

    def _certified(self, run: Run) -> Certified:
        """The certificates, longer where a proof went on from an example."""
        certified: Certified = run.loaded(self.certificates)
        if not isinstance(self.attack, Proved):
            return certified
        lower = run.loaded(self.attack).columns[LOWER].float()
        lower = torch.nextafter(lower, torch.zeros(1)).numpy()
        radius = np.maximum(certified.columns["radius"], lower)
        return replace(certified, columns={**certified.columns, "radius": radius})

    def _check(self, certified: Certified, outcome: Attacked) -> None:
        images = self.certificates.images
        radius = torch.from_numpy(certified.columns["radius"])
        rows = torch.arange(len(images))
        if not images.in_memory:  # of pictures that are read again for it, those that may refute
            rows = (radius > (1 - _ROUNDED) * outcome.columns["l2"]).nonzero()[:, 0]
        exact = None if certified.as_run else (self.network.model, images.labels[rows])
        try:
            adversarial = outcome.columns["adversarial"][rows]
            names = [images.ids[row] for row in rows.tolist()]
            check_examples(radius[rows], images.images[rows], adversarial, names, exact=exact)
        except UnsoundBound as refuted:
            raise UnsoundBound(f"{self.network.name}, {refuted}") from None


def check_epsilons(epsilons: Sequence[float]) -> None:
    """Refuse what is no distance."""
    if not all(0 < value < math.inf for value in epsilons):
        raise InputError(f"--epsilon {' '.join(map(str, epsilons))}: give L2 distances above 0")


def shard_size(device: torch.device) -> int:
    """Images between two saves of the attack."""
    return 256 if device.type == "cpu" else 4096


def notes(attack: bool, budget: int | None) -> tuple[str, ...]:
    """What a reader of the numbers should know."""
    said = [
        "Distances are L2 in pixel units; the paper's distortion is L2 divided by the square root "
        "of the number of pixels.",
        "Certificates of chains of dense layers hold for every change of the image, also one "
        "that leaves [0, 1], unless multipliers were searched; all others may hold inside it, "
        "where examples were looked for.",
    ]
    if attack:
        within = "" if budget is None else f" within {budget:,} passes an image"
        said.append(
            f"The search was `closest`{within}, for any wrong class; what it finds is an upper "
            "bound of the true distance."
        )
    return tuple(said)


def certified_columns(
    name: str,
    images: ImageSet,
    certified: Mapping[str, np.ndarray],
    outcome: Attacked | None,
    seed: int,
) -> dict[str, Any]:
    """Columns of `CertificateRow` but the ids."""
    count = len(images)
    found = np.full(count, np.nan) if outcome is None else outcome.columns["l2"].double().numpy()
    status: np.ndarray | str = "NOT_SEARCHED"
    if outcome is not None:
        status = status_names(outcome.columns["status"])
    return {
        "network": name,
        "seed": seed,
        "label": images.labels.cpu().numpy(),
        "predicted": certified["predicted"],
        "margin": certified["margin"].astype(np.float64),
        "against": certified["against"],
        "certified": certified["radius"].astype(np.float64),
        "found": found,
        "status": status,
        "pixels": images.images.shape[1:].numel(),
    }


def certified_rows(
    name: str, columns: Mapping[str, Any], epsilons: Sequence[float], *, exact: bool = False
) -> list[Measurement]:
    """What certificates come to, "certify", and accuracies at each ε, "robust".

    Medians are over all images, and over the "correct" ones, which are classified correctly. Of
    these, where distances were proved `exact`, it is said how many are.
    """
    certified, found = columns["certified"], columns["found"]
    correct = columns["predicted"] == columns["label"]
    searched = not bool(np.isnan(found).any())
    total, pixels = len(certified), columns["pixels"]
    made = Rows("certify", network=name, seed=columns["seed"])
    made.add(Metric.PIXELS, "numbers", pixels)
    made.share(Metric.ACCURACY, int(correct.sum()), total)
    for images, some in (("correct", correct), ("", np.ones(total, bool))):
        radius, distance = certified[some], found[some]
        made.median(Metric.MEDIAN_CERTIFIED, "l2", _tensor(radius), total, images=images)
        if searched:
            made.median(Metric.MEDIAN_L2, "l2", _tensor(distance), total, images=images)
            known = np.isfinite(distance) & (distance > 0)
            ratio = _tensor(radius[known] / distance[known])
            made.median(Metric.CERTIFIED_RATIO, "ratio", ratio, total, images=images)
    if searched:
        if exact and correct.any():
            closed = np.isin(columns["status"], [Status.OPTIMAL.name])
            made.share(Metric.PROVED, int((closed & correct).sum()), int(correct.sum()))
        bad = violations(certified, found)
        made.add(Metric.VIOLATIONS, "images", float(bad), bad, total)
        middle = median(_tensor(found))
        for share in SHARES if math.isfinite(middle) else ():
            beyond = int((certified > share * middle).sum())
            made.share(Metric.CERTIFIED, beyond, total, size=share * middle, setting=f"{share:g}")
    chosen = tuple(sorted(set(epsilons))) or round_epsilons(certified[correct], found[correct])
    robust = Rows("robust", network=name, seed=columns["seed"])
    robust.add(Metric.PIXELS, "numbers", pixels)
    for epsilon in chosen:
        robust.share(Metric.CERTIFIED, int((certified > epsilon).sum()), total, size=epsilon)
        if searched:
            robust.share(Metric.WITHSTOOD, int((found > epsilon).sum()), total, size=epsilon)
    return made.made + robust.made


def violations(certified: np.ndarray, found: np.ndarray) -> int:
    """Images with an example inside the certified radius, but for rounding.

    `check` has stopped at them, unless the network's own 16 bits are what was fooled.
    """
    return int((certified > found * (1 + ROUNDING)).sum())


def round_epsilons(certified: np.ndarray, found: np.ndarray) -> tuple[float, ...]:
    """1, 2, 5, 10, … from where few certificates end to where most searches have succeeded.

    >>> round_epsilons(np.array([0.08, 0.2, 0.3]), np.array([0.9, 1.4, 2.2]))
    (0.1, 0.2, 0.5, 1.0, 2.0)
    """
    sure = certified[np.isfinite(certified) & (certified > 0)]
    near = found[np.isfinite(found) & (found > 0)]
    if not len(sure) and not len(near):
        return ()
    low = float(np.quantile(sure if len(sure) else near, 0.05))
    high = float(np.quantile(near if len(near) else sure, 0.95))
    decades = range(math.floor(math.log10(low)), math.floor(math.log10(high)) + 1)
    steps = [float(f"{digit}e{decade}") for decade in decades for digit in (1, 2, 5)]
    within = [step for step in steps if low <= step <= high]
    return tuple(within[-EPSILONS:]) or (float(f"{math.sqrt(low * high):.1g}"),)


def _tensor(values: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(values))

"""What is certified of images, of any number: one pass over their rows, of which few are kept."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from intriguing.report.lengths import Lengths
from intriguing.results.parquet import stream_columns
from intriguing.results.rows import CertificateRow

LISTED = 20_000
"""Images that a listing has, the least known ones; all are in the rows."""
SAMPLED = 10_000
"""Correctly classified images of which pairs are kept at least, where there are so many."""


@dataclass
class Certified:
    """The images of one network.

    Attributes:
        images, pixels: How many, and numbers in each.
        certified, found: How far they are safe, and where an example was found.
        searched: Whether any was looked for.
        reached: Images with an example.
        bad: Images with an example closer than certified: there must be none, but for the last
            digits of a float32, in which both are kept.
        worst: Of these the one where it is closest by most: id, certified and found.
        correct: Images that are classified correctly.
        least: Columns of the images of which least is known: violations first, then the least
            share of what was found certified.
    """

    images: int = 0
    pixels: int = 0
    certified: Lengths = field(default_factory=lambda: Lengths(up=False))
    found: Lengths = field(default_factory=Lengths)
    searched: bool = False
    reached: int = 0
    bad: int = 0
    worst: tuple[str, float, float] | None = None
    correct: int = 0
    least: dict[str, np.ndarray] = field(default_factory=dict)
    _every: int = 1
    _pairs: tuple[np.ndarray, np.ndarray] = (np.empty(0), np.empty(0))

    @property
    def pairs(self) -> tuple[np.ndarray, np.ndarray]:
        """Certified and found of correctly classified images: all, or every so many of them."""
        return self._pairs

    def add(self, part: dict[str, np.ndarray]) -> None:
        """More images."""
        certified, found = part["certified"], part["found"]
        self.images, self.pixels = self.images + len(certified), int(part["pixels"][0])
        self.certified.add(certified)
        self.found.add(found)
        self.searched = self.searched or not bool(np.isnan(found).all())
        self.reached += int(np.isfinite(found).sum())
        bad = refuted(certified, found)
        self.bad += int(bad.sum())
        if bad.any():
            row = bad.nonzero()[0][np.argmax(certified[bad] - found[bad])]
            worst = str(part["image_id"][row]), float(certified[row]), float(found[row])
            if self.worst is None or worst[1] - worst[2] > self.worst[1] - self.worst[2]:
                self.worst = worst
        self._sample(part)
        joined = {n: np.concatenate([self.least.get(n, c[:0]), c]) for n, c in part.items()}
        self.least = joined if len(joined["label"]) <= 2 * LISTED else _least(joined)

    def _sample(self, part: dict[str, np.ndarray]) -> None:
        """Every so many correct images, of which there are less than twice `SAMPLED`."""
        right = (part["predicted"] == part["label"]).nonzero()[0]
        kept = right[(self.correct + np.arange(len(right))) % self._every == 0]
        self.correct += len(right)
        some = part["certified"][kept], part["found"][kept]
        self._pairs = _joined(self._pairs, some)
        while len(self._pairs[0]) >= 2 * SAMPLED:
            self._every *= 2
            self._pairs = self._pairs[0][::2], self._pairs[1][::2]


def refuted(certified: np.ndarray, found: np.ndarray) -> np.ndarray:
    """Whether each image has an example closer than certified."""
    bad: np.ndarray = certified > found * (1 + 8 * np.finfo(np.float32).eps)
    return bad


def share_of_found(certified: np.ndarray, found: np.ndarray) -> np.ndarray:
    """certified / found of each image; NaN where it says nothing (nothing found, or at 0)."""
    with np.errstate(invalid="ignore", divide="ignore"):
        known = np.isfinite(found) & (found > 0)
        return np.where(known, certified / found, np.nan)


def read_certified(folder: Path) -> dict[str, Certified]:
    """The rows of certificates, put together for each network.

    Raises:
        InputError: If the file is damaged.
    """
    made: dict[str, Certified] = {}
    for part in stream_columns(folder, CertificateRow):
        for name in dict.fromkeys(part["network"]):
            here = part["network"] == name
            rows = part if here.all() else {key: column[here] for key, column in part.items()}
            made.setdefault(str(name), Certified()).add(rows)
    for one in made.values():
        one.least = _least(one.least)
    return made


def _joined(
    before: tuple[np.ndarray, np.ndarray], more: tuple[np.ndarray, np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    return np.concatenate([before[0], more[0]]), np.concatenate([before[1], more[1]])


def _least(columns: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The images of which least is known, in that order."""
    certified, found = columns["certified"], columns["found"]
    share = np.nan_to_num(share_of_found(certified, found), nan=2.0)
    ids = columns["image_id"].astype(str)
    order = np.lexsort((ids, share, ~refuted(certified, found)))[:LISTED]
    return {name: column[order] for name, column in columns.items()}

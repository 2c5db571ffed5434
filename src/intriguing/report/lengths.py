"""How many images lie at which length, of any number of images: put together part by part."""

import numpy as np

STEPS = 400
"""Of a curve on a page."""
MOST = 1 << 16
"""Different lengths that are kept apart: a curve is drawn through some hundreds."""
_DIGITS = 17
"""Binary digits of a length, where there are more different ones: 1/100,000 of it; then fewer."""


class Lengths:
    """The lengths of images, each with how many have it; what is not finite is infinitely far.

    Up to `MOST` different lengths are exact. More are rounded in the last digits that leave as
    few: up, so that an example does lie within, or down of how far images are safe at least.
    """

    def __init__(self, *, up: bool = True) -> None:
        self.total, self._up = 0, up
        self._digits: int | None = None
        self._values, self._counts = np.empty(0), np.empty(0, np.int64)

    @classmethod
    def of(cls, values: np.ndarray, *, up: bool = True) -> "Lengths":
        """Of these images."""
        made = cls(up=up)
        made.add(values)
        return made

    def add(self, values: np.ndarray) -> None:
        """More images."""
        self.total += len(values)
        finite = np.asarray(values, np.float64)
        finite = self._rounded(finite[np.isfinite(finite)])
        ones = np.ones(len(finite), np.int64)
        self._keep(np.concatenate([self._values, finite]), np.concatenate([self._counts, ones]))
        while len(self._values) > MOST:
            self._digits = _DIGITS if self._digits is None else self._digits - 1
            self._keep(self._rounded(self._values), self._counts)

    def _keep(self, values: np.ndarray, counts: np.ndarray) -> None:
        self._values, where = np.unique(values, return_inverse=True)
        self._counts = np.bincount(where, counts, len(self._values)).astype(np.int64)

    def _rounded(self, values: np.ndarray) -> np.ndarray:
        if self._digits is None:
            return values
        mantissa, exponent = np.frexp(values)
        whole = np.ldexp(mantissa, self._digits)
        kept = np.ceil(whole) if self._up else np.floor(whole)
        rounded: np.ndarray = np.ldexp(kept, exponent - self._digits)
        return rounded

    def __len__(self) -> int:
        """Images that have a finite length."""
        return int(self._counts.sum())

    def at(self, ranks: np.ndarray) -> np.ndarray:
        """The lengths of the images in these places, from the shortest on."""
        found: np.ndarray = self._values[np.searchsorted(np.cumsum(self._counts), ranks, "right")]
        return found

    def quantile(self, share: float) -> float:
        """Of the finite ones, as numpy has it; NaN where there are none."""
        if not len(self):
            return float("nan")
        place = share * (len(self) - 1)
        low, high = self.at(np.array([np.floor(place), np.ceil(place)]))
        return float(low + (high - low) * (place - np.floor(place)))

    def steps(self) -> tuple[np.ndarray, np.ndarray]:
        """Lengths that are even in their ranks, and the share of all images within each.

        >>> Lengths.of(np.array([0.5, np.inf, 0.25, 0.5])).steps()[1].tolist()
        [0.25, 0.5, 0.75]
        """
        ranks = np.unique(np.linspace(0, len(self) - 1, min(len(self), STEPS)).astype(int))
        return self.at(ranks), (ranks + 1) / max(self.total, 1)

    def beyond(self, across: np.ndarray) -> np.ndarray:
        """Of all images, the share that is farther than each of these."""
        within = np.concatenate([[0], np.cumsum(self._counts)])
        farther = self.total - within[np.searchsorted(self._values, across, "right")]
        share: np.ndarray = farther / self.total
        return share

    @property
    def any_above_zero(self) -> bool:
        """Whether any image is farther than 0."""
        return self.total > int(self._counts[self._values <= 0].sum())

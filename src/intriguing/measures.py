"""The paper's measures: distortion, error rate, their intervals, and the box images live in."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any, TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor

from intriguing.errors import InputError


@dataclass(frozen=True)
class Progress:
    """How far a long computation is: `done` of `total` units of work in `stage`."""

    stage: str
    done: int
    total: int
    detail: str = ""


ProgressCallback: TypeAlias = Callable[[Progress], None]


@dataclass(frozen=True)
class Box:
    """The interval every pixel must stay in: condition 2 of §4.1, x + r ∈ [lower, upper]^m.

    The bounds are numbers, or tensors shaped as one image for an interval a pixel, which may then
    be a single value: such a pixel keeps it.
    """

    lower: float | Tensor = 0.0
    upper: float | Tensor = 1.0

    def __post_init__(self) -> None:
        if isinstance(self.lower, Tensor) and isinstance(self.upper, Tensor):
            if not bool((self.lower.isfinite() & self.upper.isfinite()).all()):
                raise InputError("the box is not finite in some pixels; give finite bounds")
            if not bool((self.lower <= self.upper).all()) or self.width == 0:
                raise InputError("the box is empty; give lower ≤ upper, and < in some pixel")
        elif isinstance(self.lower, Tensor) or isinstance(self.upper, Tensor):
            raise InputError("give both bounds of the box as numbers, or both as tensors")
        elif not (math.isfinite(self.lower) and math.isfinite(self.upper)):
            raise InputError(f"box {self.lower, self.upper} is not finite; give two finite numbers")
        elif self.lower >= self.upper:
            raise InputError(f"box {self.lower, self.upper} is empty; give (lower, upper)")

    @property
    def width(self) -> float:
        """Length of the interval, the longest of them, in pixel units."""
        if isinstance(self.lower, Tensor):
            return float((self.upper - self.lower).max())
        return float(self.upper - self.lower)

    def flat(self, like: Tensor) -> "Box":
        """The same for rows of pixels of the device and dtype of `like`."""
        if isinstance(self.lower, Tensor) and isinstance(self.upper, Tensor):
            return Box(self.lower.to(like).flatten(), self.upper.to(like).flatten())
        return self

    def clamp(self, images: Tensor) -> Tensor:
        """Project images onto the box."""
        return torch.clamp(images, self.lower, self.upper)  # type: ignore[arg-type]

    def clamp_(self, images: Tensor) -> Tensor:
        """The same in place."""
        return torch.clamp_(images, self.lower, self.upper)  # type: ignore[arg-type]

    def contains(self, images: Tensor) -> bool:
        """Whether every pixel lies inside; NaN does not."""
        return bool(((images >= self.lower) & (images <= self.upper)).all())


UNIT_BOX = Box(0.0, 1.0)


def as_box(box: Box | Sequence[float | Tensor]) -> Box:
    """A Box from a Box or a pair (lower, upper), each a number or a tensor shaped as an image."""
    if isinstance(box, Box):
        return box
    try:
        lower, upper = box
        if isinstance(lower, Tensor) or isinstance(upper, Tensor):
            lower, upper = torch.as_tensor(lower), torch.as_tensor(upper)
            return Box(lower + 0 * upper, upper + 0 * lower)
        return Box(float(lower), float(upper))
    except (TypeError, ValueError, RuntimeError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"box={box!r} is not a pair; give box=(lower, upper)") from None


def l2(original: Float[Tensor, "batch ..."], changed: Float[Tensor, "batch ..."]) -> Tensor:
    """Euclidean length ‖x′ − x‖₂ of each image's change, in pixel units; shape (batch,)."""
    change = (changed - original).flatten(1)
    if len(change) == 1:  # A single row is shared out among threads, which add it up otherwise.
        return l2(original.expand(2, *original.shape[1:]), changed)[:1]
    length: Tensor = change.norm(dim=1)
    return length


def distortion(original: Float[Tensor, "batch ..."], changed: Float[Tensor, "batch ..."]) -> Tensor:
    """The paper's distortion sqrt(Σ (x′ᵢ − xᵢ)² / n) of each image (§4.2); shape (batch,).

    >>> distortion(torch.zeros(1, 4), torch.tensor([[0.2, 0.2, 0.2, 0.2]]))
    tensor([0.2000])
    """
    pixels = original[0].numel() if len(original) else 1
    return l2(original, changed) / math.sqrt(pixels)


def wilson_interval(count: int, total: int, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval of a proportion; (0, 1) when nothing was counted.

    >>> low, high = wilson_interval(0, 100)
    >>> low, round(high, 4)
    (0.0, 0.037)
    """
    if total == 0:
        return 0.0, 1.0
    interval = _stats().binomtest(count, total).proportion_ci(confidence, method="wilson")
    return float(interval.low), float(interval.high)


def mean_interval(
    values: Sequence[float] | Tensor, confidence: float = 0.95
) -> tuple[float, float]:
    """Student's t interval of a mean; the mean itself twice for fewer than two values."""
    sample = torch.as_tensor(values, dtype=torch.float64)
    mean = float(sample.mean())
    if len(sample) < 2:
        return mean, mean
    quantile = float(_stats().t.ppf(0.5 + confidence / 2, len(sample) - 1))
    half = quantile * float(sample.std()) / math.sqrt(len(sample))
    return mean - half, mean + half


def spearman(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """Spearman's rank correlation, ties sharing their mean rank; NaN when either is constant."""
    return float(_stats().spearmanr(ours, theirs).statistic)


def median(values: Sequence[float] | Tensor) -> float:
    """The middle value, or the mean of the two; infinite when the upper of them is.

    >>> median([3.0, 1.0, 2.0, 9.0]), median([1.0, 2.0, math.inf, math.inf])
    (2.5, inf)
    """
    ordered = torch.as_tensor(values, dtype=torch.float64).sort().values
    return float((ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]) / 2)


def median_interval(
    values: Sequence[float] | Tensor, confidence: float = 0.95
) -> tuple[float, float]:
    """Order statistics between which the median lies, whatever the distribution.

    The number of values below the median is binomial with p = ½; the interval covers at least
    `confidence`, or runs from the least to the greatest value when there are too few.

    >>> median_interval(list(range(1, 101)))
    (40.0, 61.0)
    """
    ordered = torch.as_tensor(values, dtype=torch.float64).sort().values
    below = int(_stats().binom.ppf((1 - confidence) / 2, len(ordered), 0.5))
    rank = max(below, 1)
    return float(ordered[rank - 1]), float(ordered[len(ordered) - rank])


def _stats() -> Any:
    """scipy.stats, when it is asked for first: a third of what workers import, who need it not."""
    return import_module("scipy.stats")

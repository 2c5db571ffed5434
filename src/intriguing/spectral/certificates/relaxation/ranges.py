"""Between which numbers the input of every curve lies within R of an image, curve by curve.

Every unit is bounded by a backward pass of its own, from one curve to those before it, with a line
below and a line above each (CROWN's). On the way lie the balls in which, by their Lipschitz bounds,
the values of curves stay: where a pass goes through a single one it is bounded by that as well, and
at the end by the ball and the box of the input. The tightest counts.
"""

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, hstack
from torch import Tensor

from intriguing.spectral.certificates.relaxation.cells import FINE, Cells, cells_of
from intriguing.spectral.certificates.relaxation.domain import least_inside
from intriguing.spectral.certificates.relaxation.lines import Lines
from intriguing.spectral.certificates.relaxation.program import Curve
from intriguing.spectral.certificates.relaxation.segments import Segment
from intriguing.spectral.certificates.relaxation.surroundings import (
    UNIT,
    Image,
    Surroundings,
    magnitude_of,
    rounding,
)
from intriguing.spectral.certificates.relaxation.windows import Window

_ROUNDS = 2
"""Of looking again at what the box stops: ranges need no more."""
Numbers: TypeAlias = NDArray[np.float64]
Tighter: TypeAlias = Callable[
    [Surroundings, int, Curve | Window, Tensor, Tensor], tuple[Tensor, Tensor]
]


def surroundings(
    image: Image, segments: dict[int, Segment], radius: float, known: Surroundings | None = None,
    tighter: Tighter | None = None,
) -> Surroundings:  # fmt: skip
    """All that is known of an image's ball.

    Args:
        known: Of a ball that contains it: what it says holds here too.
        tighter: Takes what is known so far, a node, the curve that reads it, and its ranges.
    """
    around = Surroundings(image, radius)
    done: dict[int, tuple[Tensor, Tensor]] = {}
    for at, node in enumerate(image.program.nodes):
        if not isinstance(node.rule, Curve | Window):
            around.magnitude[at] = magnitude_of(around, at)
            continue
        (before,) = node.parents
        if before not in done:
            low, high = _range(around, segments, before)
            if known is not None:
                low, high = torch.maximum(low, known.low[at]), torch.minimum(high, known.high[at])
            if tighter is not None:
                low, high = tighter(around, before, node.rule, low, high)
            done[before] = low, high
        low, high = done[before]
        around.low[at], around.high[at] = low, torch.maximum(low, high)
        if isinstance(node.rule, Window):
            windows = node.rule.between(around.low[at], around.high[at])
            around.cells[at], around.lines[at] = windows, windows.lines
        else:
            cells = cells_of(node.rule, around.low[at], around.high[at], FINE)
            around.cells[at], around.lines[at] = cells, lines_of(node.rule, cells)
        around.magnitude[at] = around.cells[at].largest.view(node.shape)
    return around


def _range(around: Surroundings, segments: dict[int, Segment], place: int) -> tuple[Tensor, Tensor]:
    """Between which numbers a node's entries lie."""
    value = around.image.values[place]
    low = _from_below(around, segments, place, 1.0)
    high = -_from_below(around, segments, place, -1.0)
    ends = [torch.from_numpy(end).to(value).view(value.shape) for end in (low, high)]
    slack = 4 * UNIT * value.abs()
    return torch.minimum(ends[0], value - slack), torch.maximum(ends[1], value + slack)


def _from_below(
    around: Surroundings, segments: dict[int, Segment], place: int, sign: float
) -> Numbers:
    """Lower bounds of sign·(entries of the node)."""
    nodes, last = around.image.program.nodes, segments[place]
    constant = sign * last.offset
    doubt = rounding(last.terms) * last.size
    pending: dict[int, csr_matrix] = {}
    for p, (matrix, absolute) in last.parts.items():
        pending[p] = matrix * sign
        doubt = doubt + rounding(last.terms) * (absolute @ _flat(around.magnitude[p]))
    best = np.full(len(constant), -np.inf)
    while pending:
        at = max(pending)
        q = pending.pop(at)
        if not pending:
            best = np.maximum(best, _less(*_by_ball(around, at, q, constant), doubt))
        if nodes[at].rule is None:
            inside, size = _inside(around, q)
            constant = constant + inside
            doubt = doubt + rounding(q.shape[1]) * size
            continue
        lines, rule = around.lines[at], nodes[at].rule
        assert isinstance(rule, Curve | Window)
        g = _spread(rule, q)
        below, above = (_flat(line)[g.indices] for line in (lines.below, lines.above))
        under, over = (_flat(line)[q.indices] for line in (lines.under, lines.over))
        g.data = g.data * np.where(g.data >= 0, below, above)
        q.data = q.data * np.where(q.data >= 0, under, over)
        constant = constant + _sums(q, q.data)
        g = _gathered(rule, g, around.image.values[nodes[at].parents[0]].numel())
        (before,) = nodes[at].parents
        segment = segments[before]
        sizes = abs(g)
        doubt = doubt + rounding(q.shape[1]) * (
            _sums(q, np.abs(q.data)) + sizes @ _farthest(around, at)
        )
        constant = constant + g @ segment.offset
        doubt = doubt + rounding(segment.terms) * (sizes @ segment.size)
        for p, (matrix, absolute) in segment.parts.items():
            part = g @ matrix
            doubt = doubt + rounding(segment.terms) * (
                sizes @ (absolute @ _flat(around.magnitude[p]))
            )
            pending[p] = pending[p] + part if p in pending else part
    found: Numbers = np.maximum(best, _less(constant, np.abs(constant), doubt))
    return found


def _spread(rule: Curve | Window, q: csr_matrix) -> csr_matrix:
    """A number for each that a unit reads."""
    if isinstance(rule, Curve):
        return q.copy()
    return hstack([q] * len(rule.places), format="csr")


def _gathered(rule: Curve | Window, g: csr_matrix, count: int) -> csr_matrix:
    """For so many numbers what `_spread` has for each unit's own."""
    if isinstance(rule, Curve):
        return g
    g.eliminate_zeros()
    places = rule.places.flatten().cpu().numpy()
    rows = np.arange(len(places))
    return g @ csr_matrix((np.ones(len(places)), (rows, places)), shape=(len(places), count))


def _less(bound: Numbers, size: Numbers, doubt: Numbers) -> Numbers:
    less: Numbers = bound - 2 * doubt - 64 * UNIT * size
    less[~np.isfinite(less)] = -np.inf
    return less


def _by_ball(
    around: Surroundings, at: int, q: csr_matrix, constant: Numbers
) -> tuple[Numbers, Numbers]:
    """q·v̂ − ‖q‖·L·R, v̂ the node's value at the image; and the sizes of what it is made of."""
    value, reach = _flat(around.image.values[at]), around.reach(at)
    length = np.sqrt(_sums(q, q.data**2))
    size = abs(q) @ np.abs(value) + length * reach + np.abs(constant)
    return constant + q @ value - length * reach, size * q.shape[1]


def _inside(around: Surroundings, q: csr_matrix) -> tuple[Numbers, Numbers]:
    """The least of q·x in the ball and the box, and the size of what it is made of."""
    image = around.image
    centre = _flat(image.values[0])
    counts = np.diff(q.indptr)
    widest = int(counts.max(initial=1))
    rows = np.repeat(np.arange(q.shape[0]), counts)
    places = np.arange(len(q.indices)) - np.repeat(q.indptr[:-1], counts)
    h, columns = np.zeros((q.shape[0], widest)), np.zeros((q.shape[0], widest), dtype=np.int64)
    h[rows, places], columns[rows, places] = q.data, q.indices
    chosen = torch.from_numpy(columns).to(image.down.device)
    inside, rounded = least_inside(
        torch.from_numpy(h).to(image.down), image.down[chosen], image.up[chosen], around.radius,
        rounds=_ROUNDS,
    )  # fmt: skip
    size = abs(q) @ np.abs(centre)
    lost = rounded.cpu().numpy()
    return q @ centre + inside.cpu().numpy() - lost, size


def _sums(like: csr_matrix, data: Numbers) -> Numbers:
    """Of numbers in the places of a matrix's entries: the sum of each row."""
    rows = np.repeat(np.arange(like.shape[0]), np.diff(like.indptr))
    sums: Numbers = np.bincount(rows, data, minlength=like.shape[0]).astype(np.float64)
    return sums


def _farthest(around: Surroundings, at: int) -> Numbers:
    """The largest |z| of every unit."""
    return _flat(torch.maximum(around.low[at].abs(), around.high[at].abs()))


def _flat(value: Tensor) -> Numbers:
    numbers: Numbers = value.flatten().cpu().numpy()
    return numbers


def lines_of(curve: Curve, cells: Cells) -> Lines:
    """A line below and one above each number's curve, that are best in the middle of its range.

    Their slopes are those of the whole chord, of the first or of the last cell: a ReLU's lower line
    is 0 or z.
    """
    width = (cells.stop - cells.start).sum(0)
    first = cells.slope[0] * cells.start[0] + cells.offset[0]
    last = cells.slope[-1] * cells.stop[-1] + cells.offset[-1]
    chord = torch.where(width > 0, (last - first) / width.clamp_min(1e-300), 0.0)
    slopes = torch.stack([chord.clamp(-curve.steepest, curve.steepest), *_outer(cells)])
    middle = 0.5 * (cells.start[0] + cells.stop[-1])
    under, over = _offsets(cells, slopes)
    lowest = (slopes * middle + under).argmax(0, keepdim=True)
    highest = (slopes * middle + over).argmin(0, keepdim=True)
    return Lines(
        slopes.gather(0, lowest)[0], under.gather(0, lowest)[0],
        slopes.gather(0, highest)[0], over.gather(0, highest)[0],
    )  # fmt: skip


def _outer(cells: Cells) -> tuple[Tensor, Tensor]:
    """Slopes of the first and of the last cell that is not empty."""
    real = cells.stop > cells.start
    places = torch.arange(len(real), device=real.device)[:, None]
    first = torch.where(real, places, len(real) - 1).amin(0, keepdim=True)
    last = torch.where(real, places, 0).amax(0, keepdim=True)
    return cells.slope.gather(0, first)[0], cells.slope.gather(0, last)[0]


def _offsets(cells: Cells, slopes: Tensor) -> tuple[Tensor, Tensor]:
    """The least and the greatest of σ(z) − s·z, from below and from above."""
    least = torch.full_like(slopes, torch.inf)
    greatest = torch.full_like(slopes, -torch.inf)
    for start, stop, slope, offset, error in zip(
        cells.start, cells.stop, cells.slope, cells.offset, cells.error, strict=True
    ):
        for z in (start, stop):
            apart = (slope - slopes) * z + offset
            doubt = error + 16 * UNIT * ((slope.abs() + slopes.abs()) * z.abs() + offset.abs())
            least = torch.minimum(least, apart - doubt)
            greatest = torch.maximum(greatest, apart + doubt)
    return least, greatest

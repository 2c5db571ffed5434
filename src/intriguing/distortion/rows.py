"""Which rows of a batch take part: never fewer than a width, so that no kernel rounds otherwise.

The solvers' own algebra is of two kinds. Sums, products, quotients and square roots of single
values are rounded correctly wherever they stand, and `exp`, `log` and `tanh` are computed by
vectors to the last value: these do not care about their neighbours. Products of matrices and sums
over pixels do: one row takes other kernels than several. So a batch is filled up to a multiple of
`width_of` rows with copies of its first row, and whenever rows are left out, those that remain are
filled up again. A copy is searched like its original and ends where that does. (`sigmoid`, `pow`
and `atanh` round the last values of a tensor otherwise than the rest, and are not used.)
"""

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from intriguing.models.groups import LARGE

WIDTH = 16
"""Rows from which kernels round a row alike, seen with MKL on AVX-512 (`models.groups`)."""


def width_of(images: Float[Tensor, "b n"]) -> int:
    """Of how many rows there is always a multiple; 1 for large images, never worth a copy."""
    return WIDTH if images.shape[1] <= LARGE else 1


def alone(images: Float[Tensor, "b n"]) -> bool:
    """Whether each image is searched by itself: large ones on a CPU, whose passes fill it."""
    return width_of(images) == 1 and images.device.type == "cpu"


def filled(rows: Int64[Tensor, " r"], width: int) -> Int64[Tensor, " p"]:
    """The rows, and the first of them again until there are a multiple of `width`.

    >>> filled(torch.tensor([3, 5]), 4)
    tensor([3, 5, 3, 3])
    """
    return torch.cat((rows, rows[:1].expand(-len(rows) % width))) if len(rows) % width else rows


def own(rows: Int64[Tensor, " p"]) -> int:
    """How many of the rows come before those that only fill them up (`filled`).

    All of them on an accelerator, which would have to be waited for.

    >>> own(torch.tensor([3, 5, 3, 3])), own(torch.tensor([3, 3]))
    (2, 1)
    """
    if rows.device.type != "cpu":
        return len(rows)
    others = (rows != rows[:1]).nonzero()
    return int(others[-1]) + 1 if len(others) else min(len(rows), 1)


def places(chosen: Bool[Tensor, " r"], width: int) -> Int64[Tensor, " p"]:
    """Where `chosen` is true, filled up to a multiple of `width`; empty where it nowhere is.

    >>> places(torch.tensor([True, False, True, True]), 2)
    tensor([0, 2, 3, 0])
    """
    return filled(chosen.nonzero()[:, 0], width)


def only(going: Bool[Tensor, " r"], width: int) -> Int64[Tensor, " p"] | None:
    """Where the network need be asked at all: None where that is everywhere.

    The others give way to copies, so that it is never asked about an image past that one's own
    budget. On a CPU only: an accelerator would have to be waited for.
    """
    if going.device.type != "cpu" or bool(going.all()):
        return None
    return places(going, width)


def spread_out(part: Tensor, rows: Int64[Tensor, " p"], count: int, rest: float) -> Tensor:
    """What `rows` of so many have, and `rest` in all others."""
    whole = part.new_full((count, *part.shape[1:]), rest)
    whole[rows] = part
    return whole


def rows_at_once(images: Tensor, vectors: int) -> int:
    """Images under way at once: few enough for a CPU's cache, or for about 2 GiB of vectors."""
    affordable = (2 << 30) // (vectors * images.shape[1] * images.element_size())
    usual = 256 if images.device.type == "cpu" else 8192
    return int(min(len(images), max(16, min(affordable, usual))))


def chosen(
    taken: Bool[Tensor, " r"], new: Sequence[Tensor], old: Sequence[Tensor]
) -> tuple[Tensor, ...]:
    """The new rows where they are `taken`, else the old ones, of one tensor or several.

    On a CPU the few that are not taken are copied: selecting goes by single pixels there.
    """
    if taken.device.type != "cpu":
        return tuple(
            torch.where(taken[:, None], one, other) for one, other in zip(new, old, strict=True)
        )
    few, most, other = (~taken).nonzero()[:, 0], new, old
    if 2 * len(few) > len(taken):
        few, most, other = taken.nonzero()[:, 0], old, new
    if not len(few):
        return tuple(most)
    return tuple(one.index_copy(0, few, donor[few]) for one, donor in zip(most, other, strict=True))


def overwritten(
    rows: Bool[Tensor, " r"], here: Sequence[Tensor], by: Sequence[Tensor]
) -> tuple[Tensor, ...]:
    """`here`, some of whose rows are those of `by` now: on a CPU in place, else in new tensors."""
    if rows.device.type != "cpu":
        return tuple(
            torch.where(rows[:, None], other, one) for one, other in zip(here, by, strict=True)
        )
    few = rows.nonzero()[:, 0]
    if len(few):
        for one, other in zip(here, by, strict=True):
            one.index_copy_(0, few, other[few])
    return tuple(here)

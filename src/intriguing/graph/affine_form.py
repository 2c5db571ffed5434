"""Affine forms: what a tensor is while the image moves in a ball, linear but for a known rest.

    t = centre + Σ δᵢ·ballᵢ + Σ εₖ·freeₖ + r,     ‖δ‖₂ ≤ 1,  |r| ≤ rest.

The δ are the image's own change, in units of the ball's radius, and each εₖ something that an
operation before has left open, |εₖ| ≤ 1, the same wherever it occurs, so that differences cancel.
A set of this kind is a multi-norm zonotope (Bonaert et al. 2021, *Fast and precise certification of
transformers*).
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor

Linear: TypeAlias = Callable[[Tensor], Tensor]
"""Without a constant, of one or of many in rows: it counts axes from the last."""
Bilinear: TypeAlias = Callable[[Tensor, Tensor], Tensor]
"""Of one each, or of many in rows of either or both; no factor in it is below 0."""
_UNIT = 2.0**-53
_POWERS = 3
"""Squarings of a Gram matrix for its norm from above: to n^(1/16) of it for n rows."""
_WIDE = 64
"""Numbers of a row up to which the quadratic part of a matrix product is bounded as a whole."""


def rounding(terms: int) -> float:
    """γ of sums of so many terms, Higham's times 8, for a handful of operations in a row."""
    return 32.0 * (terms + 16) * _UNIT


@dataclass(frozen=True)
class AffineForm:
    """As above: `centre` and `rest` have t's own shape, the others a row more for each δ or ε."""

    centre: Float[Tensor, "..."]
    ball: Float[Tensor, "pixels ..."]
    free: Float[Tensor, "symbols ..."]
    rest: Float[Tensor, "..."]

    @cached_property
    def within_ball(self) -> Float[Tensor, "..."]:
        """How far the δ alone move it at most."""
        moved: Tensor = torch.linalg.vector_norm(self.ball, dim=0)
        return moved * (1 + 1e-12)

    @cached_property
    def beyond(self) -> Float[Tensor, "..."]:
        """And all else."""
        return (self.free.abs().sum(0) + self.rest) * (1 + 1e-12)

    @cached_property
    def spread(self) -> Float[Tensor, "..."]:
        """It is nowhere farther from its centre."""
        return self.within_ball + self.beyond

    @property
    def largest(self) -> Float[Tensor, "..."]:
        """|t| is nowhere larger."""
        return self.centre.abs() + self.spread

    def length(self) -> Float[Tensor, "... 1"]:
        """No row of the last axis is longer than this away from its centre."""
        rows = self.ball.movedim(0, -1)
        alone = largest_eigenvalue(rows @ rows.mT).sqrt()[..., None]
        others: Tensor = torch.linalg.vector_norm(self.beyond, dim=-1, keepdim=True)
        return (alone + others) * (1 + 1e-9)

    def widened(self, symbols: int) -> "AffineForm":
        """With rows for symbols that came up since, up to so many."""
        if len(self.free) >= symbols:
            return self
        more = self.free.new_zeros(symbols - len(self.free), *self.centre.shape)
        return replace(self, free=torch.cat([self.free, more]))

    def left_open(self, shift: Tensor, box: Tensor) -> "AffineForm":
        """Shifted, and with new symbols for what lies within `box` of there, and for the rest.

        Raises:
            ValueError: If that is not finite: a row that is no number would be no row at all.
        """
        sizes = (box + self.rest) * (1 + 1e-12) + rounding(1) * (self.centre.abs() + shift.abs())
        if not bool(sizes.isfinite().all()):
            raise ValueError("what is left open is not finite")
        own = torch.diag(sizes.flatten())[sizes.flatten() > 0].view(-1, *sizes.shape)
        free = torch.cat([self.free, own])
        return AffineForm(self.centre + shift, self.ball, free, torch.zeros_like(self.rest))

    def moved(self, linear: Linear, absolute: Linear | None = None, terms: int = 1) -> "AffineForm":
        """A linear function of it.

        Args:
            linear: It; it counts axes from the last.
            absolute: The same with absolute values of its factors, if any is below 0.
            terms: No sum in it has more.
        """
        absolute = absolute or linear
        doubt = rounding(terms) * absolute(self.largest)
        rest = absolute(self.rest) * (1 + 1e-12) + doubt
        return AffineForm(linear(self.centre), linear(self.ball), linear(self.free), rest)

    def shifted(self, constant: Tensor) -> "AffineForm":
        """t + constant."""
        return self.scaled(torch.ones_like(self.centre), constant)

    def scaled(self, slope: Tensor, shift: Tensor) -> "AffineForm":
        """slope·t + shift, number by number."""
        size = slope.abs() * self.largest + shift.abs()
        rest = slope.abs() * self.rest * (1 + 1e-12) + rounding(1) * size
        centre = slope * self.centre + shift
        return AffineForm(centre, slope * self.ball, slope * self.free, rest)

    def doubted(self, more: Tensor) -> "AffineForm":
        """With more of a rest, such as rounding makes, which gets no symbols."""
        return replace(self, rest=self.rest + more)


def product(
    one: AffineForm, two: AffineForm, by: Bilinear, terms: int = 1,
    quadratic: Tensor | None = None,
) -> AffineForm:  # fmt: skip
    """A product of two forms; `terms` as for `moved`.

    Of what is quadratic, (a·δ)(b·δ) lies between (a·b − ‖a‖‖b‖)/2 and (a·b + ‖a‖‖b‖)/2: half as
    wide as ±‖a‖‖b‖, around a middle of its own.

    Args:
        quadratic: A bound on how far the product of what the δ move is from that middle, where one
            is known.
    """
    one, two = one.widened(len(two.free)), two.widened(len(one.free))
    here, there = one.centre, two.centre
    middle = 0.5 * by(one.ball, two.ball).sum(0)
    alone = by(one.within_ball, two.within_ball)
    halves = 0.5 * alone
    halves = halves if quadratic is None else torch.minimum(halves, quadratic)
    left = (by(one.spread, two.spread) - alone * (1 - 1e-9) + halves) * (1 + 1e-9)
    rest = (by(one.rest, there.abs()) + by(here.abs(), two.rest)) * (1 + 1e-9)
    doubt = rounding(terms) * by(one.largest, two.largest) + rounding(len(one.ball)) * alone
    ball = by(one.ball, there) + by(here, two.ball)
    free = by(one.free, there) + by(here, two.free)
    made = AffineForm(by(here, there), ball, free, rest + doubt)
    return made.left_open(middle, left)


def matrix_product(one: AffineForm, two: AffineForm) -> AffineForm:
    """The product of two matrices (…, n, m) and (…, m, l).

    With A the matrix of the m numbers of a row by δ and B that of a column, δᵀAᵀBδ lies between
    −¼‖tA − B/t‖² and ¼‖tA + B/t‖², whatever t, which is up to m times narrower than the sum over
    the m numbers one by one.
    """
    terms = one.centre.shape[-1]
    if terms > _WIDE or one.centre.shape[:-2] != two.centre.shape[:-2]:
        return product(one, two, torch.matmul, terms)
    rows, columns = one.ball.movedim(0, -1), two.ball.mT.movedim(0, -1)
    sizes = [t.square().sum((-2, -1)).sqrt().clamp_min(1e-150) for t in (rows, columns)]
    rows, columns = rows / sizes[0][..., None, None], columns / sizes[1][..., None, None]
    own = [t @ t.mT for t in (rows, columns)]
    across = torch.einsum("...iap,...jbp->...ijab", rows, columns)
    across = across + across.mT
    alike = own[0][..., :, None, :, :] + own[1][..., None, :, :, :]
    size = 0.25 * sizes[0][..., :, None] * sizes[1][..., None, :] * (1 + 1e-9)
    up, down = (size * largest_eigenvalue(alike + sign * across) for sign in (1.0, -1.0))
    # Between −down and up; the middle that is taken is Σ a·b/2.
    middle = 0.5 * (one.ball @ two.ball).sum(0)
    quadratic = torch.maximum(up - middle, down + middle)
    return product(one, two, torch.matmul, terms, quadratic)


def largest_eigenvalue(gram: Float[Tensor, "... n n"]) -> Float[Tensor, "..."]:
    """Of G ⪰ 0 from above: ‖G‖ ≤ ‖G^(2^k)‖_F^(1/2^k); Frobenius' own norm can be √n too large."""
    scale = gram.diagonal(dim1=-2, dim2=-1).sum(-1).clamp_min(1e-300)
    power = gram / scale[..., None, None]
    for _ in range(_POWERS):
        power = power @ power
    norm: Tensor = torch.linalg.matrix_norm(power) ** (0.5**_POWERS)
    return scale * (norm + 1e-9)

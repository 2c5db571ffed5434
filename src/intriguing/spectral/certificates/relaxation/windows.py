"""The largest number of each window of a max pool, all numbers of a window taken together.

A window z ∈ Rᵏ between l and u gives y = max(z₁, …, zₖ), or relu of it, which is one more number
that stays at 0. It moves no farther than z does, so that a tail passes it unchanged. A backward
pass needs from below

    least over z of   q·y − g·z − ½μ(y − y₀)² + ½Λ‖z − z₀‖²,

Λ > μ for numbers that can be the largest; others need none.

Let hᵢ(v) = ½Λ(v − z₀ᵢ)² − gᵢv, least in [lᵢ, uᵢ] at vᵢ. For y = t every zᵢ is min(vᵢ, t), but for
one that has to be t. Up to t = max v there is one already, and Σ hᵢ(min(vᵢ, t)) + qt − ½μ(t − y₀)²
is convex: its least value is at the vertex of one of its k pieces, or where two meet. Beyond, a
single winner j leaves its vⱼ, one parabola for each.

y ≥ zⱼ for every j. And with sᵢ = (uᵢ − M)₊/(uᵢ − lᵢ), M at least all l, y ≤ M + Σ sᵢ(zᵢ − lᵢ): the
left side is convex, so that corners decide, where zⱼ = uⱼ gives M or more. The best M is one of the
u, or the largest l.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn import functional

from intriguing.graph.operation import Operation
from intriguing.graph.operations.pools import pool_settings
from intriguing.spectral.certificates.relaxation.lines import Lines
from intriguing.spectral.norms.eigenvalue import UNIT

_TAPS = 16
"""Numbers of a window up to which it is relaxed."""


@dataclass(frozen=True)
class Window:
    """What a max pool reads, in flat order.

    Attributes:
        places: Of the numbers of each window.
        rectified: Whether 0 is one of them.
        shape: Of what the pool gives, (1, …).
        copies: How many windows read the same number, at most.
    """

    places: Int64[Tensor, "taps windows"]
    rectified: bool
    shape: torch.Size
    copies: int

    @property
    def steepest(self) -> float:
        """‖Δy‖ over ‖Δz‖ of a window, at most."""
        return 1.0

    def __call__(self, values: Float[Tensor, "batch ..."]) -> Tensor:
        """The pool."""
        largest = self.taken(values.flatten(1)).view(-1, *self.places.shape).amax(1)
        largest = largest.clamp_min(0.0) if self.rectified else largest
        return largest.view(-1, *self.shape[1:])

    def taken(self, values: Float[Tensor, "... numbers"]) -> Float[Tensor, "... taps_windows"]:
        """What each window reads of rows, tap after tap."""
        return values[..., self.places.flatten()]

    def spread(self, q: Float[Tensor, "rows windows"]) -> Float[Tensor, "rows taps_windows"]:
        """A window's number for each of its taps."""
        return q.repeat(1, len(self.places))

    def gathered(
        self, g: Float[Tensor, "rows taps_windows"], count: int
    ) -> Float[Tensor, "rows numbers"]:
        """The adjoint of `taken`, for so many numbers."""
        return g.new_zeros(len(g), count).index_add(1, self.places.flatten(), g)

    def between(self, low: Float[Tensor, "1 ..."], high: Float[Tensor, "1 ..."]) -> "Windows":
        """What is known if the numbers that it reads from lie there."""
        first, last = (self.taken(end.flatten()).view(self.places.shape) for end in (low, high))
        return Windows(first, last, self.rectified)


def window_of(operation: Operation) -> Window | None:
    """Of a max pool of two axes; None of anything else."""
    places = _places(operation)
    if places is None:
        return None
    copies = int(torch.bincount(places.flatten()).max())
    return Window(places, False, operation.output.shape, copies)


@dataclass(frozen=True)
class Windows:
    """Between which numbers each window's entries lie."""

    low: Float[Tensor, "taps windows"]
    high: Float[Tensor, "taps windows"]
    rectified: bool

    def to(self, dtype: torch.dtype) -> "Windows":
        """In another precision."""
        return Windows(self.low.to(dtype), self.high.to(dtype), self.rectified)

    @property
    def ends(self) -> tuple[Float[Tensor, " windows"], Float[Tensor, " windows"]]:
        """Between which y lies."""
        least, most = self.low.amax(0), self.high.amax(0)
        return (least.clamp_min(0.0), most.clamp_min(0.0)) if self.rectified else (least, most)

    @property
    def largest(self) -> Float[Tensor, " windows"]:
        """|y| is at most this."""
        least, most = self.ends
        return torch.maximum(least.abs(), most.abs())

    @property
    def slopes(self) -> tuple[Float[Tensor, " taps_windows"], Float[Tensor, " taps_windows"]]:
        """Between which slopes y runs in each of its numbers."""
        none = torch.zeros_like(self.low).flatten()
        return none, none + 1.0

    @property
    def lines(self) -> Lines:
        """The best ones in the middle, of those above."""
        least, _ = self.ends
        middle = 0.5 * (self.low + self.high)
        best, winner = middle.max(0)
        below = functional.one_hot(winner, len(middle)).T.to(middle)
        if self.rectified:
            below = below * (best > 0)
        wide = self.high - self.low
        levels = torch.maximum(torch.cat([self.high, least[None]]), least)[:, None]
        shares = (self.high - levels) / wide.clamp_min(1e-300)
        shares = torch.where(wide > 0, shares.clamp(0.0, 1.0), (self.high >= levels).to(wide))
        reached = torch.maximum((self.high - shares * wide).amax(1), least)
        over = reached - (shares * self.low).sum(1)
        sizes = (self.low.abs() + self.high.abs()).sum(0) + least.abs()
        over = over + 16 * (len(wide) + 4) * UNIT * sizes
        lowest = (over + (shares * middle).sum(1)).argmin(0)
        columns = torch.arange(len(lowest), device=lowest.device)
        above = shares[lowest, :, columns].T
        return Lines(
            below.flatten(), torch.zeros_like(least), above.flatten(), over[lowest, columns]
        )

    def moves(self, z0: Tensor, y0: Tensor) -> Float[Tensor, " taps_windows"]:
        """How far y moves at most for each step of a number: not at all with those always below."""
        first, most = self.ends
        return ((self.high >= first) & (most > first)).to(self.high).flatten()

    def least(
        self, q: Float[Tensor, "rows windows"], g: Float[Tensor, "rows taps_windows"],
        mu: Float[Tensor, "rows windows_or_1"], strength: Float[Tensor, "rows taps_windows_or_1"],
        z0: Float[Tensor, " taps_windows"], y0: Float[Tensor, " windows"], proved: bool,
    ) -> Float[Tensor, "rows windows"]:  # fmt: skip
        """The least value as above, from below; rounding counts where it is `proved`."""
        g, z0 = g.view(-1, *self.low.shape), z0.view(self.low.shape)
        each = strength.shape[1] > 1
        strength = strength.view(len(q), *(self.low.shape if each else (1, 1)))
        with torch.no_grad():
            z, t = self.attained(q, g, mu[:, None], strength, z0, y0)
        linear = q * t - (g * z).sum(1)
        value = linear - 0.5 * mu * (t - y0).square()
        value = value + 0.5 * (strength * (z - z0).square()).sum(1)
        if not proved:
            return value
        # At the vertex that is computed a piece's derivative is off by as much as rounding makes of
        # its terms, and the least value is no farther away than the ends.
        size = self.largest + z0.abs().amax(0) + y0.abs() + self.low.abs().amax(0)
        pull = (strength.expand(-1, *z0.shape)).sum(1)
        moved = mu * (self.largest + y0.abs())
        steep = q.abs() + g.abs().sum(1) + 2 * (moved + pull * size)
        return value - 128 * (len(z0) + 4) * UNIT * steep * size

    def attained(
        self, q: Tensor, g: Tensor, mu: Tensor, strength: Tensor, z0: Tensor, y0: Tensor
    ) -> tuple[Tensor, Tensor]:
        """z and y where the value of `least` is least."""
        tiny = torch.finfo(q.dtype).tiny * 1e6
        strength, q = strength.clamp_min(tiny), q[:, None]
        free = torch.minimum(torch.maximum(z0 + g / strength, self.low), self.high)
        first, _ = self.ends
        turn = free.amax(1, keepdim=True)
        turn = turn.clamp_min(0.0) if self.rectified else turn
        # Up to there: with the m that are farthest up held down to t.
        order = free.argsort(1, descending=True)
        sorted_, pull = free.gather(1, order), strength * z0 + g
        pull = pull.gather(1, order).cumsum(1)
        bent = strength.expand_as(free).gather(1, order).cumsum(1)
        bent = (bent - mu).clamp_min(tiny)
        vertex = (pull - q - mu * y0) / bent
        lower = torch.cat([sorted_[:, 1:], sorted_.new_full(sorted_[:, :1].shape, -torch.inf)], 1)
        held = torch.minimum(torch.maximum(vertex, lower), sorted_)
        held = torch.minimum(torch.maximum(held, first), turn)
        # Beyond: one of them alone.
        alone = (strength * z0 + g - q - mu * y0) / (strength - mu).clamp_min(tiny)
        reached = torch.minimum(torch.maximum(alone, turn), self.high)
        points = torch.cat([held, reached], 1)[:, :, None]
        z = torch.minimum(free[:, None], points)
        each = torch.arange(len(z0), device=q.device)
        winners = (each[:, None] == each)[None, :, :, None]
        z[:, len(z0) :] = torch.where(winners, points[:, len(z0) :], z[:, len(z0) :])
        t = points[:, :, 0]
        value = q * t - (g[:, None] * z).sum(2) - 0.5 * mu * (t - y0).square()
        value = value + 0.5 * (strength[:, None] * (z - z0).square()).sum(2)
        possible = torch.cat([torch.ones_like(held) > 0, self.high >= turn], 1)
        best = torch.where(possible, value, torch.inf).argmin(1, keepdim=True)
        z = z.gather(1, best[:, :, None].expand(-1, -1, len(z0), -1))[:, 0]
        return z, t.gather(1, best)[:, 0]


def _places(operation: Operation) -> Tensor | None:
    """For each place of a max pool's window, the number that every output reads there.

    Where the window reaches over the border, one that it reads anyway.
    """
    name = operation.name.lower().replace("_", "")
    pool = pool_settings(operation)
    if not name.startswith("maxpool") or pool is None or not isinstance(operation.output, Tensor):
        return None
    if operation.x.ndim != 4 or math.prod(pool.kernel) > _TAPS:
        return None
    x, output = operation.x, operation.output
    numbers = torch.arange(1, x.numel() + 1, dtype=torch.float64).view(x.shape)
    after = [
        max(0, (n - 1) * s + d * (k - 1) + 1 - size - p)
        for n, s, d, k, size, p in zip(
            output.shape[2:],
            pool.stride,
            pool.dilation,
            pool.kernel,
            x.shape[2:],
            pool.padding,
            strict=True,
        )
    ]
    padded = functional.pad(numbers, (pool.padding[1], after[1], pool.padding[0], after[0]))
    windows = functional.unfold(padded, pool.kernel, pool.dilation, 0, pool.stride)
    rows, columns = (
        (padded.shape[axis + 2] - pool.dilation[axis] * (pool.kernel[axis] - 1) - 1)
        // pool.stride[axis] + 1
        for axis in (0, 1)
    )  # fmt: skip
    windows = windows.view(x.shape[1], math.prod(pool.kernel), rows, columns)
    windows = windows[:, :, : output.shape[2], : output.shape[3]].long()
    if windows.shape[2:] != output.shape[2:]:
        return None
    filled = torch.where(windows > 0, windows, windows.amax(1, keepdim=True)) - 1
    places = filled.transpose(0, 1).flatten(1).to(x.device)
    noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    largest = noise.flatten()[places.cpu()].amax(0)
    expected = operation.again(noise.to(x)).flatten().cpu()
    return places if torch.equal(largest, expected) else None

"""Bounds of units one curve deep, many at a time: each by multipliers of its own, in its own cone.

Such a unit u = Σ qⱼyⱼ + b reads some y = σ(z) of some pixels, z = z(x̂) + Cd, its cone. With slopes
g = s·q and a strength Λ for every number that it reads, as in a backward pass,

    u ≥ b + Σ min over z of (qσ(z) − gz + ½Λ(z − ẑ)²) + g·ẑ + min over d of (g·Cd − ½(Cd)ᵀΛCd),

d in the ball and in the box, the second minimum as in `domain`. A backward pass of one unit would
go through the whole layer, most of which the unit does not read. Here the cones of many units lie
side by side as one matrix K, a block each, so that a step of all costs what their cones do: a
thousandth of a pass each. Bounds from above are those of −u from below.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from torch import Tensor

from intriguing.spectral.certificates.relaxation.affine import AffineMap
from intriguing.spectral.certificates.relaxation.cells import Cells
from intriguing.spectral.certificates.relaxation.cone_pixels import SHORT, ConePixels, Ends
from intriguing.spectral.certificates.relaxation.program import Curve, Program
from intriguing.spectral.certificates.relaxation.segments import Segment
from intriguing.spectral.certificates.relaxation.surroundings import UNIT, Surroundings, rounding
from intriguing.spectral.certificates.relaxation.windows import Window, Windows


@dataclass(frozen=True)
class OneDeep:
    """The units of a node that one curve lies between and the input.

    Attributes:
        place: The node.
        curve: The node of the curve, or max pool, that it reads.
        own, first: What enters the node, and what enters the curve.
    """

    place: int
    curve: int
    rule: Curve | Window
    before: int
    own: Segment
    first: Segment

    @property
    def rows(self) -> csr_matrix:
        """q of all units."""
        return self.own.parts[self.curve][0]


def one_deep(program: Program, segments: dict[int, Segment], place: int) -> OneDeep | None:
    """The units of a node, if they are of that kind."""
    if not isinstance(program.nodes[place].rule, AffineMap):
        return None
    own = segments[place]
    if len(own.parts) != 1:
        return None
    (curve,) = own.parts
    rule = program.nodes[curve].rule
    if not isinstance(rule, Curve | Window):
        return None
    (before,) = program.nodes[curve].parents
    if list(segments[before].parts) != [0] or not isinstance(program.nodes[before].rule, AffineMap):
        return None
    return OneDeep(place, curve, rule, before, own, segments[before])


class Cones:
    """Some units of a layer, each with a sign: what is bounded from below is sign·u.

    Attributes:
        entries: Of each unit's row, where in the layer's matrix they are.
        owner: Which unit an entry of a row is of.
    """

    def __init__(
        self, layer: OneDeep, around: Surroundings, units: NDArray[np.int64],
        signs: NDArray[np.float64],
    ) -> None:  # fmt: skip
        self.layer, self.around, self.radius = layer, around, around.radius
        image, rule, rows = around.image, layer.rule, layer.rows
        counts = np.diff(rows.indptr)[units]
        owner = np.repeat(np.arange(len(units)), counts)
        inside = np.arange(len(owner)) - np.repeat(np.cumsum(counts) - counts, counts)
        self.entries = rows.indptr[units][owner] + inside
        read, self.count = rows.indices[self.entries], len(units)
        self.owner = torch.from_numpy(owner)
        self.q = torch.from_numpy(rows.data[self.entries] * signs[owner])
        self.constant = torch.from_numpy(signs * layer.own.offset[units])
        numbers = torch.from_numpy(read)
        if isinstance(rule, Window):
            places = rule.places.cpu()[:, numbers]
            cells = around.cells[layer.curve]
            assert isinstance(cells, Windows)
            self.cells: Cells | Windows = Windows(
                cells.low.cpu()[:, numbers], cells.high.cpu()[:, numbers], cells.rectified
            )
        else:
            places, cells = numbers[None], around.cells[layer.curve]
            assert isinstance(cells, Cells)
            self.cells = Cells(
                *(getattr(cells, name).cpu()[:, numbers] for name in Cells.__dataclass_fields__)
            )
            self.ends_of_slopes = self.cells.slopes
        self.taps = len(places)
        lines = around.lines[layer.curve]
        self.lines = tuple(
            line.cpu().view(self.taps, -1)[:, numbers] for line in (lines.below, lines.above)
        )
        self.width = (around.high[layer.curve] - around.low[layer.curve]).flatten().cpu()[places]
        self.here = image.values[layer.before].flatten().cpu()[places]
        self.there = image.values[layer.curve].flatten().cpu()[numbers]
        self.pixels = ConePixels(
            *layer.first.parts[0], places.flatten().numpy(), np.tile(owner, self.taps),
            len(units), image, around.radius, layer.first.terms,
        )  # fmt: skip
        self.doubt = self._doubt(units)
        self._kept: dict[tuple[str, torch.dtype], Any] = {}

    def _doubt(self, units: NDArray[np.int64]) -> Float[Tensor, " units"]:
        """What rounding can make of q and b."""
        own, at = self.layer.own, self.layer.curve
        size = own.parts[at][1][units] @ self.around.magnitude[at].flatten().cpu().numpy()
        return torch.from_numpy(rounding(own.terms) * (own.size[units] + size))

    def start(self) -> tuple[Tensor, Tensor]:
        """Slopes of lines, and strengths for which a minimum costs about what a line does."""
        below, above = self.lines
        slopes = torch.where(self.q >= 0, below, above)
        strengths = 0.3 * self.q.abs() / self.width.clamp_min(1e-6)
        return slopes, strengths.clamp_min(1e-8).log()

    def climbing(
        self, slopes: Float[Tensor, "taps entries"], strengths: Float[Tensor, "taps entries"],
        ends: Ends, rounds: int, powers: int,
    ) -> tuple[Float[Tensor, " units"], Tensor, Tensor]:  # fmt: skip
        """The bounds, nearly, and their derivatives in slopes and log strengths.

        They are least values of what is linear in g and Λ, so that the derivatives are what stands
        beside these where they are attained.

        Args:
            slopes: Of every number that is read, entry by entry of the units' rows.
            strengths: log Λ.
            ends: Where to begin at the input; left where it ended.
            rounds, powers: Steps for p, and power steps.
        """
        pixels = self.pixels
        q, here, cells = (self._as(name, slopes.dtype) for name in ("q", "here", "cells"))
        g, strong = q * self.fitting(slopes), strengths.exp()
        if isinstance(cells, Windows):
            there, none = self._as("there", slopes.dtype), q.new_zeros(1, 1, 1)
            z, y = cells.attained(q[None], g[None], none, strong[None], here, there)
            z, y = z[0], y[0]
        else:
            z, y = cells.lowest(q, g[0], strong[0], here[0])
            z = z[None]
        apart, flat = z - here, strong.flatten()
        rest = q * y - (g * apart).sum(0) + 0.5 * (strong * apart.square()).sum(0)
        moved = pixels.towards(flat, ends, powers)
        top = SHORT * pixels.per_unit(flat * moved.square(), pixels.tap_owner)
        pixels.walk(g.flatten(), flat, top, ends, rounds)
        inside, there_, across, steep = pixels.least(g.flatten(), flat, top, ends)
        value = self._as("constant", slopes.dtype) + pixels.per_unit(rest, self.owner) + inside
        by_g = (there_ + across).view_as(z) - apart
        by_strength = 0.5 * apart.square() - (there_ * (0.5 * there_ + across)).view_as(z)
        by_strength += (SHORT * steep[pixels.tap_owner] * moved.square()).view_as(z)
        return value, q * by_g, strong * by_strength

    def proved(
        self, slopes: Float[Tensor, "taps entries"], strengths: Float[Tensor, "taps entries"],
        ends: Ends, rounds: int,
    ) -> Float[Tensor, " units"]:  # fmt: skip
        """The bounds, in float64 with all that rounding can do taken off. As `climbing`."""
        q, here, pixels = self.q, self.here, self.pixels
        g, strong = q * self.fitting(slopes), strengths.exp()
        rest = self.cells.least(
            q[None], g.reshape(1, -1), q.new_zeros(1, 1), strong.reshape(1, -1), here.flatten(),
            self.there, True,
        )[0]  # fmt: skip
        terms, weight = (g * here).sum(0), strong.flatten() * (1 + 1e-8)
        top = pixels.proved_top(weight)
        pixels.walk(g.flatten(), weight, top, ends, rounds)
        inside, moved, across, _ = pixels.least(g.flatten(), weight, top, ends)
        value = self.constant + pixels.per_unit(rest + terms, self.owner) + inside
        lost = pixels.lost(g.flatten(), weight, top, ends, moved, across)
        sizes = rest.abs() + (g * here).abs().sum(0)
        lost = lost + rounding(self.taps * len(rest)) * pixels.per_unit(sizes, self.owner)
        value = value - 2 * (lost + self.doubt) - self._off(g.flatten(), weight)
        value = value - 64 * UNIT * value.abs()
        return value.nan_to_num(nan=-torch.inf, posinf=-torch.inf)

    def _off(self, g: Tensor, weight: Tensor) -> Tensor:
        """What computed values at the image may be off by: (Cd + e)² as in `backward`."""
        pixels = self.pixels
        apart, copies = self.around.image.doubt[self.layer.before], self.layer.rule.copies
        length = pixels.per_unit(g.square(), pixels.tap_owner).sqrt()
        most = torch.zeros_like(length).scatter_reduce(0, pixels.tap_owner, weight, "amax")
        return 1.01 * length * copies * apart + most * copies * (1.01e8 * apart**2)

    def _as(self, name: str, dtype: torch.dtype) -> Any:
        """An attribute in another precision."""
        if (name, dtype) not in self._kept:
            self._kept[name, dtype] = getattr(self, name).to(dtype)
        return self._kept[name, dtype]

    def fitting(self, slopes: Float[Tensor, "taps entries"]) -> Float[Tensor, "taps entries"]:
        """None steeper than the curve is, either way."""
        if isinstance(self.cells, Windows):
            return slopes.clamp(0.0, 1.0)
        low, high = self.ends_of_slopes
        return torch.minimum(torch.maximum(slopes, low.to(slopes)), high.to(slopes))

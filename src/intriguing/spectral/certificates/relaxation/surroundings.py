"""What is known of every node within R of an image: where it lies, and how its curves run.

Values at the image are computed, not exact: `doubt` bounds how far each node's is from what exact
arithmetic gives, and `apart` how far from what the node makes of its parents' computed values.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import torch
from jaxtyping import Float
from torch import Tensor

from intriguing.spectral.certificates.relaxation.affine import AffineMap
from intriguing.spectral.certificates.relaxation.cells import Cells
from intriguing.spectral.certificates.relaxation.lines import Lines
from intriguing.spectral.certificates.relaxation.program import Curve, Program
from intriguing.spectral.certificates.relaxation.sparse_map import SparseMap
from intriguing.spectral.certificates.relaxation.windows import Window, Windows

UNIT = 2.0**-53
_LEAST = 1e-2
"""The smallest unit of a number: smaller ones only add to what rounding can do."""


@dataclass(frozen=True)
class Image:
    """One image in a program, and its box.

    Attributes:
        values: Of every node, (1, …).
        doubt, apart: As above, L2.
        down, up: How far each pixel can go.
        first: The affine map from the input to the first curve, if only that is in between.
        inner: Those from one curve to another's input that tails of single units pass, by that.
    """

    program: Program
    values: tuple[Tensor, ...]
    doubt: tuple[float, ...]
    apart: tuple[float, ...]
    down: Float[Tensor, " pixels"]
    up: Float[Tensor, " pixels"]
    first: SparseMap | None = None
    inner: Mapping[int, SparseMap] = field(default_factory=dict)


@dataclass
class Surroundings:
    """An image and a radius, and what is known so far.

    Attributes:
        magnitude: By node, what no entry exceeds.
        low, high: By curve or pool, between which its input lies.
        cells, lines: By curve or pool.
        moved, scaled: By place, what `moves` and `inner` have found.
    """

    image: Image
    radius: float
    magnitude: dict[int, Tensor] = field(default_factory=dict)
    low: dict[int, Tensor] = field(default_factory=dict)
    high: dict[int, Tensor] = field(default_factory=dict)
    cells: dict[int, Cells | Windows] = field(default_factory=dict)
    lines: dict[int, Lines] = field(default_factory=dict)
    moved: dict[int, Tensor] = field(default_factory=dict)
    scaled: dict[int, tuple[SparseMap, Tensor]] = field(default_factory=dict)

    def moves(self, at: int) -> Float[Tensor, " inputs"]:
        """How far a curve's value moves at most with each number that it reads, here."""
        if at not in self.moved:
            node, values = self.image.program.nodes[at], self.image.values
            assert isinstance(node.rule, Curve | Window)
            z0 = node.rule.taken(values[node.parents[0]].flatten())
            self.moved[at] = self.cells[at].moves(z0, values[at].flatten())
        return self.moved[at]

    def inner(self, at: int) -> tuple[SparseMap, Float[Tensor, " numbers"]] | None:
        """An inner map of numbers in units of their own, and these; None where there is none.

        In its unit no ReLU's value moves farther than what it reads, and one that is off within
        the radius, or a window of such, has a small one: it does not count.
        """
        if at not in self.image.inner:
            return None
        if at not in self.scaled:
            map = self.image.inner[at]
            units = self._units(map.before)
            if units is None:
                self.scaled[at] = map, torch.ones_like(self.image.values[map.before].flatten())
            else:
                self.scaled[at] = map.scaled(units), units
        return self.scaled[at]

    def _units(self, at: int) -> Float[Tensor, " numbers"] | None:
        """Of a curve's value, or a pool's."""
        rule = self.image.program.nodes[at].rule
        if isinstance(rule, Curve) and rule.rectifies:
            return self.moves(at).clamp(_LEAST, 1.0)
        if isinstance(rule, Window) and rule.rectified:
            return self.moves(at).view(rule.places.shape).amax(0).clamp_min(_LEAST)
        return None

    def reach(self, place: int, units: bool = False) -> float:
        """How far the node is at most from its computed value, L2; or that in its units."""
        nodes, times = self.image.program.nodes, 1.0
        if units and self._units(place) is not None:
            # In its units a ReLU moves no farther than what it reads, a window than any of that.
            rule = nodes[place].rule
            times = math.sqrt(rule.copies) if isinstance(rule, Window) else 1.0
            (place,) = nodes[place].parents
        steep, doubt = nodes[place].lipschitz, self.image.doubt[place]
        return times * (steep * self.radius + doubt) * (1 + 1e-12)

    def within(self, radius: float) -> "Surroundings":
        """Of a smaller ball, of which nothing else is known."""
        return replace(self, radius=radius)


def image_of(
    program: Program, image: Tensor, low: Tensor, high: Tensor, first: SparseMap | None,
    inner: Mapping[int, SparseMap] | None = None,
) -> Image:  # fmt: skip
    """Run a program on a batch of one in float64.

    Args:
        low, high: The box, shaped as the image.
    """
    values: list[Tensor] = []
    doubt: list[float] = []
    apart: list[float] = []
    for node in program.nodes:
        if node.rule is None:
            value, own, before = image, 0.0, 0.0
        elif isinstance(node.rule, Curve):
            value = node.rule(values[node.parents[0]])
            own = 1e-14 * float((value.abs() + values[node.parents[0]].abs()).norm())
            own += node.rule.bends.slack * math.sqrt(value.numel())
            before = node.rule.steepest * doubt[node.parents[0]]
        elif isinstance(node.rule, Window):
            value, own = node.rule(values[node.parents[0]]), 0.0
            before = math.sqrt(node.rule.copies) * doubt[node.parents[0]] * (1 + 1e-12)
        else:
            value = node.rule.forward(*(values[p] for p in node.parents))
            sizes = node.rule.magnitude([values[p].abs() for p in node.parents])
            own = rounding(node.rule.terms) * float((sizes + node.rule.offset.abs()).norm())
            before = sum(
                norm * doubt[p] for norm, p in zip(node.rule.norms, node.parents, strict=True)
            )
        values.append(value)
        apart.append(own)
        doubt.append(own + before)
    flat = image.flatten()
    down, up = (low.flatten() - flat).clamp_max(0.0), (high.flatten() - flat).clamp_min(0.0)
    # x₀ + d is rounded once; the box is as much wider.
    wider = 4 * UNIT * (flat.abs() + 1e-300)
    ends = down - wider, up + wider
    return Image(program, tuple(values), tuple(doubt), tuple(apart), *ends, first, inner or {})


def rounding(terms: int) -> float:
    """γ of sums of so many terms, Higham's times 8 (see `semidefinite.outward_rounding`)."""
    return 8.0 * (terms + 16) * UNIT


def magnitude_of(around: Surroundings, place: int) -> Tensor:
    """What no entry of an affine node or the input exceeds."""
    node = around.image.program.nodes[place]
    if node.rule is None:
        at = around.image.values[place]
        down, up = (d.view_as(at) for d in (around.image.down, around.image.up))
        radius = around.radius
        return at.abs() + torch.maximum(-down, up).clamp_max(radius)
    assert isinstance(node.rule, AffineMap)
    sizes = node.rule.magnitude([around.magnitude[p] for p in node.parents])
    return (sizes + node.rule.offset.abs()) * (1 + 1e-9)

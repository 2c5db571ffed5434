"""Nodes of a search: boxes of what enters activations, with multipliers that are good there.

A node says that ζ of every unit lies between two ends. A split cuts one unit's box in two: at its
kink, beyond which it is straight, or in the middle, between whose ends a curve bends less.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from intriguing.graph.operation import Operation
from intriguing.spectral.dual.around import Around, Dense
from intriguing.spectral.dual.curve import Curve, Quadratic, narrowed
from intriguing.spectral.dual.lagrangian import Multipliers
from intriguing.spectral.dual.region import Region


@dataclass(frozen=True)
class Root:
    """What is known of one image before anything is split.

    Attributes:
        chain: Of dense layers.
        region: Where changes lie.
        coarse, fine: Curves with few nodes and with many.
        operations, at: Of each layer, what acts and what enters it at the image.
        kept: Units of the last layer that are left.
    """

    chain: Dense
    region: Region
    coarse: tuple[Curve, ...]
    fine: tuple[Curve, ...]
    operations: tuple[Operation, ...]
    at: tuple[Float[Tensor, " units"], ...]
    kept: Int64[Tensor, " units"]

    @classmethod
    def of(cls, both: tuple[Around, Around], values: Sequence[Tensor]) -> "Root":
        """Of what `around` gives, without the units that stay at 0 and pass nothing on."""
        coarse, fine = both
        chain, weights = coarse.chain, list(coarse.chain.weights)
        curves: tuple[list[Curve], list[Curve]] = [], []
        kept_values: list[Tensor] = []
        for number, (own, value) in enumerate(zip(fine.curves, values, strict=True)):
            kept = torch.arange(own.units, device=value.device)
            if own.pieces is not None:
                kept = kept[~_idle(own, value)]
            weights[number] = weights[number][kept]
            if number + 1 < len(weights):
                weights[number + 1] = weights[number + 1][:, kept]
            whole = len(kept) == own.units
            for some, net in zip(curves, (coarse, fine), strict=True):
                one = net.curves[number]
                some.append(one if whole else one.only(kept))
            kept_values.append(value[kept])
        return cls(
            Dense(tuple(weights), chain.activations), coarse.region, tuple(curves[0]),
            tuple(curves[1]), chain.activations, tuple(kept_values), kept,
        )  # fmt: skip

    def around(self, nodes: "Nodes", *, fine: bool = False) -> Around:
        """The same between the ends of each node."""
        own = self.fine if fine else self.coarse
        curves = tuple(
            narrowed(curve, low, high, operation, at, fine=fine)
            for curve, low, high, operation, at in zip(
                own, nodes.low, nodes.high, self.operations, self.at, strict=True
            )
        )
        return Around(self.chain, self.region, curves)


def _idle(own: Curve, at: Float[Tensor, " units"]) -> Tensor:
    """Units that are 0 in the whole ball, whatever rounding does: σ is 0 below its kink."""
    assert own.pieces is not None
    left = own.slope[0] + own.pieces[1][0][0]
    return (left == 0.0) & ~own.bends[0] & (at + own.high[0] + own.doubt[0] < 0.0)


@dataclass(frozen=True)
class Nodes:
    """Boxes with multipliers.

    Attributes:
        about: Which lead each is about.
        low, high: Of each layer.
        quadratics, scale, boxes: Multipliers, for the coordinates of the curves between the ends.
        mix: Logarithms of the weights of a lead's rows.
        bound: Up to where it is proved to hold no example.
        least: What the multipliers prove of the lead in the whole ball.
        rate: First step of the next ascent.
        heat: Temperature of the next steps by Newton's method, for each unit, relative to the lead.
    """

    about: Int64[Tensor, " n"]
    low: tuple[Float[Tensor, "n units"], ...]
    high: tuple[Float[Tensor, "n units"], ...]
    quadratics: tuple[Quadratic, ...]
    scale: Float[Tensor, " n"]
    boxes: Float[Tensor, "n pixels"]
    mix: Float[Tensor, "n rows"]
    bound: Float[Tensor, " n"]
    least: Float[Tensor, " n"]
    rate: Float[Tensor, " n"]
    heat: Float[Tensor, " n"]

    def __len__(self) -> int:
        return len(self.about)

    def __getitem__(self, rows: Tensor) -> "Nodes":
        return self._each(lambda one: one[rows])

    @classmethod
    def joined(cls, parts: Sequence["Nodes"]) -> "Nodes":
        """One after the other."""
        return parts[0]._each(lambda *same: torch.cat(same), *parts[1:])

    def where(self, chosen: Tensor, other: "Nodes") -> "Nodes":
        """These rows where they are chosen, else the other's."""

        def choose(one: Tensor, two: Tensor) -> Tensor:
            return torch.where(chosen.view(-1, *[1] * (one.ndim - 1)), one, two)

        return self._each(choose, other)

    @property
    def given(self) -> Multipliers:
        """As a lead takes them."""
        return list(self.quadratics), self.scale, self.boxes

    def with_multipliers(self, given: Multipliers, mix: Tensor) -> "Nodes":
        """Others in the same boxes."""
        quadratics, scale, boxes = given
        return replace(self, quadratics=tuple(quadratics), scale=scale, boxes=boxes, mix=mix)

    def _each(self, act: Callable[..., Tensor], *others: "Nodes") -> "Nodes":
        all_of = (self, *others)
        return Nodes(
            act(*(one.about for one in all_of)),
            tuple(act(*same) for same in zip(*(one.low for one in all_of), strict=True)),
            tuple(act(*same) for same in zip(*(one.high for one in all_of), strict=True)),
            tuple(
                tuple(act(*same) for same in zip(*layer, strict=True))  # type: ignore[misc]
                for layer in zip(*(one.quadratics for one in all_of), strict=True)
            ),
            act(*(one.scale for one in all_of)),
            act(*(one.boxes for one in all_of)),
            act(*(one.mix for one in all_of)),
            act(*(one.bound for one in all_of)),
            act(*(one.least for one in all_of)),
            act(*(one.rate for one in all_of)),
            act(*(one.heat for one in all_of)),
        )


def halves(
    root: Root, nodes: Nodes, layer: Int64[Tensor, " n"], unit: Int64[Tensor, " n"]
) -> Nodes:
    """Both halves of each node, one unit of it split; first all lower ones.

    What was proved of a node is proved of its halves by the multipliers that they are given: where
    a half is straight, v = sζ + c turns Av² + Bvζ + Cζ² + Dv + Eζ into a quadratic in ζ alone.
    """
    parts = []
    for side in range(2):
        low, high = list(nodes.low), list(nodes.high)
        quadratics = list(nodes.quadratics)
        for number, own in enumerate(root.coarse):
            rows = (layer == number).nonzero()[:, 0]
            if not len(rows):
                continue
            units = unit[rows]
            ends = [end[number].clone() for end in (low, high)]
            cut = (ends[0][rows, units] + ends[1][rows, units]) / 2
            if own.pieces is not None:
                cut = own.pieces[0][1, 0, units]
            ends[1 - side][rows, units] = cut
            low[number], high[number] = ends
            if own.pieces is not None:
                slope, shift = (one[side, 0, units] for one in own.pieces[1:])
                a, b, c, d, e = (one.clone() for one in quadratics[number])
                at = rows, units
                c[at] += (a[at] * slope + b[at]) * slope
                e[at] += (2.0 * a[at] * slope + b[at]) * shift + d[at] * slope
                for one in (a, b, d):
                    one[at] = 0.0
                quadratics[number] = a, b, c, d, e
        parts.append(replace(nodes, low=tuple(low), high=tuple(high), quadratics=tuple(quadratics)))
    return Nodes.joined(parts)

"""A lead's lower bound near one image as a function of multipliers, layer by layer, backwards.

A lead changes by d·w of the last layer's units. With w = aζ + v and a quadratic g ≤ 0 for each unit
(`curve.py`), a multiplier λ of the ball and one π for each pixel's box, it is at least

    min over δ, v of   d·w + Σ g(v, ζ) + λ(‖δ‖² − R²)/2 + π·δ − Σ max(π·δ over the box),   ζ = W w.

That is a quadratic function. Its minimum is found by eliminating v layer after layer, last first:
V(w) = wᵀPw/2 + q·w + s becomes, with M = P + 2A, N = Pa + B and r = q + D,

    V(ζ) = ζᵀ(aPa + 2C − NᵀM⁻¹N)ζ/2 + (aq + E − NᵀM⁻¹r)·ζ + s − rᵀM⁻¹r/2 − Σ F.

**Whatever the multipliers**, this bounds the lead as long as every M ≻ 0, as −F is all that any of
them may cost; the best ones give Shor's relaxation with everything known of each unit: it contains
linear relaxation (A = B = C = 0) and LipSDP around the image (D = E = 0). The value is concave in
(A, B, C, D, E, λ, π), and its derivative by each is the minimiser's v², vζ, ζ², … less that where F
is attained. With a temperature τ minima and maxima are soft: τ/2·log det M and covariances keep the
multipliers where M ≻ 0, as barriers do.
"""

from dataclasses import dataclass, replace
from typing import TypeAlias

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from intriguing.spectral.dual.around import Around
from intriguing.spectral.dual.curve import Curve, Quadratic
from intriguing.spectral.dual.elimination import cholesky, eliminated, solved, times

Multipliers: TypeAlias = tuple[list[Quadratic], Tensor, Tensor]
"""Each layer's A, …, E; λ, (rows,); and π, (rows, pixels)."""
KINDS = 5
"""Parameters of a unit."""
_SAME = 1e-6
"""Chords that differ by less count as if they did by so much, for the size of multipliers."""


@dataclass(frozen=True)
class Lead:
    """Leads of one class over others, near one image.

    Attributes:
        net: The image.
        rows: d.
        margins: The leads at the image.
    """

    net: Around
    rows: Float[Tensor, "rows units"]
    margins: Float[Tensor, " rows"]

    def only(self, some: Int64[Tensor, " some"]) -> "Lead":
        """Some of the rows."""
        curves = tuple(own.rows(some) for own in self.net.curves)
        return Lead(replace(self.net, curves=curves), self.rows[some], self.margins[some])

    def multipliers(self, point: Float[Tensor, "rows parameters"]) -> Multipliers:
        """From parameters without constraints, of sizes near 1.

        Of a unit A = eᵗ, B = Aρ·b, C = −Aρ²·c, D = −q + Aρ·reach·γ and E = q·ε, where q is what
        the lead's slope is there without quadratic terms; π is relative to λR.
        """
        quadratics: list[Quadratic] = []
        last, slope = point.shape[1], self.rows
        pixels = len(self.net.region.low)
        scale = point[:, -1 - pixels].exp()
        boxes = point[:, -pixels:] * (scale * self.net.region.radius)[:, None]
        last = point.shape[1] - 1 - pixels
        for number in reversed(range(len(self.net.curves))):
            own = self.net.curves[number]
            units = own.units
            first = last - KINDS * units
            t, b, c, offset, shift = point[:, first:last].view(len(point), KINDS, units).unbind(1)
            last = first
            a = t.exp() * own.bends
            slant = slope * offset * own.bends
            bend = (a * own.spread * own.reach * shift - slope) * own.bends
            spread = own.spread
            quadratics.insert(0, (a, a * spread * b, -a * spread.square() * c, bend, slant))
            slope = (own.slope * slope + slant) @ self.net.chain.weights[number]
        return quadratics, scale, boxes

    def start(self) -> Float[Tensor, "rows parameters"]:
        """Multipliers for which all M ≻ 0: those of slopes alone, one for each layer.

        From ζᵀZ⁻¹ζ ≤ 1 and s = 1/(2λ_max(Z)), ζᵀ(Z⁻¹ − sI)ζ + s‖v/ρ‖² ≤ 1: another ellipsoid.
        """
        weight = self.net.chain.weights[0]
        outer, sizes = torch.eye(weight.shape[1], dtype=weight.dtype, device=weight.device), []
        for weight, own in zip(self.net.chain.weights, self.net.curves, strict=True):
            inner = weight @ outer @ weight.mT
            share = 0.5 / torch.linalg.eigvalsh(inner)[-1].clamp_min(1e-300)
            identity = torch.eye(len(inner), dtype=inner.dtype, device=inner.device)
            inner = inner @ torch.linalg.inv(identity - share * inner)
            wide = own.spread.square() * own.bends / share
            outer = own.slope.mT * inner * own.slope + torch.diag(wide[0])
            sizes.append(share)
        lipschitz = torch.einsum("ri,ij,rj->r", self.rows, outer, self.rows).clamp_min(1e-300)
        scale = lipschitz.sqrt() / self.net.region.radius
        parts = []
        for own, share in zip(self.net.curves, sizes, strict=True):
            t = (0.5 * scale[:, None] * share / own.spread.clamp_min(_SAME).square()).log()
            none = torch.zeros_like(t)
            parts += [t, none, torch.ones_like(t), none, none]
        pixels = scale.new_zeros(len(scale), len(self.net.region.low))
        return torch.cat([*parts, scale.log()[:, None], pixels], 1)

    def soft(self, given: Multipliers, temperature: float | Tensor, sweeps: int = 0) -> "Soft":
        """Which rows have all M ≻ 0, and derivatives of the soft bound, less R²/2 in λ's.

        Args:
            given: Multipliers.
            temperature: One, or one for each row, (rows, 1).
            sweeps: By so many π is made better for the other multipliers, before anything else.
        """
        heat = torch.as_tensor(temperature, dtype=self.rows.dtype, device=self.rows.device)
        quadratics, scale, boxes = given
        net, chain = self.net, self.net.chain
        left, right, _ = chain.factors
        gone = eliminated(net, self.rows, quadratics, scale)
        rows, factor = gone.rows, gone.factor
        if sweeps:
            boxes = self._swept(gone.inner, factor, rows, scale, boxes, sweeps)
        held = boxes @ right.mT
        across = boxes - held @ right
        place = -solved(factor, rows + held)
        change = place @ right - across / scale[:, None]
        spread = torch.cholesky_inverse(factor)
        by_scale = 0.5 * (change.square().sum(1) - net.region.radius**2)
        by_scale = by_scale + 0.5 * heat.flatten() * spread.diagonal(dim1=-2, dim2=-1).sum(1)
        wide = net.region.high - net.region.low
        pixels = heat * self.rows.shape[1] / len(wide)
        attained = net.region.low + (boxes * wide / pixels).sigmoid() * wide
        moved, places, spreads = place, list[tuple[Tensor, Tensor]](), list[list[Tensor]]()
        befores = (left, *chain.weights[1:])
        for before, own, layer in zip(befores, net.curves, gone.layers, strict=False):
            moved, spread = moved @ before.mT, before @ spread @ before.mT
            bends = layer.bends
            cross, linear = layer.along
            bent = -times(cross, moved) - linear
            mixed = -cross @ spread
            own_spread = torch.cholesky_inverse(layer.factor) * (bends.mT * bends)
            own_spread = own_spread - mixed @ cross.mT
            places.append((bent, moved))
            spreads.append([m.diagonal(dim1=1, dim2=2) for m in (own_spread, mixed, spread)])
            moved = own.slope * moved + bent + own.offset
            slope = own.slope[:, None]
            sides = mixed * slope
            spread = slope.mT * spread * slope + own_spread + sides + sides.mT
        before, own, last = befores[-1], net.curves[-1], gone.last
        moved, outer = moved @ before.mT, ((before @ spread) * before).sum(2)
        cross, linear = last.along
        bent, mixed = -cross * moved - linear, -cross * outer
        places.append((bent, moved))
        spreads.append([last.bends / last.size - mixed * cross, mixed, outer])
        moved = own.slope * moved + bent + own.offset
        found = [
            _by_unit(own, g, heat, place, spread)
            for own, g, place, spread in zip(net.curves, quadratics, places, spreads, strict=True)
        ]
        return Soft(gone.feasible, found, by_scale, change - attained, boxes, change, places, moved)

    def _swept(
        self, inner: Tensor, factor: Tensor, rows: Tensor, scale: Tensor, boxes: Tensor, sweeps: int
    ) -> Float[Tensor, "rows pixels"]:
        """π by the alternating direction method: δ, what is nearest in the box, and the rest.

        min over δ of δᵀ(VᵀGV + λI)δ/2 + (Vᵀh)·δ in the box (Boyd et al. 2011, §5.2), penalty λ.
        """
        _, right, _ = self.net.chain.factors
        low, high, one = self.net.region.low, self.net.region.high, scale[:, None]
        held = boxes @ right.mT
        change = -solved(factor, rows + held) @ right - (boxes - held @ right) / one
        stiff, _ = cholesky(inner + torch.diag_embed((2.0 * one).expand_as(rows)))
        rest = boxes / one
        for _ in range(sweeps):
            outer = change + rest
            nearest = torch.maximum(low, torch.minimum(outer, high))
            rest = outer - nearest
            pull = one * (nearest - rest)
            within = pull @ right.mT
            change = (pull - within @ right) / (2.0 * one) + solved(stiff, within - rows) @ right
        return one * rest


def _by_unit(
    own: Curve, g: Quadratic, heat: Tensor, place: tuple[Tensor, Tensor], spread: list[Tensor]
) -> list[Tensor]:
    """The minimiser's v², vζ, ζ², v and ζ, less those on the unit's own curve."""
    v, z = place
    on_curve = own.attained(g, heat)
    seconds = [s + heat * m for s, m in zip((v * v, v * z, z * z), spread, strict=True)]
    return [one - other for one, other in zip((*seconds, v, z), on_curve, strict=True)]


@dataclass(frozen=True)
class Soft:
    """The derivatives of a soft bound, and where its minimum is.

    Attributes:
        feasible: Rows whose M ≻ 0.
        by_units, by_scale, by_boxes: Derivatives by A, …, E of each layer, λ and π.
        boxes: π.
        change: δ.
        places: v and ζ of each layer.
        last: w of the last one.
    """

    feasible: Bool[Tensor, " rows"]
    by_units: list[list[Tensor]]
    by_scale: Float[Tensor, " rows"]
    by_boxes: Float[Tensor, "rows pixels"]
    boxes: Float[Tensor, "rows pixels"]
    change: Float[Tensor, "rows pixels"]
    places: list[tuple[Tensor, Tensor]]
    last: Float[Tensor, "rows units"]


def derivatives(
    lead: Lead, point: Float[Tensor, "rows parameters"], temperature: float
) -> tuple[Tensor, Tensor]:
    """Which rows are feasible, and the derivatives of the soft bound by all parameters."""
    point = point.detach().requires_grad_()
    quadratics, scale, boxes = lead.multipliers(point)
    with torch.no_grad():
        held = [tuple(x.detach() for x in g) for g in quadratics]
        soft = lead.soft((held, scale.detach(), boxes.detach()), temperature)  # type: ignore[arg-type]
    value = (scale * soft.by_scale).sum() + (boxes * soft.by_boxes).sum()
    for g, by_unit in zip(quadratics, soft.by_units, strict=True):
        for multiplier, by in zip(g, by_unit, strict=True):
            value = value + (multiplier * by).sum()
    (gradient,) = torch.autograd.grad(value, point)
    return soft.feasible & gradient.isfinite().all(1), gradient

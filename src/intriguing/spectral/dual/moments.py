"""The soft minimum of a lead's bound as a Gaussian, and how what multipliers multiply varies in it.

With temperature τ a minimum over δ and v is −τ log ∫ exp(−·/τ): the quadratic form makes a Gaussian
of all of them. The bound's first derivatives by multipliers are its means of v², vζ, ζ², v, ζ and
‖δ‖²/2, less those of a unit's own curve; the second ones are −1/τ times the covariances of both,
which fourth moments of a Gaussian give in closed form:

    cov(xx', yy') = m m̃ S + … + S S̃ + …        each of the four pairings once.

Units that are straight have no v, so there is nothing for A, B and D to multiply: of v², vζ and v
only those of units that bend are looked at (`Bending`), y being their ζ.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from intriguing.spectral.dual.around import Around
from intriguing.spectral.dual.curve import Curve, Quadratic
from intriguing.spectral.dual.elimination import Eliminated, Last, Layer, solved, times

KINDS = ("vv", "vy", "zz", "v", "z")
"""What A, B, C, D and E multiply; z of all units, v and y of those that bend."""


@dataclass(frozen=True)
class Bending:
    """Which units bend, of all layers, row by row.

    Attributes:
        units: Their numbers; rows that have fewer end with some that do not, whose v is 0, and with
            it all that their multipliers do.
        count: Of all units.
    """

    units: Int64[Tensor, "rows bending"]
    count: int

    @classmethod
    def of(cls, curves: Sequence[Curve], rows: int) -> "Bending":
        """Of so many rows."""
        bends = torch.cat([own.bends.expand(rows, -1) for own in curves], 1)
        most = int(bends.sum(1).amax())
        units = bends.byte().argsort(dim=1, descending=True, stable=True)[:, :most]
        return cls(units, bends.shape[1])

    @property
    def widths(self) -> list[int]:
        """How many there are of each kind."""
        return [self.units.shape[1] if "v" in kind else self.count for kind in KINDS]

    def taken(self, each: Float[Tensor, "rows units *more"]) -> Float[Tensor, "rows bending *more"]:
        """Of those that bend."""
        some = self.units.view(*self.units.shape, *[1] * (each.ndim - 2))
        return each.gather(1, some.expand(*self.units.shape, *each.shape[2:]))

    def kinds(self, each: Float[Tensor, "rows units kinds"]) -> Float[Tensor, "rows parameters"]:
        """Of each kind those that there are, one kind after the other."""
        parts = zip(KINDS, each.unbind(2), strict=True)
        return torch.cat([self.taken(one) if "v" in kind else one for kind, one in parts], 1)

    def back(self, some: Float[Tensor, "rows parameters"]) -> Float[Tensor, "rows kinds_units"]:
        """The same with 0 for those that there are not."""
        parts = []
        for kind, one in zip(KINDS, torch.split(some, self.widths, 1), strict=True):
            whole = one.new_zeros(len(one), self.count)
            parts.append(whole.scatter(1, self.units, one) if "v" in kind else one)
        return torch.cat(parts, 1)

    def add(self, each: Float[Tensor, "rows units kinds kinds"], whole: Tensor) -> None:
        """Something of single units, to the first rows and columns of a matrix, lower half."""
        count = sum(self.widths)
        for i, rows in enumerate(torch.split(whole[:, :count, :count], self.widths, 1)):
            for j, part in enumerate(torch.split(rows, self.widths, 2)[: i + 1]):
                own, bent = each[:, :, i, j], ["v" in KINDS[k] for k in (i, j)]
                if any(bent):
                    own = self.taken(own)
                if bent[0] == bent[1]:
                    part.diagonal(dim1=1, dim2=2).add_(own)
                elif bent[0]:
                    part.scatter_add_(2, self.units[:, :, None], own[:, :, None])
                else:
                    part.scatter_add_(1, self.units[:, None], own[:, None])


@dataclass(frozen=True)
class Moments:
    """Means and covariances of v and ζ, of p, and of the last layer's w.

    A covariance is the product of two factors, of which each column is a direction of its own.

    Attributes:
        means: Of v and y of the units that bend, and of ζ of all, of all layers.
        factors: The same.
        p, p_factor: Of the part of δ that the first layer sees.
        last, last_factor: Of w.
    """

    means: dict[str, Float[Tensor, "rows some"]]
    factors: dict[str, Float[Tensor, "rows some all"]]
    p: Float[Tensor, "rows rank"]
    p_factor: Float[Tensor, "rows rank all"]
    last: Float[Tensor, "rows units"]
    last_factor: Float[Tensor, "rows units all"]

    def expected(self) -> Float[Tensor, "rows parameters"]:
        """Means of v², vζ, ζ², v and ζ."""
        return torch.cat([self._mean(kind) for kind in KINDS], 1)

    def covariance(self, into: Float[Tensor, "rows n n"]) -> None:
        """Write those of these with each other into the first rows and columns, lower half."""
        pairs: dict[str, Tensor] = {}
        for a, b in itertools.combinations_with_replacement("vyz", 2):
            pairs[a + b] = self.factors[a] @ self.factors[b].mT
            pairs[b + a] = pairs[a + b].mT
        rows = {name: mean[:, :, None] for name, mean in self.means.items()}
        columns = {name: mean[:, None] for name, mean in self.means.items()}
        ends = [0, *itertools.accumulate(self.means[kind[0]].shape[1] for kind in KINDS)]
        for i, one in enumerate(KINDS):
            for j, two in enumerate(KINDS[: i + 1]):
                part = into[:, ends[i] : ends[i + 1], ends[j] : ends[j + 1]]
                if len(one) == 1:
                    part.copy_(self._mixed(pairs, one, two, columns))
                    continue
                # By the product rule in what is left of one, and the two ways in both.
                first = self._mixed(pairs, one[0], two, columns)
                second = first if one[0] == one[1] else self._mixed(pairs, one[1], two, columns)
                torch.mul(first, rows[one[1]], out=part).addcmul_(second, rows[one[0]])
                if len(two) == 2:
                    for k in range(2):
                        part.addcmul_(pairs[one[0] + two[k]], pairs[one[1] + two[1 - k]])

    @staticmethod
    def _mixed(pairs: dict[str, Tensor], one: str, two: str, means: dict[str, Tensor]) -> Tensor:
        """Covariances of v or ζ with a kind."""
        if len(two) == 1:
            return pairs[one + two]
        if two[0] == two[1]:
            return 2.0 * pairs[one + two[0]] * means[two[0]]
        return pairs[one + two[0]] * means[two[1]] + pairs[one + two[1]] * means[two[0]]

    def beside(self, factor: Float[Tensor, "rows n all"]) -> Float[Tensor, "rows n parameters"]:
        """Covariances of something linear with v², vζ, ζ², v and ζ."""
        by = {a: factor @ self.factors[a].mT for a in "vyz"}
        parts = []
        for kind in KINDS:
            if len(kind) == 1:
                parts.append(by[kind])
            else:
                one, two = kind[0], kind[1]
                parts.append(
                    by[one] * self.means[two][:, None] + by[two] * self.means[one][:, None]
                )
        return torch.cat(parts, 2)

    def beside_length(self) -> Float[Tensor, "rows parameters"]:
        """Covariances of ‖p‖²/2 with them."""
        by = {a: self.p_factor @ self.factors[a].mT for a in "vyz"}
        along = {a: (self.p[:, :, None] * by[a]).sum(1) for a in "vyz"}
        parts = []
        for kind in KINDS:
            if len(kind) == 1:
                parts.append(along[kind])
            else:
                one, two = kind[0], kind[1]
                mixed = along[one] * self.means[two] + along[two] * self.means[one]
                parts.append(mixed + (by[one] * by[two]).sum(1))
        return torch.cat(parts, 1)

    def _mean(self, kind: str) -> Tensor:
        if len(kind) == 1:
            return self.means[kind]
        one, two = kind[0], kind[1]
        return self.means[one] * self.means[two] + (self.factors[one] * self.factors[two]).sum(2)


def moments(
    net: Around, gone: Eliminated, held: Float[Tensor, "rows rank"], heat: Float[Tensor, "rows 1"],
    bending: Bending,
) -> Moments:  # fmt: skip
    """Of the soft minimum.

    Args:
        held: What the pixels' multipliers are along p.
        heat: τ.
        bending: Which units have a v.
    """
    left, _, _ = net.chain.factors
    root = heat[:, :, None].sqrt()
    place = -solved(gone.factor, gone.rows + held)
    start = root * _inverse_root(gone.factor)
    moved, factor = place @ left.mT, left @ start
    means: dict[str, list[Tensor]] = {"v": [], "z": []}
    spread: dict[str, list[Tensor]] = {"v": [], "z": []}
    layers: list[Layer | Last] = [*gone.layers, gone.last]
    for number, (own, layer) in enumerate(zip(net.curves, layers, strict=True)):
        if number:
            weight = net.chain.weights[number]
            moved, factor = moved @ weight.mT, weight @ factor
        cross, linear = layer.along
        if isinstance(layer, Last):
            bent, apart = -cross * moved - linear, -cross[:, :, None] * factor
            free = torch.diag_embed(root[:, 0] * layer.bends / layer.size.sqrt())
        else:
            bent, apart = -times(cross, moved) - linear, -cross @ factor
            free = layer.bends.mT * root * _inverse_root(layer.factor)
        apart = torch.cat([apart, free], 2)
        for name, mean, some in (("v", bent, apart), ("z", moved, factor)):
            means[name].append(mean)
            spread[name].append(some)
        factor = _wide(own.slope[:, :, None] * factor, apart.shape[2]) + apart
        moved = own.slope * moved + bent + own.offset
    width = factor.shape[2]
    all_means = {name: torch.cat(parts, 1) for name, parts in means.items()}
    factors = {n: torch.cat([_wide(f, width) for f in parts], 1) for n, parts in spread.items()}
    for of in (all_means, factors):
        of |= {"v": bending.taken(of["v"]), "y": bending.taken(of["z"])}
    return Moments(all_means, factors, place, _wide(start, width), moved, factor)


@dataclass(frozen=True)
class OnCurves:
    """The soft maximum of each unit's quadratic over its own curve.

    Attributes:
        highest: Of all units together.
        means: Of v², vζ, ζ², v and ζ, unit by unit.
        covariance: Of these five, unit by unit.
    """

    highest: Float[Tensor, " rows"]
    means: Float[Tensor, "rows units kinds"]
    covariance: Float[Tensor, "rows units kinds kinds"]


def on_curves(
    curves: tuple[Curve, ...], quadratics: list[Quadratic], heat: Float[Tensor, "rows 1"]
) -> OnCurves:
    """Of all layers."""
    highest, means, covered = torch.zeros_like(heat[:, 0]), [], []
    for own, g in zip(curves, quadratics, strict=True):
        z, v = own.nodes, own.values
        statistics = torch.stack([v * v, v * z, z * z, v, z], -1)
        heights = sum(one * statistics[..., kind] for kind, one in enumerate(g)) / heat
        share = heights.softmax(0)[..., None]
        highest = highest + (heat * heights.logsumexp(0)).sum(1)
        mean = (share * statistics).sum(0)
        apart = statistics - mean
        covered.append(torch.einsum("nrui,nruj->ruij", share * apart, apart))
        means.append(mean)
    return OnCurves(highest, torch.cat(means, 1), torch.cat(covered, 1))


def _inverse_root(factor: Float[Tensor, "rows n n"]) -> Tensor:
    """L⁻ᵀ, whose product with its transpose is the inverse of LLᵀ."""
    identity = torch.eye(factor.shape[-1], dtype=factor.dtype, device=factor.device)
    found: Tensor = torch.linalg.solve_triangular(factor.mT, identity.expand_as(factor), upper=True)
    return found


def _wide(factor: Tensor, width: int) -> Tensor:
    return torch.nn.functional.pad(factor, (0, width - factor.shape[2]))

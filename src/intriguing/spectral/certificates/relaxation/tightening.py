"""Ranges of an image's units made tighter by multipliers of each unit's own.

Where lines alone bound the inputs of curves, what they leave is several times what these can be,
and all that follows starts from there. Units one curve deep are searched in their cones, thousands
at little cost; of deeper ones only layers of few are, by passes as the last bound's. What decides
how a curve runs comes first, and the rest of what is left open then (`undecided`). Multipliers are
kept: at another radius they are proved as they are, and searched a little further.
"""

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float, Int64
from numpy.typing import NDArray
from torch import Tensor

from intriguing.spectral.certificates.relaxation.choices import Choices
from intriguing.spectral.certificates.relaxation.cone_pixels import Ends
from intriguing.spectral.certificates.relaxation.cones import Cones, OneDeep, one_deep
from intriguing.spectral.certificates.relaxation.program import Curve, Program
from intriguing.spectral.certificates.relaxation.search import (
    AGAIN,
    APART,
    FIRST,
    apart,
    improved,
    proved,
    started,
)
from intriguing.spectral.certificates.relaxation.segments import Segment
from intriguing.spectral.certificates.relaxation.surroundings import Surroundings
from intriguing.spectral.certificates.relaxation.undecided import Sides, bending, deciding
from intriguing.spectral.certificates.relaxation.windows import Window

_STEPS, _LONGER, _FURTHER = 20, 40, 12
"""Of a search in cones: until what is decided early is left out, after that, and at another
radius."""
_RATES, _DECAY = (0.15, 0.3), 0.96
"""Adam's, of slopes and of logarithms of strengths."""
_PACE, _PROOF = (4, 5), 15
"""Steps at the input and power steps, of a search; and steps at the input before a proof."""
_ENTRIES, _TOGETHER = 400_000, 128
"""Of the cones that are searched together."""
_MOST = 20_000_000
"""Numbers that a layer's units read, each for itself, up to which multipliers are kept: 320 MB."""
_FEW, _ROWS = 128, 32
"""Numbers of a layer up to which it is searched whatever its depth, and how many at a time."""


@dataclass
class _Kept:
    """Multipliers of a layer's units, for either sign, and the radius that they are of."""

    slopes: Float[Tensor, "2 taps entries"]
    strengths: Float[Tensor, "2 taps entries"]
    radius: Float[Tensor, "2 units"]


class Tightening:
    """Of one image; it remembers what was found at other radii."""

    def __init__(
        self, program: Program, segments: dict[int, Segment], until: float = math.inf
    ) -> None:
        self.layers = {p: one_deep(program, segments, p) for p in segments}
        # Of what enters the first curve the ends are known, as it is affine.
        self.searched = {
            p
            for p, layer in self.layers.items()
            if list(segments[p].parts) != [0]
            and (program.nodes[p].shape.numel() <= _FEW or (layer and _numbers(layer) <= _MOST))
        }
        self.until = until
        self.kept: dict[int, _Kept] = {}
        self.choices: dict[tuple[int, int, int], tuple[float, Choices]] = {}

    def __call__(
        self, around: Surroundings, place: int, rule: Curve | Window,
        low: Float[Tensor, "1 ..."], high: Float[Tensor, "1 ..."],
    ) -> tuple[Tensor, Tensor]:  # fmt: skip
        """Tighter ranges of a node's numbers, which a curve or a max pool reads."""
        layer = self.layers[place]
        shape, here = low.shape, around.image.values[place].flatten()
        if place not in self.searched:
            return low, high
        least, most = low.flatten().clone(), high.flatten().clone()
        first = deciding(rule, least, most, here)
        done = torch.stack([first.below, first.above])
        self._ends(around, place, layer, first, least, most)
        rest = bending(rule, least, most)
        enough = torch.full_like(here, torch.inf)
        second = Sides(rest & ~done[0], rest & ~done[1], enough)
        self._ends(around, place, layer, second, least, most)
        return least.view(shape), most.view(shape)

    def _ends(
        self, around: Surroundings, place: int, layer: OneDeep | None, sides: Sides,
        low: Tensor, high: Tensor,
    ) -> None:  # fmt: skip
        """Raise lower ends and lower upper ones, in place."""
        for sign, which in ((1.0, sides.below), (-1.0, sides.above)):
            units = which.nonzero()[:, 0]
            goal = torch.where(sides.enough.isfinite(), sign * sides.enough, torch.inf)
            for some in self._parts(place, layer, units, sign):
                if time.process_time() >= self.until:
                    return
                if layer is None:
                    bound = self._by_rows(around, place, some, sign, goal[some])
                else:
                    bound = self._by_cones(around, layer, some, sign, goal[some])
                if sign > 0:
                    low[some] = torch.maximum(low[some], bound.to(low))
                else:
                    high[some] = torch.minimum(high[some], -bound.to(high))

    def _parts(
        self, place: int, layer: OneDeep | None, units: Int64[Tensor, " some"], sign: float
    ) -> Iterator[Int64[Tensor, " part"]]:
        """Those that are searched together: all new, or none."""
        new = torch.ones(len(units), dtype=torch.bool)
        if layer is None:
            together = _ROWS
            keys = [(place, int(sign), unit) for unit in units.tolist()]
            new = torch.tensor([key not in self.choices for key in keys], dtype=torch.bool)
        else:
            kept = self.kept.get(place)
            if kept is not None:
                new = kept.radius[int(sign < 0)][units.cpu()].isnan()
            read = np.diff(layer.rows.indptr).max(initial=1) * _taps(layer)
            first = layer.first.parts[0][0]
            each = read * max(1, first.nnz // first.shape[0])
            together = int(max(1, min(_TOGETHER, _ENTRIES // each)))
        for some in (units[new.to(units.device)], units[~new.to(units.device)]):
            if len(some):
                yield from torch.split(some, together)

    def _by_cones(
        self, around: Surroundings, layer: OneDeep, units: Int64[Tensor, " some"], sign: float,
        enough: Float[Tensor, " some"],
    ) -> Float[Tensor, " some"]:  # fmt: skip
        """Lower bounds of sign·units, searched until they are enough."""
        if layer.place not in self.kept:
            shape = 2, _taps(layer), layer.rows.nnz
            radius = torch.full((2, layer.rows.shape[0]), torch.nan, dtype=torch.float64)
            self.kept[layer.place] = _Kept(torch.zeros(shape), torch.zeros(shape), radius)
        kept, side, enough = self.kept[layer.place], int(sign < 0), enough.cpu()
        numbers = units.cpu()
        cones = _cones(around, layer, numbers, sign)
        if bool(kept.radius[side, numbers[0]].isnan()):
            search = _Search(cones, *cones.start())
            left = search.climb(_STEPS) < enough
            if bool(left.all()):
                search.climb(_LONGER)
                return self._proved(search, kept, side, numbers)
            bound = self._proved(search, kept, side, numbers)
            steps = _LONGER
        else:
            slopes, strengths = self._loaded(cones, kept, side, numbers)
            bound = self._proved(_Search(cones, slopes, strengths), kept, side, numbers)
            left = bound < enough
            steps = _FURTHER
        if bool(left.any()):
            cones = _cones(around, layer, numbers[left], sign)
            search = _Search(cones, *self._loaded(cones, kept, side, numbers[left]))
            search.climb(steps)
            again = self._proved(search, kept, side, numbers[left])
            bound[left] = torch.maximum(bound[left], again)
        return bound

    def _loaded(
        self, cones: Cones, kept: _Kept, side: int, units: Int64[Tensor, " some"]
    ) -> tuple[Tensor, Tensor]:
        """What is kept, with strengths for this radius."""
        more = (kept.radius[side, units] / cones.radius).log()[cones.owner]
        at = torch.from_numpy(cones.entries)
        slopes, strengths = (t[side][:, at].double() for t in (kept.slopes, kept.strengths))
        return slopes, strengths + more

    def _proved(
        self, search: "_Search", kept: _Kept, side: int, units: Int64[Tensor, " some"]
    ) -> Float[Tensor, " some"]:
        """What is proved of what was found, which is kept."""
        at = torch.from_numpy(search.cones.entries)
        kept.slopes[side][:, at] = search.slopes.float()
        kept.strengths[side][:, at] = search.strengths.float()
        kept.radius[side, units] = search.cones.radius
        return search.proved()

    def _by_rows(
        self, around: Surroundings, place: int, units: Int64[Tensor, " some"], sign: float,
        enough: Float[Tensor, " some"],
    ) -> Float[Tensor, " some"]:  # fmt: skip
        """The same by backward passes, for a layer of any depth."""
        program = Program(around.image.program.nodes[: place + 1])
        cut = replace(around, image=replace(around.image, program=program))
        shape = program.nodes[place].shape
        rows = around.image.values[0].new_zeros(len(units), shape.numel())
        rows[torch.arange(len(units)), units] = sign
        rows = rows.view(-1, *shape[1:])
        keys = [(place, int(sign), unit) for unit in units.tolist()]
        if keys[0] in self.choices:
            pace, several = replace(AGAIN, steps=_FURTHER), [self.choices[key] for key in keys]
            choices = Choices.stacked([c.scaled(r / around.radius) for r, c in several])
        else:
            pace = APART
            choices = apart(cut, improved(cut, rows, started(cut, rows), FIRST))
        bound, choices = proved(cut, rows, choices)
        self._keep(keys, around.radius, choices)
        left = (bound < enough).nonzero()[:, 0]
        if len(left):
            some = improved(cut, rows[left], choices.rows(left), pace)
            again, some = proved(cut, rows[left], some)
            self._keep([keys[i] for i in left.tolist()], around.radius, some)
            bound[left] = torch.maximum(bound[left], again)
        return bound

    def _keep(self, keys: list[tuple[int, int, int]], radius: float, choices: Choices) -> None:
        for i, key in enumerate(keys):
            self.choices[key] = radius, choices.row(i)


class _Search:
    """Slopes and strengths of some units, made better."""

    def __init__(self, cones: Cones, slopes: Tensor, strengths: Tensor) -> None:
        self.cones, self.slopes, self.strengths = cones, slopes, strengths
        self.ends: Ends = cones.pixels.ends(torch.float32)

    def climb(self, steps: int) -> Float[Tensor, " units"]:
        """So many steps of Adam in float32; the bounds, nearly, of the best met."""
        cones, owner = self.cones, self.cones.owner
        free = [self.slopes.float(), self.strengths.float()]
        kept = [t.clone() for t in free]
        moments = [(torch.zeros_like(t), torch.zeros_like(t)) for t in free]
        best = torch.full((cones.count,), -torch.inf)
        for step in range(steps + 1):
            value, *slopes = cones.climbing(free[0], free[1], self.ends, *_PACE)
            better = (value > best)[owner]
            best = torch.maximum(best, value)
            kept = [torch.where(better, t, k) for t, k in zip(free, kept, strict=True)]
            if step == steps:
                break
            for t, slope, (first, second), rate in zip(free, slopes, moments, _RATES, strict=True):
                slope.nan_to_num_(0.0, 0.0, 0.0)
                first.lerp_(slope, 0.1)
                second.mul_(0.999).addcmul_(slope, slope, value=0.001)
                size = (second / (1 - 0.999 ** (step + 1))).sqrt_().add_(1e-8)
                at = rate * _DECAY**step / (1 - 0.9 ** (step + 1))
                t.addcdiv_(first, size, value=at)
            free[0] = cones.fitting(free[0])
        self.slopes, self.strengths = (t.double() for t in kept)
        return best.double()

    def proved(self) -> Float[Tensor, " units"]:
        """What they prove."""
        ends = replace(self.ends, point=self.ends.point.double())
        if ends.log_delta is not None:
            ends.log_delta = ends.log_delta.double()
        slopes, strengths = self.slopes.float().double(), self.strengths.float().double()
        return self.cones.proved(slopes, strengths, ends, _PROOF)


def _cones(
    around: Surroundings, layer: OneDeep, units: Int64[Tensor, " some"], sign: float
) -> Cones:
    numbers: NDArray[np.int64] = units.numpy()
    return Cones(layer, around, numbers, np.full(len(numbers), sign))


def _taps(layer: OneDeep) -> int:
    """Of a window; one of a curve."""
    return len(layer.rule.places) if isinstance(layer.rule, Window) else 1


def _numbers(layer: OneDeep) -> int:
    return int(layer.rows.nnz) * _taps(layer)

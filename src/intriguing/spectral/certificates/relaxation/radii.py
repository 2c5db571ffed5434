"""Certified radii made larger by a linear relaxation of the network around each image."""

import math
import time
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from intriguing.measures import Box, Progress, ProgressCallback
from intriguing.models.classifier import device_of
from intriguing.spectral.certificates.feed_forward import chain_of
from intriguing.spectral.certificates.pairwise import PairBounds
from intriguing.spectral.certificates.relaxation.choices import Choices
from intriguing.spectral.certificates.relaxation.program import Program, program_of
from intriguing.spectral.certificates.relaxation.ranges import Tighter, surroundings
from intriguing.spectral.certificates.relaxation.search import (
    AGAIN,
    APART,
    FIRST,
    LONG,
    apart,
    improved,
    proved,
    started,
)
from intriguing.spectral.certificates.relaxation.segments import (
    Segment,
    first_map,
    inner_maps,
    segments_of,
)
from intriguing.spectral.certificates.relaxation.surroundings import Image, Surroundings, image_of
from intriguing.spectral.certificates.relaxation.tightening import Tightening
from intriguing.spectral.certificates.step import Walk
from intriguing.spectral.semidefinite.layers import Dense, Flatten, Slope

_NEAR = 0.999
"""From so much of a radius on, its ranges serve for a smaller one, too."""
_HOPELESS = 6.0
"""Where CROWN's lines lose more than so many leads, multipliers are not searched."""
_HALVINGS = 4
"""Smaller radii that are tried with the multipliers of one that could not be proved."""
_NEARLY, _AFRESH = 0.1, 3
"""What a search from known choices misses by so little of the lead, one from lines may prove: tried
so often, as these searches end a few percent apart."""
_FIRST = 0.6
"""The first radius that is tried, relative to where the leads would end if they were linear."""
_TRIALS, _NEARER, _LONGER = 14, 1.03, 2.0
"""Of short searches: how many radii are tried at most, how close proved and not proved ones may be,
and how much longer the next one may be than one that was proved."""
_OWN, _WIDER = 512, 4096
"""Units up to which each of a layer behind the first curve has a tail of its own, in short searches
and in long ones."""
_STEP, _FASTER, _MOST_STEP = 0.08, 1.25, 0.12
"""By how much the first radius of long searches is longer than what is known, by how much more the
one after one that was proved is, and any at most."""
_ASTRAY = 0.3
"""What was found at a radius where so much of a lead is missing says less than what was known."""
_MARGIN = 0.02
"""What they are to find of a lead, so that a proof is left with something."""


@dataclass(frozen=True)
class _Effort:
    """The step with which long searches end, which is halved where one fails, and their number."""

    close: float
    trials: int


_BRIEF, _WHOLE = _Effort(0.03, 5), _Effort(0.01, 1000)
"""By default, and as long as there are seconds."""


def relaxed_certificates(
    radii: Float[Tensor, "n k"],
    ahead: Float[Tensor, "n k"],
    images: Float[Tensor, "n ..."],
    labels: Int64[Tensor, " n"],
    bounds: PairBounds,
    box: Box,
    progress: ProgressCallback | None = None,
    *,
    seconds: float = math.inf,
) -> Float[Tensor, "n k"] | None:
    """Radii against each class, no smaller than those given, or None if the network has no such.

    Args:
        radii: Within which each class is known not to win; infinite for the image's own.
        ahead: Leads over each class, less what rounding can do to them.
        images, labels: Which images.
        bounds: The network.
        box: Where images lie: nothing is proved of others.
        progress: Called after each image.
        seconds: Of one core, after which no further radius is tried around an image. Where they
            are limited, long searches go on until they gain next to nothing, then with tighter
            ranges.
    """
    if not bounds.guaranteed or _dense(bounds.analysed.walk):
        return None
    program = program_of(bounds.analysed.walk)
    if program is None or not program.curves:
        return None
    segments = segments_of(program)
    if segments is None:
        return None
    first, inner = first_map(program, segments), inner_maps(program, segments, _OWN)
    radii, device = radii.clone(), device_of(bounds.analysed.graph)
    low, high = (
        torch.as_tensor(b, dtype=torch.float64).to(device).expand(images.shape[1:])
        for b in (box.lower, box.upper)
    )
    for row, image in enumerate(images):
        until = time.process_time() + seconds
        if bool((ahead[row] > 0).all()):
            around = image_of(program, image[None].to(device).double(), low, high, first, inner)
            search = _Search(program, segments, around, int(labels[row]), ahead[row])
            radii[row] = search.longer(radii[row], until)
        if progress is not None:
            progress(Progress("relax around each image", row + 1, len(images)))
    return radii


def _dense(walk: Walk) -> bool:
    """Whether it is a chain of matrices, which the bounds of chains follow entry by entry."""
    layers = chain_of(walk)
    return layers is not None and all(isinstance(e, Dense | Flatten | Slope) for e in layers)


class _Search:
    """Longer radii of one image, against each class."""

    def __init__(
        self, program: Program, segments: dict[int, Segment], image: Image, label: int,
        ahead: Float[Tensor, " k"],
    ) -> None:  # fmt: skip
        self.segments, self.image, self.label = segments, image, label
        logits = image.values[-1][0].cpu()
        self.lead = logits[label] - logits
        # What rounding takes off the lead, here and where it is least.
        self.slack = (self.lead - ahead).nan_to_num(0.0, 0.0, 0.0).clamp_min(0.0)
        self.kept: dict[int, tuple[float, Choices]] = {}
        self.proved: dict[int, float] = {}
        self.afresh = _AFRESH
        self.pace = AGAIN
        self.until = math.inf

    def longer(self, radii: Float[Tensor, " k"], until: float) -> Float[Tensor, " k"]:
        """Try radii: longer as long as all classes are proved to stay behind, then between.

        None is tried once the process has taken so many seconds.
        """
        widest = float(torch.maximum(-self.image.down, self.image.up).norm())
        reach = max(1.2 * float(radii.min()), min(_FIRST * self._linear(), 0.5 * widest))
        radii = self._between(radii, reach, until)
        inner = inner_maps(self.image.program, self.segments, _WIDER)
        self.image, self.pace, self.until = replace(self.image, inner=inner), LONG, until
        if until == math.inf:
            return self._creep(radii, _BRIEF)
        radii = self._creep(radii, _WHOLE)
        tighter = Tightening(self.image.program, self.segments, until)
        return self._creep(radii, _WHOLE, tighter) if tighter.searched else radii

    def _between(
        self, radii: Float[Tensor, " k"], reach: float, until: float
    ) -> Float[Tensor, " k"]:
        """Try radii, from `reach` on, by short searches."""
        radii, known, beyond = radii.clone(), None, math.inf
        for _ in range(_TRIALS):
            if reach <= float(radii.min()) or time.process_time() >= until:
                break  # nothing longer is left to try, or rounding leaves none
            if known is None or reach < _NEAR * known.radius:
                around = surroundings(self.image, self.segments, reach, known)
            else:
                around = known.within(reach)
            least, lead = self._tried(around, radii)
            if float(radii.min()) >= reach:
                # Straight on from the lead at the image, the end would come too late.
                ahead = 0.6 * min(1.5, max(0.05, least / max(lead - least, 1e-12)))
                longer = reach * min(1 + ahead, _LONGER)
                reach = longer if beyond == math.inf else min(longer, 0.5 * (reach + beyond))
                continue
            known, beyond = around, reach
            if least > -_HOPELESS * lead:
                self._halved(around, radii)
            inside = float(radii.min())
            if beyond < _NEARER * inside:
                break
            # Where a bound is far below 0, it says little of where it would not be.
            straight = max(0.25, 0.95 * lead / (lead - least)) * beyond
            between = 0.5 * (inside + beyond) if inside > 0.5 * beyond else 1.2 * inside
            reach = max(straight, between)
        return radii

    def _creep(
        self, radii: Float[Tensor, " k"], effort: _Effort, tighter: Tighter | None = None
    ) -> Float[Tensor, " k"]:
        """Try radii a little longer than what is proved, by long searches that go on from there."""
        radii, step, trials = radii.clone(), _STEP, 0
        if not 0 < float(radii.min()) < math.inf:
            return radii  # there is nothing to go on from
        while step > effort.close and trials < effort.trials and time.process_time() < self.until:
            trials += 1
            reach = (1 + step) * float(radii.min())
            around = surroundings(self.image, self.segments, reach)
            if tighter is not None:
                around = surroundings(self.image, self.segments, reach, around, tighter)
            before = dict(self.kept)
            least, lead = self._tried(around, radii)
            if float(radii.min()) >= reach:
                step = min(_FASTER * step, _MOST_STEP)
                continue
            step *= 0.5
            if least > -_HOPELESS * lead:
                self._halved(around, radii)
            for j, choices in before.items():
                if self.proved[j] < -_ASTRAY * float(self.lead[j]):
                    self.kept[j] = choices
        return radii

    def _linear(self) -> float:
        """Where some lead would end if all were linear from here."""
        program = self.image.program
        tangents = []
        with torch.enable_grad():
            x = self.image.values[0].clone().requires_grad_()
            values: list[Tensor] = []
            for node in program.nodes:
                rule = node.rule
                if rule is None:
                    values.append(x)
                    continue
                forward = rule.forward if hasattr(rule, "forward") else rule
                values.append(forward(*(values[p] for p in node.parents)))
            logits = values[-1][0]
            for j in range(len(logits)):
                if j == self.label:
                    continue
                (slope,) = torch.autograd.grad(logits[self.label] - logits[j], x, retain_graph=True)
                tangents.append(float(self.lead[j]) / max(float(slope.norm()), 1e-12))
        return min(tangents)

    def _tried(self, around: Surroundings, radii: Tensor) -> tuple[float, float]:
        """Prove what can be proved at a radius; the least value of a class, and its lead."""
        classes = [j for j in range(len(radii)) if j != self.label and radii[j] < around.radius]
        rows, by_lines = self._rows(classes), True
        if self.pace is LONG and all(j in self.kept for j in classes):
            choices, by_lines = self._known(around, classes), False
        else:
            choices = started(around, rows)
        value, _ = self._settle(around, radii, classes, rows, choices)
        left = [i for i in range(len(classes)) if radii[classes[i]] < around.radius]
        worst = int(value.argmin())
        hopeless = by_lines and (
            float(value[worst]) <= -_HOPELESS * float(self.lead[classes[worst]])
        )
        if left and not hopeless:
            rows, classes = rows[left], [classes[i] for i in left]
            if all(j in self.kept for j in classes):
                known = self._known(around, classes)
                choices = improved(
                    around, rows, known, self.pace, self.until, self._enough(classes)
                )
                value = self._keep(around, radii, classes, rows, choices)
                missed, least = value <= 0, -_NEARLY * self.lead[classes]
                if (
                    self.pace is not LONG
                    and self.afresh
                    and bool(missed.any())
                    and bool((value > least).all())
                ):
                    self.afresh -= 1
                    again = missed.nonzero()[:, 0]
                    some = [classes[i] for i in again.tolist()]
                    anew = self._anew(around, radii, some, rows[again])
                    value[again] = torch.maximum(value[again], anew)
            else:
                value = self._anew(around, radii, classes, rows)
            worst = int(value.argmin())
        return float(value[worst]), float(self.lead[classes[worst]])

    def _enough(self, classes: list[int]) -> Tensor | None:
        """With which bounds a long search ends: a little more than nothing is left to prove."""
        if self.pace is not LONG:
            return None
        return (self.slack[classes] + _MARGIN * self.lead[classes]).float()

    def _anew(
        self, around: Surroundings, radii: Tensor, classes: list[int], rows: Tensor
    ) -> Tensor:
        """Search from lines on, in two steps; what the choices prove."""
        choices = apart(around, improved(around, rows, started(around, rows), FIRST))
        self._keep(around, radii, classes, rows, choices)
        choices = improved(around, rows, choices, APART)
        return self._keep(around, radii, classes, rows, choices)

    def _halved(self, around: Surroundings, radii: Tensor) -> None:
        """Smaller radii with what was found at this one."""
        low, high = float(radii.min()), around.radius
        for _ in range(_HALVINGS):
            middle = 0.5 * (low + high)
            classes = [j for j in range(len(radii)) if j != self.label and radii[j] < middle]
            if all(j in self.kept for j in classes):
                inside = around.within(middle)
                choices = self._known(inside, classes)
                self._settle(inside, radii, classes, self._rows(classes), choices)
            low, high = float(radii.min()), middle if float(radii.min()) < middle else high

    def _keep(
        self, around: Surroundings, radii: Tensor, classes: list[int], rows: Tensor,
        choices: Choices,
    ) -> Tensor:  # fmt: skip
        """Settle what these choices prove, and keep them where they prove most at this radius."""
        value, found = self._settle(around, radii, classes, rows, choices)
        for i, j in enumerate(classes):
            best = self.kept.get(j)
            if best is None or best[0] != around.radius or value[i] > self.proved[j]:
                self.kept[j], self.proved[j] = (around.radius, found.row(i)), float(value[i])
        return value

    def _settle(
        self, around: Surroundings, radii: Tensor, classes: list[int], rows: Tensor,
        choices: Choices,
    ) -> tuple[Tensor, Choices]:  # fmt: skip
        bound, choices = proved(around, rows, choices)
        value = bound.cpu() - self.slack[classes]
        for j, least in zip(classes, value.tolist(), strict=True):
            if least > 0:
                radii[j] = max(float(radii[j]), around.radius)
        return value, choices

    def _rows(self, classes: list[int]) -> Float[Tensor, "rows k"]:
        rows = self.image.values[-1].new_zeros(len(classes), len(self.lead))
        rows[:, self.label] = 1.0
        rows[torch.arange(len(classes)), classes] = -1.0
        return rows

    def _known(self, around: Surroundings, classes: list[int]) -> Choices:
        """What was found for these classes, with strengths as at another radius."""
        kept = [self.kept[j] for j in classes]
        return Choices.stacked(
            [apart(around, choices.scaled(before / around.radius)) for before, choices in kept]
        )

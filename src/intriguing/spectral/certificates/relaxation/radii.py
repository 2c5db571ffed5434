"""Certified radii made larger by a linear relaxation of the network around each image."""

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from intriguing.measures import Box, Progress, ProgressCallback
from intriguing.models.classifier import device_of
from intriguing.spectral.certificates.feed_forward import chain_of
from intriguing.spectral.certificates.pairwise import PairBounds
from intriguing.spectral.certificates.relaxation.backward import Choice
from intriguing.spectral.certificates.relaxation.program import Program, program_of
from intriguing.spectral.certificates.relaxation.ranges import surroundings
from intriguing.spectral.certificates.relaxation.search import Choices, improved, proved, started
from intriguing.spectral.certificates.relaxation.segments import Segment, segments_of
from intriguing.spectral.certificates.relaxation.surroundings import Image, Surroundings, image_of
from intriguing.spectral.certificates.step import Walk
from intriguing.spectral.semidefinite.layers import Dense, Flatten, Slope

_TRIALS = 6
"""Radii for which ranges are computed anew."""
_STEPS = (60, 40)
"""Of the search for multipliers: at the first radius, and at others, which go on from there."""
_CLOSE = 1.02
"""Where what is proved and what is not are so close, nothing is gained between them."""
_HALVINGS = 4
"""Smaller radii that are tried with the multipliers of one that could not be proved."""
_FIRST = 0.6
"""The first radius that is tried, relative to where the leads would end if they were linear."""


def relaxed_certificates(
    radii: Float[Tensor, "n k"],
    ahead: Float[Tensor, "n k"],
    images: Float[Tensor, "n ..."],
    labels: Int64[Tensor, " n"],
    bounds: PairBounds,
    box: Box,
    progress: ProgressCallback | None = None,
) -> Float[Tensor, "n k"] | None:
    """Radii against each class, no smaller than those given, or None if the network has no such.

    Args:
        radii: Within which each class is known not to win; infinite for the image's own.
        ahead: Leads over each class, less what rounding can do to them.
        images, labels: Which images.
        bounds: The network.
        box: Where images lie: nothing is proved of others.
    """
    if not bounds.guaranteed or _dense(bounds.analysed.walk):
        return None
    program = program_of(bounds.analysed.walk)
    if program is None or not program.curves:
        return None
    segments = segments_of(program)
    if segments is None:
        return None
    radii, device = radii.clone(), device_of(bounds.analysed.graph)
    low, high = (
        torch.as_tensor(b, dtype=torch.float64).to(device).expand(images.shape[1:])
        for b in (box.lower, box.upper)
    )
    for row, image in enumerate(images):
        if bool((ahead[row] > 0).all()):
            around = image_of(program, image[None].to(device).double(), low, high)
            radii[row] = _Search(program, segments, around, int(labels[row]), ahead[row]).longer(
                radii[row]
            )
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
        self.kept: dict[int, dict[int, Choice]] = {}

    def longer(self, radii: Float[Tensor, " k"]) -> Float[Tensor, " k"]:
        """Try radii: longer as long as all classes are proved to stay behind, then between."""
        radii, known = radii.clone(), None
        beyond = torch.inf
        reach = max(1.25 * float(radii.min()), _FIRST * self._linear())
        for trial in range(_TRIALS):
            around = surroundings(self.image, self.segments, reach, known)
            least, lead = self._tried(around, radii, _STEPS[min(trial, 1)])
            inside = float(radii.min())
            if inside >= reach:
                longer = reach * (1 + 0.8 * min(1.0, max(0.05, least / max(lead - least, 1e-9))))
                reach = min(longer, (inside * beyond) ** 0.5 if beyond < torch.inf else longer)
            else:
                known, beyond = around, reach
                self._halved(around, radii, inside)
                inside = float(radii.min())
                straight = reach * max(0.4, 0.98 * lead / (lead - least)) if least < 0 else reach
                reach = max(straight, (inside * beyond) ** 0.5)
            if beyond / max(float(radii.min()), 1e-300) < _CLOSE:
                break
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

    def _tried(self, around: Surroundings, radii: Tensor, steps: int) -> tuple[float, float]:
        """Prove what can be proved at a radius; the least value of a class, and its lead."""
        classes = [j for j in range(len(radii)) if j != self.label and radii[j] < around.radius]
        rows = self._rows(classes)
        fresh = started(around, rows)
        value = self._settle(around, radii, classes, rows, fresh)
        left = [i for i in range(len(classes)) if radii[classes[i]] < around.radius]
        worst = int(value.argmin())
        if not left:  # as it is, without a search
            return float(value[worst]), float(self.lead[classes[worst]])
        rows, classes = rows[left], [classes[i] for i in left]
        choices = self._warm(fresh, left, classes)
        better, _ = improved(around, rows, choices, steps)
        for i, j in enumerate(classes):
            self.kept[j] = {
                at: Choice(*(t[i] for t in (c.slopes, c.strength, c.paid)))
                for at, c in better.items()
            }
        value = self._settle(around, radii, classes, rows, better)
        worst = int(value.argmin())
        return float(value[worst]), float(self.lead[classes[worst]])

    def _halved(self, around: Surroundings, radii: Tensor, inside: float) -> None:
        """Smaller radii with what was found at this one."""
        low, high = inside, around.radius
        for _ in range(_HALVINGS):
            middle = 0.5 * (low + high)
            classes = [j for j in range(len(radii)) if j != self.label and radii[j] < middle]
            if all(j in self.kept for j in classes):
                choices = self._stacked(classes)
                self._settle(around.within(middle), radii, classes, self._rows(classes), choices)
            if float(radii.min()) >= middle:
                low = middle
            else:
                high = middle

    def _settle(
        self, around: Surroundings, radii: Tensor, classes: list[int], rows: Tensor,
        choices: Choices,
    ) -> Tensor:  # fmt: skip
        value = proved(around, rows, choices).cpu() - self.slack[classes]
        for j, least in zip(classes, value.tolist(), strict=True):
            if least > 0:
                radii[j] = max(float(radii[j]), around.radius)
        return value

    def _rows(self, classes: list[int]) -> Float[Tensor, "rows k"]:
        rows = self.image.values[-1].new_zeros(len(classes), len(self.lead))
        rows[:, self.label] = 1.0
        rows[torch.arange(len(classes)), classes] = -1.0
        return rows

    def _warm(self, fresh: Choices, left: list[int], classes: list[int]) -> Choices:
        rows = []
        for i, j in zip(left, classes, strict=True):
            rows.append(
                self.kept.get(j)
                or {at: Choice(c.slopes[i], c.strength[i], c.paid[i]) for at, c in fresh.items()}
            )
        return _together(rows)

    def _stacked(self, classes: list[int]) -> Choices:
        return _together([self.kept[j] for j in classes])


def _together(rows: list[dict[int, Choice]]) -> Choices:
    return {
        at: Choice(
            torch.stack([row[at].slopes for row in rows]),
            torch.stack([row[at].strength for row in rows]),
            torch.stack([row[at].paid for row in rows]),
        )
        for at in rows[0]
    }

"""D(x, l) proved by branch and bound: how much shorter than what was found could one be?"""

import math
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from intriguing.distortion.problem import Goal, Network
from intriguing.distortion.quadratic import closest_point
from intriguing.distortion.result import Distortions, Status
from intriguing.errors import InputError
from intriguing.graph.batch_independence import check_logits
from intriguing.graph.operation import Operation
from intriguing.graph.operations.activations import slopes_of
from intriguing.measures import Box, Progress, ProgressCallback, distortion, l2
from intriguing.models.classifier import Classifier
from intriguing.spectral.certificates.allowance import allowance
from intriguing.spectral.certificates.dual_certificates import entering
from intriguing.spectral.certificates.feed_forward import bending, chain_of, pooling
from intriguing.spectral.certificates.lipschitz import Analysed, analyse
from intriguing.spectral.certificates.written_out import WrittenOut, written_out
from intriguing.spectral.dual.curve import followed
from intriguing.spectral.exact.ascent import Leads
from intriguing.spectral.exact.search import bracket

SECONDS = 60.0
"""Of one core for each image, where nothing is said."""
GAP = 0.01
"""Share of the distance found up to which it is proved, where nothing is said."""
UNITS = 1024
"""Of one layer: a step costs the cube of it."""
TRIED, POLISHED, NEWTON = 4, 3, 10
"""Places from a round of nodes that may lead to shorter examples, tangents at each, and steps."""


def seconds_of(asked: bool | float) -> float:
    """Of one core for each image, from what is given as `exact` or `prove`.

    >>> seconds_of(True), seconds_of(5), seconds_of(False)
    (60.0, 5.0, 0.0)
    """
    seconds = (SECONDS if asked else 0.0) if isinstance(asked, bool) else float(asked)
    if not 0.0 <= seconds < math.inf or (not seconds and asked is not False):
        raise InputError(f"{asked!r} seconds an image for a proof; give more than 0, or True")
    return seconds


@dataclass(frozen=True)
class Exact:
    """A network whose distances can be proved: its layers, the convolutions written out.

    Attributes:
        written: As one chain of matrices and activations.
        analysed: The graph that they are of.
        classifier: As it runs.
    """

    written: WrittenOut
    analysed: Analysed
    classifier: Classifier

    @classmethod
    def of(cls, model: nn.Module, images: Float[Tensor, "n ..."], box: Box) -> "Exact":
        """Of any network.

        Raises:
            InputError: If it is none of those that can be proved, saying why.
        """
        analysed = analyse(model, tuple(images.shape[1:]), box, images[:8])
        if analysed.mixing is not None:
            raise InputError(analysed.mixing)
        classifier = Classifier.of(model)
        why = "the network computes in 16 bits" if classifier.coarse else ""
        written = written_out(analysed.walk)
        sizes = [] if written is None else [len(weight) for weight in written.chain.weights]
        straight = not bending(analysed.walk) and not pooling(analysed.walk)
        if not why and straight and chain_of(analysed.walk) is not None:
            why = "it is affine, and `closest` proves its distances by itself"
        elif not why and written is None:
            why = "the network is no chain of small layers, or a pool is beside no ReLU"
        elif not why and written is not None and not all(map(_follows, written.chain.activations)):
            why = "an activation is neither straight on both sides of 0 nor smooth"
        elif not why and max(sizes) > UNITS:
            why = f"a layer has {max(sizes):,} units; at most {UNITS:,} are affordable"
        if why or written is None:
            raise InputError(
                f"its distances cannot be proved exactly: {why}; leave out `exact` or `prove`: "
                "`certify` without it gives radii of all networks"
            )
        return cls(written, analysed, classifier)


def _follows(operation: Operation) -> bool:
    return followed(operation) and slopes_of(operation) is not None


@dataclass(frozen=True)
class Proofs:
    """What is proved of each image, and the shortest examples that were met on the way.

    Attributes:
        lower: No example is nearer, L2.
        distortions: As found, or shorter; `gap` says how much lower `lower` is.
        nodes, left: Boxes of activations that were bounded, and those left open.
        seconds: Of one core.
    """

    lower: Float[Tensor, " n"]
    distortions: Distortions
    nodes: Int64[Tensor, " n"]
    left: Int64[Tensor, " n"]
    seconds: Float[Tensor, " n"]


def prove(
    network: Exact,
    images: Float[Tensor, "n ..."],
    goal: Goal,
    found: Distortions,
    box: Box,
    *,
    known: Float[Tensor, " n"] | None = None,
    seconds: float = SECONDS,
    gap: float = GAP,
    progress: ProgressCallback | None = None,
) -> Proofs:
    """Close in on the truth from below, and from above wherever something shorter turns up.

    Args:
        network: Which.
        images: Of which all numbers lie in the box.
        goal: What examples are.
        found: Examples of these images.
        box: Where images and examples lie.
        known: What is proved already.
        seconds: Of one core, for each image at most.
        gap: Share of the distance found within which nothing more is asked for.
        progress: Called after each image.
    """
    place = network.written.last.device
    logits = torch.cat(
        [network.classifier.each(x).detach().cpu() for x in torch.split(images, 256)]
    )
    check_logits(logits, network.analysed.graph, images, network.classifier.eps)
    allowed = allowance(network.classifier, network.analysed.graph, images, logits, box)
    lower = torch.zeros(len(images), dtype=torch.float64) if known is None else known.double()
    lower, spent = lower.clone(), torch.zeros(len(images), dtype=torch.float64)
    nodes, left = (torch.zeros(len(images), dtype=torch.int64) for _ in range(2))
    walk = network.analysed.walk
    ends = [
        torch.as_tensor(end, dtype=torch.float64).expand_as(images[:1])
        for end in (box.lower, box.upper)
    ]
    low, high = (entering(walk, end).to(place) for end in ends)
    flat = network.classifier.fit(images).flatten(1)
    searched = Network(network.classifier, tuple(images.shape[1:]))
    points = network.classifier.fit(found.adversarial).flatten(1).clone()
    tried = torch.zeros_like(found.success)
    hopeful = found.success & (found.status != int(Status.ALREADY)) & (found.l2 > 0)
    for row in hopeful.nonzero()[:, 0].tolist():
        values = network.written.values(network.analysed.graph, walk, images[row : row + 1])
        margins = _ahead(logits[row].double(), goal, row) - allowed[row]
        if values is None or not bool(margins.isfinite().all()):
            continue
        one = entering(walk, images[row : row + 1].double()).to(place)
        nearest = _Nearest(searched, goal[row : row + 1], flat[row], points[row], box)
        rows = _ahead(network.written.last, goal, row)
        shaped = (1, *rows.shape) if goal.targeted else (len(rows), 1, rows.shape[1])
        made = bracket(
            network.written.chain, one, (low - one).clamp_max(0.0), (high - one).clamp_min(0.0),
            values,
            Leads(rows.reshape(shaped), margins.to(place).reshape(shaped[:2])),
            float(lower[row]), nearest.length, gap, seconds, nearest.offer,
        )  # fmt: skip
        tried[row] = True
        lower[row], spent[row] = made.lower, made.seconds
        nodes[row], left[row] = made.nodes, made.open
        points[row] = nearest.point
        if progress is not None:
            progress(Progress("prove distances", row + 1, len(images)))
    return Proofs(lower, _proved(found, flat, points, lower, tried, gap), nodes, left, spent)


def _ahead(logits: Tensor, goal: Goal, row: int) -> Tensor:
    """What has to fall to 0: the label's lead over any class, or all classes' over the target."""
    own = int(goal.classes[row])
    others = torch.arange(len(logits), device=logits.device) != own
    apart: Tensor = logits[own] - logits[others]
    return -apart if goal.targeted else apart


def _proved(
    found: Distortions, images: Tensor, points: Tensor, lower: Tensor, tried: Tensor, gap: float
) -> Distortions:
    length, stddev = (measure(images, points).cpu() for measure in (l2, distortion))
    length = torch.where(found.success, length, torch.inf).to(found.l2.dtype)
    share = (1.0 - lower / length.double()).clamp_min(0.0)
    asked = tried | (lower > 0)
    least = torch.nextafter(share.float(), torch.ones(())).to(found.gap)
    known = torch.where(asked & found.success, least, found.gap)
    # Radii are rounded down: what was asked for counts as reached up to a millionth.
    optimal = asked & found.success & (share <= gap * (1.0 + 1e-5) + 1e-6)
    optimal &= found.status == int(Status.FOUND)
    return replace(
        found, adversarial=points.view(found.adversarial.shape).cpu().to(found.adversarial),
        l2=length, distortion=torch.where(found.success, stddev.to(found.distortion), torch.inf),
        gap=known, status=torch.where(optimal, int(Status.OPTIMAL), found.status),
    )  # fmt: skip


class _Nearest:
    """The shortest example of one image, made shorter by places where bounds are lowest."""

    def __init__(self, network: Network, goal: Goal, image: Tensor, point: Tensor, box: Box):
        self.network, self.goal, self.image, self.point = network, goal, image[None], point
        self.box = box.flat(self.image)
        self.length = float(l2(self.image, point[None])[0])

    def offer(self, changes: Float[Tensor, "n pixels"]) -> float:
        """Try some changes of what enters the first layer, and the same as long as is known.

        What lowers a bound most is close to an example, if there is any: from there the margin's
        tangents lead to the nearest point of the piece, as an exact quadratic program.
        """
        away = changes.to(self.image)
        if away.shape[1] != self.image.shape[1]:
            return self.length
        size = torch.linalg.vector_norm(away, dim=1, keepdim=True).clamp_min(1e-300)
        longer = away * (self.length / size)
        z = self.box.clamp(self.image + torch.cat([away, longer]))
        margin, slope = self._margin(z)
        best = margin.topk(min(TRIED, len(z))).indices
        z, margin, slope = z[best], margin[best], slope[best]
        for _ in range(POLISHED):
            self._keep(z, margin)
            at_least = (slope * z).sum(1) - margin
            inset = 1e-5 * self.length * torch.linalg.vector_norm(slope, dim=1)
            on = (slope != 0).any(1, keepdim=True) & at_least.isfinite()[:, None]
            z = closest_point(
                self.image.expand_as(z),
                slope[:, None].nan_to_num(),
                (at_least + inset)[:, None].nan_to_num(),
                on,
                torch.zeros_like(on, dtype=torch.float64),
                self.box,
                NEWTON,
            ).points
            margin, slope = self._margin(z)
        self._keep(z, margin)
        return self.length

    def _keep(self, z: Tensor, margin: Tensor) -> None:
        length = torch.where(margin > 0, l2(self.image.expand_as(z), z), torch.inf)
        least = int(length.argmin())
        if float(length[least]) < self.length:
            self.point, self.length = z[least], float(length[least])

    def _margin(self, z: Tensor) -> tuple[Tensor, Tensor]:
        goal = Goal(self.goal.classes.expand(len(z)), self.goal.targeted)
        z = z.detach().requires_grad_()
        with torch.enable_grad():
            margin = goal.secure_margin(self.network.logits(z))
        (slope,) = torch.autograd.grad(margin.sum(), z)
        return margin.detach(), slope

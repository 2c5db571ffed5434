"""A radius around every image that no adversarial example can undercut."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from intriguing.data.checks import check_images, check_labels
from intriguing.distortion.minimum import minimum_distortion
from intriguing.distortion.problem import Goal, rounding
from intriguing.distortion.result import Distortions
from intriguing.errors import InputError, UnsoundBound
from intriguing.graph.batch_independence import check_logits, exact_logits
from intriguing.graph.precision import precise_graph
from intriguing.measures import UNIT_BOX, Box, Progress, ProgressCallback, as_box
from intriguing.models.classifier import Classifier, device_of
from intriguing.models.requirements import check_classifier
from intriguing.spectral.certificates.dual_certificates import dual_certificates
from intriguing.spectral.certificates.exact import Exact, prove, seconds_of
from intriguing.spectral.certificates.local_certificates import local_certificates
from intriguing.spectral.certificates.pairwise import PairBounds, pair_bounds
from intriguing.spectral.certificates.relaxation.radii import relaxed_certificates

_BATCH = 256
"""Images between two reports of progress."""
_PROBES = 8
"""Images by which batches are tried; mixing shows at the first."""
ROUNDING = 8 * torch.finfo(torch.float32).eps
"""How much closer than certified, relatively, an example may be found.

Radii are rounded down, and lengths of examples taken in float64, where they are exact. What remains
is which of two logits that tie is the larger in the network's own arithmetic: certificates leave an
allowance for that, and these few units in the last place are for what it does not cover.
"""


_Around = Callable[..., Tensor | None]
_AROUND: tuple[tuple[_Around, str], ...] = (
    (local_certificates, "of the ball around each image"),
    (relaxed_certificates, "of a linear relaxation in that ball"),
)
"""What bounds a network anew around each image, each only where the ones before leave room."""
_MULTIPLIERS = (dual_certificates, "of multipliers in that ball and the box")


@dataclass(frozen=True)
class Certificates:
    """What is proved of each image.

    Attributes:
        radius: No image closer than this (L2, in pixel units) is classified otherwise; 0 where the
            image is misclassified already.
        margin: By how much the logit of the label leads the next, rounding allowed for; negative
            where misclassified.
        against: The class that comes closest by the bound, or leads where misclassified.
        predicted: The network's class.
        pair_bounds: L_cj, a Lipschitz bound of logit c minus logit j; 0 on the diagonal.
        formula: How they came about.
        guaranteed: Whether they are proved.
        as_run: Whether they are of the network as it runs. Of one in 16 bits or in autocast they
            are of the function that its weights compute in exact arithmetic; rounding to 16 bits
            moves its boundaries, so that nothing is guaranteed of its own classes near them.
        distortions: With `exact`, the nearest examples; `gap` is how much nearer there may be any.
    """

    radius: Float[Tensor, " n"]
    margin: Float[Tensor, " n"]
    against: Int64[Tensor, " n"]
    predicted: Int64[Tensor, " n"]
    pair_bounds: Float[Tensor, "k k"]
    formula: str
    guaranteed: bool
    as_run: bool = True
    distortions: Distortions | None = None


def certify(
    model: nn.Module,
    images: Float[Tensor, "n ..."],
    labels: Int64[Tensor, " n"],
    *,
    box: Box | Sequence[float | Tensor] = UNIT_BOX,
    semidefinite: bool = True,
    local: bool = True,
    multipliers: bool = False,
    exact: bool | float = False,
    batch_size: int | None = None,
    progress: ProgressCallback | None = None,
) -> Certificates:
    """The certified L2 radius of every image: min over j ≠ c of (f_c − f_j)(x) / L_cj.

    L_cj bounds how fast f_c − f_j can change; it is the tightest of the bound layer by layer and,
    for feed-forward networks, the semidefinite-quality one, of the whole space and of the ball
    around the image. In that ball, and in the box, a longer radius is searched for: by a linear
    relaxation of networks with convolutions or branches, and, if asked, of chains of matrices by
    multipliers of all that holds of their activations (docs/spectral.md).

    Args:
        model: In evaluation mode, from images to logits.
        images, labels: What to certify. The logits are those of the model's own arithmetic, less
            an allowance for its rounding; those of its weights in float64, if it computes in 16
            bits (see `Certificates.as_run`).
        box: Where images lie. Networks with gates or attention are bounded in it only, and so are
            radii of a relaxation or of multipliers: an image outside of it is no example.
        semidefinite: Whether to spend time on the tighter bound: seconds to minutes a network.
        local: Whether to bound anew around each image, which no bound of the whole space can match:
            some tenths of a second an image for hundreds of hidden units, and seconds for
            thousands. It is left out where it would cost more than `local_chain.OPERATIONS` or
            `segments.ENTRIES`.
        multipliers: Whether to search for more still around images of dense networks, if `local`:
            seconds an image for hundreds of hidden units; left out where it would cost more than
            `dual_certificates.OPERATIONS`.
        exact: Seconds of one core that each image may take besides until the radius is within 1 %
            of an example (True: a minute), for small networks, as `minimum_distortion(prove=…)`.
        batch_size: Images a forward pass.
        progress: Called as the work goes on.

    Raises:
        InputError: If the model is no classifier of these images, cannot be traced, its graph is
            not all that it does, or it mixes the images of a batch; or if multipliers are asked
            for without what they go on from.

    >>> net = nn.Sequential(nn.Flatten(), nn.Linear(2, 2, bias=False)).eval()
    >>> _ = net[1].weight.data.copy_(torch.tensor([[3.0, 4.0], [0.0, 0.0]]))
    >>> certify(net, torch.tensor([[0.5, 0.5]]), torch.tensor([0])).radius
    tensor([0.7000])
    """
    if multipliers and not (local and semidefinite):
        raise InputError(
            "multipliers go on from the semidefinite bound around each image; "
            "leave out semidefinite=False and local=False, or multipliers=True"
        )
    box = as_box(box)
    check_images(images, box)
    asked = Classifier.of(model)
    labels = check_labels(labels, len(images), check_classifier(asked, images, finite=False)).cpu()
    seconds = seconds_of(exact)
    provable = Exact.of(model, images, box) if seconds else None
    bounds = pair_bounds(
        model, tuple(images.shape[1:]), box, images=images[:_PROBES], semidefinite=semidefinite,
        progress=progress,
    )  # fmt: skip
    size = batch_size or _BATCH
    logits = []
    for start in range(0, len(images), size):
        with torch.no_grad():
            logits.append(asked.each(images[start : start + size]).cpu())
        if progress is not None:
            progress(Progress("logits", min(start + size, len(images)), len(images)))
    whole = torch.cat(logits)
    if bool(bounds.pairs.isfinite().all()):
        check_logits(whole, bounds.analysed.graph, images, asked.eps)
    ahead = _lead(whole.double(), labels) - 2 * rounding(whole).double()[:, None]
    if asked.coarse and bool(bounds.pairs.isfinite().all()):
        precise = exact_logits(bounds.analysed.graph, images).cpu()
        # Not proved: that the rounding at the nearest image is no larger than it is here.
        rounded = 4 * (whole.double() - precise).abs().amax(1, keepdim=True)
        ahead = _lead(precise, labels) - rounded
    made = _certificates(
        whole, ahead, images, labels, bounds, box if local and semidefinite else None,
        (*_AROUND, _MULTIPLIERS) if multipliers else _AROUND, progress,
    )  # fmt: skip
    if provable is not None:
        made = _closed(made, provable, model, images, labels, box, seconds, progress)
    if not asked.coarse:
        return made
    words = "of its weights in exact arithmetic, which its own 16 bits only approximate"
    return replace(made, formula=f"{made.formula}; {words}", guaranteed=False, as_run=False)


def _closed(
    made: Certificates, network: Exact, model: nn.Module, images: Tensor, labels: Tensor, box: Box,
    seconds: float, progress: ProgressCallback | None,
) -> Certificates:  # fmt: skip
    """With radii that end within 1 % of an example, as far as the time goes."""
    found = minimum_distortion(model, images, labels, "untargeted", box=box, progress=progress)
    goal = Goal(labels, targeted=False)
    proofs = prove(
        network, images, goal, found, box, known=made.radius.double(), seconds=seconds,
        progress=progress,
    )  # fmt: skip
    lower = torch.nextafter(proofs.lower.float(), torch.zeros(1))
    words = "and of branch and bound over what enters its activations, in the box"
    return replace(
        made, radius=torch.maximum(made.radius, lower), formula=f"{made.formula}, {words}",
        distortions=proofs.distortions,
    )  # fmt: skip


def _lead(logits: Float[Tensor, "n k"], labels: Int64[Tensor, " n"]) -> Float[Tensor, "n k"]:
    """By how much the label's logit is ahead of each."""
    return logits.gather(1, labels[:, None]) - logits


def _certificates(
    logits: Tensor, ahead: Tensor, images: Tensor, labels: Tensor, bounds: PairBounds,
    box: Box | None, around: tuple[tuple[_Around, str], ...], progress: ProgressCallback | None,
) -> Certificates:  # fmt: skip
    """What follows from the bounds, and, where images have a box, from bounds around each."""
    # The lead at both ends of the way is computed with rounding: here, and at the image that would
    # be nearest. What is left of it counts.
    ahead = ahead.scatter(1, labels[:, None], torch.inf).nan_to_num(
        nan=-torch.inf, posinf=torch.inf
    )
    radii = torch.where(ahead > 0, ahead / bounds.pairs[labels], 0.0)
    radii = radii.nan_to_num(nan=torch.inf, posinf=torch.inf).scatter(1, labels[:, None], torch.inf)
    formula = bounds.formula
    if box is not None:
        for method, words in around:
            larger = method(radii, ahead, images, labels, bounds, box, progress)
            if larger is not None:
                radii, formula = larger, f"{formula}, and {words}"
    radius, against = radii.min(1)
    margin, leader = ahead.min(1)
    return Certificates(
        torch.nextafter(radius.to(torch.float32), torch.zeros(1)),
        margin,
        torch.where(margin > 0, against, leader),
        logits.nan_to_num(nan=-torch.inf).argmax(1),
        bounds.pairs,
        formula,
        bounds.guaranteed,
    )


@dataclass(frozen=True)
class Sandwich:
    """Certified radius ≤ minimum distortion ≤ length of the adversarial example found, by image.

    All three are L2 in pixel units, so that the middle one is ‖r‖₂ of D(x, l).

    Attributes:
        certified: From `certify`.
        found: ‖r‖₂ of the closest adversarial example found; 0 where the image is misclassified as
            it is, infinite where none was found.
        certificates, distortions: What they are taken from.
    """

    certified: Float[Tensor, " n"]
    found: Float[Tensor, " n"]
    certificates: Certificates
    distortions: Distortions

    @property
    def violations(self) -> int:
        """Images with an example inside the certified radius: 0, or `sandwich` would have stopped.

        But for what `ROUNDING` allows.
        """
        return int((self.certified > self.found * (1 + ROUNDING)).sum())

    @property
    def correct(self) -> Tensor:
        """The images that are classified as labelled."""
        return self.found > 0

    @property
    def median_ratio(self) -> float:
        """Median of certified/found over the correct images with something found; NaN of none."""
        known = self.correct & self.found.isfinite()
        if not known.any():
            return math.nan
        ratio = self.certified[known].double() / self.found[known].double()
        return float(ratio.quantile(0.5))

    def accuracy(
        self, epsilon: Float[Tensor, " e"]
    ) -> tuple[Float[Tensor, " e"], Float[Tensor, " e"]]:
        """Shares of all images: certified beyond each ε, and with nothing found within it."""
        certified = (self.certified[:, None] > epsilon).double().mean(0)
        attacked = (self.found[:, None] > epsilon).double().mean(0)
        return certified, attacked


def sandwich(
    model: nn.Module,
    images: Float[Tensor, "n ..."],
    labels: Int64[Tensor, " n"],
    *,
    certificates: Certificates | None = None,
    method: str = "closest",
    budget: int | None = None,
    box: Box | Sequence[float | Tensor] = UNIT_BOX,
    seed: int = 0,
    progress: ProgressCallback | None = None,
) -> Sandwich:
    """Hold every image's minimum distortion between a proof and an example.

    Args:
        model, images, labels, box, progress: As for `certify`.
        certificates: Of these images, if they are known already.
        method, budget, seed: Of the search for adversarial examples of any wrong class; as for
            `minimum_distortion`.

    Raises:
        InputError: As `certify` and `minimum_distortion`.
        UnsoundBound: As `check_examples`.
    """
    if certificates is None:
        certificates = certify(model, images, labels, box=box, progress=progress)
    if len(certificates.radius) != len(images):
        raise InputError(f"{len(certificates.radius)} certificates for {len(images)} images")
    options: dict[str, Any] = {} if budget is None else {"budget": budget}
    distortions = minimum_distortion(
        model, images, labels, "untargeted", method, box=box, seed=seed, progress=progress,
        **options,
    )  # fmt: skip
    exact = None if certificates.as_run else (model, labels)
    check_examples(certificates.radius, images, distortions.adversarial, exact=exact)
    found = torch.where(distortions.success, distortions.l2, torch.inf)
    return Sandwich(certificates.radius, found, certificates, distortions)


def check_examples(
    radius: Float[Tensor, " n"],
    images: Float[Tensor, "n ..."],
    adversarial: Float[Tensor, "n ..."],
    names: Sequence[str] | None = None,
    *,
    exact: tuple[nn.Module, Int64[Tensor, " n"]] | None = None,
) -> None:
    """Stop if an adversarial example lies inside a certified radius.

    Args:
        radius: Certified, L2.
        images, adversarial: The images, and what was found of each; NaN where nothing was.
        names: Of the images.
        exact: The network and the labels, where certificates are not of the network as it runs, but
            of its weights in exact arithmetic: only examples that fool these refute one.

    Raises:
        UnsoundBound: As said, naming the worst image and both numbers.
    """
    change = adversarial.detach().cpu().double() - images.detach().cpu().double()
    found = change.flatten(1).norm(dim=1).nan_to_num(nan=torch.inf)
    excess = radius.cpu().double() / (found * (1 + ROUNDING))
    refuted = (radius.cpu() > 0) & (excess > 1)
    if exact is not None and refuted.any():
        inside = refuted.nonzero()[:, 0]
        refuted[inside] = _fooled_exactly(*exact, adversarial[inside], inside)
    if not refuted.any():
        return
    worst = int(torch.where(refuted, excess, 0.0).argmax())
    count = int(refuted.sum())
    others = f" (and of {count - 1} more images)" if count > 1 else ""
    raise UnsoundBound(
        f"image {worst if names is None else names[worst]}: certified {float(radius[worst]):.6g}, "
        f"but an adversarial example lies at {float(found[worst]):.6g}{others}: a bound is wrong, "
        "and no certificate of this network is proved; if you registered it, mend it, else please "
        "report this network"
    )


def _fooled_exactly(
    model: nn.Module, labels: Int64[Tensor, " n"], examples: Float[Tensor, "k ..."],
    rows: Int64[Tensor, " k"],
) -> Bool[Tensor, " k"]:  # fmt: skip
    """Whether examples of these rows are no longer their label's in exact arithmetic."""
    graph = precise_graph(model, examples[:1].to(device_of(model)))
    logits = exact_logits(graph, examples).cpu()
    return logits.argmax(1) != labels.cpu()[rows]

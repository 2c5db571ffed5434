"""A radius around every image that no adversarial example can undercut."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from intriguing.data.checks import check_images, check_labels
from intriguing.distortion.minimum import minimum_distortion
from intriguing.distortion.problem import Goal
from intriguing.distortion.result import Distortions
from intriguing.errors import InputError
from intriguing.graph.batch_independence import check_logits, exact_logits
from intriguing.measures import UNIT_BOX, Box, Progress, ProgressCallback, as_box
from intriguing.models.classifier import Classifier
from intriguing.models.requirements import check_classifier
from intriguing.spectral.certificates.allowance import allowance
from intriguing.spectral.certificates.dual_certificates import dual_certificates
from intriguing.spectral.certificates.exact import Exact, prove, seconds_of
from intriguing.spectral.certificates.forms.radii import formed_certificates
from intriguing.spectral.certificates.local_certificates import local_certificates
from intriguing.spectral.certificates.pairwise import Packed, PairBounds, pair_bounds
from intriguing.spectral.certificates.relaxation.radii import relaxed_certificates
from intriguing.threads import one_thread

_BATCH = 256
"""Images between two reports of progress."""
_PROBES = 8
"""Images by which batches are tried; mixing shows at the first."""
_Around = Callable[..., Tensor | None]
_AROUND: tuple[tuple[_Around, str], ...] = (
    (local_certificates, "of the ball around each image"),
    (relaxed_certificates, "of a linear relaxation in that ball"),
    (formed_certificates, "of affine forms in that ball"),
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


@dataclass(frozen=True)
class Certifier:
    """A network with what holds around every image; it certifies any of them, whoever asks.

    No image's radius depends on which others are asked about with it, nor on how many threads
    there are: it works with one, as sums of several are added up in another order, which searches
    make larger. Who has many cores gives images to several processes (`scale`).

    Attributes:
        model: In evaluation mode.
        sample: Some images, by which batches are tried.
        box: Where images lie.
        bounds: Of the whole space.
        around: What then bounds it anew around each image, in this order, with the words for it.
    """

    model: nn.Module
    sample: Float[Tensor, "n ..."]
    box: Box
    bounds: PairBounds
    around: tuple[tuple[_Around, str], ...]

    @classmethod
    @one_thread()
    def of(
        cls, model: nn.Module, images: Float[Tensor, "n ..."], box: Box = UNIT_BOX, *,
        semidefinite: bool = True, local: bool = True, multipliers: bool = False,
        seconds: float | None = None, progress: ProgressCallback | None = None,
    ) -> "Certifier":  # fmt: skip
        """Bound a network; of the images a few, by which batches are tried. As `certify`."""
        if multipliers and not (local and semidefinite):
            raise InputError(
                "multipliers go on from the semidefinite bound around each image; "
                "leave out semidefinite=False and local=False, or multipliers=True"
            )
        if seconds is not None and not 0 < seconds < math.inf:
            raise InputError(f"seconds={seconds!r}: give more than 0 for each image")
        if seconds is not None and not (local and semidefinite):
            raise InputError("`seconds` are for bounds around each image; leave them out, or "
                             "semidefinite=False and local=False")  # fmt: skip
        sample = images[:_PROBES]
        bounds = pair_bounds(
            model, tuple(images.shape[1:]), box, images=sample, semidefinite=semidefinite,
            progress=progress,
        )  # fmt: skip
        more = (_MULTIPLIERS,) if multipliers or seconds is not None else ()
        around = [(method, words) for method, words in (*_AROUND, *more) if local and semidefinite]
        if seconds is not None:
            around = [
                (partial(method, seconds=seconds) if method is not local_certificates else method,
                 words)
                for method, words in around
            ]  # fmt: skip
        return cls(model, sample, box, bounds, tuple(around))

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "bounds": Packed.of(self.bounds)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        bounds = state["bounds"].unpacked(state["model"], state["box"], state["sample"])
        vars(self).update(state, bounds=bounds)

    @one_thread()
    def certificates(
        self, images: Float[Tensor, "n ..."], labels: Int64[Tensor, " n"], *,
        batch_size: int | None = None, progress: ProgressCallback | None = None,
    ) -> Certificates:  # fmt: skip
        """Certificates of some images, which fit the network."""
        asked, bounds = Classifier.of(self.model), self.bounds
        graph, known = bounds.analysed.graph, bool(bounds.pairs.isfinite().all())
        size = batch_size or _BATCH
        logits, taken = [], []
        for start in range(0, len(images), size):
            some = images[start : start + size]
            with torch.no_grad():
                logits.append(asked.each(some).cpu())
            wanted = known and not asked.coarse
            own = allowance(asked, graph, some, logits[-1], self.box) if wanted else torch.zeros(1)
            taken.append(own.expand(len(some)))
            if progress is not None:
                progress(Progress("logits", min(start + size, len(images)), len(images)))
        whole = torch.cat(logits)
        if known:
            check_logits(whole, graph, images, asked.eps)
        ahead = _lead(whole.double(), labels) - torch.cat(taken)[:, None]
        if asked.coarse and known:
            precise = exact_logits(graph, images).cpu()
            # Not proved: that the rounding at the nearest image is no larger than it is here.
            rounded = 4 * (whole.double() - precise).abs().amax(1, keepdim=True)
            ahead = _lead(precise, labels) - rounded
        made = _certificates(whole, ahead, images, labels, bounds, self.box, self.around, progress)
        if not asked.coarse:
            return made
        words = "of its weights in exact arithmetic, which its own 16 bits only approximate"
        return replace(made, formula=f"{made.formula}; {words}", guaranteed=False, as_run=False)


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
    seconds: float | None = None,
    batch_size: int | None = None,
    progress: ProgressCallback | None = None,
) -> Certificates:
    """The certified L2 radius of every image: min over j ≠ c of (f_c − f_j)(x) / L_cj.

    L_cj bounds how fast f_c − f_j can change; it is the tightest of the bound layer by layer and,
    for feed-forward networks, the semidefinite-quality one, of the whole space and of the ball
    around the image. In that ball, and in the box, a longer radius is searched for: by a linear
    relaxation of networks with convolutions or branches, by affine forms of those with attention,
    normalisation or gates, and, if asked, of chains of matrices by multipliers of all that holds of
    their activations (docs/spectral.md).

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
        seconds: Of one core, for each image, after which the relaxation and the multipliers, which
            are then searched as well, try no further ball; of convolutional networks the ranges of
            units are made tighter, too, which takes a minute. What is known by then counts; more
            seconds never prove less, but radii depend on how fast the machine is.
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
    box = as_box(box)
    check_images(images, box)
    asked = Classifier.of(model)
    labels = check_labels(labels, len(images), check_classifier(asked, images, finite=False)).cpu()
    proof = seconds_of(exact)
    provable = Exact.of(model, images, box) if proof else None
    certifier = Certifier.of(
        model, images, box, semidefinite=semidefinite, local=local, multipliers=multipliers,
        seconds=seconds, progress=progress,
    )  # fmt: skip
    made = certifier.certificates(images, labels, batch_size=batch_size, progress=progress)
    if provable is None:
        return made
    return _closed(made, provable, model, images, labels, box, proof, progress)


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
    box: Box, around: tuple[tuple[_Around, str], ...], progress: ProgressCallback | None,
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

"""Every minimum distortion between a proof and an example; an example inside a proof ends all."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from intriguing.distortion.minimum import minimum_distortion
from intriguing.distortion.result import Distortions
from intriguing.errors import InputError, UnsoundBound
from intriguing.graph.batch_independence import exact_logits
from intriguing.graph.precision import precise_graph
from intriguing.measures import UNIT_BOX, Box, ProgressCallback
from intriguing.models.classifier import device_of
from intriguing.spectral.certificates.certificate import Certificates, certify

ROUNDING = 8 * torch.finfo(torch.float32).eps
"""How much closer than certified, relatively, an example may be found.

Radii are rounded down, and lengths of examples taken in float64, where they are exact. What remains
is which of two logits that tie is the larger in the network's own arithmetic: certificates leave an
allowance for that, and these few units in the last place are for what it does not cover.
"""


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

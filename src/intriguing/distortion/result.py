"""What comes out of a search for adversarial images: one row an image, and nothing pretended."""

from dataclasses import dataclass
from enum import IntEnum

from jaxtyping import Bool, Float, Int64
from torch import Tensor


class Status(IntEnum):
    """How the search for one image ended."""

    FOUND = 0
    """An adversarial image, classified again by a plain forward pass, inside the box."""
    ALREADY = 1
    """The image itself is classified as the target: D(x, l) = x, r = 0."""
    NOT_FOUND = 2
    """No point classified as the target was met."""
    LOST_ON_LATTICE = 3
    """Adversarial, but no neighbouring image of `levels` values a channel was found to be."""
    NOT_FINITE = 4
    """The model's loss or gradient at the image is not finite."""


@dataclass(frozen=True)
class Distortions:
    """The minimum distortions of a batch; tensors on the CPU, one row an image, in its order.

    adversarial: the images x + r; NaN where nothing was found (never the original image).
    distortion: sqrt(Σ r² / n) (§4.2); infinite where nothing was found. l2: ‖r‖₂, likewise.
    success: whether an image classified as its target was found. status: codes of `Status`.
    targets: the class l; with targets="all" the class whose adversarial image is closest.
    c: the largest weight of ‖r‖ whose minimiser is adversarial. forward_passes, backward_passes:
    what the image cost. trace: c, ‖r‖₂ and margin of each minimisation, NaN-padded, shape
    (image, minimisation, 3). per_class: with targets="all", the distortion toward every class
    (infinite where none was found or for the label itself), else None.
    """

    adversarial: Float[Tensor, "image ..."]
    distortion: Float[Tensor, " image"]
    l2: Float[Tensor, " image"]
    success: Bool[Tensor, " image"]
    status: Int64[Tensor, " image"]
    targets: Int64[Tensor, " image"]
    c: Float[Tensor, " image"]
    forward_passes: Int64[Tensor, " image"]
    backward_passes: Int64[Tensor, " image"]
    trace: Float[Tensor, "image minimisation 3"]
    per_class: Float[Tensor, "image class"] | None = None

    def __len__(self) -> int:
        return len(self.success)

    @property
    def mean(self) -> float:
        """Average distortion of the images for which one was found: the tables' last column."""
        return float(self.distortion[self.success].double().mean())

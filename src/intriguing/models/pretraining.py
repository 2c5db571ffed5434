"""What a network learns without labels, before its classifier is trained."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor, nn

from intriguing.errors import InputError


@dataclass(frozen=True)
class Sparsity:
    """The terms of the objective beside the reconstruction error (Ng, 2011, "Sparse autoencoder").

    Attributes:
        activation: ρ, the mean activation every hidden unit should have.
        weight: β, the weight of Σⱼ KL(ρ ‖ ρ̂ⱼ).
        decay: λ, the weight of ½ Σ w² over both layers.
        images: How many images, drawn by the seed, it learns from; all when there are fewer.
    """

    activation: float = 0.1
    weight: float = 0.5
    decay: float = 3e-3
    images: int = 10_000

    def __post_init__(self) -> None:
        if not 0 < self.activation < 1:
            raise InputError(f"mean activation {self.activation} must lie between 0 and 1")


PEN_STROKES = Sparsity()
"""With which the filters of AE400-10 became pen strokes, as the paper's Figure 7 shows them."""


@dataclass(frozen=True)
class Pretraining:
    """A training without labels.

    Attributes:
        network: What is trained, its initial weights drawn.
        loss: Of flattened images: a scalar to be minimised over all of `network`'s weights.
        images: How many images it learns from at most.
        name: How progress calls it.
        keep: Called in the end; moves what was learned into the classifier.
    """

    network: nn.Module
    loss: Callable[[Tensor], Tensor]
    images: int
    name: str
    keep: Callable[[], object]

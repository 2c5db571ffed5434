"""AE400-10: a sparse autoencoder's code, and a softmax classifier on top of it (§4.2)."""

import math
import re
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor, nn

from intriguing.models.family import Family, Shape, register_family
from intriguing.models.initial import draw_glorot, weight_layers
from intriguing.models.pretraining import Pretraining, Sparsity


class SparseAutoencoder(nn.Module):
    """One layer of sigmoid units that must rebuild the image: h = σ(W x + b), x̂ = σ(W′ h + b′).

    Rows of `encoder.weight` are the first-layer filters.  What makes the code sparse is the
    training objective, `sparse_loss`.

    >>> SparseAutoencoder(784, 400)(torch.rand(2, 1, 28, 28)).shape
    torch.Size([2, 784])
    """

    def __init__(self, visible: int = 784, hidden: int = 400) -> None:
        super().__init__()
        self.encoder = nn.Linear(visible, hidden)
        self.decoder = nn.Linear(hidden, visible)

    def encode(self, images: Float[Tensor, "batch ..."]) -> Float[Tensor, "batch hidden"]:
        """The code h of flattened images, each unit in (0, 1)."""
        return torch.sigmoid(self.encoder(images.flatten(1)))

    def decode(self, code: Float[Tensor, "batch hidden"]) -> Float[Tensor, "batch visible"]:
        """The image x̂ rebuilt from a code, flat, each pixel in (0, 1)."""
        return torch.sigmoid(self.decoder(code))

    def forward(self, images: Float[Tensor, "batch ..."]) -> Float[Tensor, "batch visible"]:
        """The rebuilt images, flat."""
        return self.decode(self.encode(images))


class AutoencoderClassifier(nn.Module):
    """Logits of a softmax layer on an autoencoder's code: AE400-10.

    Only the encoding half is kept.  It is trained first and not fine-tuned, so `softmax` alone is
    what classification training changes.

    >>> AutoencoderClassifier(784, 400, 10).describe()
    'ae400-10'
    """

    def __init__(self, visible: int = 784, hidden: int = 400, classes: int = 10) -> None:
        super().__init__()
        self.encoder = nn.Linear(visible, hidden)
        self.softmax = nn.Linear(hidden, classes)
        self.shape = (visible,)

    def encode(self, images: Float[Tensor, "batch ..."]) -> Float[Tensor, "batch hidden"]:
        """The code of flattened images."""
        return torch.sigmoid(self.encoder(images.flatten(1)))

    def forward(self, images: Float[Tensor, "batch ..."]) -> Float[Tensor, "batch classes"]:
        """Logits of flattened images."""
        logits: Tensor = self.softmax(self.encode(images))
        return logits

    def describe(self) -> str:
        """The name `build_network` makes this architecture from."""
        return f"ae{self.encoder.out_features}-{self.softmax.out_features}"


def sparse_loss(
    autoencoder: SparseAutoencoder, images: Float[Tensor, "batch pixels"], sparsity: Sparsity
) -> Tensor:
    """½ mean ‖x̂ − x‖² + β Σⱼ KL(ρ ‖ ρ̂ⱼ) + ½ λ Σ w², with ρ̂ the mean code over these images."""
    code = autoencoder.encode(images)
    error = (autoencoder.decode(code) - images).square().sum() / len(images)
    rho, mean = sparsity.activation, code.mean(0).clamp(1e-6, 1 - 1e-6)
    divergence = rho * (rho / mean).log() + (1 - rho) * ((1 - rho) / (1 - mean)).log()
    squares = sum(
        (layer.weight.square().sum() for layer in (autoencoder.encoder, autoencoder.decoder)),
        start=error.new_zeros(()),
    )
    return 0.5 * error + sparsity.weight * divergence.sum() + 0.5 * sparsity.decay * squares


@register_family
class AutoencoderFamily(Family):
    """aeH-K: the code is learned without labels and kept; then the softmax layer is trained."""

    pattern = r"ae([1-9]\d*)-([1-9]\d*)"
    called = "aeH-K (H code units, K classes, such as ae400-10)"

    def build(self, name: re.Match[str], shape: Shape) -> AutoencoderClassifier:
        """The network of images of so many pixels, whatever their shape."""
        return AutoencoderClassifier(math.prod(shape), int(name[1]), int(name[2]))

    def initialise(self, head: nn.Module, generator: torch.Generator, gain: float) -> None:
        """Glorot's, times the gain."""
        draw_glorot(weight_layers(head), generator, gain)

    def decay(self, layers: int) -> tuple[float, ...]:
        """The paper's (§4.2), as of the last layer of any network with hidden units."""
        return (1e-6,) * layers

    def head(self, network: nn.Module) -> nn.Linear:
        """The softmax layer."""
        return _own(network).softmax

    def inputs(self, network: nn.Module, images: Tensor) -> Tensor:
        """The codes of the images."""
        return _own(network).encode(images)

    def pretraining(
        self, network: nn.Module, generator: torch.Generator, sparsity: Sparsity
    ) -> Pretraining:
        """A sparse autoencoder, whose encoding half is kept."""
        encoder = _own(network).encoder
        autoencoder = SparseAutoencoder(encoder.in_features, encoder.out_features)
        autoencoder.to(encoder.weight.device, encoder.weight.dtype)
        draw_glorot([autoencoder.encoder, autoencoder.decoder], generator)
        return Pretraining(
            autoencoder, partial(sparse_loss, autoencoder, sparsity=sparsity), sparsity.images,
            "sparse autoencoder",
            lambda: encoder.load_state_dict(autoencoder.encoder.state_dict()),
        )  # fmt: skip


def _own(network: nn.Module) -> AutoencoderClassifier:
    assert isinstance(network, AutoencoderClassifier)
    return network

"""AE400-10: a sparse autoencoder's code, and a softmax classifier on top of it (§4.2)."""

import torch
from jaxtyping import Float
from torch import Tensor, nn


class SparseAutoencoder(nn.Module):
    """One layer of sigmoid units that must rebuild the image: h = σ(W x + b), x̂ = σ(W′ h + b′).

    Rows of `encoder.weight` are the first-layer filters.  What makes the code sparse is the
    training objective, `intriguing.training.autoencoder`.

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

    def encode(self, images: Float[Tensor, "batch ..."]) -> Float[Tensor, "batch hidden"]:
        """The code of flattened images."""
        return torch.sigmoid(self.encoder(images.flatten(1)))

    def forward(self, images: Float[Tensor, "batch ..."]) -> Float[Tensor, "batch classes"]:
        """Logits of flattened images."""
        logits: Tensor = self.softmax(self.encode(images))
        return logits

    def describe(self) -> str:
        """The name `build` makes this architecture from."""
        return f"ae{self.encoder.out_features}-{self.softmax.out_features}"

"""Networks whose nearest examples are known in closed form, and images for them."""

import torch
from torch import Tensor, nn

import intriguing as it

PIXELS = 36


class Plane(nn.Module):
    """Two classes on either side of the plane through the middle of the box, behind some changes.

    An image at a signed distance d from it has its nearest example at ‖r‖₂ = |d|. Moved by `shift`,
    it is nearer to all images of class 1.
    """

    def __init__(self, shift: float = 0.0, scale: float = 1.0) -> None:
        super().__init__()
        self.scale, self.away = scale, nn.Linear(PIXELS, 1)
        nn.init.constant_(self.away.weight, PIXELS**-0.5)
        nn.init.constant_(self.away.bias, -0.5 * PIXELS**0.5 - shift)
        self.eval().requires_grad_(False)

    def forward(self, images: Tensor) -> Tensor:
        """(0, twice the signed distance)."""
        away = self.away(images.flatten(1))
        return self.scale * torch.cat([-away, away], 1)


class Bent(Plane):
    """The same, but no affine network: a bound of it is √2 too large."""

    def __init__(self) -> None:
        super().__init__()
        self.both = nn.Linear(PIXELS, 2)
        weight, bias = self.away.weight, self.away.bias
        self.both.weight.data, self.both.bias.data = (
            torch.cat([-side, side]) for side in (weight, bias)
        )
        self.eval().requires_grad_(False)

    def forward(self, images: Tensor) -> Tensor:
        """(relu(−distance), relu(distance)), of which one is 0."""
        return torch.relu(self.both(images.flatten(1)))


class Hiding(Plane):
    """The same classes, hidden from gradients in one of several ways."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.how = how

    def forward(self, images: Tensor) -> Tensor:
        """Logits of the hidden plane."""
        if self.how == "stochastic":
            images = images + 0.05 * torch.randn_like(images)
        if self.how == "quantised":  # with the gradient of the identity: it points the right way
            images = images + (torch.round(16 * images) / 16 - images).detach()
        logits = super().forward(images)
        return torch.tanh(1e4 * logits) if self.how == "saturated" else logits


def images_at(distances: Tensor, name: str = "planted") -> it.ImageSet:
    """Grey images of class 1 at these distances from the plane."""
    grey = 0.5 + distances.float() / PIXELS**0.5
    pixels = grey[:, None].expand(-1, PIXELS).reshape(-1, 1, 6, 6).contiguous()
    ids = tuple(f"{name}/{i:04d}" for i in range(len(distances)))
    labels = torch.ones(len(distances), dtype=torch.long)
    return it.ImageSet(name, pixels, labels, ids, ("below", "above"))


def spread(count: int, low: float = 0.1, high: float = 1.1) -> Tensor:
    """Evenly spread distances."""
    return torch.linspace(low, high, count)


class Steep(nn.Module):
    """Pixels behind steep sigmoids, as in a network that is made to look far from everything."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.wide, self.last = nn.Linear(PIXELS, 20), nn.Linear(20, 3)
        self.wide.weight.data = torch.randn(20, PIXELS, generator=generator)
        self.wide.bias.data = -0.5 * self.wide.weight.data.sum(1)
        self.last.weight.data = torch.randn(3, 20, generator=generator)
        self.last.bias.data = torch.zeros(3)
        self.eval().requires_grad_(False)

    def forward(self, images: Tensor) -> Tensor:
        """Three logits."""
        steep = torch.sigmoid(60 * (images.flatten(1) - 0.5))
        return self.last(torch.relu(self.wide(steep)))

"""Local contrast normalisation: each unit less its neighbours' mean, over their deviation."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import conv2d, pad

from intriguing.errors import InputError


class LocalContrast2d(nn.Module):
    """g = h − Σ G·h, then g / max(c, sqrt(Σ G·g²)) (Le et al. 2011, §3; Jarrett et al. 2009).

    G is a Gaussian window over places, the same for all maps, which are averaged; its weights add
    up to 1 everywhere, at the border over what lies inside.

    Args:
        window: Side of the window, odd.
        floor: c, the least deviation that is divided by.

    >>> y = LocalContrast2d(5)(torch.rand(1, 8, 9, 9))
    >>> y.shape, bool(y.mean().abs() < 0.1)
    (torch.Size([1, 8, 9, 9]), True)
    """

    def __init__(self, window: int = 5, floor: float = 0.01) -> None:
        super().__init__()
        if window < 1 or window % 2 == 0 or floor <= 0:
            raise InputError(
                f"contrast over {window} places with floor {floor}; give an odd window, floor > 0"
            )
        self.window, self.floor = window, floor

    def forward(self, h: Float[Tensor, "b map p q"]) -> Float[Tensor, "b map p q"]:
        """Normalised responses."""
        centred = h - self.mean(h)
        return self.divide(centred, self.mean(centred.square()))

    def mean(self, h: Float[Tensor, "b map p q"]) -> Float[Tensor, "b 1 p q"]:
        """The weighted mean around every place."""
        border = self.window // 2
        return self.mean_within(pad(h.mean(1, keepdim=True), (0, 0, border, border)), h.shape[2])

    def mean_within(
        self, h: Float[Tensor, "b 1 p+window-1 q"], rows: int, first: int = 0
    ) -> Float[Tensor, "b 1 p q"]:
        """The same of rows `first`… of an image of `rows`, given with rows around them.

        Rows beyond the image have to be zeros.
        """
        border, columns = self.window // 2, h.shape[3]
        kernel = self.kernel().to(h)
        down = conv2d(h, kernel.view(1, 1, -1, 1))
        both = conv2d(pad(down, (border, border, 0, 0)), kernel.view(1, 1, 1, -1))
        inside = self.inside(rows).to(h)[first : first + both.shape[2]]
        return both / (inside[:, None] * self.inside(columns).to(h))

    def divide(self, centred: Tensor, variance: Tensor) -> Tensor:
        """g / max(c, sqrt(variance)), with a gradient of 0, not NaN, where nothing varies."""
        return centred / variance.clamp_min(self.floor**2).sqrt()

    def kernel(self) -> Float[Tensor, " window"]:
        """The window along one axis, float64; a deviation of a quarter of its side."""
        places = torch.arange(self.window, dtype=torch.float64) - self.window // 2
        weights = (-0.5 * (places / (self.window / 4)) ** 2).exp()
        return weights / weights.sum()

    def inside(self, size: int) -> Float[Tensor, " size"]:
        """How much of the window lies inside an image, along one axis."""
        return band_matrix(self.kernel(), size).sum(1)

    def extra_repr(self) -> str:
        return f"window={self.window}, floor={self.floor}"


def band_matrix(kernel: Float[Tensor, " window"], size: int) -> Float[Tensor, "size size"]:
    """The matrix of a correlation along one axis, zeros beyond its ends.

    >>> band_matrix(torch.tensor([0.25, 0.5, 0.25]), 3)
    tensor([[0.5000, 0.2500, 0.0000],
            [0.2500, 0.5000, 0.2500],
            [0.0000, 0.2500, 0.5000]])
    """
    centre = len(kernel) // 2
    matrix = kernel.new_zeros(size, size)
    for i, weight in enumerate(kernel.tolist()):
        offset = i - centre
        if abs(offset) < size:
            matrix += torch.diag(kernel.new_full((size - abs(offset),), weight), offset)
    return matrix

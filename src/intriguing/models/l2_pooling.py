"""L2 pooling: what makes units that are not tied to each other invariant together."""

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d

from intriguing.errors import InputError


class L2Pool2d(nn.Module):
    """sqrt(ε + Σ h²) over each window of one map (Le et al. 2011, §3).

    Args:
        window: Side of the window, or (height, width).
        stride: Steps between windows; they overlap where it is less than the side.
        epsilon: Keeps the gradient finite where all is 0.

    >>> import torch
    >>> L2Pool2d(2)(torch.tensor([[[[3.0, 0.0], [0.0, 4.0]]]])).round(decimals=3)
    tensor([[[[5.]]]])
    """

    def __init__(
        self,
        window: int | Sequence[int],
        stride: int | Sequence[int] = 1,
        epsilon: float = 1e-4,
    ) -> None:
        super().__init__()
        self.window = (window, window) if isinstance(window, int) else tuple(window)
        self.stride = (stride, stride) if isinstance(stride, int) else tuple(stride)
        self.epsilon = epsilon
        if len(self.window) != 2 or min(*self.window, *self.stride) < 1 or epsilon <= 0:
            raise InputError(
                f"L2 pooling of windows {window} with stride {stride} and epsilon {epsilon}; give "
                "sides and strides of at least 1 and an epsilon above 0"
            )

    def forward(self, h: Float[Tensor, "b map p q"]) -> Float[Tensor, "b map u v"]:
        """The windows' lengths."""
        squares = avg_pool2d(h.square(), self.window, self.stride, divisor_override=1)
        return (squares + self.epsilon).sqrt()

    def extra_repr(self) -> str:
        return f"window={self.window}, stride={self.stride}, epsilon={self.epsilon}"

"""Max pooling that takes a CPU a fifth of the time where no gradient is asked for."""

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, fx, nn
from torch.nn import functional

_SETTINGS = ("kernel_size", "stride", "padding", "dilation", "ceil_mode")


class MaxPool2d(nn.MaxPool2d):
    """`torch.nn.MaxPool2d`, to the bit, with the channels of a pixel side by side while it looks.

    So torch compares as many of them at once as the machine can; else it compares one by one, which
    is two fifths of a forward pass of SqueezeNet. With a gradient torch's own way is as fast.
    """

    def forward(
        self, x: Float[Tensor, "*batch channel h w"]
    ) -> Float[Tensor, "*batch channel u v"]:
        """The largest of every window."""
        return _pooled(x, {name: getattr(self, name) for name in _SETTINGS})


@fx.wrap  # a tracer cannot know where x will be
def _pooled(x: Tensor, settings: Mapping[str, Any]) -> Tensor:
    beside = x.ndim == 4 and len(x) > 0 and x.device.type == "cpu"
    if not beside or (x.requires_grad and torch.is_grad_enabled()):
        plain: Tensor = functional.max_pool2d(x, **settings)
        return plain
    # One by one, so that a batch takes no second place for all that is pooled.
    each = [one.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2) for one in torch.split(x, 1)]
    return torch.cat([functional.max_pool2d(one, **settings).contiguous() for one in each])

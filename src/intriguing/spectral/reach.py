"""How far a tensor can go while the image stays in its domain."""

import math
from typing import Any

from torch import Tensor
from torch.utils import _pytree as pytree

from intriguing.spectral.operation import Operation, Reach

_PEAKS = {
    "sigmoid": 1.0, "Sigmoid": 1.0, "hardsigmoid": 1.0, "Hardsigmoid": 1.0, "tanh": 1.0,
    "Tanh": 1.0, "softsign": 1.0, "Softsign": 1.0, "erf": 1.0, "sin": 1.0, "cos": 1.0,
    "relu6": 6.0, "ReLU6": 6.0, "softmax": 1.0, "Softmax": 1.0,
}  # fmt: skip


def reach_of(operation: Operation | None, value: Any, total: float, radius: float) -> Reach:
    """The largest entry and the length of a value over the domain.

    Within `radius` of the example, nothing moves farther than `total`·radius from its `value`; and
    some functions are bounded by themselves.
    """
    tensors = [leaf for leaf in pytree.tree_leaves(value) if isinstance(leaf, Tensor)]
    farther = total * radius
    peak = max((float(t.abs().max()) for t in tensors if t.numel()), default=0.0) + farther
    length = math.hypot(*(float(t.norm()) for t in tensors)) + farther
    name = operation.name if operation is not None else ""
    if name in _PEAKS and len(tensors) == 1:
        peak = min(peak, _PEAKS[name])
        rows = tensors[0].numel()
        if operation is not None and name in ("softmax", "Softmax"):
            dim = operation.option(1, "dim", -1)
            rows //= tensors[0].shape[-1 if dim is None else dim]
        length = min(length, math.sqrt(rows) * _PEAKS[name])
    return Reach(peak, length)

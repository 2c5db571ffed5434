"""Windows: along one axis, which positions of the input each position of the output reads.

The rows of a window are positions of the output, its columns positions of the input; axis 0 is the
first after the channels. None where an operation is not local in this call.
"""

import torch
from jaxtyping import Bool
from torch import Tensor

from intriguing.graph.operation import Operation
from intriguing.graph.table import rule_of

Window = Bool[Tensor, "out inputs"]


def window_of(operation: Operation, axis: int) -> Window | None:
    """The window of an operation; None where it is not local, or not known."""
    rule = rule_of(operation)
    if rule.window is not None:
        return rule.window(operation, axis)
    alone = rule.interval is not None or rule.entrywise
    return same_positions(operation, axis) if alone else None


def same_positions(operation: Operation, axis: int) -> Window | None:
    """Each position reads itself, of every tensor that moves, where all have the same positions."""
    output = operation.output
    if not isinstance(output, Tensor):
        return None
    if any(tensor.shape[2:] != output.shape[2:] for tensor in operation.moving):
        return None
    return torch.eye(output.shape[2 + axis], dtype=torch.bool)


def if_over_channels(operation: Operation, axis: int) -> Window | None:
    """The same of what mixes one dimension, if that is the channels'."""
    dim = operation.option(1, "dim")
    channels = (1, 1 - operation.x.ndim)
    return same_positions(operation, axis) if dim in channels else None


def selected(operation: Operation, axis: int) -> Window | None:
    """Of what only selects: run on the numbers of positions, it shows what it reads."""
    x, output = operation.x, operation.output
    if not isinstance(output, Tensor) or x.ndim < 3 or output.ndim != x.ndim:
        return None
    size = x.shape[2 + axis]
    shape = [size if place == 2 + axis else 1 for place in range(x.ndim)]
    numbers = torch.arange(1, size + 1, dtype=x.dtype, device=x.device)
    spread = numbers.view(shape).expand(x.shape).clone()
    found = operation.again(spread) - operation.again(torch.zeros_like(x))
    rows = found.movedim(2 + axis, 0).flatten(1).long().cpu()
    reads = torch.zeros(rows.shape[0], size + 1, dtype=torch.bool).scatter(1, rows, True)
    return reads[:, 1:]


def slid(
    size: int, outputs: int, kernel: int, stride: int, padding: int = 0, dilation: int = 1
) -> Window:
    """A window of `kernel` taps slid over an axis, with nothing around it."""
    starts = torch.arange(outputs)[:, None] * stride - padding
    taps = starts + dilation * torch.arange(kernel)
    return (taps[..., None] == torch.arange(size)).any(1)

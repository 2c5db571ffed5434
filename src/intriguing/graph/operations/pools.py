"""Pools that take the largest value. Where windows overlap they are not contractive."""

from torch import nn

from intriguing.graph.operation import Operation, spread
from intriguing.graph.table import rule
from intriguing.spectral.norms.bound import Bound
from intriguing.spectral.norms.pooling import (
    adaptive_max_pool_norm,
    average_pool_norm,
    max_pool_norm,
)


@rule("max_pool1d", "max_pool2d", "max_pool3d", "max_pool1d_with_indices",
      "max_pool2d_with_indices", "max_pool3d_with_indices", nn.MaxPool1d, nn.MaxPool2d,
      nn.MaxPool3d, kind="pool")  # fmt: skip
def max_pool(operation: Operation) -> Bound:
    """√(windows that one value can be the largest of)."""
    axes = operation.axes
    kernel = spread(operation.option(1, "kernel_size"), axes)
    stride = operation.option(2, "stride")
    bound = max_pool_norm(
        kernel,
        kernel if stride is None or stride == [] else spread(stride, axes),
        spread(operation.option(4, "dilation", 1), axes),
    )
    return Bound(bound, "√(windows over a value)")


@rule("lp_pool1d", "lp_pool2d", "lp_pool3d", nn.LPPool1d, nn.LPPool2d, nn.LPPool3d, kind="pool")
def power_pool(operation: Operation) -> Bound | None:
    """√(windows over a value) for lengths ‖window‖_p, p ≥ 2 even; sums for p = 1."""
    axes = operation.axes
    power = operation.option(1, "norm_type")
    kernel = spread(operation.option(2, "kernel_size"), axes)
    given = operation.option(3, "stride")
    stride = kernel if given is None else spread(given, axes)
    if operation.option(4, "ceil_mode", False):
        return None  # torch then multiplies windows at the border by more than they hold
    if power == 1:
        size = operation.spatial(axes)
        return Bound(average_pool_norm(size, kernel, stride, divisor_override=1), "sums, exact")
    if power < 2 or power % 2:
        return None
    return Bound(max_pool_norm(kernel, stride, (1,) * axes), "√(windows over a value)")


@rule("adaptive_max_pool1d", "adaptive_max_pool2d", "adaptive_max_pool3d", nn.AdaptiveMaxPool1d,
      nn.AdaptiveMaxPool2d, nn.AdaptiveMaxPool3d, kind="pool")  # fmt: skip
def adaptive_max_pool(operation: Operation) -> Bound:
    """√(windows that one value can be the largest of)."""
    axes = operation.axes
    output = operation.output if not isinstance(operation.output, tuple) else operation.output[0]
    after = tuple(output.shape[-axes:])
    return Bound(adaptive_max_pool_norm(operation.spatial(axes), after), "√(windows over a value)")

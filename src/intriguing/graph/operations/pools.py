"""Pools: averages, which are linear, and those that take the largest value or a length.

Where windows overlap the latter are not contractive.
"""

from dataclasses import dataclass

from torch import Tensor, nn

from intriguing.graph.operation import Operation
from intriguing.graph.operations.windows import slid
from intriguing.graph.table import Affine, rule
from intriguing.models.max_pool import MaxPool2d
from intriguing.spectral.norms.bound import Bound
from intriguing.spectral.norms.convolution_layer import each_axis
from intriguing.spectral.norms.pooling import (
    adaptive_average_pool_norm,
    adaptive_max_pool_norm,
    adaptive_windows,
    average_pool_norm,
    max_pool_norm,
)


@dataclass(frozen=True)
class PoolSettings:
    """A pool's window, an entry an axis."""

    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]


def pool_settings(operation: Operation) -> PoolSettings | None:
    """The window of a pool whose window has one size; None of what is no such pool."""
    name = operation.name.lower().replace("_", "")
    first = 2 if name.startswith("lppool") else 1  # which comes after the power
    if not name.startswith(("maxpool", "avgpool", "lppool")):
        return None
    axes = operation.axes
    kernel = each_axis(operation.option(first, "kernel_size"), axes)
    stride = operation.option(first + 1, "stride")
    pads = name.startswith(("maxpool", "avgpool"))
    return PoolSettings(
        kernel,
        each_axis(stride, axes) if stride else kernel,
        each_axis(operation.option(3, "padding", 0) if pads else 0, axes),
        each_axis(operation.option(4, "dilation", 1) if name.startswith("maxpool") else 1, axes),
    )


def _output(operation: Operation) -> Tensor:
    found = operation.output[0] if isinstance(operation.output, tuple) else operation.output
    assert isinstance(found, Tensor)
    return found


def _window(operation: Operation, axis: int) -> Tensor:
    pool, out = _settings(operation), _output(operation)
    return slid(
        operation.x.shape[2 + axis], out.shape[2 + axis], pool.kernel[axis], pool.stride[axis],
        pool.padding[axis], pool.dilation[axis],
    )  # fmt: skip


def _settings(operation: Operation) -> PoolSettings:
    pool = pool_settings(operation)
    assert pool is not None
    return pool


def _adaptive_window(operation: Operation, axis: int) -> Tensor:
    out = _output(operation)
    return adaptive_windows(operation.x.shape[2 + axis], out.shape[2 + axis]) != 0


def _counts_no_padding(operation: Operation) -> bool:
    """Whether an average is of pixels alone, of as many as it says."""
    padded = operation.option(3, "padding", 0) not in (0, (0,), (0, 0), (0, 0, 0))
    counted = padded and operation.option(5, "count_include_pad", True)
    return not counted and operation.option(6, "divisor_override") is None


@rule("avg_pool1d", "avg_pool2d", "avg_pool3d", nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d,
      kind="pool", affine=Affine.FIRST, window=_window, rising=True,
      within=_counts_no_padding)  # fmt: skip
def average_pool(operation: Operation) -> Bound:
    """Exact: a product over the axes."""
    pool = _settings(operation)
    norm = average_pool_norm(
        operation.spatial(operation.axes), pool.kernel, stride=pool.stride, padding=pool.padding,
        ceil_mode=bool(operation.option(4, "ceil_mode", False)),
        count_include_pad=bool(operation.option(5, "count_include_pad", True)),
        divisor_override=operation.option(6, "divisor_override"),
    )  # fmt: skip
    return Bound(norm, "averaging, exact")


@rule("adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_avg_pool3d", nn.AdaptiveAvgPool1d,
      nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d, kind="pool", affine=Affine.FIRST, rising=True,
      window=_adaptive_window, within=lambda _: True)  # fmt: skip
def adaptive_average_pool(operation: Operation) -> Bound:
    """Exact: a product over the axes."""
    axes = operation.axes
    after = tuple(_output(operation).shape[-axes:])
    return Bound(adaptive_average_pool_norm(operation.spatial(axes), after), "averaging, exact")


_OVERLAP = "√(windows over a value)"


@rule("max_pool1d", "max_pool2d", "max_pool3d", "max_pool1d_with_indices",
      "max_pool2d_with_indices", "max_pool3d_with_indices", nn.MaxPool1d, nn.MaxPool2d,
      nn.MaxPool3d, MaxPool2d, kind="pool", window=_window, rising=True,
      within=lambda _: True)  # fmt: skip
def max_pool(operation: Operation) -> Bound:
    """√(windows that one value can be the largest of)."""
    pool = _settings(operation)
    return Bound(max_pool_norm(pool.kernel, pool.stride, pool.dilation), _OVERLAP)


@rule("adaptive_max_pool1d", "adaptive_max_pool2d", "adaptive_max_pool3d", nn.AdaptiveMaxPool1d,
      nn.AdaptiveMaxPool2d, nn.AdaptiveMaxPool3d, kind="pool", window=_adaptive_window, rising=True,
      within=lambda _: True)  # fmt: skip
def adaptive_max_pool(operation: Operation) -> Bound:
    """√(windows that one value can be the largest of)."""
    axes = operation.axes
    after = tuple(_output(operation).shape[-axes:])
    return Bound(adaptive_max_pool_norm(operation.spatial(axes), after), _OVERLAP)


def _of_sums(operation: Operation) -> Affine | None:
    return Affine.FIRST if operation.option(1, "norm_type") == 1 else None


@rule("lp_pool1d", "lp_pool2d", "lp_pool3d", nn.LPPool1d, nn.LPPool2d, nn.LPPool3d, kind="pool",
      window=_window, affine=_of_sums)  # fmt: skip
def power_pool(operation: Operation) -> Bound | None:
    """√(windows over a value) for lengths ‖window‖_p, p ≥ 2 even; sums for p = 1."""
    power, pool = operation.option(1, "norm_type"), _settings(operation)
    if operation.option(4, "ceil_mode", False):
        return None  # torch then multiplies windows at the border by more than they hold
    if power == 1:
        size = operation.spatial(operation.axes)
        norm = average_pool_norm(size, pool.kernel, pool.stride, divisor_override=1)
        return Bound(norm, "sums, exact")
    if power < 2 or power % 2:
        return None
    return Bound(max_pool_norm(pool.kernel, pool.stride, (1,) * operation.axes), _OVERLAP)

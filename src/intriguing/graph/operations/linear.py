"""Fully connected and convolutional layers, and the pools that average."""

import math
from typing import Any

from torch import Tensor, nn

from intriguing.graph.linear_map import linear_map
from intriguing.graph.operation import Operation, spread
from intriguing.graph.table import rule
from intriguing.spectral.norms.bound import Bound, outward
from intriguing.spectral.norms.dense_norm import dense_norm
from intriguing.spectral.norms.linear_map import Convolution, Matrix
from intriguing.spectral.norms.matrix import matrix_norm
from intriguing.spectral.norms.pooling import adaptive_average_pool_norm, average_pool_norm


@rule("linear", nn.Linear, kind="linear", affine=True)
def fully_connected(operation: Operation) -> Bound | None:
    """The largest singular value."""
    matrix = linear_map(operation)
    assert isinstance(matrix, Matrix)
    return Bound(matrix_norm(matrix.weight), "largest singular value")


@rule(
    "conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d",
    nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d,
    kind="convolution", affine=True,
)  # fmt: skip
def convolution(operation: Operation) -> Bound | None:
    """Eq. 1, corrected, for any stride and padding."""
    layer = linear_map(operation)
    assert isinstance(layer, Convolution)
    return Bound(layer.norm(), layer.formula)


@rule("matmul", "mm", "bmm", "mv", kind="linear", affine=True)
def product(operation: Operation) -> Bound | None:
    """The norm of the constant matrix; the largest, of several."""
    first = operation.given(0, "input")
    second = operation.given(1, "other", operation.kwargs.get("mat2"))
    matrix: Any = second if first is operation.x else first
    if not isinstance(matrix, Tensor) or matrix.ndim < 2:
        return None
    if matrix.ndim > 2 and matrix.shape[:-2].numel() > operation.x.shape[:-2].numel():
        return None
    norms = [matrix_norm(one) for one in matrix.reshape(-1, *matrix.shape[-2:])]
    return Bound(max(norms), "largest singular value")


MULTILINEAR = {
    "einsum", "tensordot", "kron", "inner", "outer", "ger", "dot", "vdot", "bilinear", "addmm",
    "addmv", "addr", "addbmm", "baddbmm", "chain_matmul", "multi_dot", "linalg_multi_dot",
    "index_add", "index_copy", "index_put", "index_fill", "scatter", "scatter_add",
    "select_scatter", "slice_scatter", "diagonal_scatter", "masked_scatter", "trace", "diff",
    "fold", "col2im", "block_diag", "combinations", "cumulative_trapezoid", "trapezoid", "trapz",
    "lerp",
}  # fmt: skip
"""Affine in each of their arguments while the others stay."""


@rule(*MULTILINEAR, nn.Fold, kind="linear", affine=True)
def multilinear(operation: Operation) -> Bound | None:
    """The largest singular value of its matrix, where that is small enough to be written out."""
    if not isinstance(operation.output, Tensor):
        return None
    norm = dense_norm(operation.again, operation.x, operation.output)
    return None if norm is None else Bound(norm, "largest singular value, written out")


@rule("cumsum", kind="linear", affine=True)
def running_sum(operation: Operation) -> Bound:
    """1/(2 sin(π/(4n + 2))), the norm of the triangle of n ones."""
    count = operation.x.shape[operation.given(1, "dim")]
    return Bound(outward(1 / (2 * math.sin(math.pi / (4 * count + 2)))), f"sums, n = {count}")


_AVERAGES = (nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d)


@rule("avg_pool1d", "avg_pool2d", "avg_pool3d", *_AVERAGES, kind="pool", affine=True)
def average_pool(operation: Operation) -> Bound:
    """Exact: a product over the axes."""
    axes = operation.axes
    kernel = spread(operation.option(1, "kernel_size"), axes)
    stride = operation.option(2, "stride")
    return Bound(
        average_pool_norm(
            operation.spatial(axes),
            kernel,
            stride=kernel if stride is None or stride == [] else spread(stride, axes),
            padding=spread(operation.option(3, "padding", 0), axes),
            ceil_mode=bool(operation.option(4, "ceil_mode", False)),
            count_include_pad=bool(operation.option(5, "count_include_pad", True)),
            divisor_override=operation.option(6, "divisor_override"),
        ),
        "averaging, exact",
    )


_ADAPTIVE = (nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d)


@rule(
    "adaptive_avg_pool1d",
    "adaptive_avg_pool2d",
    "adaptive_avg_pool3d",
    *_ADAPTIVE,
    kind="pool",
    affine=True,
)
def adaptive_average_pool(operation: Operation) -> Bound:
    """Exact: a product over the axes."""
    axes = operation.axes
    after = tuple(operation.output.shape[-axes:])
    return Bound(adaptive_average_pool_norm(operation.spatial(axes), after), "averaging, exact")

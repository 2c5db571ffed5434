"""Fully connected and convolutional layers, products with constant matrices, and scattering."""

from typing import Any

from torch import Tensor, nn

from intriguing.graph.operation import Operation
from intriguing.graph.operations.attention import matrices, product_form
from intriguing.graph.operations.choices import assigned
from intriguing.graph.operations.windows import Window
from intriguing.graph.table import Affine, rule
from intriguing.spectral.norms.bound import Bound
from intriguing.spectral.norms.convolution_layer import Convolution, read_convolution
from intriguing.spectral.norms.dense_norm import dense_norm
from intriguing.spectral.norms.linear_map import Matrix, norm_of
from intriguing.spectral.norms.matrix import matrix_norm


def _matrix(operation: Operation) -> Matrix:
    return Matrix(operation.option(1, "weight").detach().double())


@rule("linear", nn.Linear, kind="linear", affine=Affine.FIRST, linear=_matrix)
def fully_connected(operation: Operation) -> Bound:
    """The largest singular value."""
    return Bound(norm_of(_matrix(operation)), "largest singular value")


def _convolution(operation: Operation) -> Convolution:
    weight: Tensor = operation.option(1, "weight").detach().double()
    axes, layer = weight.ndim - 2, operation.module
    transposed = "transpose" in operation.name.lower()
    # Functions have them as stride, padding, dilation, groups; transposed ones have dilation last.
    dilation = operation.option(7 if transposed else 5, "dilation", 1)
    return read_convolution(
        weight,
        stride=operation.option(3, "stride", 1),
        padding=operation.option(4, "padding", 0),
        dilation=dilation,
        groups=int(operation.option(6, "groups", 1)),
        padding_mode="zeros" if layer is None else str(layer.padding_mode),
        input_size=operation.spatial(axes),
        transposed=transposed,
        output_size=tuple(operation.output.shape[-axes:]) if transposed else None,
    )


def _taps(operation: Operation, axis: int) -> Window | None:
    return _convolution(operation).window(axis)


@rule(
    "conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d",
    nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d,
    kind="convolution", affine=Affine.FIRST, linear=_convolution, window=_taps,
)  # fmt: skip
def convolution(operation: Operation) -> Bound:
    """Eq. 1, corrected, for any stride and padding."""
    layer = _convolution(operation)
    return Bound(norm_of(layer), layer.formula)


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


rule("matmul", "mm", "bmm", kind="linear", affine=Affine.EITHER, join=matrices,
     form=product_form)(product)  # fmt: skip
rule("mv", kind="linear", affine=Affine.EITHER)(product)


def multilinear(operation: Operation) -> Bound | None:
    """The largest singular value of its matrix, where that is small enough to be written out."""
    if not isinstance(operation.output, Tensor):
        return None
    norm = dense_norm(operation.again, operation.x, operation.output)
    return None if norm is None else Bound(norm, "largest singular value, written out")


rule(
    "einsum", "tensordot", "kron", "inner", "outer", "ger", "dot", "vdot", "bilinear", "addmm",
    "addmv", "addr", "addbmm", "baddbmm", "chain_matmul", "multi_dot", "linalg_multi_dot",
    "index_add", "index_copy", "index_fill", "scatter", "scatter_add",
    "select_scatter", "slice_scatter", "diagonal_scatter", "masked_scatter", "trace", "diff",
    "fold", "col2im", "block_diag", "combinations", "cumulative_trapezoid", "trapezoid", "trapz",
    "lerp", nn.Fold, kind="linear", affine=Affine.EITHER,
)(multilinear)  # fmt: skip
rule("index_put", kind="linear", affine=Affine.EITHER, interval=assigned)(multilinear)

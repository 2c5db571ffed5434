"""Elementwise functions, and maps of a row such as softmax."""

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from intriguing.graph.operation import Operation
from intriguing.graph.slopes import SOFTMAX, log_softmax_norm, slope_range
from intriguing.graph.table import rule
from intriguing.spectral.norms.bound import Bound, outward

_OPTIONS: dict[str, tuple[str, ...]] = {
    "leaky_relu": ("negative_slope",),
    "elu": ("alpha",),
    "celu": ("alpha",),
    "softplus": ("beta", "threshold"),
    "hardtanh": ("min_val", "max_val"),
    "softshrink": ("lambd",),
    "rrelu": ("lower", "upper"),
    "gelu": ("approximate",),
    "prelu": ("weight",),
    "threshold": ("threshold", "value"),
}
"""The settings of a function that change its slope, in the order of its arguments after x."""

FUNCTIONS = (
    "relu", "relu6", "leaky_relu", "prelu", "rrelu", "elu", "celu", "selu", "gelu", "silu", "mish",
    "sigmoid", "tanh", "softplus", "hardtanh", "hardswish", "hardsigmoid", "softsign", "logsigmoid",
    "softshrink", "tanhshrink", "sin", "cos", "atan", "arctan", "erf", "abs", "threshold",
)  # fmt: skip
MODULES = (
    nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.PReLU, nn.RReLU, nn.ELU, nn.CELU, nn.SELU, nn.GELU, nn.SiLU,
    nn.Mish, nn.Sigmoid, nn.Tanh, nn.Softplus, nn.Hardtanh, nn.Hardswish, nn.Hardsigmoid,
    nn.Softsign, nn.LogSigmoid, nn.Softshrink, nn.Tanhshrink, nn.Threshold,
)  # fmt: skip


@rule(*FUNCTIONS, *MODULES, kind="activation")
def activation(operation: Operation) -> Bound | None:
    """The steepest slope of the function."""
    slopes = slopes_of(operation)
    if slopes is None:
        return None
    return Bound(max(abs(slopes[0]), abs(slopes[1])), "steepest slope")


def slopes_of(operation: Operation) -> tuple[float, float] | None:
    """Least and greatest slope of an elementwise function; None if the operation is no such."""
    if operation.module is not None:
        return slope_range(operation.module) if isinstance(operation.module, MODULES) else None
    if operation.name not in FUNCTIONS:
        return None
    names = _OPTIONS.get(operation.name, ())
    options: dict[str, Any] = {
        name: value
        for position, name in enumerate(names, start=1)
        if (value := operation.given(position, name)) is not None
    }
    if operation.name == "rrelu" and operation.given(3, "training", False):
        return None
    function = getattr(functional, operation.name, None) or getattr(torch, operation.name)
    return slope_range(function, **options)


@rule("clamp", "clip", "clamp_min", "clamp_max", "neg", "negative", "pos", "positive",
      kind="activation")  # fmt: skip
def steady(operation: Operation) -> Bound:
    """1: values are cut off, or change sign; repeated if what cuts them is larger than x."""
    copies = operation.output.numel() / operation.x.numel()
    return Bound(outward(math.sqrt(copies)) if copies > 1 else 1.0, "steepest slope")


@rule("masked_fill", kind="shape")
def masked(operation: Operation) -> Bound | None:
    """1: some entries become a constant; repeated if the mask is larger than x."""
    copies = operation.output.numel() / operation.x.numel()
    return Bound(outward(math.sqrt(copies)) if copies > 1 else 1.0, "masking")


@rule("softmax", "softmin", "_softmax", nn.Softmax, nn.Softmin, nn.Softmax2d, kind="activation")
def softmax(operation: Operation) -> Bound:
    """1/2, attained where two entries share all the weight."""
    return Bound(SOFTMAX, "softmax, 1/2")


@rule("log_softmax", "_log_softmax", nn.LogSoftmax, kind="activation")
def log_softmax(operation: Operation) -> Bound:
    """√n: the Jacobian I − 1pᵀ is a projection of norm √n·‖p‖ ≤ √n."""
    dim = operation.option(1, "dim", -1)
    count = operation.x.shape[-1 if dim is None else dim]
    return Bound(log_softmax_norm(count), f"√n, n = {count}")


@rule("logsumexp", "amax", "amin", "max", "min", "norm", "vector_norm", "linalg_vector_norm",
      kind="pool")  # fmt: skip
def summary(operation: Operation) -> Bound | None:
    """1: the gradient is a distribution, one entry, or a unit vector."""
    if operation.name.endswith("norm"):
        order = operation.given(1, "p", operation.given(1, "ord", 2))
        if order not in (None, 2, 2.0, "fro", math.inf):
            return None
    output = operation.output if isinstance(operation.output, Tensor) else operation.output[0]
    copies = output.numel() / operation.x.numel()
    return Bound(outward(math.sqrt(copies)) if copies > 1 else 1.0, "gradient of length ≤ 1")


@rule("normalize", kind="normalization")
def unit_length(operation: Operation) -> Bound | None:
    """1/ε for x/max(‖x‖₂, ε): true, and of no use."""
    if operation.given(1, "p", 2.0) not in (2, 2.0):
        return None
    eps = float(operation.given(3, "eps", 1e-12))
    return Bound(outward(1 / eps), "1/ε", note="true but of little use: ε is tiny")


@rule("mul", "multiply", "div", "divide", "true_divide", kind="scale", affine=True)
def scaled(operation: Operation) -> Bound | None:
    """The largest factor; of a value that is repeated, the root of the sum of their squares."""
    swapped = operation.given(0, "input") is not operation.x
    other = operation.given(0, "input") if swapped else operation.given(1, "other")
    if operation.kwargs.get("rounding_mode") is not None:
        return None
    if swapped and operation.name.startswith(("div", "true")):
        return None
    factor = torch.as_tensor(other, dtype=operation.x.dtype, device=operation.x.device)
    if operation.name.startswith(("div", "true")):
        factor = 1 / factor
    return Bound(repeated_norm(factor, operation.x, operation.output), "largest factor")


def repeated_norm(factor: Tensor, x: Tensor, output: Tensor) -> float:
    """Norm of x ↦ factor · x with broadcasting: √ of the largest sum of squares over an entry."""
    squares = (factor**2).expand(output.shape).sum_to_size(x.shape)
    return outward(float(squares.max().sqrt()))


@rule("rsub", kind="shape", affine=True)
def reversed_difference(operation: Operation) -> Bound:
    """c − αx."""
    return _shifted(operation, weighs=True)


@rule("add", "sub", "subtract", kind="shape", affine=True)
def shifted(operation: Operation) -> Bound:
    """1: a constant is added."""
    return _shifted(operation, weighs=operation.given(0, "input") is not operation.x)


def _shifted(operation: Operation, weighs: bool) -> Bound:
    """√copies, times α where it stands with x."""
    weight = abs(float(operation.given(2, "alpha", 1))) if weighs else 1.0
    copies = operation.output.numel() / operation.x.numel()
    size = weight * math.sqrt(max(copies, 1.0))
    return Bound(size if size == 1.0 else outward(size), "shift")

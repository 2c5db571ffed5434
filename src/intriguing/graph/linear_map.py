"""Operations as linear maps of a short form."""

import torch
from torch import Tensor, nn

from intriguing.graph.operation import Operation, spread
from intriguing.graph.table import is_registered
from intriguing.spectral.norms.linear_map import Convolution, Diagonal, LinearMap, Matrix


def linear_map(operation: Operation) -> LinearMap | None:
    """The operation as one of these maps, its bias left out; None if it is none of them."""
    name, layer = operation.name, operation.module
    if layer is not None and is_registered(type(layer)):
        return None  # what inherits from torch's layer may do anything; its bound is the user's
    if isinstance(layer, nn.Linear) or (layer is None and name == "linear"):
        return Matrix(_double(operation.option(1, "weight")))
    if name.startswith("conv") or isinstance(layer, nn.modules.conv._ConvNd):
        return _convolution(operation)
    if isinstance(layer, nn.modules.batchnorm._BatchNorm) or (
        layer is None and name == "batch_norm"
    ):
        return _batch_norm(operation)
    if layer is None and name in ("mul", "multiply", "div", "divide", "true_divide"):
        return _scaling(operation)
    if layer is None and name in ("add", "sub", "subtract", "rsub"):
        return _sign(operation)
    return None


def _double(weight: Tensor) -> Tensor:
    return weight.detach().double()


def _convolution(operation: Operation) -> Convolution:
    layer, weight = operation.module, _double(operation.option(1, "weight"))
    axes = weight.ndim - 2
    transposed = "transpose" in operation.name or isinstance(
        layer, nn.modules.conv._ConvTransposeNd
    )
    padding = operation.option(4, "padding", 0)
    if transposed:  # the functions' order: stride, padding, output_padding, groups, dilation
        groups, dilation = operation.option(6, "groups", 1), operation.option(7, "dilation", 1)
    else:
        dilation, groups = operation.option(5, "dilation", 1), operation.option(6, "groups", 1)
    return Convolution(
        weight=weight,
        stride=spread(operation.option(3, "stride", 1), axes),
        padding=padding if isinstance(padding, str) else spread(padding, axes),
        dilation=spread(dilation, axes),
        groups=int(groups),
        padding_mode="zeros" if layer is None else str(layer.padding_mode),
        input_size=operation.spatial(axes),
        transposed=transposed,
    )


def _batch_norm(operation: Operation) -> Diagonal | None:
    layer = operation.module
    if layer is not None:
        variance, gamma, eps = layer.running_var, layer.weight, layer.eps
        uses_batch = layer.training
    else:
        variance, gamma = operation.given(2, "running_var"), operation.given(3, "weight")
        eps, uses_batch = operation.given(7, "eps", 1e-5), operation.given(5, "training", False)
    if variance is None or uses_batch:
        return None
    scale = (_double(variance) + float(eps)).rsqrt()  # type: ignore[arg-type]
    if gamma is not None:
        scale = scale * _double(gamma)  # type: ignore[arg-type]
    return Diagonal(scale.view(1, -1, *[1] * (operation.x.ndim - 2)))


def _scaling(operation: Operation) -> Diagonal | None:
    other = operation.given(1, "other")
    if operation.given(0, "input") is not operation.x:
        if operation.name not in ("mul", "multiply"):
            return None  # c/x
        other = operation.given(0, "input")
    if operation.kwargs.get("rounding_mode") is not None:
        return None
    factor = torch.as_tensor(other, dtype=torch.float64, device=operation.x.device).detach()
    if operation.output.shape != operation.x.shape:
        return None
    return Diagonal(1 / factor if operation.name.startswith(("div", "true")) else factor)


def _sign(operation: Operation) -> Diagonal | None:
    """−x and αx of c − x and c + αx; None for x itself, which nothing happens to."""
    weight = float(operation.given(2, "alpha", 1))
    second = operation.given(0, "input") is not operation.x
    if operation.name == "rsub":
        factor = -1.0 if second else -weight
    else:
        factor = (-weight if operation.name != "add" else weight) if second else 1.0
    same = operation.output.shape == operation.x.shape
    return Diagonal(operation.x.new_tensor([factor])) if same and factor != 1.0 else None

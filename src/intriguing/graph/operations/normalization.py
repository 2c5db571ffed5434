"""Layers that normalise."""

import math
from typing import Any

from torch import Tensor, nn

from intriguing.graph.operation import Operation
from intriguing.graph.operations.windows import same_positions
from intriguing.graph.table import Affine, rule
from intriguing.spectral.norms.bound import Bound
from intriguing.spectral.norms.linear_map import Diagonal, norm_of
from intriguing.spectral.norms.normalization import (
    batch_norm_norm,
    layer_norm_norm,
    local_response_norm,
    rms_norm_norm,
)

_BATCH = (
    "it mixes the images of a batch: it takes the batch's statistics in evaluation, too "
    "(track_running_stats=False); give it running statistics"
)
_LOOSE = "true but of little use: it is attained only where the values hardly vary"


def _statistics(operation: Operation) -> tuple[Tensor | None, Tensor | None, float]:
    """Variance and γ of a batch or instance norm, ε; no variance if the images' own counts."""
    layer: Any = operation.module
    instance = "instance" in operation.name.lower()
    if layer is not None:
        known = not (layer.training or (instance and not layer.track_running_stats))
        return (layer.running_var if known else None), layer.weight, float(layer.eps)
    if operation.name.startswith("_native"):  # as torch.export writes a batch norm
        return (
            operation.given(4, "running_var"),
            operation.given(1, "weight"),
            float(operation.args[6]),
        )
    known = not operation.given(5, "use_input_stats" if instance else "training", instance)
    variance = operation.given(2, "running_var") if known else None
    return variance, operation.given(3, "weight"), float(operation.given(7, "eps", 1e-5))


def _if_fixed(operation: Operation) -> Affine | None:
    return None if _statistics(operation)[0] is None else Affine.FIRST


def _where_fixed(operation: Operation, axis: int) -> Tensor | None:
    return same_positions(operation, axis) if _if_fixed(operation) else None


def _scale(operation: Operation) -> Diagonal | None:
    variance, gamma, eps = _statistics(operation)
    if variance is None:
        return None
    scale = (variance.detach().double() + eps).rsqrt()
    scale = scale if gamma is None else scale * gamma.detach().double()
    return Diagonal(scale.view(1, -1, *[1] * (operation.x.ndim - 2)))


@rule("batch_norm", "_native_batch_norm_legit_no_training", nn.BatchNorm1d, nn.BatchNorm2d,
      nn.BatchNorm3d, nn.SyncBatchNorm, kind="normalization", affine=_if_fixed, linear=_scale,
      window=_where_fixed)  # fmt: skip
def batch_norm(operation: Operation) -> Bound:
    """max |γ|/√(var + ε) with the statistics of training; ∞ with those of the batch."""
    layer = _scale(operation)
    if layer is None:
        return Bound(math.inf, "statistics of the batch", note=_BATCH)
    return Bound(norm_of(layer), "max |γ|/√(var + ε)")


@rule("layer_norm", "group_norm", nn.LayerNorm, nn.GroupNorm, kind="normalization")
def layer_norm(operation: Operation) -> Bound:
    """max |γ|/√ε."""
    weight = operation.option(2, "weight")
    eps = operation.option(4, "eps", 1e-5)
    return Bound(layer_norm_norm(_weight(weight), eps), "max |γ|/√ε", note=_LOOSE)


@rule("rms_norm", nn.RMSNorm, kind="normalization")
def rms_norm(operation: Operation) -> Bound:
    """max |γ|/√ε; ε is the smallest number that matters where none is given."""
    weight, eps = operation.option(2, "weight"), operation.option(3, "eps")
    return Bound(rms_norm_norm(_weight(weight), eps), "max |γ|/√ε", note=_LOOSE)


@rule("instance_norm", nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d,
      kind="normalization", affine=_if_fixed, linear=_scale, window=_where_fixed)  # fmt: skip
def instance_norm(operation: Operation) -> Bound:
    """max |γ|/√ε; with statistics of training, as batch norm."""
    variance, gamma, eps = _statistics(operation)
    if variance is not None:
        return Bound(batch_norm_norm(gamma, variance, eps), "max |γ|/√(var + ε)")
    return Bound(layer_norm_norm(_weight(gamma), eps), "max |γ|/√ε", note=_LOOSE)


@rule("local_response_norm", nn.LocalResponseNorm, nn.CrossMapLRN2d, kind="normalization",
      window=same_positions)  # fmt: skip
def response_norm(operation: Operation) -> Bound:
    """1.642·k^(−β) at β = 3/4, whatever the window and α."""
    alpha = float(operation.option(2, "alpha", 1e-4))
    beta = float(operation.option(3, "beta", 0.75))
    k = float(operation.option(4, "k", 1.0))
    size = int(operation.option(1, "size"))
    return Bound(local_response_norm(size, alpha, beta, k), f"Schur test, k = {k:g}, β = {beta:g}")


def _weight(weight: Any) -> Tensor | None:
    return None if weight is None else weight.detach()

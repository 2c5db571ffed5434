"""Layers that normalise."""

from typing import Any

from torch import Tensor, nn

from intriguing.graph.linear_map import linear_map
from intriguing.graph.operation import Operation
from intriguing.graph.table import rule
from intriguing.spectral.norms.bound import Bound
from intriguing.spectral.norms.linear_map import Diagonal
from intriguing.spectral.norms.normalization import (
    group_norm_norm,
    instance_norm_norm,
    layer_norm_norm,
    local_response_norm,
    rms_norm_norm,
)

_LOOSE = "true but of little use: it is attained only where the values hardly vary"


@rule("batch_norm", "_native_batch_norm_legit_no_training", nn.BatchNorm1d, nn.BatchNorm2d,
      nn.BatchNorm3d, kind="normalization", affine=True)  # fmt: skip
def batch_norm(operation: Operation) -> Bound | None:
    """max |γ|/√(var + ε) with the statistics of training."""
    layer = linear_map(operation)
    return Bound(layer.norm(), "max |γ|/√(var + ε)") if isinstance(layer, Diagonal) else None


@rule("layer_norm", nn.LayerNorm, kind="normalization")
def layer_norm(operation: Operation) -> Bound:
    """max |γ|/√ε."""
    weight = operation.option(2, "weight")
    eps = operation.option(4, "eps", 1e-5)
    return Bound(layer_norm_norm(_weight(weight), eps), "max |γ|/√ε", note=_LOOSE)


@rule("group_norm", nn.GroupNorm, kind="normalization")
def group_norm(operation: Operation) -> Bound:
    """max |γ|/√ε."""
    weight = operation.option(2, "weight")
    eps = operation.option(4, "eps", 1e-5)
    return Bound(group_norm_norm(_weight(weight), eps), "max |γ|/√ε", note=_LOOSE)


@rule("rms_norm", nn.RMSNorm, kind="normalization")
def rms_norm(operation: Operation) -> Bound:
    """max |γ|/√ε; ε is the smallest number that matters where none is given."""
    weight, eps = operation.option(2, "weight"), operation.option(3, "eps")
    return Bound(rms_norm_norm(_weight(weight), eps), "max |γ|/√ε", note=_LOOSE)


@rule("instance_norm", nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d,
      kind="normalization")  # fmt: skip
def instance_norm(operation: Operation) -> Bound | None:
    """max |γ|/√ε; with statistics of training, as batch norm."""
    layer: Any = operation.module
    if layer is None:
        if not operation.given(5, "use_input_stats", True):
            return None
        weight, eps = operation.given(3, "weight"), operation.given(7, "eps", 1e-5)
    elif layer.track_running_stats:
        scale = layer.running_var.add(layer.eps).rsqrt()
        scale = scale if layer.weight is None else scale * layer.weight
        return Bound(Diagonal(scale).norm(), "max |γ|/√(var + ε)")
    else:
        weight, eps = layer.weight, layer.eps
    return Bound(instance_norm_norm(_weight(weight), eps), "max |γ|/√ε", note=_LOOSE)


@rule("local_response_norm", nn.LocalResponseNorm, nn.CrossMapLRN2d, kind="normalization")
def response_norm(operation: Operation) -> Bound:
    """1.642·k^(−β) at β = 3/4, whatever the window and α."""
    alpha = float(operation.option(2, "alpha", 1e-4))
    beta = float(operation.option(3, "beta", 0.75))
    k = float(operation.option(4, "k", 1.0))
    size = int(operation.option(1, "size"))
    return Bound(local_response_norm(size, alpha, beta, k), f"Schur test, k = {k:g}, β = {beta:g}")


def _weight(weight: Any) -> Tensor | None:
    return None if weight is None else weight.detach()

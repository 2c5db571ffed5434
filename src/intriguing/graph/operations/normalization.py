"""Layers that normalise."""

import math
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

_BATCH = (
    "it mixes the images of a batch: it takes the batch's statistics in evaluation, too "
    "(track_running_stats=False); give it running statistics"
)
_LOOSE = "true but of little use: it is attained only where the values hardly vary"


@rule("batch_norm", "_native_batch_norm_legit_no_training", nn.BatchNorm1d, nn.BatchNorm2d,
      nn.BatchNorm3d, nn.SyncBatchNorm, kind="normalization", affine=True)  # fmt: skip
def batch_norm(operation: Operation) -> Bound | None:
    """max |γ|/√(var + ε) with the statistics of training; ∞ with those of the batch."""
    layer = linear_map(operation)
    if isinstance(layer, Diagonal):
        return Bound(layer.norm(), "max |γ|/√(var + ε)")
    return Bound(math.inf, "statistics of the batch", note=_BATCH) if _of_batch(operation) else None


def _of_batch(operation: Operation) -> bool:
    """Whether the statistics are those of the batch, in evaluation, too."""
    if operation.module is not None:
        return operation.module.running_var is None or operation.module.training
    given = operation.given(2, "running_var"), operation.given(5, "training", False)
    return operation.name == "batch_norm" and (given[0] is None or bool(given[1]))


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
            return _of_training(
                operation.given(2, "running_var"), operation.given(3, "weight"),
                float(operation.given(7, "eps", 1e-5)),
            )  # fmt: skip
        weight, eps = operation.given(3, "weight"), operation.given(7, "eps", 1e-5)
    elif layer.track_running_stats:
        return _of_training(layer.running_var, layer.weight, layer.eps)
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


def _of_training(variance: Tensor, weight: Tensor | None, eps: float) -> Bound:
    scale = variance.double().add(eps).rsqrt()
    scale = scale if weight is None else scale * weight.double()
    return Bound(Diagonal(scale).norm(), "max |γ|/√(var + ε)")


def _weight(weight: Any) -> Tensor | None:
    return None if weight is None else weight.detach()

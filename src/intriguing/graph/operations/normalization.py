"""Layers that normalise."""

import math
from typing import Any

import torch
from torch import Tensor, nn

from intriguing.graph.affine_form import AffineForm
from intriguing.graph.form_functions import normalised
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


def _layer_form(operation: Operation, forms: tuple[AffineForm, ...]) -> AffineForm:
    """Over the last axes together."""
    axes = len(operation.option(1, "normalized_shape"))
    return _normalised(operation, forms, operation.x.shape[-axes:], centred=True)


def _group_form(operation: Operation, forms: tuple[AffineForm, ...]) -> AffineForm:
    """Over the channels of a group and all positions."""
    groups = int(operation.option(1, "num_groups"))
    shape = operation.x.shape[1:]
    flat = torch.Size([shape.numel() // groups])
    return _normalised(operation, forms, flat, centred=True, channels=shape.numel() // shape[0])


def _rms_form(operation: Operation, forms: tuple[AffineForm, ...]) -> AffineForm:
    axes = len(operation.option(1, "normalized_shape"))
    return _normalised(operation, forms, operation.x.shape[-axes:], centred=False)


def _normalised(
    operation: Operation, forms: tuple[AffineForm, ...], together: torch.Size, *, centred: bool,
    channels: int = 0,
) -> AffineForm:  # fmt: skip
    """Over as many numbers at the end as `together` has, then by weights.

    Args:
        channels: Positions of each channel, where there is a weight for each; 0 of one a number.
    """
    (form,), shape = forms, operation.x.shape
    eps = operation.option(4 if centred else 3, "eps", 1e-5)
    rows = form.moved(lambda t: t.reshape(*t.shape[: t.ndim - len(shape)], -1, together.numel()))
    eps = torch.finfo(torch.float32).eps if eps is None else float(eps)
    made = normalised(rows, eps, centred=centred)
    made = made.moved(lambda t: t.reshape(*t.shape[:-2], *shape))
    weight, offset = _weight(operation.option(2, "weight")), None
    if centred:
        offset = _weight(operation.option(3, "bias"))
    if weight is None:
        return made

    def each(values: Tensor) -> Tensor:
        values = values.double().to(made.centre.device)
        return values.view(-1, *[1] * (len(shape) - 2)) if channels else values

    shift = torch.zeros_like(each(weight)) if offset is None else each(offset)
    return made.scaled(each(weight), shift)


@rule("layer_norm", nn.LayerNorm, kind="normalization", form=_layer_form)
def layer_norm(operation: Operation) -> Bound:
    """max |γ|/√ε."""
    weight = operation.option(2, "weight")
    eps = operation.option(4, "eps", 1e-5)
    return Bound(layer_norm_norm(_weight(weight), eps), "max |γ|/√ε", note=_LOOSE)


rule("group_norm", nn.GroupNorm, kind="normalization", form=_group_form)(layer_norm)


@rule("rms_norm", nn.RMSNorm, kind="normalization", form=_rms_form)
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

"""A network's layers as Table 5 lists them: by the paper's formulas as printed, and corrected."""

import math
from dataclasses import dataclass

from torch import Tensor, nn

from intriguing.measures import ProgressCallback
from intriguing.report.layers import ROUNDING
from intriguing.spectral.certificates.lipschitz import LayerBound, lipschitz_report
from intriguing.spectral.norms.equation import paper_norm


@dataclass(frozen=True)
class Layer:
    """One layer.

    Attributes:
        bound: As the spectral analysis reports it, the corrected upper bound among it.
        printed: What §4.3 says as printed: Eq. 1 for convolutions, 1 for max pools, ε^(−γ) for
            normalisation by activity; NaN where §4.3 does not say anything, or not of this case.
    """

    bound: LayerBound
    printed: float

    @property
    def name(self) -> str:
        """Of a network with its normalisation in front, as without it."""
        return self.bound.name.removeprefix("model.")

    @property
    def shape(self) -> str:
        """Size and stride, "3×11×11×96 /4", as far as there are any."""
        stride = f"/{self.bound.stride}" if self.bound.stride != "–" else ""
        return " ".join(part for part in (self.bound.size, stride) if part not in ("", "–"))

    @property
    def stride(self) -> int:
        """Δ; 1 where there is none."""
        return int(self.bound.stride) if self.bound.stride.isdecimal() else 1

    @property
    def matters(self) -> bool:
        """Whether a table needs a row for it: what changes no length by any formula does not."""
        weighted = self.bound.kind in ("convolution", "linear")
        return weighted or abs(self.bound.upper - 1.0) > ROUNDING


@dataclass(frozen=True)
class Layers:
    """All layers of a network, and the bounds of the whole."""

    layers: tuple[Layer, ...]
    upper: float
    lower: float

    @property
    def is_chain(self) -> bool:
        """Whether every layer feeds the next one only, so that bounds multiply."""
        return all(layer.bound.kind != "join" for layer in self.layers)


def read_layers(
    model: nn.Module, shape: tuple[int, ...], progress: ProgressCallback | None = None
) -> Layers:
    """Bounds of every layer.

    Args:
        model: In evaluation mode.
        shape: Of one image.
        progress: Called layer by layer.

    Raises:
        InputError: If the model cannot be traced, or does not take such an image.
    """
    report = lipschitz_report(model, shape, semidefinite=False, progress=progress)
    layers = tuple(Layer(bound, _printed(model, bound)) for bound in report.layers)
    return Layers(layers, report.product, report.lower)


def _printed(model: nn.Module, bound: LayerBound) -> float:
    """What §4.3 gives for this layer, errata included."""
    if bound.kind in ("linear", "activation", "scale"):
        return bound.upper
    parts = [_module(model, name) for name in bound.name.split(" + ")]
    layer = parts[0]
    if isinstance(layer, nn.MaxPool1d | nn.MaxPool2d | nn.MaxPool3d):
        return 1.0
    if isinstance(layer, nn.LocalResponseNorm):
        return float(layer.k**-layer.beta)
    if not isinstance(layer, nn.Conv1d | nn.Conv2d | nn.Conv3d):
        return math.nan
    weight = _fused(layer.weight.detach(), parts[1:])
    if weight is None or len(set(layer.stride)) > 1 or set(layer.dilation) != {1}:
        return math.nan
    return paper_norm(weight, stride=layer.stride[0], groups=layer.groups, as_printed=True)


def _fused(weight: Tensor, after: list[nn.Module | None]) -> Tensor | None:
    """The weight with the batch norms that follow it multiplied in; None if others follow."""
    for norm in after:
        if not isinstance(norm, nn.modules.batchnorm._BatchNorm) or norm.running_var is None:
            return None
        scale = (norm.running_var.double() + norm.eps).rsqrt()
        scale = scale if norm.weight is None else scale * norm.weight.detach()
        weight = weight.double() * scale.view(-1, *[1] * (weight.ndim - 1))
    return weight


def _module(model: nn.Module, name: str) -> nn.Module | None:
    try:
        return model.get_submodule(name)
    except AttributeError:
        return None

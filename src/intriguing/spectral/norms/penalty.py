"""The closing suggestion of §4.3: penalise each layer's upper Lipschitz bound while training.

Each layer's largest singular value is followed by power iteration from where the last step left it,
which costs one pass of one image through that layer and back. Its gradient u vᵀ is exact once it
has converged. Its value ‖A v‖ is a lower estimate, so the term's value is another one: the proved
bound at the last refresh plus what the weights' change since then can have added.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd

from intriguing.errors import InputError
from intriguing.models.classifier import Classifier, device_of, own_dtypes
from intriguing.spectral.norms.bound import outward
from intriguing.spectral.norms.convolution import norm_of_convolution
from intriguing.spectral.norms.convolution_layer import Convolution, read_convolution
from intriguing.spectral.norms.matrix import matrix_norm
from intriguing.spectral.norms.resampling import pad_norm

_TRANSPOSED: dict[int, Callable[..., Tensor]] = {
    3: functional.conv_transpose1d, 4: functional.conv_transpose2d, 5: functional.conv_transpose3d,
}  # fmt: skip
_OPERATORS = (nn.Linear, _ConvNd)
_SCALES = (_BatchNorm, nn.LayerNorm, nn.GroupNorm, nn.PReLU)


@dataclass(eq=False)
class _Layer:
    """One layer: its module, the image size it works on, where its power iteration is.

    `proved` bounds the norm of `weight`, the weights at the last refresh, `age` steps ago; `copies`
    is what padding can add to it.
    """

    name: str
    module: nn.Module
    input_shape: tuple[int, ...]
    vector: Tensor
    copies: float = 1.0
    proved: float = math.inf
    weight: Tensor | None = None
    age: int = 0


class SpectralPenalty:
    """Differentiable upper Lipschitz bounds of a network's layers, cheap enough for every step.

    Convolutional (transposed too) and fully connected layers, and the scales of batch, layer and
    group norms and of PReLU; other layers have no weights that change their bound. Batch norms are
    taken as they are in evaluation.

    Args:
        model: The network, on its device; its modules are looked at, never changed.
        input_shape: Of one image, without the batch.
        refresh: Steps after which a layer's bound is proved afresh, at most.
        slack: Also afresh once the weights' drift could have added this share of the bound. Both
            decide how tight the value is and what it costs; the gradient does not depend on them.
        iterations: Power iterations a step.
        seed: Draws where they start.

    Raises:
        InputError: If the network has no such layer, or an option makes no sense.

    >>> net = nn.Sequential(nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 2))
    >>> penalty = SpectralPenalty(net, (3,))
    >>> penalty().backward()
    >>> [name for name in penalty.bounds()]
    ['0', '2']
    """

    def __init__(
        self,
        model: nn.Module,
        input_shape: tuple[int, ...],
        *,
        refresh: int = 100,
        slack: float = 0.2,
        iterations: int = 1,
        seed: int = 0,
    ) -> None:
        if refresh < 1 or iterations < 1 or not slack >= 0:
            raise InputError("refresh and iterations are 1 or more, slack 0 or more")
        self.refresh, self.slack, self.iterations = refresh, slack, iterations
        self.layers = list(_layers(model, input_shape, torch.Generator().manual_seed(seed)))
        if not self.layers:
            raise InputError("the network has no fully connected, convolutional or scaling layer")

    def __call__(self) -> Float[Tensor, ""]:
        """Σ_k L_k over the layers, to be multiplied by a weight and added to the loss."""
        return torch.stack(list(self.bounds().values())).sum()

    def bounds(self) -> dict[str, Float[Tensor, ""]]:
        """L_k by layer name: a true upper bound of each, with the gradient of the norm itself."""
        return {layer.name: self._bound(layer) for layer in self.layers}

    def state_dict(self) -> dict[str, Tensor]:
        """Where the power iterations are, for a checkpoint: the tensors themselves."""
        return {layer.name: layer.vector for layer in self.layers}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Go on from a checkpoint; bounds are proved afresh."""
        for layer in self.layers:
            layer.vector.copy_(state[layer.name])
        self.forget()

    def forget(self) -> None:
        """Prove every bound afresh at the next step."""
        for layer in self.layers:
            layer.proved = math.inf

    def _bound(self, layer: _Layer) -> Tensor:
        if isinstance(layer.module, _SCALES):
            return _largest_scale(layer.module)
        weight = _weight(layer.module)
        gradient = self._followed(layer, weight)
        drift = _drifted(layer, weight)
        unproved = math.isinf(layer.proved) or layer.age >= self.refresh
        if unproved or drift > self.slack * layer.proved:
            layer.proved, layer.age, drift = _proved(layer), 0, 0.0
            layer.weight = weight.detach().clone()
        layer.age += 1
        # The sum over layers is rounded.
        value = (layer.proved + drift) * (1 + 8 * torch.finfo(weight.dtype).eps)
        return _Value.apply(weight, gradient, value)  # type: ignore[no-any-return, no-untyped-call]

    def _followed(self, layer: _Layer, weight: Tensor) -> Tensor:
        """The gradient of ‖A v‖ for the weights; power iteration moves v on by Aᵀ A v."""
        with torch.enable_grad():
            for _ in range(self.iterations):
                v, w = layer.vector.detach().requires_grad_(), weight.detach().requires_grad_()
                along, gradient = torch.autograd.grad(_apply(layer, v, w).norm(), (v, w))
                layer.vector = layer.vector.copy_(_unit(along))
        return gradient


class _Value(torch.autograd.Function):
    """A value with a given gradient for the weights."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor, gradient: Tensor, value: float) -> Tensor:
        ctx.save_for_backward(gradient)
        return weight.new_tensor(value)

    @staticmethod
    def backward(ctx: Any, *outer: Tensor) -> tuple[Tensor, None, None]:
        (gradient,) = ctx.saved_tensors
        return outer[0] * gradient, None, None


def _drifted(layer: _Layer, weight: Tensor) -> float:
    """What the change of the weights since the last refresh can have added to the norm."""
    if layer.weight is None or math.isinf(layer.proved):
        return math.inf
    change = weight.detach() - layer.weight
    # However it is summed, the relative error of a sum of n squares is below n·eps.
    rounding = 1 + 2 * change.numel() * torch.finfo(change.dtype).eps
    taps = math.prod(weight.shape[2:]) if isinstance(layer.module, _ConvNd) else 1
    return outward(float(change.norm()) * rounding * math.sqrt(taps) * layer.copies)


def _layers(
    model: nn.Module, input_shape: tuple[int, ...], generator: torch.Generator
) -> Iterator[_Layer]:
    """Every layer that has a bound to penalise, with the size of what it is given."""
    shapes: dict[nn.Module, tuple[int, ...]] = {}

    def note(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        shapes.setdefault(module, tuple(inputs[0].shape[1:]))

    handles = [
        module.register_forward_pre_hook(note)
        for module in model.modules()
        if isinstance(module, _OPERATORS + _SCALES)
    ]
    training, place = model.training, device_of(model)
    dtype = next(iter(own_dtypes(model)), torch.float32)
    try:
        with torch.no_grad():
            Classifier.of(model.eval()).begin(input_shape)
    finally:
        model.train(training)
        for handle in handles:
            handle.remove()
    for name, module in model.named_modules():
        if module not in shapes or (isinstance(module, _SCALES) and module.weight is None):
            continue
        shape = shapes[module]
        shape = shape[-1:] if isinstance(module, nn.Linear) else shape
        start = torch.randn((1, *shape), generator=generator, dtype=torch.float64)
        yield _Layer(name, module, shape, _unit(start.to(place, dtype)), _copies(module, shape))


def _copies(module: nn.Module, shape: tuple[int, ...]) -> float:
    """How much padding other than by zeros can add to the norm: √(copies of a pixel)."""
    if not isinstance(module, _ConvNd) or module.padding_mode == "zeros":
        return 1.0
    layer = _convolution(module, shape)
    pads = [side for pair in reversed(layer.padding) for side in pair]
    return pad_norm(pads, layer.padding_mode, shape[1:])


def _convolution(module: _ConvNd, shape: tuple[int, ...]) -> Convolution:
    return read_convolution(
        _weight(module).detach(), stride=module.stride, padding=module.padding,
        dilation=module.dilation, groups=module.groups, padding_mode=module.padding_mode,
        input_size=shape[1:], transposed=isinstance(module, _ConvTransposeNd),
        output_padding=module.output_padding if isinstance(module, _ConvTransposeNd) else 0,
    )  # fmt: skip


def _apply(layer: _Layer, x: Tensor, weight: Tensor) -> Tensor:
    """The layer without its bias."""
    module = layer.module
    if isinstance(module, nn.Linear):
        return functional.linear(x, weight)
    assert isinstance(module, _ConvNd)
    if isinstance(module, _ConvTransposeNd):
        apply = _TRANSPOSED[weight.ndim]
        return apply(
            x, weight, None, module.stride, module.padding, module.output_padding, module.groups,
            module.dilation,
        )  # fmt: skip
    result: Tensor = module._conv_forward(x, weight, None)
    return result


def _proved(layer: _Layer) -> float:
    """The layer's norm from above."""
    module = layer.module
    if isinstance(module, nn.Linear):
        return matrix_norm(module.weight.detach())
    assert isinstance(module, _ConvNd)
    return norm_of_convolution(_convolution(module, layer.input_shape))


def _weight(module: nn.Module) -> Tensor:
    weight: Tensor = module.weight  # type: ignore[assignment]
    return weight


def _largest_scale(module: nn.Module) -> Tensor:
    """max |γ|/√(var + ε), max |γ|/√ε, or PReLU's steepest slope: exact, with its gradient."""
    scale = _weight(module).abs()
    if isinstance(module, _BatchNorm) and module.running_var is not None:
        scale = scale * (module.running_var + module.eps).rsqrt()
    elif isinstance(module, nn.PReLU):
        scale = torch.cat([scale, scale.new_ones(1)])
    elif isinstance(module, _SCALES):
        scale = scale / math.sqrt(float(module.eps))  # type: ignore[arg-type]
    return scale.max()


def _unit(x: Tensor) -> Tensor:
    unit: Tensor = x / x.norm().clamp_min(torch.finfo(x.dtype).tiny)
    return unit

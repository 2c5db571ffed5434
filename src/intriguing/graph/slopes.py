"""Between which slopes each activation runs: the half-rectified layer of §4.3, and its successors.

An elementwise map whose derivative stays in [low, high] has Lipschitz constant max(|low|, |high|),
and a semidefinite bound can use both ends. Extremes without a closed form were found by scalar
maximisation (`tests/graph/test_slopes.py` repeats it) and are rounded outwards.
"""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from intriguing.spectral.norms.bound import outward

Range = tuple[float, float]

GELU = (-0.1289041451851548, 1.1289041451851548)
"""Slopes of x·Φ(x), extreme at x = ±√2: 1/2 ± (1/2·erf(1) + 1/(e·√π))."""
GELU_TANH = (-0.1289930686587718, 1.1289930686587718)
"""Slopes of its approximation by tanh."""
SILU = (-0.0998393201288670, 1.0998393201288670)
"""Slopes of x·sigmoid(x), extreme where x·tanh(x/2) = 2."""
MISH = (-0.1125261223894626, 1.0884981612517280)
"""Slopes of x·tanh(softplus(x))."""
HARDSIGMOID = outward(1 / 6, 1e-7)
"""torch divides by 6 as float32 does, whatever the precision."""
SELU_SCALE = 1.0507009873554805
SELU_ALPHA = 1.6732632423543772

_SINGLE = 2.0**-24
"""How far float32 rounds, relatively."""

SOFTMAX = 0.5
"""Lipschitz constant of softmax: diag(p) − p·pᵀ has rows of absolute sum 2p(1 − p) ≤ 1/2."""


def log_softmax_norm(classes: int) -> float:
    """Lipschitz constant of log-softmax over n classes from above: √n.

    Its Jacobian I − 1·pᵀ takes v to v − (p·v)·1; with p a unit vector at the extreme, I − 1·e_iᵀ
    has norm √n for n ≥ 2, and the norm is convex in p.

    >>> round(log_softmax_norm(4), 6)
    2.0
    """
    return outward(math.sqrt(classes))


def slope_range(activation: nn.Module | Callable[..., Any], **options: Any) -> Range | None:
    """The interval of an activation's derivative, or None where none is known.

    Args:
        activation: A module of `torch.nn`, or a function of `torch`, `torch.nn.functional` or
            `torch.Tensor`.
        options: The function's keyword arguments besides the input; a module brings its own.

    Returns:
        (low, high), rounded outwards; None for what is unknown, not elementwise, or jumps.

    >>> slope_range(nn.ReLU()), slope_range(torch.nn.functional.leaky_relu, negative_slope=-0.5)
    ((0.0, 1.0), (-0.5..., 1.0))
    """
    if isinstance(activation, nn.Module):
        names = MODULES.get(type(activation))
        if names is None:
            return None
        function, attributes = names
        given = {attribute: getattr(activation, attribute) for attribute in attributes}
        if isinstance(activation, nn.RReLU) and activation.training:
            given["training"] = True
        return slope_range(function, **given)
    known = FUNCTIONS.get(activation)
    return None if known is None else known(**options)


def fixed(low: float, high: float) -> Callable[..., Range]:
    """The same range whatever the options."""
    return lambda **_: (low, high)


def _hull(*slopes: float) -> Range:
    """The smallest interval around some slopes, rounded outwards unless 0 or ±1."""
    low, high = min(slopes), max(slopes)
    return _down(low), -_down(-high)


def _down(value: float) -> float:
    if value in (-1.0, 0.0, 1.0):
        return value
    return -outward(-value) if value < 0.0 else value * (1.0 - 1e-9)


def _leaky_relu(negative_slope: float = 0.01, **_: Any) -> Range:
    return _hull(negative_slope, 1.0)


def _prelu(weight: Any = 0.25, **_: Any) -> Range:
    slopes = torch.as_tensor(weight).detach().cpu().double()
    return _hull(float(slopes.min()), float(slopes.max()), 1.0)


def _rrelu(lower: float = 1 / 8, upper: float = 1 / 3, training: bool = False, **_: Any) -> Range:
    return _hull(lower, upper, 1.0) if training else _hull((lower + upper) / 2, 1.0)


def _elu(alpha: float = 1.0, scale: float = 1.0, input_scale: float = 1.0, **_: Any) -> Range:
    return _hull(0.0, alpha * scale * input_scale, scale)


def _celu(alpha: float = 1.0, **_: Any) -> Range | None:
    return (0.0, 1.0) if alpha > 0 else None


def _softplus(threshold: float = 20.0, **_: Any) -> Range | None:
    """None where torch's change to x itself, at βx = threshold, is a jump that float32 can see."""
    seen = threshold <= 0 or math.log1p(math.exp(-threshold)) > _SINGLE * threshold
    return None if seen else (0.0, 1.0)


def _gelu(approximate: str = "none", **_: Any) -> Range:
    return _hull(*(GELU if approximate == "none" else GELU_TANH))


def _threshold(threshold: float = 0.0, value: float = 0.0, **_: Any) -> Range | None:
    return (0.0, 1.0) if threshold == value else None


_RECTIFIED = fixed(0.0, 1.0)

FUNCTIONS: dict[Any, Callable[..., Range | None]] = {
    **dict.fromkeys((torch.relu, torch.relu_, functional.relu, functional.relu_), _RECTIFIED),
    **dict.fromkeys((functional.relu6, functional.hardtanh, functional.hardtanh_), _RECTIFIED),
    **dict.fromkeys((torch.tanh, torch.tanh_, functional.tanh), _RECTIFIED),
    **dict.fromkeys((functional.softsign, functional.logsigmoid), _RECTIFIED),
    functional.softplus: _softplus,
    **dict.fromkeys((functional.softshrink, functional.tanhshrink), _RECTIFIED),
    **dict.fromkeys((torch.clamp, torch.clip, torch.atan, torch.arctan), _RECTIFIED),
    **dict.fromkeys((torch.erf, torch.special.erf), fixed(0.0, outward(2 / math.sqrt(math.pi)))),
    **dict.fromkeys((torch.sin, torch.cos, torch.abs), fixed(-1.0, 1.0)),
    **dict.fromkeys((torch.sigmoid, torch.sigmoid_, functional.sigmoid), fixed(0.0, 0.25)),
    torch.special.expit: fixed(0.0, 0.25),
    **dict.fromkeys((functional.leaky_relu, functional.leaky_relu_), _leaky_relu),
    **dict.fromkeys((functional.prelu, torch.prelu), _prelu),
    **dict.fromkeys((functional.rrelu, functional.rrelu_, torch.rrelu), _rrelu),
    **dict.fromkeys((functional.elu, functional.elu_), _elu),
    **dict.fromkeys((functional.celu, functional.celu_, torch.celu), _celu),
    **dict.fromkeys(
        (functional.selu, functional.selu_, torch.selu),
        fixed(0.0, outward(SELU_SCALE * SELU_ALPHA)),
    ),
    functional.gelu: _gelu,
    functional.silu: fixed(*_hull(*SILU)),
    functional.mish: fixed(*_hull(*MISH)),
    functional.hardswish: fixed(-0.5, 1.5),
    functional.hardsigmoid: fixed(0.0, HARDSIGMOID),
    **dict.fromkeys((functional.threshold, torch.threshold_), _threshold),
}
"""Of each function, its slopes from its keyword arguments."""

MODULES: dict[type[nn.Module], tuple[Any, tuple[str, ...]]] = {
    nn.ReLU: (functional.relu, ()),
    nn.ReLU6: (functional.relu6, ()),
    nn.Hardtanh: (functional.hardtanh, ()),
    nn.Tanh: (torch.tanh, ()),
    nn.Softplus: (functional.softplus, ("beta", "threshold")),
    nn.Softsign: (functional.softsign, ()),
    nn.LogSigmoid: (functional.logsigmoid, ()),
    nn.Softshrink: (functional.softshrink, ()),
    nn.Tanhshrink: (functional.tanhshrink, ()),
    nn.Sigmoid: (torch.sigmoid, ()),
    nn.LeakyReLU: (functional.leaky_relu, ("negative_slope",)),
    nn.PReLU: (functional.prelu, ("weight",)),
    nn.RReLU: (functional.rrelu, ("lower", "upper")),
    nn.ELU: (functional.elu, ("alpha",)),
    nn.CELU: (functional.celu, ("alpha",)),
    nn.SELU: (functional.selu, ()),
    nn.GELU: (functional.gelu, ("approximate",)),
    nn.SiLU: (functional.silu, ()),
    nn.Mish: (functional.mish, ()),
    nn.Hardswish: (functional.hardswish, ()),
    nn.Hardsigmoid: (functional.hardsigmoid, ()),
    nn.Threshold: (functional.threshold, ("threshold", "value")),
    nn.Identity: (torch.clone, ()),
}
"""Of each module, the function it is and the attributes that are its options."""

FUNCTIONS[torch.clone] = fixed(1.0, 1.0)

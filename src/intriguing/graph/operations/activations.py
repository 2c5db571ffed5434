"""Activations: the half-rectified layer of §4.3 and its successors, and maps of a row like softmax.

An elementwise map whose derivative stays in [low, high] has the Lipschitz constant max(|low|,
|high|), and a semidefinite bound can use both ends. Extremes without a closed form were found by
scalar maximisation (`tests/graph/test_activations.py` repeats it) and are rounded outwards.
"""

import math
from collections.abc import Callable

import torch
from torch import nn

from intriguing.graph import form_functions
from intriguing.graph.affine_form import AffineForm
from intriguing.graph.interval import Interval
from intriguing.graph.operation import Operation
from intriguing.graph.operations.windows import if_over_channels, same_positions
from intriguing.graph.table import Bends, Chords, declare, rule, rule_of
from intriguing.spectral.norms.bound import Bound, outward

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
SELU = 1.0507009873554805 * 1.6732632423543772
"""Scale times α, as torch has them: the slope of SELU just below 0."""
SOFTMAX = 0.5
"""Lipschitz constant of softmax: diag(p) − p·pᵀ has rows of absolute sum 2p(1 − p) ≤ 1/2."""
_SINGLE = 2.0**-24
"""How far float32 rounds, relatively."""


def slopes_of(operation: Operation) -> Range | None:
    """Least and greatest slope of an activation, rounded outwards; None of any other operation."""
    rule = rule_of(operation)
    return rule.slopes(operation) if rule.when(operation) else None


def log_softmax_norm(classes: int) -> float:
    """Lipschitz constant of log-softmax over n classes from above: √n.

    Its Jacobian I − 1·pᵀ takes v to v − (p·v)·1; with p a unit vector at the extreme, I − 1·e_iᵀ
    has norm √n for n ≥ 2, and the norm is convex in p.

    >>> round(log_softmax_norm(4), 6)
    2.0
    """
    return outward(math.sqrt(classes))


def _norm(operation: Operation) -> Bound | None:
    slopes = slopes_of(operation)
    return None if slopes is None else Bound(max(map(abs, slopes)), "steepest slope")


def _interval(operation: Operation, spans: tuple[Interval, ...]) -> Interval | None:
    """What never falls, from end to end; else nowhere farther than its slopes from its middle."""
    slopes = slopes_of(operation)
    if slopes is None or len(spans) != 1:
        return None
    (x,) = spans
    if slopes[0] >= 0:
        return x.rising(operation.again, slopes)
    middle = operation.again(((x.low + x.high) / 2).nan_to_num())
    farthest = max(map(abs, slopes)) * (x.high - x.low) / 2
    return x.through((middle - farthest, middle + farthest), x.everywhere(slopes))


def _activation(
    *targets: str | type[nn.Module],
    slopes: Range | Callable[[Operation], Range | None],
    values: Range | Callable[[Operation], Range] = (-math.inf, math.inf),
    chords: Chords | Callable[[Operation], Chords | None] | None = None,
    bends: Bends | Callable[[Operation], Bends | None] | None = None,
    jumps: bool = False,
) -> None:
    """Declare an activation by the parts of its rule; what depends on no setting, as it is."""
    declare(
        *targets, kind="activation", norm=_norm, interval=_interval, jumps=jumps,
        slopes=slopes if callable(slopes) else lambda _: slopes,
        values=values if callable(values) else lambda _: values,
        chords=chords if callable(chords) else lambda _: chords,
        bends=bends if callable(bends) else lambda _: bends,
    )  # fmt: skip


def _hull(*slopes: float) -> Range:
    """The smallest interval around some slopes, rounded outwards unless 0 or ±1."""
    low, high = min(slopes), max(slopes)
    return _down(low), -_down(-high)


def _down(value: float) -> float:
    if value in (-1.0, 0.0, 1.0):
        return value
    return -outward(-value) if value < 0.0 else value * (1.0 - 1e-9)


def _leaky(operation: Operation) -> Range:
    return _hull(operation.option(1, "negative_slope", 0.01), 1.0)


def _prelu(operation: Operation) -> Range:
    slopes = torch.as_tensor(operation.option(1, "weight", 0.25)).detach().cpu().double()
    return _hull(float(slopes.min()), float(slopes.max()), 1.0)


def _rrelu(operation: Operation) -> Range | None:
    lower, upper = operation.option(1, "lower", 1 / 8), operation.option(2, "upper", 1 / 3)
    if operation.option(3, "training", False):
        return None if operation.module is None else _hull(lower, upper, 1.0)
    return _hull((lower + upper) / 2, 1.0)


def _elu(operation: Operation) -> Range:
    return _hull(0.0, operation.option(1, "alpha", 1.0), 1.0)


def _celu(operation: Operation) -> Range | None:
    return (0.0, 1.0) if operation.option(1, "alpha", 1.0) > 0 else None


def _softplus(operation: Operation) -> Range | None:
    """None where torch's change to x itself, at βx = threshold, is a jump that float32 can see."""
    threshold = operation.option(2, "threshold", 20.0)
    seen = threshold <= 0 or math.log1p(math.exp(-threshold)) > _SINGLE * threshold
    return None if seen else (0.0, 1.0)


def _softplus_bends(operation: Operation) -> Bends:
    """β/4; past βx = threshold torch gives x itself."""
    beta, threshold = operation.option(1, "beta", 1.0), operation.option(2, "threshold", 20.0)
    return Bends((), outward(beta / 4), outward(math.log1p(math.exp(-threshold)) / beta))


def _exponential(operation: Operation) -> Bends | None:
    """α·(eˣ − 1) below 0."""
    return Bends((0.0,), outward(abs(float(operation.option(1, "alpha", 1.0)))))


def _scaled_exponential(operation: Operation) -> Bends | None:
    """α·(e^(x/α) − 1) below 0."""
    alpha = float(operation.option(1, "alpha", 1.0))
    return Bends((0.0,), outward(1 / alpha)) if alpha > 0 else None


def _shrunk(operation: Operation) -> Bends:
    size = float(operation.option(1, "lambd", 0.5))
    return Bends((-size, size))


def _at_threshold(operation: Operation) -> Bends | None:
    return Bends((float(operation.option(1, "threshold")),)) if _threshold(operation) else None


def _ends(operation: Operation) -> Bends:
    return Bends(tuple(float(end) for end in _between_ends(operation)))


def _exact_gelu(operation: Operation) -> bool:
    return bool(operation.option(1, "approximate", "none") == "none")


def _threshold(operation: Operation) -> Range | None:
    return (0.0, 1.0) if operation.option(1, "threshold") == operation.option(2, "value") else None


def _between_ends(operation: Operation) -> Range:
    return operation.option(1, "min_val", -1.0), operation.option(2, "max_val", 1.0)


_CONVEX = Chords(convex=True)
_ENDS = Chords()  # S-shaped and straight in pieces: the least chord is at an end
_AT_0 = Bends((0.0,))
_LIKE_TANH = Bends(curvature=0.7699)  # 4/(3√3), where tanh² = 1/3
_POSITIVE, _SHARE = (0.0, math.inf), (0.0, 1.0)

_activation("relu", nn.ReLU, slopes=(0.0, 1.0), values=_POSITIVE, chords=_CONVEX, bends=_AT_0)
_activation(
    "relu6", nn.ReLU6, slopes=(0.0, 1.0), values=(0.0, 6.0), chords=_ENDS, bends=Bends((0.0, 6.0))
)
_activation(
    "hardtanh", nn.Hardtanh, slopes=(0.0, 1.0), values=_between_ends, chords=_ENDS, bends=_ends
)
_activation(
    "hardsigmoid", nn.Hardsigmoid, slopes=(0.0, HARDSIGMOID), values=_SHARE, chords=_ENDS,
    bends=Bends((-3.0, 3.0), slack=1e-7),  # torch's own sixth, as above
)  # fmt: skip
_activation("leaky_relu", nn.LeakyReLU, slopes=_leaky, chords=_CONVEX, bends=_AT_0)
_activation("prelu", nn.PReLU, slopes=_prelu, chords=_CONVEX, bends=_AT_0)
_activation("rrelu", nn.RReLU, slopes=_rrelu, chords=_CONVEX)
_activation(
    "elu", nn.ELU, slopes=_elu,
    values=lambda operation: (-abs(operation.option(1, "alpha", 1.0)), math.inf),
    chords=lambda operation: _CONVEX if _elu(operation)[1] <= 1.0 else None, bends=_exponential,
)  # fmt: skip
_activation("celu", nn.CELU, slopes=_celu, chords=_CONVEX, bends=_scaled_exponential)
_activation("selu", nn.SELU, slopes=(0.0, outward(SELU)), bends=Bends((0.0,), outward(SELU)))
_activation(
    "softplus", nn.Softplus, slopes=_softplus, values=_POSITIVE, chords=_CONVEX,
    bends=_softplus_bends,
)  # fmt: skip
_activation(
    "logsigmoid", nn.LogSigmoid, slopes=(0.0, 1.0), chords=_CONVEX, bends=Bends(curvature=0.25)
)
_activation("threshold", nn.Threshold, slopes=_threshold, jumps=True, bends=_at_threshold)
_activation("softshrink", nn.Softshrink, slopes=(0.0, 1.0), bends=_shrunk)
_activation("tanhshrink", nn.Tanhshrink, slopes=(0.0, 1.0), bends=_LIKE_TANH)
_activation("sin", "cos", slopes=(-1.0, 1.0), values=(-1.0, 1.0), bends=Bends(curvature=1.0))
_activation(
    "sigmoid", nn.Sigmoid, slopes=(0.0, 0.25), values=_SHARE,
    chords=Chords(slope=lambda z: torch.sigmoid(z) * torch.sigmoid(-z)),
    bends=Bends(curvature=0.09623),  # 1/(6√3)
)  # fmt: skip
_activation(
    "tanh", nn.Tanh, slopes=(0.0, 1.0), values=(-1.0, 1.0),
    chords=Chords(slope=lambda z: 1.0 - torch.tanh(z).square()), bends=_LIKE_TANH,
)  # fmt: skip
_activation(
    "softsign", nn.Softsign, slopes=(0.0, 1.0), values=(-1.0, 1.0),
    chords=Chords(slope=lambda z: 1.0 / (1.0 + z.abs()).square()), bends=Bends(curvature=2.0),
)  # fmt: skip
_activation(
    "atan", "arctan", slopes=(0.0, 1.0), chords=Chords(slope=lambda z: 1.0 / (1.0 + z.square())),
    bends=Bends(curvature=0.6496),  # 3√3/8
)  # fmt: skip
_activation(
    "erf", slopes=(0.0, outward(2 / math.sqrt(math.pi))), values=(-1.0, 1.0),
    chords=Chords(slope=lambda z: 2.0 / math.sqrt(math.pi) * torch.exp(-z.square())),
    bends=Bends(curvature=0.9679),  # √8/√(π·e)
)  # fmt: skip
_activation(
    "gelu", nn.GELU, slopes=lambda o: _hull(*(GELU if _exact_gelu(o) else GELU_TANH)),
    chords=Chords(curvature=0.8),  # 2φ(0), and less than that for its form by tanh
    bends=Bends(curvature=0.8),
)  # fmt: skip
_activation(
    "silu", nn.SiLU, slopes=_hull(*SILU), chords=Chords(curvature=0.5001),
    bends=Bends(curvature=0.5001),
)  # fmt: skip
_activation(
    "mish", nn.Mish, slopes=_hull(*MISH), chords=Chords(curvature=0.6443),
    bends=Bends(curvature=0.6443),
)  # fmt: skip
_activation(
    "hardswish", nn.Hardswish, slopes=(-0.5, 1.5), bends=Bends((-3.0, 3.0), 0.33334, slack=1e-6)
)


def _softmax_rows(operation: Operation) -> float:
    """√rows: each row of a softmax is a distribution, and no longer than 1."""
    return math.sqrt(operation.x.numel() // _classes(operation))


def _classes(operation: Operation) -> int:
    dim = operation.option(1, "dim", -1)
    return int(operation.x.shape[-1 if dim is None else dim])


def _softmax_form(operation: Operation, forms: tuple[AffineForm, ...]) -> AffineForm | None:
    """Along its axis, counted from the last."""
    dim = operation.option(1, "dim")
    if not isinstance(dim, int) or len(forms) != 1:
        return None
    return form_functions.softmax(forms[0], dim if dim < 0 else dim - operation.x.ndim)


@rule("softmax", "_softmax", nn.Softmax, kind="activation", values=lambda _: _SHARE,
      length=_softmax_rows, window=if_over_channels, form=_softmax_form)  # fmt: skip
def softmax(operation: Operation) -> Bound:
    """1/2, attained where two entries share all the weight."""
    return Bound(SOFTMAX, "softmax, 1/2")


rule(nn.Softmax2d, kind="activation", values=lambda _: _SHARE, window=same_positions)(softmax)
rule("softmin", nn.Softmin, kind="activation", values=lambda _: _SHARE,
     window=if_over_channels)(softmax)  # fmt: skip


@rule("log_softmax", "_log_softmax", nn.LogSoftmax, kind="activation", window=if_over_channels)
def log_softmax(operation: Operation) -> Bound:
    """√n: the Jacobian I − 1pᵀ is a projection of norm √n·‖p‖ ≤ √n."""
    count = _classes(operation)
    return Bound(log_softmax_norm(count), f"√n, n = {count}")


declare("hardshrink", nn.Hardshrink, jumps=True, window=same_positions)

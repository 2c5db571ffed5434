"""Slopes of activations, derived again by a scalar maximisation of the derivative."""

import itertools
import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from intriguing.graph.operation import Operation
from intriguing.graph.operations.activations import SOFTMAX, log_softmax_norm, slopes_of
from intriguing.graph.table import rule_of
from tests.oracles.dense_jacobian import dense_norm

MODULES = [
    nn.ReLU(), nn.ReLU6(), nn.Hardtanh(-2.0, 3.0), nn.Tanh(), nn.Sigmoid(), nn.Softplus(),
    nn.Softplus(beta=3.0), nn.Softsign(), nn.LogSigmoid(), nn.Softshrink(0.3), nn.Tanhshrink(),
    nn.LeakyReLU(), nn.LeakyReLU(0.3), nn.LeakyReLU(-0.3), nn.LeakyReLU(2.0), nn.PReLU(init=0.7),
    nn.PReLU(init=-1.5), nn.RReLU().eval(), nn.RReLU(0.2, 1.9).eval(), nn.ELU(), nn.ELU(2.5),
    nn.ELU(0.5), nn.CELU(), nn.CELU(3.0), nn.SELU(), nn.GELU(), nn.GELU(approximate="tanh"),
    nn.SiLU(), nn.Mish(), nn.Hardswish(), nn.Hardsigmoid(), nn.Threshold(0.5, 0.5),
]  # fmt: skip


def slope_range(what: object, **options: object) -> tuple[float, float] | None:
    """The slopes of a module, or of a function that torch has under this name."""
    if isinstance(what, nn.Module):
        return slopes_of(Operation(type(what).__name__, what, (), {}, (), None, what))
    return slopes_of(Operation(what.__name__, None, (), options, (), None, what))


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_slopes_are_the_extremes_of_the_derivative(module: nn.Module) -> None:
    found = slope_range(module)
    assert found is not None
    low, high = extremes(module.double())
    assert found[0] <= low + 1e-15
    assert high - 1e-15 <= found[1]
    assert found == pytest.approx((low, high), abs=1e-6)


@pytest.mark.parametrize(
    ("function", "options"),
    [
        (torch.relu, {}),
        (functional.leaky_relu, {"negative_slope": -0.4}),
        (functional.elu, {"alpha": 1.7}),
        (functional.gelu, {"approximate": "tanh"}),
        (functional.softplus, {"beta": 0.5}),
        (functional.hardtanh, {"min_val": -3.0, "max_val": 0.5}),
        (functional.prelu, {"weight": torch.tensor([0.2], dtype=torch.float64)}),
        (torch.sigmoid, {}),
        (torch.erf, {}),
        (torch.atan, {}),
        (torch.sin, {}),
        (functional.selu, {}),
        (functional.celu, {"alpha": 0.4}),
    ],
)
def test_functions_take_their_options(function: object, options: dict) -> None:
    found = slope_range(function, **options)  # type: ignore[arg-type]
    low, high = extremes(lambda x: function(x, **options))  # type: ignore[operator]
    assert found == pytest.approx((low, high), abs=1e-6)
    assert found is not None
    assert found[0] <= low + 1e-15
    assert high - 1e-15 <= found[1]


def test_training_rrelu_keeps_its_whole_range() -> None:
    found = slope_range(nn.RReLU(0.2, 0.9).train())
    assert found is not None
    assert found[0] == pytest.approx(0.2)
    assert found[1] == 1.0


@pytest.mark.parametrize(
    "module", [nn.Hardshrink(), nn.Threshold(0.5, 2.0), nn.Softmax(0), nn.Linear(2, 2), nn.GLU()]
)
def test_what_jumps_or_is_not_elementwise_has_no_slopes(module: nn.Module) -> None:
    assert slope_range(module) is None


def test_unknown_functions_have_no_slopes() -> None:
    assert slope_range(torch.exp) is None
    assert slope_range(lambda x: x) is None


def test_softmax_and_log_softmax_are_bounded_and_attained() -> None:
    draw = torch.Generator().manual_seed(0)
    for classes in (2, 5, 10):
        for scale in (0.0, 1.0, 30.0):
            point = scale * torch.randn(classes, generator=draw, dtype=torch.float64)
            assert dense_norm(lambda x: x.softmax(-1), (classes,), point) <= SOFTMAX + 1e-15
            norm = dense_norm(lambda x: x.log_softmax(-1), (classes,), point)
            assert norm <= log_softmax_norm(classes)
    even = torch.tensor([0.0, 0.0, -500.0], dtype=torch.float64)
    assert dense_norm(lambda x: x.softmax(-1), (3,), even) == pytest.approx(SOFTMAX)
    sure = torch.tensor([500.0, 0.0, 0.0], dtype=torch.float64)
    norm = dense_norm(lambda x: x.log_softmax(-1), (3,), sure)
    assert norm == pytest.approx(math.sqrt(3))


def extremes(function) -> tuple[float, float]:  # type: ignore[no-untyped-def]
    """Least and greatest derivative on [−40, 40]: a grid, refined around both, and far out."""

    def derivative(x: Tensor) -> Tensor:
        x = x.clone().requires_grad_()
        return torch.autograd.grad(function(x).sum(), x)[0]

    found = []
    for sign in (1.0, -1.0):
        center, width = 0.0, 40.0
        best = math.inf
        for _ in range(10):
            x = center + torch.linspace(-width, width, 20001, dtype=torch.float64)
            values = sign * derivative(x)
            place = int(values.argmin())
            best = min(best, float(values[place]))
            center, width = float(x[place]), width / 20.0
        tails = torch.tensor([-1e9, 1e9], dtype=torch.float64)
        found.append(sign * min(best, float((sign * derivative(tails)).min())))
    return found[0], found[1]


@pytest.mark.parametrize("module", [*MODULES, nn.CELU(0.4), nn.Softplus(0.3)], ids=str)
def test_between_kinks_no_curve_leaves_its_chord_farther_than_its_curvature_says(
    module: nn.Module,
) -> None:
    operation = Operation(type(module).__name__, module, (), {}, (), None, module)
    bends = rule_of(operation).bends(operation)
    if bends is None:
        assert isinstance(module, nn.RReLU)
        return
    ends = [-9.0, *sorted(bends.kinks), 9.0]
    for first, last in itertools.pairwise(ends):
        z = torch.linspace(first, last, 4001, dtype=torch.float64)
        with torch.no_grad():
            value = module.double()(z)
        width = 2 * (z[1] - z[0])
        apart = (value[1:-1] - (value[:-2] + value[2:]) / 2).abs()
        assert bool((apart <= bends.curvature * width**2 / 8 + bends.slack + 1e-14).all())
    if bends.curvature:
        assert float((apart * 8 / width**2).max()) > 0.0

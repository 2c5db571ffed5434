"""The training term: bounds that bound at every step, and gradients of the norm itself."""

import pytest
import torch
from torch import Tensor, nn

from intriguing import InputError
from intriguing.spectral.norms.penalty import SpectralPenalty
from tests.oracles.dense_jacobian import dense_norm


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, stride=2, padding=1), nn.BatchNorm2d(4), nn.ReLU(),
        nn.Conv2d(4, 4, 3, padding=1, padding_mode="replicate"), nn.PReLU(),
        nn.ConvTranspose2d(4, 2, 2, stride=2), nn.Flatten(), nn.Linear(128, 5), nn.LayerNorm(5),
    )  # fmt: skip


def true_norm(net: nn.Module, name: str, shapes: dict[str, tuple[int, ...]]) -> float:
    layer = nn.Module.get_submodule(net, name)
    copy = type(layer)(*_arguments(layer)).double()
    copy.load_state_dict(layer.state_dict())
    return dense_norm(copy, shapes[name])


def _arguments(layer: nn.Module) -> tuple:
    if isinstance(layer, nn.Linear):
        return layer.in_features, layer.out_features
    if isinstance(layer, nn.ConvTranspose2d):
        return layer.in_channels, layer.out_channels, layer.kernel_size, layer.stride
    return (
        layer.in_channels, layer.out_channels, layer.kernel_size, layer.stride, layer.padding,
        layer.dilation, layer.groups, True, layer.padding_mode,
    )  # fmt: skip


SHAPES = {"0": (1, 8, 8), "3": (4, 4, 4), "5": (4, 4, 4), "7": (128,)}


def test_every_value_bounds_the_layer_all_through_training() -> None:
    net = network()
    penalty = SpectralPenalty(net, (1, 8, 8), refresh=7, slack=0.2)
    optimizer = torch.optim.SGD(net.parameters(), 0.05)
    for _ in range(25):
        bounds = penalty.bounds()
        for name in SHAPES:
            true, value = true_norm(net, name, SHAPES), float(bounds[name].detach())
            assert true <= value < 2 * true + 0.01
        optimizer.zero_grad()
        (sum(bounds.values()) + net(torch.rand(8, 1, 8, 8)).square().mean()).backward()
        optimizer.step()


def test_training_by_the_penalty_alone_lowers_every_norm() -> None:
    net = network()
    before = {name: true_norm(net, name, SHAPES) for name in SHAPES}
    penalty = SpectralPenalty(net, (1, 8, 8))
    optimizer = torch.optim.SGD(net.parameters(), 0.01)
    for _ in range(40):
        optimizer.zero_grad()
        penalty().backward()
        optimizer.step()
    for name, norm in before.items():
        assert true_norm(net, name, SHAPES) < 0.9 * norm


def test_the_gradient_is_that_of_the_largest_singular_value() -> None:
    torch.manual_seed(1)
    net = nn.Sequential(nn.Linear(9, 6)).double()
    penalty = SpectralPenalty(net, (9,), iterations=300)
    penalty().backward()
    weight = net[0].weight.detach().clone().requires_grad_()
    torch.linalg.matrix_norm(weight, 2).backward()
    torch.testing.assert_close(net[0].weight.grad, weight.grad, rtol=1e-6, atol=1e-8)


def test_the_gradient_of_a_convolution_is_that_of_its_operators_norm() -> None:
    torch.manual_seed(2)
    layer = nn.Conv2d(2, 3, 3, padding=1, stride=2).double()
    penalty = SpectralPenalty(nn.Sequential(layer), (2, 6, 6), iterations=500)
    penalty().backward()
    assert layer.weight.grad is not None
    direction = torch.randn(layer.weight.shape, dtype=torch.float64)
    step = 1e-5
    ends = []
    for sign in (1, -1):
        moved = nn.Conv2d(2, 3, 3, padding=1, stride=2).double()
        moved.weight.data = layer.weight.data + sign * step * direction
        ends.append(dense_norm(moved, (2, 6, 6)))
    slope = (ends[0] - ends[1]) / (2 * step)
    assert float((layer.weight.grad * direction).sum()) == pytest.approx(slope, rel=1e-5)


def test_scales_of_norms_are_exact() -> None:
    net = network().eval()
    net[1].running_var.uniform_(0.2, 2)
    net[1].weight.data.normal_()
    bounds = SpectralPenalty(net, (1, 8, 8)).bounds()
    assert float(bounds["1"]) == pytest.approx(dense_norm(net[1].double(), (4, 4, 4)), rel=1e-5)
    assert float(bounds["4"]) == pytest.approx(1.0)
    assert float(bounds["8"]) == pytest.approx(1 / 1e-5**0.5, rel=1e-4)


def test_it_goes_on_from_a_checkpoint_and_leaves_the_network_alone() -> None:
    net = network()
    states: dict[str, Tensor] = {k: v.clone() for k, v in net.state_dict().items()}
    first = SpectralPenalty(net, (1, 8, 8), seed=3)
    first()
    second = SpectralPenalty(net, (1, 8, 8), seed=4)
    second.load_state_dict(first.state_dict())
    assert first().isfinite()
    assert torch.equal(first(), second())
    assert net.training
    assert all(torch.equal(states[name], value) for name, value in net.state_dict().items())


def test_wrong_input_is_refused() -> None:
    with pytest.raises(InputError, match="no fully connected"):
        SpectralPenalty(nn.Sequential(nn.ReLU()), (3,))
    with pytest.raises(InputError, match="refresh"):
        SpectralPenalty(nn.Sequential(nn.Linear(2, 2)), (2,), refresh=0)
    with pytest.raises(InputError, match="shape"):
        SpectralPenalty(nn.Sequential(nn.Linear(2, 2)), (3,))

"""Bounds of whole networks, against Jacobians written out in float64."""

import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from intriguing import Box, InputError, lipschitz_report, register_bound
from intriguing.spectral.certificates.lipschitz import layer_spectra
from tests.oracles.dense_jacobian import dense_norm
from tests.oracles.random_graphs import Gate, RandomGraph, Residual


@pytest.mark.parametrize("seed", range(60))
def test_no_jacobian_of_a_random_graph_exceeds_its_bound(seed: int) -> None:
    network = RandomGraph(seed)
    report = lipschitz_report(
        network, network.input_shape, domain=network.domain, semidefinite=seed % 3 == 0
    )
    assert report.guaranteed
    assert math.isfinite(report.upper)
    generator = torch.Generator().manual_seed(seed)
    for _ in range(3):
        point = torch.rand(network.input_shape, generator=generator, dtype=torch.float64)
        network.double()  # activations in place need a tensor that is no leaf
        norm = dense_norm(lambda x: network(1.0 * x), network.input_shape, point)
        assert norm <= report.upper
    assert report.lower <= report.upper <= report.product
    for layer in report.layers:
        assert not layer.lower > layer.upper, layer


class Unknown(nn.Module):
    """Something no rule is for."""

    def forward(self, x: Tensor) -> Tensor:
        """An exponential."""
        return x.exp()


def small(*layers: nn.Module) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(4, 3), *layers).eval()


def test_what_is_unknown_is_infinite_and_named() -> None:
    report = lipschitz_report(small(Unknown()), (1, 2, 2))
    assert report.upper == math.inf
    assert not report.guaranteed
    assert "exp" in report.notes[0]
    assert "register_bound" in report.notes[0]


def test_what_does_not_reach_the_logits_does_not_count() -> None:
    class Aside(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            x.exp().sum()
            return 2 * x

    assert lipschitz_report(Aside().eval(), (3,)).upper == pytest.approx(2.0)


def test_a_registered_bound_counts_and_an_estimate_is_no_guarantee() -> None:
    class Third(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.exp().log() / 3

    register_bound(Third, lambda operation: 1 / 3)
    report = lipschitz_report(small(Third()), (1, 2, 2))
    plain = lipschitz_report(small(), (1, 2, 2))
    assert report.guaranteed

    class Guess(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.exp().log()

    register_bound(Guess, 1.0, guaranteed=False)
    estimate = lipschitz_report(small(Guess()), (1, 2, 2))
    assert math.isfinite(estimate.upper)
    assert not estimate.guaranteed
    assert math.isfinite(plain.upper)
    with pytest.raises(InputError, match="0 or more"):
        register_bound(Guess, -1.0)


def test_a_subclass_that_changes_forward_is_not_taken_for_its_parent() -> None:
    class Louder(nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            return 10 * super().forward(x)

    layer = Louder(4, 3)
    quiet = nn.Linear(4, 3)
    quiet.load_state_dict(layer.state_dict())
    loud = lipschitz_report(nn.Sequential(nn.Flatten(), layer).eval(), (4,)).upper
    soft = lipschitz_report(nn.Sequential(nn.Flatten(), quiet).eval(), (4,)).upper
    assert loud == pytest.approx(10 * soft, rel=1e-6)


def test_parametrised_weights_are_those_in_use() -> None:
    layer = nn.utils.parametrizations.weight_norm(nn.Linear(4, 3))
    layer.parametrizations.weight.original0.data.mul_(7)
    report = lipschitz_report(nn.Sequential(nn.Flatten(), layer).eval(), (4,))
    assert report.upper == pytest.approx(dense_norm(layer, (4,)), rel=1e-6)


def test_hooks_and_changes_in_place_are_not_overlooked() -> None:
    network = small()
    network[1].register_forward_hook(lambda module, args, output: 5 * output)
    assert lipschitz_report(network, (4,)).upper == math.inf

    class ThroughView(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            x = x * 1.0
            x.view(-1).mul_(10)
            return x

    assert lipschitz_report(ThroughView().eval(), (4,)).upper == math.inf

    class Directly(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            x = x * 1.0
            x.mul_(10)
            return x

    assert lipschitz_report(Directly().eval(), (4,)).upper == pytest.approx(10, rel=1e-6)


def test_numbers_read_from_tensors_are_not_constants() -> None:
    class Scaled(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x * x.sum()

    assert lipschitz_report(Scaled().eval(), (4,)).upper == math.inf
    inside = lipschitz_report(Scaled().eval(), (4,), domain=Box(0.0, 1.0))
    assert dense_norm(Scaled(), (4,), torch.ones(4)) <= inside.upper < math.inf


def test_linear_parts_are_bounded_together() -> None:
    torch.manual_seed(0)
    convolution = nn.Conv2d(2, 2, 3, padding=1, bias=False)
    residual = Residual(convolution).eval()
    report = lipschitz_report(residual, (2, 9, 9))
    true = dense_norm(residual, (2, 9, 9))
    assert true <= report.upper <= 1.08 * true
    averaged = nn.Sequential(
        nn.AvgPool2d(3, 1), nn.Flatten(), nn.Linear(2 * 9, 5), nn.Linear(5, 4)
    ).eval()
    report = lipschitz_report(averaged, (2, 5, 5))
    assert report.upper == pytest.approx(dense_norm(averaged, (2, 5, 5)), rel=1e-6)


def test_branches_side_by_side_are_one_convolution() -> None:
    torch.manual_seed(0)

    class Fire(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.three = nn.Conv2d(3, 4, 1), nn.Conv2d(3, 4, 3, padding=1)
            self.wide = nn.Conv2d(3, 2, 3, padding=2, dilation=2)

        def forward(self, x: Tensor) -> Tensor:
            return torch.cat((self.one(x), self.three(x), self.wide(x)), 1).relu()

    fire = Fire().eval()
    report = lipschitz_report(fire, (3, 9, 9))
    linear = nn.Module.__call__  # the norm of all branches at once, without the rectifier

    def branches(x: Tensor) -> Tensor:
        return torch.cat([linear(layer, x) for layer in fire.double().children()], 1)

    true = dense_norm(branches, (3, 9, 9))
    apart = math.hypot(*(dense_norm(layer, (3, 9, 9)) for layer in fire.children()))
    assert true <= report.upper <= 1.1 * true < apart


def test_normalisation_of_the_input_counts() -> None:
    class Normalising(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
            self.net[1].running_var.uniform_(0.1, 2)
            self.register_buffer("mean", torch.tensor([0.4, 0.5, 0.6]).view(3, 1, 1))
            self.register_buffer("std", torch.tensor([0.1, 0.5, 0.9]).view(3, 1, 1))

        def forward(self, x: Tensor) -> Tensor:
            return self.net((x - self.mean) / self.std)

    network = Normalising().eval()
    report = lipschitz_report(network, (3, 7, 7))
    true = dense_norm(network, (3, 7, 7))
    assert true <= report.upper <= 1.15 * true
    assert [layer.name for layer in report.layers][-1] == "net.0 + net.1"


def test_gates_and_attention_ask_for_a_domain() -> None:
    torch.manual_seed(1)
    gate = Gate(2).eval()
    report = lipschitz_report(gate, (2, 4, 4))
    assert report.upper == math.inf
    assert "domain" in report.notes[0]
    inside = lipschitz_report(gate, (2, 4, 4), domain=Box(0.0, 1.0))
    assert dense_norm(gate, (2, 4, 4), torch.ones(2, 4, 4)) <= inside.upper < math.inf

    class Attention(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.qkv = nn.Linear(4, 12)

        def forward(self, x: Tensor) -> Tensor:
            q, k, v = self.qkv(x).chunk(3, dim=-1)
            return functional.scaled_dot_product_attention(q, k, v)

    attention = Attention().eval()
    assert lipschitz_report(attention, (5, 4)).upper == math.inf
    inside = lipschitz_report(attention, (5, 4), domain=Box(0.0, 1.0))
    point = torch.rand(5, 4, generator=torch.Generator().manual_seed(0))
    assert dense_norm(attention, (5, 4), point) <= inside.upper < math.inf


def test_multihead_attention_is_bounded_on_a_domain() -> None:
    torch.manual_seed(0)

    class Encoder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attention = nn.MultiheadAttention(4, 2, batch_first=True)

        def forward(self, x: Tensor) -> Tensor:
            return x + self.attention(x, x, x, need_weights=False)[0]

    encoder = Encoder().eval()
    assert lipschitz_report(encoder, (5, 4)).upper == math.inf
    inside = lipschitz_report(encoder, (5, 4), domain=Box(0.0, 1.0))
    assert inside.lower <= inside.upper < math.inf


def test_what_only_export_follows_keeps_its_arguments_in_order() -> None:
    """Batch and instance norm take their statistics elsewhere in torch than in functional."""
    torch.manual_seed(0)

    class Sized(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.convolution, self.norm = nn.Conv2d(2, 3, 3, padding=1), nn.BatchNorm2d(3)
            self.instance = nn.InstanceNorm2d(3, eps=0.5, affine=True)
            self.norm.running_var.uniform_(0.1, 0.4)
            self.norm.bias.data.fill_(30.0)
            self.instance.weight.data.fill_(2.0)

        def forward(self, x: Tensor) -> Tensor:
            x = self.convolution(x) if x.shape[2] > 3 else x[:, :1]
            return self.instance(self.norm(x))

    network = Sized().eval()
    report = lipschitz_report(network, (2, 6, 6))
    assert report.lower <= report.upper < math.inf
    assert [f"{layer.upper:.4f}" for layer in report.layers][-1] == f"{2 / 0.5**0.5:.4f}"
    statistics = network.norm.running_var, network.norm.eps
    scale = (statistics[0] + statistics[1]).rsqrt().max()
    assert any(layer.upper == pytest.approx(float(scale), rel=1e-5) for layer in report.layers)


def test_control_flow_on_shapes_is_followed_and_on_values_refused() -> None:
    class OnShape(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return 2 * x if x.shape[1] > 2 else 3 * x

    assert lipschitz_report(OnShape().eval(), (2,)).upper == pytest.approx(3, rel=1e-6)

    class OnValue(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return 2 * x if x.sum() > 0 else 3 * x

    with pytest.raises(InputError, match="register a bound"):
        lipschitz_report(OnValue().eval(), (2,))


def test_wrong_input_is_refused_with_its_fix() -> None:
    with pytest.raises(InputError, match="eval"):
        lipschitz_report(small().train(), (4,))
    with pytest.raises(InputError, match="without the batch"):
        lipschitz_report(small(), (5,))
    with pytest.raises(InputError, match="shape"):
        lipschitz_report(small(), (4,), data=torch.rand(2, 5))


def test_spectra_are_singular_values() -> None:
    network = small(nn.ReLU(), nn.Linear(3, 3))
    spectra = layer_spectra(network, (1, 2, 2))
    assert list(spectra) == ["1", "3"]
    expected = torch.linalg.svdvals(network[3].weight.double())
    torch.testing.assert_close(spectra["3"], expected)

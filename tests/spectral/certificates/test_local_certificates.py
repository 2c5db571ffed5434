"""Slopes of chords against dense sampling, and local radii against closed forms and samples."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from intriguing import certify
from intriguing.graph.operation import Operation
from intriguing.spectral.certificates.feed_forward import activations_of, chain_of, preactivations
from intriguing.spectral.certificates.lipschitz import analyse
from intriguing.spectral.semidefinite.chord_slopes import NARROWEST, chord_slopes

ACTIVATIONS: list[nn.Module] = [
    nn.ReLU(), nn.LeakyReLU(0.2), nn.LeakyReLU(-0.5), nn.LeakyReLU(1.7), nn.PReLU(init=-1.2),
    nn.Softplus(), nn.LogSigmoid(), nn.ELU(), nn.ELU(1.6), nn.CELU(0.4), nn.SELU(), nn.Sigmoid(),
    nn.Tanh(), nn.Softsign(), nn.Hardtanh(-0.3, 0.8), nn.ReLU6(), nn.Hardsigmoid(), nn.GELU(),
    nn.SiLU(), nn.Mish(), nn.Hardswish(), nn.Softshrink(), nn.Tanhshrink(),
]  # fmt: skip
TIGHT = (
    nn.ReLU,
    nn.LeakyReLU,
    nn.Softplus,
    nn.LogSigmoid,
    nn.CELU,
    nn.Sigmoid,
    nn.Tanh,
    nn.Softsign,
)


def operation_of(module: nn.Module, units: int = 1) -> Operation:
    module = module.double()
    x = torch.zeros(1, units, dtype=torch.float64)

    def again(z: Tensor) -> Tensor:
        with torch.no_grad():
            value: Tensor = module(z)
        return value

    return Operation(type(module).__name__, module, (x,), {}, (x,), again(x), again)


@pytest.mark.parametrize("module", ACTIVATIONS, ids=repr)
@settings(max_examples=25, deadline=None)
@given(at=st.floats(-8, 8), log_reach=st.floats(-5, 3))
def test_no_chord_leaves_its_slopes(module: nn.Module, at: float, log_reach: float) -> None:
    reach = 10.0**log_reach
    operation = operation_of(module)
    point, distance = (torch.tensor([[v]], dtype=torch.float64) for v in (at, reach))
    low, high = chord_slopes(operation, point, distance)
    sides = torch.linspace(-1, 1, 4001, dtype=torch.float64)
    near = torch.logspace(-9, 0, 200, dtype=torch.float64)
    z = at + reach * torch.cat([sides, near, -near])
    z = z[(z - at).abs() > 1e-9 * reach + 1e-12]
    chords = (operation.again(z[:, None])[:, 0] - operation.again(point)[0, 0]) / (z - at)
    # What the quotient itself loses to rounding, near z₀.
    doubt = 1e-14 * (1 + abs(at)) / (z - at).abs()
    assert (chords >= low[0, 0] - doubt).all()
    assert (chords <= high[0, 0] + doubt).all()
    if isinstance(module, TIGHT):
        slack = 2 * NARROWEST + 1e-7 * (1 + abs(at)) / reach
        assert low[0, 0] >= chords.min() - slack
        assert high[0, 0] <= chords.max() + slack


def test_an_endless_reach_gives_the_derivatives_range() -> None:
    point = torch.tensor([[-3.0, 0.0, 3.0]], dtype=torch.float64)
    low, high = chord_slopes(operation_of(nn.Tanh(), 3), point, torch.full_like(point, math.inf))
    assert (low == 0).all()
    assert (high == 1).all()


def test_a_sigmoid_on_a_line_is_certified_up_to_the_boundary() -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(1, 1, bias=False), nn.Sigmoid(), nn.Linear(1, 2))
    with torch.no_grad():
        net[1].weight.fill_(4.0)
        net[3].weight.copy_(torch.tensor([[1.0], [0.0]]))
        net[3].bias.copy_(torch.tensor([0.0, 0.6]))
    image = torch.tensor([[2.0]])
    exact = 2 - math.log(1.5) / 4
    radius = float(certify(net.eval(), image, torch.tensor([0]), box=(0, 2)).radius)
    plain = float(certify(net, image, torch.tensor([0]), box=(0, 2), local=False).radius)
    assert plain == pytest.approx(0.4, rel=1e-3)
    assert 0.97 * exact <= radius <= exact


def networks() -> list[nn.Module]:
    torch.manual_seed(3)
    made = []
    for activation in (nn.ReLU, nn.Sigmoid, nn.LeakyReLU, nn.GELU):
        layers: list[nn.Module] = [nn.Flatten()]
        for _ in range(2):
            layers += [nn.Linear(12, 12), activation()]
        made.append(nn.Sequential(*layers, nn.Linear(12, 4)))
    made.append(
        nn.Sequential(
            nn.Conv2d(1, 3, 2, stride=1), nn.ReLU(), nn.MaxPool2d(2, 1), nn.Flatten(),
            nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 4),
        )
    )  # fmt: skip
    for net in made:
        for parameter in net.parameters():
            parameter.data *= 1.6
    return [net.eval() for net in made]


@pytest.mark.parametrize("net", networks(), ids=lambda net: type(net[2]).__name__)
def test_nothing_inside_a_local_radius_is_classified_otherwise(net: nn.Module) -> None:
    generator = torch.Generator().manual_seed(0)
    count = 3 if isinstance(net[0], nn.Conv2d) else 12  # images are relaxed one by one
    images = torch.rand(count, 1, 3, 4, generator=generator)
    labels = net(images).argmax(1)
    local = certify(net, images, labels)
    plain = certify(net, images, labels, local=False)
    assert (local.radius >= plain.radius * (1 - 1e-6)).all()
    # With a lead of a thousandth anything gains little; the median shows that something is gained.
    assert (local.radius / plain.radius).median() > 1.05
    ways = torch.randn(count, 400, 12, generator=generator)
    ways[:, :12] = _steepest(net, images, labels)[:, None]
    ways = ways / ways.norm(dim=2, keepdim=True)
    shares = torch.rand(count, 400, 1, generator=generator).pow(0.1)
    moved = images[:, None] + (ways * shares * local.radius[:, None, None]).reshape(
        count, 400, 1, 3, 4
    )
    found = net(moved.flatten(0, 1)).argmax(1).reshape(count, 400)
    assert (found == labels[:, None]).all()


def _steepest(net: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    """Down the lead over the runner-up."""
    images = images.clone().requires_grad_()
    logits = net(images)
    own = logits.gather(1, labels[:, None])
    others = logits.scatter(1, labels[:, None], -math.inf).amax(1, keepdim=True)
    (gradient,) = torch.autograd.grad((own - others).sum(), images)
    return -gradient.flatten(1)


def test_images_do_not_influence_each_others_radii() -> None:
    net = networks()[0]
    images = torch.rand(9, 1, 3, 4, generator=torch.Generator().manual_seed(1))
    labels = net(images).argmax(1)
    together = certify(net, images, labels).radius
    alone = torch.cat([certify(net, images[i : i + 1], labels[i : i + 1]).radius for i in range(9)])
    # Searches end where two steps gain less than 5e-5: rounding may move that by a step.
    torch.testing.assert_close(together, alone, rtol=1e-3, atol=0)


def test_preactivations_are_what_enters_each_activation() -> None:
    net = networks()[4]
    images = torch.rand(3, 1, 3, 4, generator=torch.Generator().manual_seed(1))
    analysed = analyse(net, (1, 3, 4), None)
    assert chain_of(analysed.walk) is not None
    assert len(activations_of(analysed.walk)) == 2
    values = preactivations(analysed.graph, analysed.walk, images)
    assert values is not None
    torch.testing.assert_close(values[0].float(), net[0](images).flatten(1))
    torch.testing.assert_close(values[1].float(), net[:5](images))

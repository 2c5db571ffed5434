"""What the search for multipliers believes they are worth, and what is proved of them."""

import itertools

import pytest
import torch
from torch import nn

from intriguing.distortion.problem import Goal
from intriguing.measures import UNIT_BOX
from intriguing.spectral.certificates.dual_certificates import entering
from intriguing.spectral.certificates.exact import Exact, _ahead
from intriguing.spectral.dual.around import around
from intriguing.spectral.dual.ascent import climb
from intriguing.spectral.dual.curve import curve
from intriguing.spectral.dual.ends import Nearer
from intriguing.spectral.dual.lagrangian import Lead
from intriguing.spectral.dual.newton import Mixed, Point, path, value
from intriguing.spectral.dual.proof import proved_lead
from intriguing.spectral.dual.region import Region

SMOOTH = (nn.Sigmoid(), nn.Tanh(), nn.GELU(), nn.SiLU(), nn.Softplus())


def place(activation: nn.Module, radius: float, sizes: tuple[int, ...] = (20, 16, 16, 3)):
    """A network near one image: with few nodes a curve and with many, its leads and margins."""
    torch.manual_seed(1)
    layers: list[nn.Module] = [nn.Flatten()]
    for before, after in itertools.pairwise(sizes):
        layers += [nn.Linear(before, after), activation]
    net = nn.Sequential(*layers[:-1]).eval().requires_grad_(False)
    for parameter in net.parameters():
        parameter.mul_(2.0)
    images = torch.rand(1, sizes[0])
    exact = Exact.of(net, images, UNIT_BOX)
    walk = exact.analysed.walk
    one = entering(walk, images.double())
    region = Region(radius, -one, 1.0 - one)
    values = exact.written.values(exact.analysed.graph, walk, images)
    logits = net(images).double()
    goal = Goal(logits.argmax(1), targeted=False)
    rows, margins = (_ahead(some, goal, 0) for some in (exact.written.last, logits[0]))
    return exact.written.chain, one, values, region, rows, margins


@pytest.mark.parametrize("activation", [nn.ReLU(), nn.LeakyReLU(0.1), *SMOOTH])
def test_what_is_believed_of_the_best_multipliers_is_proved(activation: nn.Module) -> None:
    """Over too few points of a curve a maximum would be too low between them, where it pays."""
    chain, one, values, region, rows, margins = place(activation, 0.6)
    coarse, fine = around(chain, one, values, region)
    lead = Lead(coarse, rows, margins)
    mixed = Mixed(coarse, rows[:, None], margins[:, None])
    given = lead.multipliers(climb(lead, lead.start(), 60))
    point = Point(given, torch.ones_like(margins)[:, None], mixed.unit)
    with torch.no_grad():
        point = path(mixed, point, 60)
        believed = value(mixed, point)
    proved = proved_lead(Lead(fine, rows, margins), point.given)[1]
    assert (point.heat < 0.01 * mixed.unit).all()
    assert (proved > believed - 0.02 * margins).all()


@pytest.mark.parametrize("activation", SMOOTH)
def test_between_nodes_a_curve_stays_where_it_is_said_to(activation: nn.Module) -> None:
    """Values and slopes of v at ten points between every two nodes."""
    operation = place(activation, 0.6)[0].activations[0]
    at = torch.linspace(-3.0, 3.0, 16, dtype=torch.float64)
    low, high = -torch.logspace(-3, 0.5, 16).double(), torch.logspace(0.5, -3, 16).double()
    own = curve(operation, at, torch.zeros_like(at), low, high)
    share = torch.linspace(0, 1, 1281, dtype=torch.float64)[:, None].requires_grad_()
    z = own.low + share * (own.high - own.low)
    moved = operation.again(at + z) - operation.again(at)
    bent = moved - own.slope * z
    (steep,) = torch.autograd.grad(bent.sum(), z)
    assert (bent.abs() <= own.bent).all()
    assert (steep.abs() <= own.turning).all()
    tight = curve(operation, at, torch.zeros_like(at), low, high, fine=True).turning
    assert (tight <= 1.02 * steep.abs().amax(0) + 5e-3).all()


def test_a_unit_that_only_rises_does_not_leave_the_others_wide() -> None:
    chain, one, values, region, _, _ = place(nn.ReLU(), 0.6)
    coarse, fine = around(chain.until(1), one, values[:1], region)
    weight = chain.weights[1]
    rows = torch.cat([weight, -weight])
    own = around(chain, one, values, region)[0].curves[1]
    least = torch.cat([own.low[0], -own.high[0]])
    alone = Nearer()(coarse, fine, rows, least)
    assert (alone > least + 0.05 * least.abs()).any()
    still = torch.cat([least, least.new_zeros(1)])
    beside = Nearer()(coarse, fine, torch.cat([rows, rows[:1] * 0.0]), still)
    torch.testing.assert_close(beside[:-1], alone, rtol=1e-6, atol=1e-9)
    assert float(beside[-1]) == 0.0

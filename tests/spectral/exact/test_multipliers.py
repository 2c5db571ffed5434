"""What the search for multipliers believes they are worth, and what is proved of them."""

import itertools
from dataclasses import replace
from fractions import Fraction

import pytest
import torch
from torch import nn

from intriguing.distortion.problem import Goal
from intriguing.graph.operation import Operation
from intriguing.measures import UNIT_BOX
from intriguing.spectral.certificates.dual_certificates import entering
from intriguing.spectral.certificates.exact import Exact, _ahead
from intriguing.spectral.dual.around import Around, around
from intriguing.spectral.dual.ascent import SQUARE, STEEP, calmed, climb
from intriguing.spectral.dual.curve import Curve, curve, narrowed
from intriguing.spectral.dual.ends import Nearer
from intriguing.spectral.dual.lagrangian import Lead, derivatives
from intriguing.spectral.dual.newton import Mixed, Point, _newton, path, value
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


def check_belief(coarse: Around, fine: Around, rows: torch.Tensor, margins: torch.Tensor) -> None:
    """That the best multipliers, to which the path gets, prove what their search believes."""
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


@pytest.mark.parametrize("activation", [nn.ReLU(), nn.LeakyReLU(0.1), *SMOOTH])
def test_what_is_believed_of_the_best_multipliers_is_proved(activation: nn.Module) -> None:
    """Over too few points of a curve a maximum would be too low between them, where it pays."""
    chain, one, values, region, rows, margins = place(activation, 0.6)
    coarse, fine = around(chain, one, values, region)
    check_belief(coarse, fine, rows, margins)


@pytest.mark.parametrize("beyond", [1e-3, 1e-4, 1e-5, 1e-6])
@pytest.mark.parametrize("activation", [nn.ReLU(), nn.LeakyReLU(0.1)])
def test_nearly_straight_units_cost_what_is_believed(activation: nn.Module, beyond: float) -> None:
    """A kink just inside of an end bends by 1/10⁶, for which the best A is 10⁸."""
    chain, one, values, region, rows, margins = place(activation, 0.6)
    both = [list(net.curves) for net in around(chain, one, values, region)]
    for number, (operation, at) in enumerate(zip(chain.activations, values, strict=True)):
        own = both[0][number]
        low, high = torch.maximum(own.low, -at - beyond), torch.minimum(own.high, -at + beyond)
        low, high = (torch.where(own.bends, e, o)[0] for e, o in ((low, own.low), (high, own.high)))
        low, high = torch.where(at > 0, low, own.low[0]), torch.where(at > 0, own.high[0], high)
        for some, fine in zip(both, (False, True), strict=True):
            some[number] = curve(operation, at, torch.zeros_like(at), low, high, fine=fine)
    coarse, fine = (Around(chain, region, tuple(some)) for some in both)
    check_belief(coarse, fine, rows, margins)


@pytest.mark.parametrize("split", [False, True])
@pytest.mark.parametrize("activation", [nn.ReLU(), nn.Tanh()])
def test_the_soft_bound_and_its_derivatives(activation: nn.Module, split: bool) -> None:
    """Against everything in one matrix, with automatic derivatives, twice."""
    chain, one, values, region, rows, margins = place(activation, 0.6, (10, 7, 6, 3))
    net = around(chain, one, values, region)[0]
    lead = Lead(net, rows, margins)
    given = lead.multipliers(climb(lead, lead.start(), 20))
    if split:
        halves = tuple(map(_halved, net.curves, chain.activations, values))
        given = (list(map(_handed_on, given[0], net.curves, halves)), *given[1:])
        net = replace(net, curves=halves)
    lead, mixed = Lead(net, rows, margins), Mixed(net, rows[:, None], margins[:, None])
    given = (given[0], given[1], given[2] + 0.01 * torch.arange(10))
    point = Point(given, torch.ones_like(margins)[:, None], 0.3 * mixed.unit)
    believed, step, soft = value(mixed, point), _newton(mixed, point), lead.soft(given, point.heat)
    assert (step.decrement > 0).all()
    each = torch.cat([own.bends.expand(len(margins), -1) for own in net.curves], 1)
    by_kind = [torch.cat(kind, 1) for kind in zip(*given[0], strict=True)]
    flat = torch.cat([*by_kind, given[1][:, None], given[2]], 1)
    found = torch.cat([step.by_units, step.by_scale[:, None], step.by_boxes], 1)
    by_units = torch.cat([torch.cat(kind, 1) for kind in zip(*soft.by_units, strict=True)], 1)
    assert split == (len(set(each.sum(1).tolist())) > 1) or net.curves[0].pieces is None
    for row, bends in enumerate(each):
        every = torch.ones_like(bends)
        present = torch.cat([bends, bends, every, bends, every, torch.ones(11, dtype=torch.bool)])

        def dense(flat: torch.Tensor, row: int = row) -> torch.Tensor:
            kinds = flat[:-11].view(5, -1)
            return _in_one_matrix(lead, row, kinds, flat[-11], flat[-10:], point.heat[row])

        torch.testing.assert_close(dense(flat[row]), believed[row])
        uphill = torch.func.grad(dense)(flat[row])
        some = present[:-11]
        torch.testing.assert_close(by_units[row, some], uphill[:-11][some])
        torch.testing.assert_close(soft.by_scale[row], uphill[-11])
        second = -torch.func.hessian(dense)(flat[row])[present][:, present]
        best = torch.linalg.solve(second, uphill[present])
        near = 1e-6 * float(best.abs().max())
        torch.testing.assert_close(found[row, present], best, rtol=1e-4, atol=near)
        assert not found[row, ~present].any()


def _halved(own: Curve, operation: Operation, at: torch.Tensor) -> Curve:
    """Two rows, with every third unit on one side, every third on the other; and every fourth."""
    some = torch.stack([torch.arange(own.units) % 3, torch.arange(own.units) % 4 + 1])
    kink = torch.minimum(own.high, torch.maximum(own.low, -at))
    low, high = torch.where(some == 0, kink, own.low), torch.where(some == 1, kink, own.high)
    return narrowed(own, low, high, operation, at)


def _handed_on(g, whole: Curve, half: Curve):
    """The same quadratic where v = sζ + c."""
    a, b, c, d, e = g
    slope, shift = half.slope - whole.slope, half.offset
    c, e = c + (a * slope + b) * slope, e + (2.0 * a * slope + b) * shift + d * slope
    return a * half.bends, b * half.bends, c, d * half.bends, e


def _in_one_matrix(lead: Lead, row: int, kinds, scale, boxes, heat) -> torch.Tensor:
    """The soft bound with δ and all v eliminated at once."""
    net, region = lead.only(torch.tensor([row])).net, lead.net.region
    units = [own.units for own in net.curves]
    seen = torch.eye(len(boxes) + sum(units) + 1, dtype=boxes.dtype)
    change, *bent, one = seen.split([len(boxes), *units, 1])
    matrix, row_of_one = scale * change.mT @ change, boxes @ change
    bound, before = lead.margins[row] - 0.5 * scale * region.radius**2, change
    for weight, own, v, g in zip(
        net.chain.weights, net.curves, bent, kinds.split(units, dim=1), strict=True
    ):
        a, b, c, d, e = g
        z, bends = weight @ before, own.bends[0].double()
        cross = v.mT @ (b[:, None] * z)
        matrix = matrix + v.mT @ ((2 * a + 1 - bends)[:, None] * v) + cross + cross.mT
        matrix = matrix + z.mT @ (2 * c[:, None] * z)
        row_of_one = row_of_one + (d * bends) @ v + e @ z
        bound = bound - own.softly(tuple(k[None] for k in g), heat).sum()
        before = own.slope[0][:, None] * z + bends[:, None] * v + own.offset[0][:, None] * one
    row_of_one = row_of_one + lead.rows[row] @ before
    matrix = matrix + one.mT @ row_of_one[None] + row_of_one[:, None] @ one
    inner, side = matrix[:-1, :-1], matrix[-1, :-1]
    bound = bound + 0.5 * (matrix[-1, -1] - side @ torch.linalg.solve(inner, side))
    # Of δ only what the first layer sees has a temperature.
    unseen = len(boxes) - len(net.chain.factors[1])
    bound = bound + 0.5 * heat[0] * (torch.linalg.slogdet(inner)[1] - unseen * scale.log())
    cool = heat[0] * sum(units) / len(boxes)
    wide = region.high - region.low
    return bound - (boxes * region.low + cool * nn.functional.softplus(boxes * wide / cool)).sum()


@pytest.mark.parametrize("activation", [nn.ReLU(), nn.LeakyReLU(0.1), *SMOOTH])
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
    bent, steep = bent * own.bends, steep * own.bends
    assert (bent.abs() <= own.bent).all()
    assert (steep.abs() <= own.turning).all()
    straight = own.pieces is not None
    rounding = 1e-12 if straight else 1e-7
    between = own.curvature * (own.high - own.low) ** 2 / 32**2
    assert (own.bent <= 1.001 * bent.abs().amax(0) + between + rounding).all()
    if straight:
        return
    tight = curve(operation, at, torch.zeros_like(at), low, high, fine=True).turning
    assert (tight <= 1.02 * steep.abs().amax(0) + 5e-3).all()


@pytest.mark.parametrize("slope", [0.0, 0.01, 1e6, -1e6])
def test_what_is_doubted_of_straight_pieces(slope: float) -> None:
    """Against fractions, of all places of z₀, on both sides of the kink, and next to it."""
    activation = nn.ReLU() if slope == 0.0 else nn.LeakyReLU(slope)
    operation = place(activation, 0.6)[0].activations[0]
    size = torch.logspace(-6, 6, 16, dtype=torch.float64) / 3
    at = torch.cat([size, -size])[:16].clone()
    at[::3] *= -1.0
    low, high = -torch.linspace(0.3, 3, 16).double() * size, torch.linspace(3, 0.3, 16) * size
    own = curve(operation, at, torch.zeros_like(at), low, high)
    assert own.pieces is not None
    ends, slopes, intercepts = own.pieces
    missed = []
    for u in own.bends[0].nonzero()[:, 0].tolist():
        for side, end in itertools.product(range(2), range(3)):
            z, z0 = Fraction(float(ends[end, 0, u])), Fraction(float(at[u]))
            if end == 2 - 2 * side:
                continue
            steep = Fraction(float(own.slope[0, u]))
            moved = _leaky(z0 + z, slope) - _leaky(z0, slope) - steep * z
            said = Fraction(float(slopes[side, 0, u])) * z + Fraction(float(intercepts[side, 0, u]))
            missed.append(float(abs(moved - said)) / float(own.doubt[0, u]))
    assert 0.0 < max(missed) <= 0.25  # the rest is for heights and vertices


def _leaky(x: Fraction, slope: float) -> Fraction:
    return x if x >= 0 else x * Fraction(slope)


def test_derivatives_of_an_ascent_are_no_longer_than_usual() -> None:
    """Next to where a bound ends they are endless, and Adam would stand still after them."""
    usual = torch.ones(3, 4, dtype=torch.float64)
    square = (1 - SQUARE) * usual.square()
    spike = usual * torch.tensor([[1.0], [2.5], [1e6]])
    assert torch.equal(calmed(spike, square * 0, 1), spike)
    assert torch.equal(calmed(spike, square * 0, 2), spike)  # none was inside before
    met = calmed(spike, square, 2)
    torch.testing.assert_close(met[:, 0], torch.tensor([1.0, 2.5, STEEP]).double())


def test_an_ascent_ends_in_time_where_the_bound_is_defined() -> None:
    chain, one, values, region, rows, margins = place(nn.ReLU(), 0.6)
    lead = Lead(around(chain, one, values, region)[0], rows, margins)
    start = lead.start()
    late = climb(lead, start, 1000, until=0.0)
    assert bool(derivatives(lead, late, 0.1)[0].all())
    torch.testing.assert_close(late, climb(lead, start, 1000, until=0.0))
    assert 0 < float((late - start).abs().amax()) < 0.1


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
    first = Nearer()(coarse, fine, torch.cat([rows[:1].expand(64, -1) * 0.0, rows]),
                     torch.cat([least.new_zeros(64), least]))  # fmt: skip
    torch.testing.assert_close(first[64:], alone, rtol=1e-6, atol=1e-9)

"""What units that do not move in the ball cost a certificate of convolutions: nothing."""

import math
import time

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from intriguing import certify, minimum_distortion
from intriguing.spectral.certificates.lipschitz import analyse
from intriguing.spectral.certificates.relaxation.cells import Cells, cells_of
from intriguing.spectral.certificates.relaxation.program import Curve, program_of
from intriguing.spectral.certificates.relaxation.radii import _Effort, _Search
from intriguing.spectral.certificates.relaxation.segments import first_map, inner_maps, segments_of
from intriguing.spectral.certificates.relaxation.sparse_map import Peak
from intriguing.spectral.certificates.relaxation.surroundings import image_of


def cells(activation: nn.Module, low: float, high: float) -> tuple[Curve, Cells]:
    """Of one number between these, as a network's own."""
    net = nn.Sequential(nn.Flatten(), nn.Linear(1, 1), activation, nn.Linear(1, 2)).double().eval()
    program = program_of(analyse(net, (1,), (0.0, 1.0)).walk)
    assert program is not None
    (at,) = program.curves
    curve = program.nodes[at].rule
    assert isinstance(curve, Curve)
    ends = (torch.tensor([[end]], dtype=torch.float64) for end in (low, high))
    return curve, cells_of(curve, *ends, 8)


NUMBER = st.floats(-3, 3, allow_subnormal=False)


@settings(max_examples=150, deadline=None)
@given(
    NUMBER, st.floats(1e-3, 3), st.floats(0, 1), NUMBER, NUMBER, st.floats(0, 5), st.floats(0, 2),
    st.sampled_from([nn.ReLU(), nn.LeakyReLU(0.2), nn.Sigmoid(), nn.GELU()]),
)  # fmt: skip
def test_the_least_value_is_that_of_a_fine_grid_whether_the_tail_is_paid_for_or_not(
    low: float, wide: float, share: float, q: float, g: float, mu: float, strength: float,
    activation: nn.Module,
) -> None:  # fmt: skip
    """Also where a parabola is not convex: then it is least at an end."""
    curve, found = cells(activation, low, low + wide)
    z = torch.linspace(low, low + wide, 4001, dtype=torch.float64)
    z0 = torch.tensor([low + share * wide], dtype=torch.float64)
    y, y0 = curve(z[None])[0], curve(z0[None])[0]
    row = torch.ones(1, 1, dtype=torch.float64)
    value = found.least(q * row, g * row, mu * row, strength * row, z0, y0, True)
    grid = q * y - g * z - 0.5 * mu * (y - y0).square() + 0.5 * strength * (z - z0).square()
    assert float(value) <= float(grid.min())
    # By what the chords of 8 cells and the grid miss.
    slack = (abs(q) + mu * 6) * float(found.error.max()) * 2
    steep = 1.2 * abs(q) + abs(g) + (mu * 1.2 * 1.2 + strength) * wide
    assert float(grid.min()) - float(value) <= slack + steep * wide / 4000 + 1e-9
    moves = float(found.moves(z0, y0))
    error = 2 * float(found.error.max())
    assert bool(((y - y0).abs() <= moves * (z - z0).abs() * (1 + 1e-9) + error + 1e-7).all())


def test_a_unit_that_is_off_does_not_move() -> None:
    z0, y0 = torch.tensor([-1.0]).double(), torch.tensor([0.0]).double()
    for high, moves in ((-0.5, 0.0), (0.0, 0.0), (1.0, 0.5), (3.0, 0.75)):
        _, found = cells(nn.ReLU(), -2.0, high)
        assert float(found.moves(z0, y0)) == pytest.approx(moves, abs=1e-12)


def padded(plain: nn.Sequential) -> nn.Sequential:
    """The same function, with four more channels that are larger and always off."""
    first, last = plain[0], plain[-3]
    assert isinstance(first, nn.Conv2d)
    assert isinstance(last, nn.Linear)
    wide = nn.Conv2d(2, 8, 3, first.stride, first.padding)
    each = last.in_features // 4
    after = nn.Linear(8 * each, last.out_features)
    with torch.no_grad():
        wide.weight[:4], wide.bias[:4] = first.weight, first.bias
        wide.weight[4:].mul_(2)
        wide.bias[4:] = -20
        after.weight.mul_(2)
        after.weight[:, : 4 * each], after.bias[:] = last.weight, last.bias
    return nn.Sequential(wide, *plain[1:-3], after, *plain[-2:]).eval().requires_grad_(False)


@pytest.mark.parametrize(("pool", "share"), [(False, 0.99), (True, 0.9)])
def test_more_units_that_are_off_in_all_of_the_ball_cost_next_to_nothing(
    pool: bool, share: float
) -> None:
    torch.manual_seed(0)
    middle = [nn.MaxPool2d(2)] if pool else []
    plain = nn.Sequential(
        nn.Conv2d(2, 4, 3, 1, 1), nn.ReLU(), *middle, nn.Flatten(),
        nn.Linear(36 if pool else 144, 12), nn.ReLU(), nn.Linear(12, 3),
    ).eval().requires_grad_(False)  # fmt: skip
    wider = padded(plain)
    images = torch.rand(1, 2, 6, 6, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(plain(images), wider(images))
    labels = plain(images).argmax(1)
    alone, beside = (certify(net, images, labels).radius for net in (plain, wider))
    # Of pools, searches end a few percent apart; they would cost half of the radius.
    assert float(beside / alone) > share


def test_what_is_known_of_a_map_says_nothing_of_it_in_other_units() -> None:
    net = nn.Sequential(
        nn.Conv2d(2, 8, 3, 1, 1), nn.ReLU(), nn.Flatten(), nn.Linear(288, 12), nn.ReLU(),
        nn.Linear(12, 3),
    )  # fmt: skip
    program = program_of(analyse(net.double().eval(), (2, 6, 6), (0.0, 1.0)).walk)
    assert program is not None
    segments = segments_of(program)
    assert segments is not None
    (inner,) = inner_maps(program, segments, 12).values()
    generator = torch.Generator().manual_seed(0)
    weight, units = torch.rand(3, 12, generator=generator), torch.rand(288, generator=generator)
    weight, units = weight.double().square(), units.double()
    scaled, less = inner.scaled(units), Peak(weight, 1e-3 * inner.top(weight), inner)
    dense = torch.from_numpy(inner.matrix.toarray()) * units
    exact = torch.stack([torch.linalg.eigvalsh((dense.T * w) @ dense)[-1] for w in weight])
    top = scaled.top(weight, less)[:, 0]
    assert bool((exact <= top).all())
    assert bool((top <= 1.01 * exact).all())


def test_tails_of_more_single_units_certify_farther_and_never_beyond_an_example() -> None:
    """Of 576 units behind the first curve, in a long search; ended by its seconds, too."""
    torch.manual_seed(1)
    net = nn.Sequential(
        nn.Conv2d(2, 4, 3, 1, 1), nn.ReLU(), nn.Conv2d(4, 16, 3, 1, 1), nn.ReLU(),
        nn.AvgPool2d(3), nn.Flatten(), nn.Linear(64, 2),
    ).eval().requires_grad_(False)  # fmt: skip
    net[-1].weight.mul_(3.0)
    images = torch.rand(1, 2, 6, 6, generator=torch.Generator().manual_seed(0))
    logits = net(images)
    found = minimum_distortion(net, images, logits.argmax(1), "untargeted", budget=200).l2
    program = program_of(analyse(net.double(), (2, 6, 6), (0.0, 1.0)).walk)
    assert program is not None
    segments = segments_of(program)
    assert segments is not None
    ends = torch.zeros(2, 6, 6).double(), torch.ones(2, 6, 6).double()
    first = first_map(program, segments)
    image = image_of(program, images.double(), *ends, first, inner_maps(program, segments, 512))
    assert not image.inner
    label = int(logits.argmax())
    lead = (logits[0, label] - logits[0]).double()
    search = _Search(program, segments, image, label, lead)
    start = torch.where(lead == 0, torch.inf, 0.0).double()
    before = _Search(program, segments, image, label, lead)._between(start, 0.1, math.inf)
    assert torch.equal(search._creep(start, _Effort(0.01, 9)), start)
    after = search.longer(start, math.inf)
    assert float(after.min()) > 1.1 * float(before.min())
    assert float(after.min()) < float(found)
    assert float(search._creep(after, _Effort(1e-6, 9)).min()) > float(after.min())
    search.until = time.process_time() - 1.0
    assert torch.equal(search._creep(after, _Effort(1e-6, 9)), after)
    ((_, kept),) = search.kept.values()
    assert {choice.strength.shape[1] for choice in kept.curves.values()} == {144, 576}
    assert {choice.units.shape[1] for choice in kept.curves.values()} == {1, 144}

"""Tails of single units in free units, and searches whose rows end one by one."""

import pytest
import torch
from torch import Tensor, nn

from intriguing.spectral.certificates.lipschitz import analyse
from intriguing.spectral.certificates.relaxation.backward import _passed_on, _Pending
from intriguing.spectral.certificates.relaxation.choices import Choice, Choices
from intriguing.spectral.certificates.relaxation.domain import Steepest, largest
from intriguing.spectral.certificates.relaxation.program import program_of
from intriguing.spectral.certificates.relaxation.ranges import surroundings
from intriguing.spectral.certificates.relaxation.search import (
    _STRAIGHT,
    FIRST,
    LONG,
    apart,
    improved,
    proved,
    started,
)
from intriguing.spectral.certificates.relaxation.segments import first_map, inner_maps, segments_of
from intriguing.spectral.certificates.relaxation.sparse_map import SparseMap
from intriguing.spectral.certificates.relaxation.surroundings import Surroundings, image_of


def around(radius: float) -> Surroundings:
    """Two convolutions and a dense layer, near an image."""
    torch.manual_seed(2)
    net = nn.Sequential(
        nn.Conv2d(2, 4, 3, 1, 1), nn.ReLU(), nn.Conv2d(4, 6, 3, 2), nn.ReLU(), nn.Flatten(),
        nn.Linear(24, 3),
    ).double().eval().requires_grad_(False)  # fmt: skip
    program = program_of(analyse(net, (2, 6, 6), (0.0, 1.0)).walk)
    assert program is not None
    segments = segments_of(program)
    assert segments is not None
    image = torch.rand(1, 2, 6, 6, generator=torch.Generator().manual_seed(1)).double()
    ends = torch.zeros_like(image[0]), torch.ones_like(image[0])
    first, inner = first_map(program, segments), inner_maps(program, segments, 4096)
    assert first is not None
    assert [map.matrix.shape for map in inner.values()] == [(24, 144)]
    return surroundings(image_of(program, image, *ends, first, inner), segments, radius)


ROWS = torch.tensor([[1.0, -1.0, 0.0], [1.0, 0.0, -1.0]]).double()


def drawn(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def turned(map: SparseMap) -> SparseMap:
    """The transpose: of more units than numbers."""
    matrix, absolute = (m.T.tocsr() for m in (map.matrix, map.absolute))
    return SparseMap(map.place, map.before, matrix, absolute, map.norm, map.terms)


@pytest.mark.parametrize("few", [True, False])
def test_in_other_units_the_largest_eigenvalue_is_proved_and_found_and_has_its_derivative(
    few: bool,
) -> None:
    (map,) = around(0.1).image.inner.values()
    map = map if few else turned(map)
    units, numbers = map.matrix.shape
    weight, log = drawn(3, 2, units).square(), drawn(4, 2, numbers)
    dense = torch.from_numpy(map.matrix.toarray())

    def exact(log: Tensor) -> Tensor:
        scaled = weight.sqrt()[:, :, None] * dense * log.exp()[:, None, :]
        return torch.linalg.matrix_norm(scaled, 2).square()

    top, _ = largest(weight, map, Steepest(), True, log)
    assert bool((exact(log) <= top[:, 0]).all())
    assert bool((top[:, 0] <= 1.01 * exact(log)).all())
    free, end = log.clone().requires_grad_(), Steepest()
    for _ in range(40):
        near, end = largest(weight, map, end, False, free)
    torch.testing.assert_close(near[:, 0].detach(), exact(log), rtol=4e-3, atol=0)
    (slope,) = torch.autograd.grad(near.sum(), free)
    known = log.clone().requires_grad_()
    (expected,) = torch.autograd.grad(exact(known).sum(), known)
    torch.testing.assert_close(slope, expected, rtol=2e-2, atol=1e-2 * float(expected.max()))


def test_free_units_prove_more() -> None:
    """By the same long search, from the same choices, with units and with none."""
    near = around(0.25)
    start = apart(near, improved(near, ROWS, started(near, ROWS), FIRST))
    fixed = Choices(
        {
            at: Choice(choice.slopes, choice.strength, choice.paid, torch.zeros(2, 1).double())
            for at, choice in start.curves.items()
        }
    )
    free, none = (proved(near, ROWS, improved(near, ROWS, c, LONG))[0] for c in (start, fixed))
    assert bool((free > none).all())


def test_rows_with_enough_stay_as_they_are_while_others_go_on() -> None:
    near = around(0.25)
    start = apart(near, improved(near, ROWS, started(near, ROWS), FIRST))
    before = proved(near, ROWS, start)[0]
    enough = torch.tensor([float(before[0]) - 1.0, torch.inf])
    found = improved(near, ROWS, start, LONG, enough=enough)
    for at, choice in found.curves.items():
        for new, old in zip(choice.parts, start.curves[at].parts, strict=True):
            torch.testing.assert_close(new[0], old[0], rtol=1e-6, atol=1e-6)
    after = proved(near, ROWS, found)[0]
    assert float(after[1]) > float(before[1])
    alone = improved(near, ROWS[1:], start.row(1), LONG, enough=enough[1:])
    torch.testing.assert_close(proved(near, ROWS[1:], alone)[0], after[1:], rtol=1e-3, atol=1e-3)


def test_where_searches_ended_is_put_back_in_the_order_of_rows() -> None:
    """The second row ends first."""
    near = around(0.25)
    start = apart(near, improved(near, ROWS, started(near, ROWS), FIRST))
    value = proved(near, ROWS, start)[0]
    enough = torch.tensor([torch.inf, float(value[1]) - 1.0])
    found = improved(near, ROWS, start, LONG, enough=enough)
    end, own = found.ends.nearest, improved(near, ROWS[1:], start.row(1), LONG, enough=enough[1:])
    assert end is not None
    assert own.ends.nearest is not None
    torch.testing.assert_close(end.point[1:], own.ends.nearest.point, rtol=1e-3, atol=1e-4)


def test_units_that_bend_in_a_larger_ball_only_get_strengths_there() -> None:
    small, large = around(0.02), around(0.5)
    found = apart(small, started(small, ROWS))
    taken = apart(large, found)
    fresh = 0
    for at, choice in taken.curves.items():
        bent = [one.cells[at].slopes[1] > one.cells[at].slopes[0] for one in (small, large)]
        fresh += int((bent[1] & ~bent[0]).sum())
        least = choice.strength[:, bent[1]].amin(1)
        assert bool((choice.strength.amax(1) - least < 0.5 * _STRAIGHT).all())
        straight = choice.strength[:, ~bent[1]]
        assert torch.equal(straight, found.curves[at].strength[:, ~bent[1]])
    assert fresh > 0


@pytest.mark.parametrize("share", [0.0, 0.4])
def test_what_is_handed_on_and_paid_covers_all_that_the_map_may_make_of_it(share: float) -> None:
    """½ΔᵀCᵀDCΔ of every Δ, in all units: by its matrix, not by what it does to a bound."""
    near = around(0.25)
    ((place, plain),) = near.image.inner.items()
    found = near.inner(place)
    assert found is not None
    map, units = found
    assert float(units.min()) < 0.5
    mu, own = drawn(5, 2, 24).square(), drawn(6, 2, 144)
    top, _ = largest(mu, map, Steepest(), True, own)
    none = torch.zeros(2).double()
    state = _Pending({}, {}, none, none, paid={place: torch.full((2, 1), share).double()})
    _passed_on(near, map, units, own, mu, top, state)
    dense, reach = torch.from_numpy(plain.matrix.toarray()), near.reach(map.before, units=True)
    for row in range(2):
        square = dense.T @ (mu[row][:, None] * dense)
        left = torch.diag(state.tails[map.before][row]) - (1 - share) * square
        assert float(torch.linalg.eigvalsh(left)[0]) >= -1e-9 * float(square.trace())
        most = reach**2 * torch.linalg.eigvalsh(units[:, None] * square * units)[-1]
        assert float(-state.constant[row]) >= 0.5 * share * float(most)

"""Ranges made tighter unit by unit: against points of the ball, backward passes and differences."""

import math
import time
from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from intriguing import minimum_distortion
from intriguing.measures import UNIT_BOX
from intriguing.spectral.certificates.lipschitz import analyse
from intriguing.spectral.certificates.pairwise import pair_bounds
from intriguing.spectral.certificates.relaxation import cone_pixels, radii
from intriguing.spectral.certificates.relaxation.backward import lower_bound
from intriguing.spectral.certificates.relaxation.choices import Choice, Choices, Ends
from intriguing.spectral.certificates.relaxation.cones import Cones, one_deep
from intriguing.spectral.certificates.relaxation.program import Curve, program_of
from intriguing.spectral.certificates.relaxation.radii import relaxed_certificates
from intriguing.spectral.certificates.relaxation.ranges import surroundings
from intriguing.spectral.certificates.relaxation.segments import first_map, segments_of
from intriguing.spectral.certificates.relaxation.surroundings import Surroundings, image_of
from intriguing.spectral.certificates.relaxation.tightening import Tightening
from intriguing.spectral.certificates.relaxation.undecided import bending, deciding
from intriguing.spectral.certificates.relaxation.windows import Window

NETWORKS: dict[str, Callable[[], list[nn.Module]]] = {
    "relu": lambda: [nn.Conv2d(2, 4, 3, 2, 1), nn.ReLU(), nn.Conv2d(4, 3, 2), nn.ReLU()],
    "leaky": lambda: [nn.Conv2d(2, 4, 3), nn.LeakyReLU(0.2), nn.Conv2d(4, 4, 3), nn.Hardtanh()],
    "gelu": lambda: [nn.Conv2d(2, 4, 3), nn.GELU(), nn.AvgPool2d(2), nn.Conv2d(4, 2, 2), nn.Tanh()],
    "pool": lambda: [
        nn.Conv2d(2, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 4, 1), nn.MaxPool2d(2)
    ],
    "overlapping": lambda: [
        nn.Conv2d(2, 3, 3), nn.ReLU(), nn.MaxPool2d(3, 1, 1), nn.Conv2d(3, 2, 2), nn.ReLU()
    ],
}  # fmt: skip


class Case:
    """A network, an image, and what a search of its surroundings needs."""

    def __init__(self, name: str, device: torch.device | None = None) -> None:
        torch.manual_seed(3)
        body = nn.Sequential(*NETWORKS[name](), nn.Flatten())
        units = body(torch.zeros(1, 2, 6, 6)).shape[1]
        net = nn.Sequential(*body, nn.Linear(units, 5), nn.ReLU(), nn.Linear(5, 3)).eval()
        with torch.no_grad():
            for module in net.modules():
                if isinstance(module, nn.Conv2d | nn.Linear):
                    module.weight.mul_(2.5)
            images = torch.rand(64, 2, 6, 6, generator=torch.Generator().manual_seed(9))
            net[-1].bias.sub_(net(images).mean(0))
        self.net = net.double().requires_grad_(False).to(device)
        draw = torch.Generator().manual_seed(4)
        image = torch.rand(1, 2, 6, 6, generator=draw, dtype=torch.float64)
        self.image = image.mul(1.3).clamp(0, 1).to(device)
        program = program_of(analyse(self.net, (2, 6, 6), (0.0, 1.0)).walk)
        assert program is not None
        segments = segments_of(program)
        assert segments is not None
        self.program, self.segments = program, segments
        zero, one = torch.zeros_like(self.image[0]), torch.ones_like(self.image[0])
        first = first_map(program, segments)
        self.here = image_of(program, self.image, zero, one, first)
        self.second = next(p for p in segments if one_deep(program, segments, p) is not None)

    def values(self, x: Tensor) -> list[Tensor]:
        """Of every node, as the program has it."""
        found: list[Tensor] = []
        for node in self.program.nodes:
            rule = node.rule
            if rule is None:
                found.append(x)
                continue
            run = getattr(rule, "forward", rule)
            found.append(run(*(found[p] for p in node.parents)))
        return found

    def extremes(self, place: int, radius: float) -> tuple[Tensor, Tensor]:
        """The least and the most that points of the ball reach: noise, and steps either way."""
        count = self.here.values[place].numel()
        ends = []
        for sign in (1.0, -1.0):
            draw = torch.Generator().manual_seed(8)
            points = self.image + 0.1 * torch.randn(
                count, *self.image.shape[1:], generator=draw, dtype=torch.float64
            )
            best = torch.full((count,), torch.inf, dtype=torch.float64)
            for step in range(25):
                points = self.inside(points, radius).requires_grad_()
                own = sign * self.values(points)[place].flatten(1).diagonal()
                best = torch.minimum(best, own.detach())
                (slope,) = torch.autograd.grad(own.sum(), points)
                size = slope.flatten(1).norm(dim=1).clamp_min(1e-12).view(-1, 1, 1, 1)
                points = points.detach() - slope / size * radius * (1.0 if step < 2 else 0.3)
            ends.append(sign * best)
        return ends[0], ends[1]

    def inside(self, points: Tensor, radius: float) -> Tensor:
        change = points.clamp(0, 1) - self.image
        size = change.flatten(1).norm(dim=1).clamp_min(radius).view(-1, 1, 1, 1)
        return (self.image + change * (radius / size)).detach()


def consumer(case: Case, place: int) -> int:
    return next(p for p in case.program.curves if case.program.nodes[p].parents == (place,))


@pytest.mark.parametrize("name", list(NETWORKS))
def test_tighter_ranges_hold_every_point_and_are_tighter_than_lines(name: str) -> None:
    """Twice with the same tightening, so that multipliers of a larger ball serve a smaller one."""
    case = Case(name)
    tighter = Tightening(case.program, case.segments)
    for radius in (0.5, 0.35, 0.6):
        lines = surroundings(case.here, case.segments, radius)
        tight = surroundings(case.here, case.segments, radius, None, tighter)
        for at in case.program.curves[1:]:
            (place,) = case.program.nodes[at].parents
            low, high = tight.low[at].flatten(), tight.high[at].flatten()
            least, most = case.extremes(place, radius)
            assert bool((low <= least).all())
            assert bool((high >= most).all())
            if place == case.second:
                assert bool((low >= lines.low[at].flatten()).all())
                assert bool((high <= lines.high[at].flatten()).all())
        at = consumer(case, case.second)
        before = (lines.high[at] - lines.low[at]).mean()
        assert (tight.high[at] - tight.low[at]).mean() < 0.98 * before


@pytest.mark.parametrize("name", list(NETWORKS))
def test_whatever_a_cone_is_given_is_a_bound(name: str) -> None:
    """Slopes and strengths at random, from where the search at the input happens to be."""
    case, draw = Case(name), torch.Generator().manual_seed(5)
    layer = one_deep(case.program, case.segments, case.second)
    assert layer is not None
    count = case.here.values[case.second].numel()
    for radius in (0.05, 0.6):
        around = surroundings(case.here, case.segments, radius)
        least, most = case.extremes(case.second, radius)
        for sign, end in ((1.0, least), (-1.0, -most)):
            cones = Cones(layer, around, np.arange(count), np.full(count, sign))
            for size in (-6.0, 0.0, 3.0):
                shape = cones.width.shape
                slopes = torch.rand(shape, generator=draw, dtype=torch.float64) * 2 - 0.5
                strengths = size + torch.randn(shape, generator=draw, dtype=torch.float64)
                ends = cones.pixels.ends(torch.float64)
                ends.point = 0.2 * torch.randn(ends.point.shape, generator=draw).double()
                assert bool((cones.proved(slopes, strengths, ends, 2) <= end).all())


@pytest.mark.parametrize("name", ["relu", "gelu", "pool"])
def test_a_cone_says_what_a_backward_pass_says(name: str) -> None:
    case, radius = Case(name), 0.4
    layer = one_deep(case.program, case.segments, case.second)
    assert layer is not None
    around = surroundings(case.here, case.segments, radius)
    cones = Cones(layer, around, np.array([0, 1]), np.array([1.0, -1.0]))
    slopes, strengths = cones.start()
    found = cones.proved(slopes, strengths, cones.pixels.ends(torch.float64), 400)
    for row, (unit, sign) in enumerate(((0, 1.0), (1, -1.0))):
        mine = (cones.owner == row).nonzero()[:, 0]
        size = layer.rule.taken(case.here.values[layer.before].flatten()).numel()
        read = torch.from_numpy(layer.rows.indices[cones.entries[mine.numpy()]]).long()
        whole = torch.zeros(cones.taps, size // cones.taps, dtype=torch.float64)
        strong = torch.full_like(whole, -40.0)
        whole[:, read], strong[:, read] = slopes[:, mine], strengths[:, mine]
        q = torch.zeros(1, case.here.values[case.second].numel(), dtype=torch.float64)
        q[0, unit] = sign
        paid = torch.full((1, 1), -40.0, dtype=torch.float64)
        units = torch.zeros(1, 1).double()
        choice = Choice(whole.view(1, -1), strong.view(1, -1), paid, units)
        q, end = q.view(1, *case.here.values[case.second].shape[1:]), Ends()
        for _ in range(20):
            kept = Choices({layer.curve: choice}, end)
            value, end = lower_bound(around, case.second, q, kept, True)
        assert float(found[row]) == pytest.approx(float(value), rel=2e-3)


@pytest.mark.parametrize("name", ["relu", "gelu", "pool"])
def test_derivatives_are_those_of_differences(name: str) -> None:
    """With p, δ and the direction of ‖KᵀΛK‖ where they are: what is least beside them is best."""
    case = Case(name)
    layer = one_deep(case.program, case.segments, case.second)
    assert layer is not None
    around = surroundings(case.here, case.segments, 0.4)
    cones = Cones(layer, around, np.array([0, 1, 1]), np.array([1.0, -1.0, 1.0]))
    slopes, strengths = cones.start()
    draw = torch.Generator().manual_seed(6)
    noise = torch.rand(slopes.shape, generator=draw, dtype=torch.float64)
    inner, ends = cones.fitting(0.4 + 0.2 * noise), cones.pixels.ends(torch.float64)
    cones.climbing(inner, strengths, ends, 100, 50)
    _, by_slopes, by_strengths = cones.climbing(inner, strengths, ends, 0, 0)
    for way, steep in ((0, by_slopes), (1, by_strengths)):
        direction = torch.randn(slopes.shape, generator=draw, dtype=torch.float64)
        room = cones.fitting(inner + 1e-4) - cones.fitting(inner - 1e-4)
        direction[(room < 1.99e-4) & (way == 0)] = 0.0
        values = []
        for h in (1e-6, -1e-6):
            moved = [inner, strengths]
            moved[way] = moved[way] + h * direction
            values.append(cones.climbing(moved[0], moved[1], ends, 0, 0)[0])
        expected = (values[0] - values[1]) / 2e-6
        along = torch.zeros(3, dtype=torch.float64)
        along.index_add_(0, cones.owner, (steep * direction).sum(0))
        assert float(expected.abs().max()) > 1e-3
        assert torch.allclose(along, expected, rtol=1e-4, atol=1e-6)


def test_one_pixel_is_bounded_from_below_by_no_more_than_a_fine_grid_has() -> None:
    """u(x) = Σ qᵢ relu(wᵢx + bᵢ) of one pixel, whose least value a grid knows."""
    draw, over = torch.Generator().manual_seed(0), torch.zeros(2, dtype=torch.float64)
    for _ in range(8):
        net = nn.Sequential(
            nn.Flatten(), nn.Linear(1, 6), nn.ReLU(), nn.Linear(6, 4), nn.ReLU(), nn.Linear(4, 2)
        ).double()
        for parameter in net.parameters():
            parameter.data.copy_(torch.randn(parameter.shape, generator=draw))
        net.eval().requires_grad_(False)
        program = program_of(analyse(net, (1, 1, 1), (0.0, 1.0)).walk)
        assert program is not None
        segments = segments_of(program)
        assert segments is not None
        image, ends = (
            torch.full((1, 1, 1, 1), 0.45, dtype=torch.float64),
            (torch.zeros(1, 1, 1).double(), torch.ones(1, 1, 1).double()),
        )
        here = image_of(program, image, *ends, first_map(program, segments))
        around = surroundings(here, segments, 0.3, None, Tightening(program, segments))
        grid = torch.linspace(0.1501, 0.7499, 4001, dtype=torch.float64)[:, None]
        values = net[:4](grid)
        at = program.curves[1]
        assert bool((around.low[at] <= values.amin(0)).all())
        assert bool((around.high[at] >= values.amax(0)).all())
        lines = surroundings(here, segments, 0.3)
        true = values.amax(0) - values.amin(0)
        over += torch.stack([(a.high[at] - a.low[at] - true).sum() for a in (around, lines)])
    assert float(over[0]) < 0.75 * float(over[1])


def test_what_is_proved_of_the_largest_eigenvalues_is_above_them_and_near(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Against all eigenvalues of every unit's own block, whether in one part or in several."""
    case, draw = Case("overlapping"), torch.Generator().manual_seed(5)
    layer = one_deep(case.program, case.segments, case.second)
    assert layer is not None
    around = surroundings(case.here, case.segments, 0.4)
    cones = Cones(layer, around, np.array([0, 1, 4]), np.ones(3))
    weight = torch.rand(cones.width.numel(), generator=draw, dtype=torch.float64)
    found = cones.pixels.proved_top(weight)
    whole = torch.from_numpy(cones.pixels.matrix.toarray())
    for unit in range(3):
        block = whole * (cones.pixels.tap_owner == unit)[:, None]
        true = torch.linalg.eigvalsh(block.T @ (weight[:, None] * block)).max()
        assert float(true) < float(found[unit]) < 1.02 * float(true)
    monkeypatch.setattr(cone_pixels, "_BLOCKS", 1)
    assert torch.allclose(cones.pixels.proved_top(weight), found, rtol=1e-9)


def test_what_decides_comes_first() -> None:
    case = Case("relu")
    rule = case.program.nodes[consumer(case, case.second)].rule
    assert isinstance(rule, Curve)
    low = torch.tensor([-1.0, -1.0, 0.5, -2.0])
    high = torch.tensor([2.0, 1.0, 2.0, -1.0])
    here = torch.tensor([1.0, -0.5, 1.0, -1.5])
    sides = deciding(rule, low, high, here)
    assert sides.below.tolist() == [True, False, False, False]
    assert sides.above.tolist() == [False, True, False, False]
    assert sides.enough.tolist() == [0.0] * 4
    assert bending(rule, low, high).tolist() == [True, True, False, False]


def test_of_a_window_only_numbers_that_can_be_largest_count() -> None:
    window = Window(torch.tensor([[0], [1], [2]]), True, torch.Size([1, 1]), 1)
    low = torch.tensor([-0.5, -1.0, -3.0])
    high = torch.tensor([2.0, 1.0, -1.0])
    here = torch.tensor([1.0, 0.0, -2.0])
    sides = deciding(window, low, high, here)
    assert sides.below.tolist() == [True, False, False]
    assert sides.above.tolist() == [False, True, False]
    assert float(sides.enough[1]) == 0.0  # 0 is in the window, and no number is above it for sure
    assert bending(window, low, high).tolist() == [True, True, False]
    alone = torch.tensor([-0.9, -0.8, -1.0])
    assert bending(window, low, torch.tensor([2.0, -0.8, -1.0])).tolist() == [True, False, False]
    assert not bending(window, low, alone).any()
    surely = torch.tensor([1.5, -1.0, -3.0])
    assert not bending(window, surely, high).any()
    assert not bending(window, low, torch.tensor([0.0, -0.1, -1.0])).any()


def test_without_time_ranges_stay_what_lines_make_them() -> None:
    case = Case("relu")
    late = Tightening(case.program, case.segments, time.process_time() - 1.0)
    lines = surroundings(case.here, case.segments, 0.4)
    same = surroundings(case.here, case.segments, 0.4, None, late)
    for at in case.program.curves:
        assert torch.equal(lines.low[at], same.low[at])
        assert torch.equal(lines.high[at], same.high[at])


def test_one_deep_units_read_one_curve_of_the_input() -> None:
    case = Case("relu")
    deep = {p: one_deep(case.program, case.segments, p) for p in case.segments}
    assert [layer is not None for layer in deep.values()] == [False, True, False]


def test_with_seconds_radii_are_no_shorter_and_near_to_an_example_and_none_is_nearer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Than by default, and than without tighter ranges."""
    case = Case("relu")
    net, image = case.net, case.image
    logits = net(image)
    label = logits.argmax(1)
    bounds = pair_bounds(net, (2, 6, 6), UNIT_BOX, images=image)
    start = torch.full((1, 3), 1e-3, dtype=torch.float64)
    start[0, label] = torch.inf
    ahead = logits[:, label][0] - logits
    ahead[0, label] = torch.inf
    given = start, ahead, image, label, bounds, UNIT_BOX
    plain, longer = (relaxed_certificates(*given, seconds=s) for s in (math.inf, 1e9))
    monkeypatch.setattr(radii, "Tightening", lambda *given: SimpleNamespace(searched=set()))
    loose = relaxed_certificates(*given, seconds=1e9)
    assert plain is not None
    assert longer is not None
    assert loose is not None
    found = minimum_distortion(net, image, label, "untargeted", budget=400).l2
    assert math.isfinite(float(found))
    assert float(longer.min()) >= float(loose.min()) >= float(plain.min())
    assert float(longer.min()) > 0.77 * float(found)
    assert float(longer.min()) < float(found) * (1 + 1e-6)


def test_doubt_of_values_at_the_image_counts() -> None:
    """The same cones, of an image whose values may be off by more."""
    case = Case("relu")
    layer = one_deep(case.program, case.segments, case.second)
    assert layer is not None
    around = surroundings(case.here, case.segments, 0.4)

    def bound(doubt: float) -> Tensor:
        here = case.here
        doubts = tuple(doubt if i == layer.before else d for i, d in enumerate(here.doubt))
        changed = type(here)(here.program, here.values, doubts, here.apart, here.down, here.up)
        other = Surroundings(
            changed, around.radius, around.magnitude, around.low, around.high, around.cells,
            around.lines,
        )  # fmt: skip
        cones = Cones(layer, other, np.array([0]), np.array([1.0]))
        return cones.proved(*cones.start(), cones.pixels.ends(torch.float64), 50)

    assert float(bound(0.0) - bound(1e-3)) > 1e-4

import math
import statistics
from itertools import pairwise

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from intriguing.errors import InputError
from intriguing.measures import (
    UNIT_BOX,
    Box,
    distortion,
    l2,
    mean_interval,
    median,
    median_interval,
    spearman,
    wilson_interval,
)

Z95 = 1.959963984540054  # the 97.5 % point of the normal distribution, from tables


@given(st.lists(st.floats(-1, 1, width=32), min_size=8, max_size=8))
def test_distortion_is_the_root_of_the_mean_square(changes: list[float]) -> None:
    """Oracle: √(Σ (x′ᵢ − xᵢ)² / n) in Python's own arithmetic, for two images of four pixels."""
    original = torch.full((2, 1, 2, 2), 0.5, dtype=torch.float64)
    changed = original + torch.tensor(changes, dtype=torch.float64).reshape(2, 1, 2, 2)
    for image, part in enumerate((changes[:4], changes[4:])):
        length = math.sqrt(math.fsum(r * r for r in part))
        assert float(l2(original, changed)[image]) == pytest.approx(length, abs=1e-12)
        assert float(distortion(original, changed)[image]) == pytest.approx(length / 2, abs=1e-12)


def test_distortion_of_an_even_change_is_that_change_whatever_the_size() -> None:
    for shape in ((3, 1), (3, 784), (3, 3, 32, 32)):
        black = torch.zeros(shape)
        torch.testing.assert_close(distortion(black, black + 0.25), torch.full((3,), 0.25))


def test_distortion_of_no_images_is_empty() -> None:
    none = torch.zeros(0, 1, 28, 28)
    assert distortion(none, none).shape == (0,)


@pytest.mark.parametrize(("lower", "upper"), [(0.0, 1.0), (-1.0, 2.0), (0.0, 255.0)])
def test_a_box_clamps_into_itself_and_moves_nothing_inside(lower: float, upper: float) -> None:
    box = Box(lower, upper)
    points = torch.linspace(lower - 1, upper + 1, 101, dtype=torch.float64)
    clamped = box.clamp(points)
    assert box.contains(clamped)
    assert not box.contains(points)
    inside = (points >= lower) & (points <= upper)
    assert torch.equal(clamped[inside], points[inside])
    assert box.width == upper - lower


def test_a_box_includes_its_bounds_and_excludes_nan() -> None:
    assert UNIT_BOX.contains(torch.tensor([0.0, 1.0]))
    assert not UNIT_BOX.contains(torch.tensor([0.5, math.nan]))
    assert not UNIT_BOX.contains(torch.tensor([0.5, 1 + 1e-6]))


@pytest.mark.parametrize(
    ("bounds", "cause"),
    [((1.0, 1.0), "empty"), ((2.0, 1.0), "empty"), ((0.0, math.inf), "not finite")],
)
def test_an_impossible_box_is_refused(bounds: tuple[float, float], cause: str) -> None:
    with pytest.raises(InputError, match=cause):
        Box(*bounds)


@given(st.integers(1, 100_000), st.floats(0, 1))
def test_wilson_solves_its_quadratic(total: int, share: float) -> None:
    """Oracle: the closed form of (p̂ − p)² = z² p (1 − p) / n (Wilson, 1927)."""
    count = round(share * total)
    rate, z2 = count / total, Z95**2
    centre = (rate + z2 / (2 * total)) / (1 + z2 / total)
    half = Z95 / (1 + z2 / total)
    half *= math.sqrt(rate * (1 - rate) / total + z2 / (4 * total**2))
    low, high = wilson_interval(count, total)
    assert low == pytest.approx(centre - half, abs=1e-9)
    assert high == pytest.approx(centre + half, abs=1e-9)
    assert 0 <= low <= rate <= high <= 1


def test_wilson_of_nothing_is_everything() -> None:
    assert wilson_interval(0, 0) == (0.0, 1.0)


def test_wilson_is_wider_with_more_confidence_and_narrower_with_more_images() -> None:
    widths = [
        high - low
        for low, high in (
            wilson_interval(100, 1000),
            wilson_interval(10, 100),
            wilson_interval(10, 100, 0.99),
        )
    ]
    assert all(narrow < wide for narrow, wide in pairwise(widths))


@pytest.mark.parametrize(
    ("size", "quantile"), [(2, 12.706204736), (3, 4.302652730), (11, 2.228138852)]
)
def test_mean_interval_uses_students_quantile(size: int, quantile: float) -> None:
    """Oracle: t₀.₉₇₅ from printed tables, s² with n − 1."""
    values = [float(i * i) for i in range(size)]
    mean = math.fsum(values) / size
    spread = math.sqrt(math.fsum((v - mean) ** 2 for v in values) / (size - 1))
    low, high = mean_interval(values)
    assert low == pytest.approx(mean - quantile * spread / math.sqrt(size))
    assert high == pytest.approx(mean + quantile * spread / math.sqrt(size))


def test_mean_interval_of_one_value_is_that_value() -> None:
    assert mean_interval([0.25]) == (0.25, 0.25)


def test_mean_interval_takes_a_tensor_and_sums_in_double() -> None:
    values = torch.full((100_000,), 0.1)
    low, high = mean_interval(values)
    assert low == pytest.approx(float(values[0]), abs=1e-12)
    assert high == pytest.approx(float(values[0]), abs=1e-12)


def ranks(values: list[float]) -> list[float]:
    """Mean ranks, by counting: those below, plus half of the ties."""
    return [
        sum(other < value for other in values) + (sum(other == value for other in values) + 1) / 2
        for value in values
    ]


def pearson(first: list[float], second: list[float]) -> float:
    mean_first, mean_second = math.fsum(first) / len(first), math.fsum(second) / len(second)
    centred = [(a - mean_first, b - mean_second) for a, b in zip(first, second, strict=True)]
    covariance = math.fsum(a * b for a, b in centred)
    variances = math.fsum(a * a for a, _ in centred) * math.fsum(b * b for _, b in centred)
    return covariance / math.sqrt(variances)


few_values = st.sampled_from([0.0, 1.0, 2.0, 3.5, 100.0])


@given(st.lists(st.tuples(few_values, few_values), min_size=3, max_size=30))
def test_spearman_is_pearson_of_the_mean_ranks(pairs: list[tuple[float, float]]) -> None:
    ours, theirs = ([pair[side] for pair in pairs] for side in (0, 1))
    assume(len(set(ours)) > 1)
    assume(len(set(theirs)) > 1)
    expected = pearson(ranks(ours), ranks(theirs))
    assert spearman(ours, theirs) == pytest.approx(expected, abs=1e-12)


def test_spearman_by_hand() -> None:
    """Ranks 1 2.5 2.5 4 against 2 1 3 4: Σdₓd_y = 3, Σdₓ² = 4.5, Σd_y² = 5."""
    assert spearman([10, 20, 20, 30], [2, 1, 3, 4]) == pytest.approx(3 / math.sqrt(4.5 * 5))


@pytest.mark.filterwarnings("ignore:An input array is constant")
def test_spearman_of_a_constant_is_undefined() -> None:
    assert math.isnan(spearman([1, 1, 1], [1, 2, 3]))


@pytest.mark.parametrize("size", [1, 2, 3, 4, 9, 10, 25, 60])
def test_a_median_is_in_the_middle_and_its_interval_covers_no_more_than_it_must(
    size: int,
) -> None:
    """By order statistics: the values below the median are binomial, whatever the distribution."""
    values = torch.rand(size, generator=torch.Generator().manual_seed(size)).double()
    ordered = values.sort().values.tolist()
    assert median(values) == pytest.approx(statistics.median(ordered))
    assert median([*ordered, *[math.inf] * size]) == math.inf
    low, high = median_interval(values)
    rank = ordered.index(low)
    assert high == ordered[size - 1 - rank]
    chance = [math.comb(size, k) / 2**size for k in range(size + 1)]
    covered = sum(chance[rank + 1 : size - rank])
    assert covered >= 0.95 or rank == 0
    if 2 * (rank + 2) <= size:
        assert sum(chance[rank + 2 : size - rank - 1]) < 0.95

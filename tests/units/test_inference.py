"""The statistics on tables whose truth is known."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from intriguing.units.inference import (
    MeasuredLayer,
    Tails,
    effect,
    holm,
    rotation_test,
    untrained_test,
)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def table(
    generator: torch.Generator, units: int = 30, bases: int = 39, shift: float = 0.0
) -> MeasuredLayer:
    """Units of one basis share a common part, as directions of one rotation may."""
    shared = 0.3 * torch.randn(bases + 1, 1, generator=generator)
    rows = shared + torch.randn(bases + 1, units, generator=generator)
    return MeasuredLayer(rows[0] + shift, rows[1:])


def test_the_rotation_test_is_the_rank_among_the_bases():
    random = torch.tensor([[1.0], [2.0], [3.0], [4.0]])
    tails = rotation_test([MeasuredLayer(torch.tensor([2.5]), random)], seeded(0))
    assert tails == Tails(3 / 5, 3 / 5)
    assert rotation_test([MeasuredLayer(torch.tensor([9.0]), random)], seeded(0)) == Tails(0.2, 1.0)
    assert rotation_test([MeasuredLayer(torch.tensor([4.0]), random)], seeded(0)) == Tails(0.4, 1.0)
    two = [MeasuredLayer(torch.tensor([9.0]), random)] * 2
    assert rotation_test(two, seeded(0)) == Tails(1 / 25, 1.0)
    many = [MeasuredLayer(torch.tensor([9.0]), random)] * 8  # 5^8 choices: drawn
    assert rotation_test(many, seeded(0)).high == pytest.approx(1 / 20_001, abs=1e-4)


def test_units_that_rank_nothing_are_left_out():
    random = torch.tensor([[1.0, 3.0], [2.0, math.nan]])
    measured = MeasuredLayer(torch.tensor([math.nan, 5.0]), random)
    assert measured.natural_mean == 5
    assert measured.difference() == 3
    silent = MeasuredLayer(torch.tensor([math.nan]), random)
    assert rotation_test([silent], seeded(0)).two_sided == 1
    assert math.isnan(effect([silent], seeded(0)).mean)
    assert effect([silent], seeded(0)).equivalence(1.0) == 1


@pytest.mark.parametrize("networks", [1, 3])
def test_the_rotation_test_is_exact_though_units_depend_on_each_other(networks):
    generator = seeded(1)
    p = [
        rotation_test([table(generator) for _ in range(networks)], generator).high
        for _ in range(400)
    ]
    assert stats.kstest(p, stats.uniform(1 / 80, 1).cdf).pvalue > 0.01
    powerful = [
        rotation_test([table(generator, shift=2.0) for _ in range(networks)], generator).high
        for _ in range(20)
    ]
    assert max(powerful) <= 0.05


def test_the_untrained_test_is_students():
    generator = seeded(2)
    ours, theirs = ([table(generator) for _ in range(n)] for n in (3, 7))
    tails = untrained_test(ours, theirs, 4)
    x, y = ([t.difference(4) for t in tables] for tables in (ours, theirs))
    assert tails.high == pytest.approx(stats.ttest_ind(x, y, alternative="greater").pvalue)
    assert tails.low == pytest.approx(stats.ttest_ind(x, y, alternative="less").pvalue)
    one = untrained_test(ours[:1], theirs, 4)
    assert one.high + one.low == pytest.approx(1)
    p = [
        untrained_test([table(generator)], [table(generator) for _ in range(6)], 4).high
        for _ in range(400)
    ]
    assert stats.kstest(p, "uniform").pvalue > 0.01


def test_a_difference_must_stand_out_from_both_nulls():
    assert Tails(0.01, 0.99).both(Tails(0.2, 0.8)) == Tails(0.2, 0.99)
    assert Tails(0.01, 0.99).both(Tails(0.99, 0.01)).two_sided == 1


@pytest.mark.parametrize(("networks", "between"), [(1, 0.0), (3, 0.1)])
def test_intervals_cover_and_equivalence_keeps_its_level(networks, between):
    generator, delta, truth = seeded(3), 0.5, 0.5
    covered, equivalent, nothing = 0, 0, 0
    repeats = 120
    for _ in range(repeats):
        tables = []
        for _ in range(networks):
            seed = between * float(torch.randn(1, generator=generator))
            natural = truth + seed + torch.randn(40, generator=generator)
            tables.append(MeasuredLayer(natural, torch.randn(39, 40, generator=generator)))
        found = effect(tables, generator)
        low, high = found.interval()
        covered += low <= truth <= high
        equivalent += found.equivalence(delta) <= 0.05
        centred = [MeasuredLayer(t.natural - truth, t.random) for t in tables]
        nothing += effect(centred, generator).equivalence(delta) <= 0.05
    assert covered >= 0.9 * repeats
    assert equivalent <= 11  # of 120 at 5 %, 12 or more have a probability of 2 %
    assert nothing >= 0.7 * repeats


def test_an_interval_within_delta_is_what_equivalence_means():
    found = effect([table(seeded(5), units=200)], seeded(0))
    low, high = found.interval(0.9)
    for delta in (0.01, 0.1, 0.2, 0.3, 0.4, 0.6):
        inside = -delta < low and high < delta
        assert (found.equivalence(delta) <= 0.05) == inside


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_rejects_as_the_steps_do(p_values):
    adjusted = holm(p_values)
    rejected, alive = set(), True
    for rank, i in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        alive = alive and (len(p_values) - rank) * p_values[i] <= 0.05
        if alive:
            rejected.add(i)
    assert {i for i, p in enumerate(adjusted) if p <= 0.05} == rejected
    assert all(a >= p for a, p in zip(adjusted, p_values, strict=True))


@pytest.mark.parametrize("networks", [1, 3])
def test_what_is_less_coherent_is_held_to_the_same_as_what_is_more(networks):
    """Mirrored tables have mirrored intervals, and are equivalent to nothing alike."""
    generator = seeded(6)
    for shift in (0.1, 0.45, 0.7):
        tables = [table(generator, shift=shift) for _ in range(networks)]
        mirrored = [MeasuredLayer(-one.natural, -one.random) for one in tables]
        one, other = effect(tables, seeded(7)), effect(mirrored, seeded(7))
        low, high = one.interval()
        assert other.interval() == pytest.approx((-high, -low))
        for delta in (0.3, 0.5, 0.8, 1.2):
            assert one.equivalence(delta) == pytest.approx(other.equivalence(delta))


def test_the_interval_of_one_network_is_students():
    """Of many units, whose mean is normal: the 95 % of Student's t, not less."""
    generator = seeded(8)
    natural, random = (torch.randn(60, generator=generator), torch.zeros(1, 60))
    low, high = effect([MeasuredLayer(natural, random)], seeded(0)).interval()
    expected = stats.t.interval(0.95, 59, float(natural.mean()), float(natural.std()) / 60**0.5)
    assert high - low == pytest.approx(expected[1] - expected[0], rel=0.06)


@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_quantiles_of_few_seeds_are_taken_further_out(seeds):
    """Seeds that differ and units that do not: √(S / (S − 1)), and Student's S − 1 degrees."""
    tables = [MeasuredLayer(torch.full((20,), float(s)), torch.zeros(5, 20)) for s in range(seeds)]
    found = effect(tables, seeded(9))
    assert found.scale == pytest.approx(math.sqrt(seeds / (seeds - 1)))
    assert found.freedom == pytest.approx(seeds - 1)

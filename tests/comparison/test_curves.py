import itertools
import math

import pytest
import torch

from intriguing.comparison.curves import curve_points

INF = math.inf
BUDGETS = (1, 10, 100)
CURVES = {
    "slow": torch.tensor([[INF, 3.0, 1.0], [INF, INF, 2.0], [INF, 5.0, 4.0]]),
    "fast": torch.tensor([[2.0, 2.0, 2.0], [2.5, 2.0, 2.0], [INF, INF, INF]]),
}
FINAL = {name: curve[:, -1] for name, curve in CURVES.items()}


def points():
    return {(p.method, p.passes): p for p in curve_points(CURVES, BUDGETS, FINAL)}


def test_images_not_found_count_as_infinitely_far():
    slow = [points()["slow", budget] for budget in BUDGETS]
    assert [p.found for p in slow] == [0, 2, 3]
    assert [p.median for p in slow] == [INF, 5.0, 2.0]
    assert [p.mean for p in slow] == [INF, INF, pytest.approx(7 / 3)]
    assert points()["fast", 1].median == 2.5


def test_the_excess_is_over_the_shortest_that_any_method_ends_with():
    assert [points()["slow", budget].excess for budget in BUDGETS] == [INF, 2.0, 0.0]
    assert points()["fast", 100].excess == 1.0
    assert [points()["fast", budget].within for budget in BUDGETS] == [0, 1, 1]


def test_lines_only_ever_get_better():
    for method in CURVES:
        line = [points()[method, budget] for budget in BUDGETS]
        for before, after in itertools.pairwise(line):
            assert after.found >= before.found
            assert after.within >= before.within
            assert after.median <= before.median
            assert after.excess <= before.excess


def test_what_is_found_after_the_last_budget_is_the_measure_of_all():
    late = {**FINAL, "slow": torch.tensor([0.5, 2.0, 4.0])}
    found = {(p.method, p.passes): p for p in curve_points(CURVES, BUDGETS, late)}
    assert found["slow", 100].within == 2
    assert points()["slow", 100].within == 3


def test_images_that_are_adversarial_as_they_are_exceed_nothing():
    zero = {"a": torch.zeros(2, 3), "b": torch.tensor([[0.0, 0.0, 0.0], [INF, 0.0, 0.0]])}
    found = curve_points(zero, BUDGETS, {name: curve[:, -1] for name, curve in zero.items()})
    assert [p.excess for p in found] == [0.0, 0.0, 0.0, INF, 0.0, 0.0]


def test_where_nobody_finds_anything_nothing_is_divided():
    nothing = {"a": torch.full((2, 3), INF)}
    for point in curve_points(nothing, BUDGETS, {"a": torch.full((2,), INF)}):
        assert (point.found, point.within, point.excess, point.median) == (0, 0, INF, INF)

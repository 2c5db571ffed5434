import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from intriguing.comparison.lengths import Lengths

INF = math.inf
LENGTHS = Lengths(
    {
        "near": torch.tensor([1.0005, 2.0, 0.0, INF, INF, 4.1]),
        "best": torch.tensor([1.0, 2.0, 0.0, 3.0, INF, 4.0]),
        "wild": torch.tensor([5.0, 1.5, 0.0, INF, INF, INF]),
    }
)


def test_the_envelope_is_the_shortest_of_every_image():
    assert LENGTHS.shortest.tolist() == [1.0, 1.5, 0.0, 3.0, INF, 4.0]


def test_near_is_up_to_a_thousandth_and_never_what_was_not_found():
    near = {method: LENGTHS.near(lengths).tolist() for method, lengths in LENGTHS.l2.items()}
    assert near["near"] == [True, False, True, False, False, False]
    assert near["best"] == [True, False, True, True, False, True]
    assert near["wild"] == [False, True, True, False, False, False]


def test_the_best_is_most_often_shortest_then_finds_more_then_is_shorter():
    assert LENGTHS.best == "best"
    even = Lengths({"a": torch.tensor([1.0, 9.0]), "b": torch.tensor([1.2, 8.0])})
    assert even.best == "b"
    fewer = Lengths({"a": torch.tensor([1.0, INF]), "b": torch.tensor([2.0, 5.0])})
    assert fewer.best == "b"


def test_a_pair_is_measured_where_both_found_and_counted_everywhere():
    pair = LENGTHS.beside("near", "best")
    assert pair.both == 4
    assert pair.difference == pytest.approx((0.0005 + 0 + 0 + 0.1) / 4, rel=1e-4)
    assert pair.measured == 3
    assert pair.relative == pytest.approx((0.0005 + 0 + 0.025) / 3, rel=1e-3)
    assert (pair.shorter, pair.longer) == (0, 2)
    opposite = LENGTHS.beside("best", "near")
    assert opposite.difference == -pair.difference
    assert (opposite.shorter, opposite.longer) == (2, 0)


def test_the_interval_of_a_paired_difference_is_students():
    generator = np.random.default_rng(0)
    other = generator.gamma(5, 0.3, 40)
    ours = other + generator.normal(0.01, 0.02, 40)
    pair = Lengths({"a": torch.tensor(ours), "b": torch.tensor(other)}).beside("a", "b")
    interval = stats.ttest_rel(ours, other).confidence_interval()
    assert pair.difference_interval == pytest.approx((interval.low, interval.high))


def test_pairs_without_a_common_image_have_nothing_to_average():
    pair = Lengths({"a": torch.tensor([1.0, INF]), "b": torch.tensor([INF, 1.0])}).beside("a", "b")
    assert (pair.both, pair.measured, pair.shorter, pair.longer) == (0, 0, 1, 1)


def test_losses_name_who_is_shorter():
    assert LENGTHS.lost("near").tolist() == [False, True, False, True, False, True]
    assert LENGTHS.lost("best").tolist() == [False, True, False, False, False, False]
    assert [LENGTHS.winner()[i] for i in (0, 1, 3, 5)] == ["best", "wild", "best", "best"]


sizes = st.floats(0.01, 100) | st.just(INF)


@given(st.lists(st.tuples(sizes, sizes, sizes), min_size=1, max_size=20))
def test_an_image_is_near_or_lost_or_nobody_found_it(rows):
    lengths = Lengths(dict(zip("abc", torch.tensor(rows, dtype=torch.float64).T, strict=True)))
    nobody = lengths.shortest.isinf()
    for method, l2 in lengths.l2.items():
        assert (lengths.near(l2) ^ lengths.lost(method) ^ nobody).all()
    winners = lengths.winner()
    for image, name in enumerate(winners):
        assert lengths.l2[name][image] == lengths.shortest[image]

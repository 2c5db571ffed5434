"""The sequential test: against a direct quadrature, and over many gates whose truth is known."""

import math

import numpy as np
import pytest
from scipy import integrate

from intriguing.gate.sequential import SequentialTest
from tests.gate.simulated import CASES, repeat


@pytest.mark.parametrize(("near", "images", "share"), [(3, 20, 0.5), (9, 20, 0.5), (1, 40, 0.2)])
def test_the_evidence_is_the_mean_likelihood_ratio(near: int, images: int, share: float):
    def ratio(p: float) -> float:
        return (p / share) ** near * ((1 - p) / (1 - share)) ** (images - near)

    evidence = SequentialTest(share, 0.05).evidence(near, images)
    below, _ = integrate.quad(ratio, 0, share)
    above, _ = integrate.quad(ratio, share, 1)
    assert evidence.passing == pytest.approx(math.log(below / share), rel=1e-6)
    assert evidence.failing == pytest.approx(math.log(above / (1 - share)), rel=1e-6)


def test_what_comes_after_a_verdict_changes_nothing():
    test = SequentialTest(0.5, 0.05)
    ruling, evidence = test.decided(["not near"] * 7 + ["near"] * 100)
    assert (ruling, evidence.images, evidence.near) == ("pass", 7, 0)


def test_unknown_images_count_against_either_verdict():
    test = SequentialTest(0.5, 0.05)
    assert test.decided(["unknown"] * 500)[0] == "undecided"
    assert test.decided(["not near", "unknown"] * 100)[0] == "undecided"
    assert test.decided(["not near"] * 90 + ["unknown"] * 10)[0] == "pass"


def test_the_interval_holds_what_is_not_refuted():
    test = SequentialTest(0.5, 0.05)
    assert test.interval(0, 0) == (0.0, 1.0)
    low, high = test.interval(30, 100)
    assert 0 < low < 0.3 < high < 0.5
    for share in (low, high):  # the edges are where a test of that very share is just not sure
        at = SequentialTest(share, 0.05).evidence(30, 100)
        assert max(at.passing, at.failing) == pytest.approx(-math.log(0.05), abs=1e-4)
    assert test.interval(30, 100, unknown=20)[1] > high


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_wrong_verdicts_are_within_the_level(case):
    rulings, _ = repeat(case, gates=200, level=0.05, images=400, seed=5)
    # Three standard errors above the level.
    allowed = 0.05 + 3 * math.sqrt(0.05 * 0.95 / 200)
    for wrong in case.wrong:
        assert np.mean([ruling == wrong for ruling in rulings]) <= allowed

"""A part of `benchmarks/soundness_fuzz.py`: nothing proved is refuted, and no error is raw."""

import functools

import pytest

from tests.oracles.random_graphs import RandomGraph
from tests.oracles.refutation import Verdict, judge
from tests.oracles.tricky import SHAPE, TRICKY

QUICK = {"budget": 40, "semidefinite": False}
BLAMELESS = ("certified", "unbounded", "refused")


@pytest.mark.parametrize("kind", sorted(TRICKY))
def test_nothing_proved_of_a_tricky_network_is_refuted(kind: str) -> None:
    verdict = judge(functools.partial(TRICKY[kind], 5), SHAPE, None, 5, **QUICK)
    assert verdict.outcome in BLAMELESS, verdict


@pytest.mark.parametrize("seed", range(7000, 7006))
def test_nothing_proved_of_a_random_network_is_refuted(seed: int) -> None:
    network = RandomGraph(seed)
    make = functools.partial(RandomGraph, seed)
    verdict = judge(make, network.input_shape, network.domain, seed, **QUICK)
    assert verdict.outcome in BLAMELESS, verdict


def test_the_search_refutes_what_is_false(monkeypatch: pytest.MonkeyPatch) -> None:
    from dataclasses import replace

    from tests.oracles import refutation

    honest = refutation.certify
    make = functools.partial(TRICKY["weight_norm"], 5)
    assert judge(make, SHAPE, None, 5, **QUICK).outcome == "certified"

    def boasting(*given: object, **more: object) -> object:
        made = honest(*given, **more)
        return replace(made, radius=made.radius * 20)

    monkeypatch.setattr(refutation, "certify", boasting)
    assert judge(make, SHAPE, None, 5, **QUICK).outcome == "refuted"
    monkeypatch.setattr(refutation, "certify", honest)
    report = refutation.lipschitz_report

    def low(*given: object, **more: object) -> object:
        made = report(*given, **more)
        return replace(made, upper=made.upper / 4)

    monkeypatch.setattr(refutation, "lipschitz_report", low)
    assert judge(make, SHAPE, None, 5, **QUICK) == Verdict(
        "refuted", judge(make, SHAPE, None, 5, **QUICK).detail
    )

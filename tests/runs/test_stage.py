"""Everything that a stage is given is in its key; what is declared apart is not."""

from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar

import pytest
import torch
from torch import nn

from intriguing.keys import counted
from intriguing.runs.stage import Made, Network, Stage
from tests.runs import toy


def changed() -> dict[str, Any]:
    """Other values for every field of `toy.Sums`, and for what is inside them."""
    images, network = toy.images(), toy.network()
    other = nn.Sequential(nn.Flatten(), nn.Linear(2, 2), nn.ReLU()).eval()
    other[1].load_state_dict(network.model[1].state_dict())
    return {
        "network": [
            toy.network("other"), toy.network(scale=2.0), replace(network, model=other),
        ],
        "images": [
            toy.images(4), replace(images, images=images.images.flip(0)),
            replace(images, labels=1 - images.labels), replace(images, ids=tuple("edcba")),
            replace(images, class_names=("a", "c")),
        ],
        "factor": [1, 1.5],
    }  # fmt: skip


def test_every_field_of_a_stage_is_in_its_key():
    stage = toy.Sums(toy.network(), toy.images())
    keys = {stage.key}
    for name, values in changed().items():
        keys |= {replace(stage, **{name: value}).key for value in values}
    assert len(keys) == 1 + sum(map(len, changed().values()))
    assert set(changed()) == {one.name for one in fields(stage) if counted(one)}
    assert replace(stage, size=5).key == stage.key
    assert toy.Sums(toy.network(), toy.images()).key == stage.key


def test_what_a_stage_needs_is_in_its_key():
    mean = toy.stages()[2]
    assert isinstance(mean, toy.Mean)
    assert mean.needs == (mean.sums, mean.hidden)
    others = [
        replace(mean, sums=replace(mean.sums, factor=3.0)), replace(mean, hidden=toy.Hidden(8)),
    ]  # fmt: skip
    assert len({mean.key, *(one.key for one in others)}) == 3


def test_a_field_that_a_subclass_adds_is_in_its_key():
    @dataclass(frozen=True)
    class More(toy.Hidden):
        forgotten: int = 0

    assert len({More(1).key, More(1, 2).key, toy.Hidden(1).key}) == 3


def test_a_stage_that_is_no_dataclass_of_its_own_has_no_key():
    class Bare(toy.Hidden):
        forgotten: int = 0

    with pytest.raises(TypeError, match="Bare is no dataclass"):
        _ = Bare(1).key


def test_a_stage_of_a_function_has_no_key():
    @dataclass(frozen=True)
    class Called(Stage):
        name: ClassVar[str] = "called"
        what: Any

        def compute(self, run: Any) -> Made:
            return Made()

    with pytest.raises(TypeError, match="no value"):
        _ = Called(torch.sum).key


def test_another_version_makes_everything_anew(monkeypatch):
    before = toy.Hidden(1).key
    monkeypatch.setattr("intriguing.runs.stage.__version__", "another")
    assert toy.Hidden(1).key != before
    assert Network("a", toy.network().model).sha256 == toy.network().sha256

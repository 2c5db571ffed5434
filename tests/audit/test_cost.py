"""What is planned: costs that add up, and budgets."""

import pytest

from intriguing.audit import cost, probe
from intriguing.audit.config import AuditConfig
from intriguing.audit.cost import measure, quick, shard_sizes
from intriguing.audit.probe import Cost
from intriguing.audit.run import prepare
from intriguing.audit.sample_size import SampleSize, parse_sample_size
from intriguing.data.named import load_data
from intriguing.errors import InputError
from tests.audit.test_audit import means

CONFIG = AuditConfig(images=None, budget=20, skip=("units", "preflight"))


def subject(config=CONFIG):
    return prepare({"means": means()}, load_data("digits").test.first(32), config)


def test_the_time_of_a_stage_grows_with_the_images_and_not_from_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(probe, "MOMENT", 0.2)
    few = {one.stage: one for one in measure(subject(), 1000)}
    assert set(few) == {"accuracy", "attack", "noise", "spectrum", "certify"}
    assert few["spectrum"].each == 0 < few["spectrum"].fixed
    assert few["attack"].each > few["accuracy"].each > 0
    assert few["attack"].images == 1000
    assert Cost("x", "", 2.0, 0.5, 10).seconds == 7.0
    assert not list(tmp_path.iterdir())


def test_a_budget_of_images_bounds_the_attack_only(tmp_path, monkeypatch):
    monkeypatch.setattr(probe, "MOMENT", 0.05)
    config = AuditConfig(images=10, budget=20, skip=("units", "preflight", "spectrum", "certify"))
    costs = {one.stage: one.images for one in measure(subject(config), 1_000_000)}
    assert costs == {"accuracy": 1_000_000, "attack": 10, "noise": 10}


def test_shards_are_sized_once(tmp_path, monkeypatch):
    first = shard_sizes(subject(), tmp_path)
    monkeypatch.setattr(cost, "pass_seconds", lambda *_: 1.0)
    assert shard_sizes(subject(), tmp_path) == first
    assert shard_sizes(subject(), tmp_path / "other") == {"means": 2}


def test_more_time_attacks_more_images_and_a_begun_folder_keeps_its_number(tmp_path, monkeypatch):
    monkeypatch.setattr(cost, "pass_seconds", lambda *_: 0.001)
    config = AuditConfig(images=1, budget=100, skip=("units",))
    one = subject(config)
    few = SampleSize(1, 2.0).planned(one, tmp_path).images
    more = SampleSize(1, 3.0).planned(one, tmp_path).images
    assert few is not None
    assert more is not None
    assert 0 < few < more
    assert sum(quick(prepare({"m": means()}, one.images, AuditConfig(
        images=few, budget=100, skip=("units",)))).values()) <= 2.0  # fmt: skip
    with pytest.raises(InputError, match="too short"):
        SampleSize(1, 0.001).planned(one, tmp_path)


@pytest.mark.parametrize("text", ["", "0", "many", "3days", "-4", "0min"])
def test_budgets_that_are_none(text):
    with pytest.raises(InputError, match="20min"):
        parse_sample_size(text)

"""Another question to an audit is a class and a line: its answer, table and cost come with it."""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import pytest

from intriguing.audit import config, stages
from intriguing.audit.config import AuditConfig
from intriguing.audit.cost import measure
from intriguing.audit.probe import Cost, Probe
from intriguing.audit.run import prepare, run_audit
from intriguing.audit.stage import AuditStage
from intriguing.audit.subject import Subject
from intriguing.data.dataset import ImageSet
from intriguing.errors import InputError
from intriguing.estimates import Rows
from intriguing.results.rows import Condition, Metric
from intriguing.runs.predicting import predict
from intriguing.runs.run import Run
from intriguing.runs.stage import Made, Network
from tests.audit.test_audit import images, means

ASKED: list[str] = []


@dataclass(frozen=True)
class Dimmed(AuditStage):
    """How often a network is right on darker images."""

    name: ClassVar[str] = "dimmed"
    question: ClassVar[str] = "Does it see in the dark?"
    network: Network
    images: ImageSet
    factor: float = 0.5

    @classmethod
    def of(cls, subject: Subject, run: Run) -> Iterator["Dimmed"]:
        for network in subject.networks:
            yield cls(network, subject.images)

    @classmethod
    def costs(cls, probe: Probe) -> Iterator[Cost]:
        for network in probe.subject.networks:
            yield Cost(cls.name, network.name, 0.0, probe.forward(network), probe.images)

    def compute(self, run: Run) -> Made:
        ASKED.append(self.network.name)
        said, _ = predict(self.network.model, self.factor * self.images.images)
        right = int((said == self.images.labels).sum())
        rows = Rows(self.name, network=self.network.name, condition=Condition.CLEAN)
        rows.share(Metric.ACCURACY, right, len(said), setting=f"{self.factor:g}")
        return Made(tuple(rows.made), words=(f"Right on {right} of {len(said)} dimmed images.",))


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> None:
    ASKED.clear()
    monkeypatch.setattr(stages, "STAGES", (*stages.STAGES, Dimmed))
    monkeypatch.setattr(config, "NAMES", (*config.NAMES, Dimmed.name))


CONFIG = AuditConfig(attacked=2, passes=20, skip=("units", "spectrum", "certify", "noise"))


@pytest.mark.usefixtures("asked")
def test_a_stage_that_is_added_answers_and_has_a_table(tmp_path):
    networks = {"a": means(), "b": means(2.0)}
    audit = run_audit(networks, images(), tmp_path, CONFIG)
    states = {(r.stage, r.network): r.status for r in audit.records}
    assert states["dimmed", "a"] == states["dimmed", "b"] == "done"
    page = audit.page.read_text()
    assert "Does it see in the dark?" in page
    said = next(sentence for sentence in audit.sentences if "dimmed" in sentence)
    assert said.startswith("a: Right on ")
    with (tmp_path / "report" / "tables" / "dimmed.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["row"] for row in rows] == ["a", "b"]
    assert rows[0]["column"] == "Accuracy, clean, 0.5"
    again = run_audit(networks, images(), tmp_path, CONFIG, report=False)
    assert ASKED == ["a", "b"]
    assert again.sentences == audit.sentences


@pytest.mark.usefixtures("asked")
def test_a_stage_that_is_added_has_a_cost_and_can_be_left_out(tmp_path):
    costs = measure(prepare({"a": means()}, images(8), CONFIG), 1000)
    (cost,) = [one for one in costs if one.stage == "dimmed"]
    assert (cost.network, cost.images) == ("a", 1000)
    assert cost.each > 0
    without = AuditConfig(**{**vars(CONFIG), "skip": (*CONFIG.skip, "dimmed")})
    audit = run_audit(means(), images(8), tmp_path, without, report=False)
    assert {r.stage: r.status for r in audit.records}["dimmed"] == "not run"
    assert not ASKED


def test_a_stage_that_is_not_there_cannot_be_left_out():
    with pytest.raises(InputError, match="no stage dimmed"):
        AuditConfig(skip=("dimmed",))

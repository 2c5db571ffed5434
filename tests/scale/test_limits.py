"""Work that hangs is stopped before anybody knows how long such work takes: by what it should."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from torch import nn

import intriguing as it
from intriguing.scale import jobs
from intriguing.scale.engine import HERE
from intriguing.scale.jobs import Ended
from tests.scale.jobs import Nervous


def test_a_stage_whose_network_hangs_is_given_up_and_the_others_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("intriguing.scale.jobs.LEAST_MINUTES", 0.05)
    nervous = Nervous()
    done = it.run_audit(
        {"nervous": nervous, "calm": nervous.inner}, it.load_data("digits").test.first(8), tmp_path,
        it.AuditConfig(
            images=1, budget=10, method="ddn",
            skip=("preflight", "transfer", "spectrum", "certify", "units"),
        ), labelled=False, engine=it.Engine("processes", workers=1),
    )  # fmt: skip
    records = {(one.stage, one.network): one for one in done.records}
    lost = records["noise", "nervous"]
    assert (lost.status, lost.words) == ("failed", ("it took longer than 0.05 minutes",))
    for stage, about in (("attack", "nervous"), ("accuracy", "calm"), ("noise", "calm")):
        assert records[stage, about].status == "done", records[stage, about].words
    assert done.page is not None
    assert "it took longer than 0.05 minutes" in done.page.read_text(encoding="utf-8")


def test_every_stage_in_parts_says_what_a_part_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    thought: dict[str, list[float]] = {}

    def ended(work: object, items: list[int], *_: object, **how: object) -> Iterator[Ended]:
        seconds = how["seconds"]
        assert isinstance(seconds, list)
        thought.setdefault(Path(work.shards.folder).name, []).extend(seconds)  # type: ignore[attr-defined]
        return jobs.ended_jobs(work, items, HERE, told=how["told"])  # type: ignore[arg-type]

    monkeypatch.setattr("intriguing.scale.shards.ended_jobs", ended)
    monkeypatch.setattr("intriguing.runs.run.ahead", lambda run, stages: None)
    monkeypatch.setattr("intriguing.audit.run.ahead", lambda run, stages: None)
    networks = {
        str(seed): nn.Sequential(nn.Flatten(), nn.Linear(64, 12), nn.ReLU(), nn.Linear(12, 10))
        for seed in range(2)
    }
    config = it.AuditConfig(images=None, budget=5, rotations=3, untrained=0)
    images = it.load_data("digits").test.first(40)
    engine = it.Engine("processes", workers=2)
    how = {"labelled": False, "engine": engine, "report": False}
    it.run_audit({n: m.eval() for n, m in networks.items()}, images, tmp_path, config, **how)
    kinds = {name.partition("-")[0] for name in thought}
    assert kinds >= {
        "labels", "right", "accuracy", "examples", "noise", "transfer", "certificates", "ranked",
        "strongest", "claim",
    }, kinds  # fmt: skip
    assert all(len(some) and all(one > 0 for one in some) for some in thought.values()), thought

"""A new table is a stage and a line in the list: made with what it needs, kept, and shown."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from intriguing.estimates import Rows
from intriguing.measures import Progress
from intriguing.paper import items
from intriguing.paper.config import ReproduceConfig
from intriguing.paper.materials import Materials
from intriguing.paper.networks import MNIST_NETWORKS
from intriguing.paper.reproduce import reproduce
from intriguing.report.html import draw_report
from intriguing.results.measured import Measurement, Metric
from intriguing.results.parquet import read_columns, read_rows
from intriguing.results.rows import ImageRow
from intriguing.results.store import read_run
from intriguing.runs.examples import Examples
from intriguing.runs.run import Run
from intriguing.runs.stage import Made, Stage


@dataclass(frozen=True)
class Medians(Stage):
    """The median of what Table 1 gives the mean of."""

    name: ClassVar[str] = "table6"
    attack: Examples

    def compute(self, run: Run) -> Made:
        """A row."""
        found = run.loaded(self.attack)
        rows = Rows(self.name, network=self.attack.network.called)
        rows.median(Metric.MEDIAN_DISTORTION, "distortion", found.distortion, len(found))
        return Made(tuple(rows.made), notes=("A note.",))


def make(given: Materials) -> list[Stage]:
    return [Medians(given.attack(MNIST_NETWORKS[0], 0))]


def test_a_new_table_is_made_with_what_it_needs_and_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for listed in (items.TABLES, items.ITEMS):
        monkeypatch.setitem(listed, "table6", make)  # type: ignore[arg-type]
    config = ReproduceConfig(items=("table6",), scale="smoke")
    record = reproduce(config, tmp_path)
    assert record.tables == ("table6",)
    assert [stage.name for stage in record.stages][:3] == [
        "train FC10(1e-4)", "attack FC10(1e-4)", "table6",
    ]  # fmt: skip
    assert [model.name for model in record.models] == ["FC10(1e-4)"]
    assert "A note." in record.notes
    (row,) = read_rows(tmp_path, Measurement)
    distortions = read_columns(tmp_path, ImageRow)["distortion"]
    assert row.value == pytest.approx(float(np.median(distortions)))
    draw_report(tmp_path)
    table = (tmp_path / "report" / "tables" / "table6.csv").read_text(encoding="utf-8")
    assert "FC10(1e-4),Median distortion" in table
    seen: list[Progress] = []
    again = reproduce(config, tmp_path, progress=seen.append)
    assert not [step for step in seen if step.stage.startswith("train")]
    assert again.models == read_run(tmp_path).models == record.models

import json
import math
import subprocess
import sys
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from intriguing.errors import InputError
from intriguing.results.measured import Condition, Measurement, Metric
from intriguing.results.parquet import read_columns, read_rows, write_columns, write_rows
from intriguing.results.rows import (
    CertificateRow,
    CurvePoint,
    Float32,
    ImageRow,
    Int32,
    LayerRow,
    LossRow,
    Word,
)
from intriguing.results.schema import DataRecord, ModelRecord, RunRecord, Stage
from intriguing.results.store import list_tensors, read_run, read_tensors, write_run, write_tensors

RECORD = RunRecord(
    kind="reproduce",
    command="intriguing reproduce table1",
    config={"scale": "quick", "decay": [1e-4]},
    seeds=(0, 1),
    versions={"intriguing": "0.1.0"},
    data=(DataRecord("mnist-5k/train", 4000, "ab"),),
    models=(ModelRecord("FC10(1e-4)", 0, "cd", 7850, "fc10", {"iterations": 3}, 0.067, None),),
    stages=(Stage("attack FC10(1e-4)", 1.5, 10, 9),),
    tables=("table1",),
    notes=("λ Σ w² / k",),
)
ROW = Measurement(
    "table1", Metric.ERROR, "%", 7.1, 6.5, 7.9, 71, 1000, network="FC10(1e-4)",
    condition=Condition.CLEAN, images="test", seed=0,
)  # fmt: skip


def image_row(image_id: str, success: bool = True) -> ImageRow:
    size = 0.06 if success else math.nan
    return ImageRow(
        "FC10", 0, "closest", image_id, 3, 5, success, "found", size, size * 28, size, 0.0, 1e-6,
        300, 290,
    )  # fmt: skip


def test_a_record_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    write_run(tmp_path, RECORD)
    assert read_run(tmp_path) == RECORD
    content = json.loads((tmp_path / "run.json").read_text(encoding="utf-8"))
    assert content["schema_version"] == 5
    assert content["models"][0]["train_error"] == 0.067


def test_rows_come_back_as_they_were_written_and_in_their_order(tmp_path: Path) -> None:
    longer = replace(ROW, condition=Condition.AMPLIFIED, made_for="b\n", size=0.1, seed=None)
    timed = replace(ROW, analysis="compare", unit="ms", low=None, high=None, value=math.inf)
    rows = [longer, ROW, timed, ROW]
    write_rows(tmp_path, Measurement, rows)
    read = read_rows(tmp_path, Measurement)
    assert read == rows
    assert isinstance(read[0].condition, Condition)
    assert isinstance(read[0].metric, Metric)
    assert read_rows(tmp_path / "none", Measurement) == []


def test_the_schema_follows_from_the_dataclass(tmp_path: Path) -> None:
    @dataclass(frozen=True)
    class Planets:
        """A kind of rows that nobody knew."""

        FILE: ClassVar[str] = "planets"

        name: Word
        condition: Condition
        moons: Int32
        mass: Float32
        distance: float
        ringed: bool
        note: str | None = None

    rows = [Planets("Saturn", Condition.NOISE, 146, 95.25, 9.5, True),
            Planets("Venus", Condition.NONE, 0, 0.75, 0.7, False, "hot")]  # fmt: skip
    write_rows(tmp_path, Planets, rows)
    assert read_rows(tmp_path, Planets) == rows
    schema = pq.read_schema(tmp_path / "rows" / "planets.parquet")
    assert [(f.name, str(f.type), f.nullable) for f in schema] == [
        ("name", "dictionary<values=string, indices=int32, ordered=0>", False),
        ("condition", "dictionary<values=string, indices=int32, ordered=0>", False),
        ("moons", "int32", False), ("mass", "float", False), ("distance", "double", False),
        ("ringed", "bool", False), ("note", "string", True),
    ]  # fmt: skip


@pytest.mark.parametrize("column", ["metric", "unit", "condition"])
def test_a_word_that_is_none_of_the_known_ones_is_damaged(tmp_path: Path, column: str) -> None:
    write_rows(tmp_path, Measurement, [ROW])
    path = tmp_path / "rows" / "measurements.parquet"
    table = pq.read_table(path)
    place = table.column_names.index(column)
    pq.write_table(table.set_column(place, column, pa.array(["warp"])), path)
    with pytest.raises(InputError, match=r"measurements\.parquet is damaged .*'warp'"):
        read_rows(tmp_path, Measurement)


def image_columns(rows: list[ImageRow]) -> dict[str, object]:
    return {field.name: [getattr(row, field.name) for row in rows] for field in fields(ImageRow)}


def test_images_are_written_part_by_part(tmp_path: Path) -> None:
    first = [image_row("mnist/test/00000"), image_row("mnist/test/00001", success=False)]
    second = [image_row("mnist/test/00002")]
    parts = [image_columns(first), image_columns(second) | {"network": "AE400-10", "seed": 1}]
    assert write_columns(tmp_path, ImageRow, parts) == 3
    columns = read_columns(tmp_path, ImageRow)
    assert columns["network"].tolist() == ["FC10", "FC10", "AE400-10"]
    assert columns["image_id"].tolist() == [f"mnist/test/0000{i}" for i in range(3)]
    assert columns["success"].tolist() == [True, False, True]
    assert np.isnan(columns["distortion"]).tolist() == [False, True, False]
    assert pq.read_metadata(tmp_path / "rows" / "images.parquet").num_row_groups == 2


def test_the_same_rows_make_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_rows(tmp_path / name, Measurement, [ROW])
        write_rows(tmp_path / name, ImageRow, [image_row("digits/0001")])
    for file in ("measurements.parquet", "images.parquet"):
        contents = [(tmp_path / name / "rows" / file).read_bytes() for name in ("a", "b")]
        assert contents[0] == contents[1]


def test_tensors_keep_values_and_words(tmp_path: Path) -> None:
    panel = np.arange(24, dtype=np.float32).reshape(4, 6)[:, ::2]
    write_tensors(tmp_path, "figure7-noise", {"originals": panel}, {"originals": "clean"})
    tensors, words = read_tensors(tmp_path, "figure7-noise")
    assert np.array_equal(tensors["originals"], panel)
    assert words == {"originals": "clean"}
    assert list_tensors(tmp_path) == ("figure7-noise",)


@pytest.mark.parametrize("version", [1, 4, 9])
def test_another_schema_version_is_refused_in_one_line(tmp_path: Path, version: int) -> None:
    write_run(tmp_path, replace(RECORD, schema_version=version))
    said = rf"schema version {version}; .* reads 5; use another --out, or the version .*0\.1\.0"
    with pytest.raises(InputError, match=said) as refused:
        read_run(tmp_path)
    assert "\n" not in str(refused.value)


def test_rows_without_a_column_are_damaged(tmp_path: Path) -> None:
    write_rows(tmp_path, ImageRow, [image_row("a")])
    path = tmp_path / "rows" / "images.parquet"
    pq.write_table(pq.read_table(path).drop_columns(["l2"]), path)
    with pytest.raises(InputError, match="no column l2"):
        read_columns(tmp_path, ImageRow)


def test_curves_and_losses_are_read_back_with_what_is_infinite(tmp_path: Path) -> None:
    points = [CurvePoint("ddn", 8, 3, 1, 9, math.inf, 1.5, math.inf, math.inf, math.inf)]
    losses = [LossRow("ddn", "mnist/test/00003", 3, 5, math.inf, "closest", 1.25)]
    write_rows(tmp_path, CurvePoint, points)
    write_rows(tmp_path, LossRow, losses)
    assert read_rows(tmp_path, CurvePoint) == points
    assert read_rows(tmp_path, LossRow) == losses
    assert read_rows(tmp_path / "none", CurvePoint) == read_rows(tmp_path / "none", LossRow) == []


def test_layers_are_read_back_with_what_is_unknown(tmp_path: Path) -> None:
    layers = [
        LayerRow("net", 0, 0, "conv1", "convolution", "3×11×11×96", "4", 2.75, 2.6, "grid", True),
        LayerRow("net", 0, 1, "act", "other", "", "–", math.inf, 1.0, "", False, "unknown: erf"),
    ]
    write_rows(tmp_path, LayerRow, layers)
    assert read_rows(tmp_path, LayerRow) == layers
    assert read_rows(tmp_path / "none", LayerRow) == []


def test_certificates_are_read_back_by_column(tmp_path: Path) -> None:
    columns = {
        "network": "net", "seed": 0, "image_id": ["a", "b", "c"], "label": [1, 2, 3],
        "predicted": [1, 2, 0], "margin": [4.0, 2.0, -1.0], "against": [7, 7, 0],
        "certified": [0.5, 0.25, 0.0], "found": [0.6, math.inf, 0.0],
        "status": ["FOUND", "NOT_FOUND", "ALREADY"], "pixels": 784,
    }  # fmt: skip
    write_columns(tmp_path, CertificateRow, [columns])
    read = read_columns(tmp_path, CertificateRow)
    assert {name: column.tolist() for name, column in read.items()} == {
        name: column if isinstance(column, list) else [column] * 3
        for name, column in columns.items()
    }
    assert len(read_columns(tmp_path / "none", CertificateRow)["found"]) == 0


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"schema_version": 5}', "\x00"])
def test_a_damaged_record_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "run.json").write_text(content)
    with pytest.raises(InputError, match=r"run\.json"):
        read_run(tmp_path)


def test_a_folder_without_a_record_is_no_results_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is no results folder"):
        read_run(tmp_path)


def test_damaged_rows_and_tensors_are_refused(tmp_path: Path) -> None:
    write_rows(tmp_path, Measurement, [ROW])
    write_tensors(tmp_path, "filters", {"filters": np.zeros(4)}, {})
    for path in (
        tmp_path / "rows" / "measurements.parquet",
        tmp_path / "tensors" / "filters.safetensors",
    ):
        path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(InputError, match="damaged"):
        read_rows(tmp_path, Measurement)
    with pytest.raises(InputError, match="cannot read"):
        read_tensors(tmp_path, "filters")


def test_the_store_needs_no_torch() -> None:
    code = (
        "import sys; sys.modules['torch'] = None; "
        "import intriguing.results.store, intriguing.results.opening"
    )
    subprocess.run([sys.executable, "-c", code], check=True)

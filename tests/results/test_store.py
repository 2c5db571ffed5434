import json
import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from intriguing.errors import InputError
from intriguing.results.columns import IMAGES
from intriguing.results.schema import (
    Cell,
    CurvePoint,
    DataRecord,
    ImageRow,
    LayerRow,
    LossRow,
    ModelRecord,
    RunRecord,
    Stage,
)
from intriguing.results.store import (
    image_columns,
    list_tensors,
    read_cells,
    read_certificates,
    read_curves,
    read_images,
    read_layers,
    read_losses,
    read_run,
    read_tensors,
    write_cells,
    write_certificates,
    write_curves,
    write_images,
    write_layers,
    write_losses,
    write_run,
    write_tensors,
)

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
CELL = Cell("table1", "FC10(1e-4)", "Test error", 0, 1, "%", 7.1, 6.5, 7.9, 71, 1000, 7.4)


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
    assert content["schema_version"] == 4
    assert content["models"][0]["train_error"] == 0.067


def test_cells_come_back_in_the_order_of_the_table(tmp_path: Path) -> None:
    second = replace(CELL, column="Av. min. distortion", column_order=2, paper=None, seeds=2)
    spread = replace(CELL, table="table0", seed_low=1.0, seed_high=2.0)
    write_cells(tmp_path, [second, CELL, spread])
    assert read_cells(tmp_path) == [spread, CELL, second]


def test_images_are_written_part_by_part(tmp_path: Path) -> None:
    first = [image_row("mnist/test/00000"), image_row("mnist/test/00001", success=False)]
    second = image_columns([image_row("mnist/test/00002")]) | {"network": "AE400-10", "seed": 1}
    assert write_images(tmp_path, [image_columns(first), second]) == 3
    columns = read_images(tmp_path)
    assert columns["network"].tolist() == ["FC10", "FC10", "AE400-10"]
    assert columns["image_id"].tolist() == [f"mnist/test/0000{i}" for i in range(3)]
    assert columns["success"].tolist() == [True, False, True]
    assert np.isnan(columns["distortion"]).tolist() == [False, True, False]
    assert pq.read_metadata(tmp_path / "rows" / "images.parquet").num_row_groups == 2


def test_the_same_rows_make_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_cells(tmp_path / name, [CELL])
        write_images(tmp_path / name, [image_columns([image_row("digits/0001")])])
    for file in ("cells.parquet", "images.parquet"):
        contents = [(tmp_path / name / "rows" / file).read_bytes() for name in ("a", "b")]
        assert contents[0] == contents[1]


def test_tensors_keep_values_and_words(tmp_path: Path) -> None:
    panel = np.arange(24, dtype=np.float32).reshape(4, 6)[:, ::2]
    write_tensors(tmp_path, "figure7-noise", {"originals": panel}, {"originals": "clean"})
    tensors, words = read_tensors(tmp_path, "figure7-noise")
    assert np.array_equal(tensors["originals"], panel)
    assert words == {"originals": "clean"}
    assert list_tensors(tmp_path) == ("figure7-noise",)


def test_another_schema_version_is_refused_with_the_way_out(tmp_path: Path) -> None:
    write_run(tmp_path, replace(RECORD, schema_version=9))
    with pytest.raises(InputError, match=r"schema version 9; .* reads 1 to 4; use another --out"):
        read_run(tmp_path)


def test_a_folder_of_version_1_is_read_as_if_it_had_the_new_columns(tmp_path: Path) -> None:
    write_run(tmp_path, replace(RECORD, schema_version=1))
    write_images(tmp_path, [image_columns([image_row("a"), image_row("b", success=False)])])
    path = tmp_path / "rows" / "images.parquet"
    pq.write_table(pq.read_table(path).drop_columns(["method", "gap", "local_gap"]), path)
    assert read_run(tmp_path).schema_version == 1
    columns = read_images(tmp_path)
    assert list(columns) == IMAGES.names
    assert columns["method"].tolist() == ["paper", "paper"]
    assert np.isnan(columns["gap"]).all()
    assert columns["image_id"].tolist() == ["a", "b"]
    assert read_images(tmp_path, ["method"])["method"].tolist() == ["paper", "paper"]


def test_rows_without_a_column_that_every_version_has_are_damaged(tmp_path: Path) -> None:
    write_images(tmp_path, [image_columns([image_row("a")])])
    path = tmp_path / "rows" / "images.parquet"
    pq.write_table(pq.read_table(path).drop_columns(["l2"]), path)
    with pytest.raises(InputError, match="no column l2"):
        read_images(tmp_path)


def test_a_value_without_an_interval_stays_one(tmp_path: Path) -> None:
    timed = replace(CELL, unit="ms", low=None, high=None)
    write_cells(tmp_path, [timed])
    assert read_cells(tmp_path) == [timed]


def test_curves_and_losses_are_read_back_with_what_is_infinite(tmp_path: Path) -> None:
    points = [CurvePoint("ddn", 8, 3, 1, 9, math.inf, 1.5, math.inf, math.inf, math.inf)]
    losses = [LossRow("ddn", "mnist/test/00003", 3, 5, math.inf, "closest", 1.25)]
    write_curves(tmp_path, points)
    write_losses(tmp_path, losses)
    assert read_curves(tmp_path) == points
    assert read_losses(tmp_path) == losses
    assert read_curves(tmp_path / "none") == read_losses(tmp_path / "none") == []


def test_layers_are_read_back_with_what_is_unknown(tmp_path: Path) -> None:
    layers = [
        LayerRow("net", 0, 0, "conv1", "convolution", "3×11×11×96", "4", 2.75, 2.6, "grid", True),
        LayerRow("net", 0, 1, "act", "other", "", "–", math.inf, 1.0, "", False, "unknown: erf"),
    ]
    write_layers(tmp_path, layers)
    assert read_layers(tmp_path) == layers
    assert read_layers(tmp_path / "none") == []


def test_certificates_are_read_back_by_column(tmp_path: Path) -> None:
    columns = {
        "network": "net", "seed": 0, "image_id": ["a", "b", "c"], "label": [1, 2, 3],
        "predicted": [1, 2, 0], "margin": [4.0, 2.0, -1.0], "against": [7, 7, 0],
        "certified": [0.5, 0.25, 0.0], "found": [0.6, math.inf, 0.0],
        "status": ["FOUND", "NOT_FOUND", "ALREADY"], "pixels": 784,
    }  # fmt: skip
    write_certificates(tmp_path, columns)
    read = read_certificates(tmp_path)
    assert {name: column.tolist() for name, column in read.items()} == {
        name: column if isinstance(column, list) else [column] * 3
        for name, column in columns.items()
    }
    assert len(read_certificates(tmp_path / "none")["found"]) == 0


def test_a_folder_of_version_2_is_still_read(tmp_path: Path) -> None:
    write_run(tmp_path, replace(RECORD, schema_version=2))
    assert read_run(tmp_path).schema_version == 2
    assert read_layers(tmp_path) == []


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"schema_version": 1}', "\x00"])
def test_a_damaged_record_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "run.json").write_text(content)
    with pytest.raises(InputError, match=r"run\.json"):
        read_run(tmp_path)


def test_a_folder_without_a_record_is_no_results_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is no results folder"):
        read_run(tmp_path)


def test_damaged_rows_and_tensors_are_refused(tmp_path: Path) -> None:
    write_cells(tmp_path, [CELL])
    write_tensors(tmp_path, "filters", {"filters": np.zeros(4)}, {})
    for path in (tmp_path / "rows" / "cells.parquet", tmp_path / "tensors" / "filters.safetensors"):
        path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(InputError, match="damaged"):
        read_cells(tmp_path)
    with pytest.raises(InputError, match="cannot read"):
        read_tensors(tmp_path, "filters")


def test_the_store_needs_no_torch() -> None:
    code = (
        "import sys; sys.modules['torch'] = None; "
        "import intriguing.results.store, intriguing.results.opening"
    )
    subprocess.run([sys.executable, "-c", code], check=True)

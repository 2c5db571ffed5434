"""Writing and reading a results folder: run.json, Parquet rows and safetensors tensors.

Nothing here needs torch, so a report can be drawn from a folder on any machine.  Every file is
replaced whole, so a folder is readable at any moment, whatever happened to the process.
"""

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from safetensors import safe_open
from safetensors.numpy import save

from intriguing.errors import InputError
from intriguing.files import check_regular, read_json, settled, whole_file, write_whole
from intriguing.names import storable
from intriguing.results.columns import (
    ADDED,
    CELLS,
    CERTIFICATES,
    CLAIMS,
    COHERENCE,
    CURVES,
    IMAGES,
    LAYERS,
    LOSSES,
    TOPS,
)
from intriguing.results.damage import REMEDY
from intriguing.results.older import said_by_names
from intriguing.results.schema import (
    READABLE,
    Cell,
    ClaimRow,
    CurvePoint,
    ImageRow,
    LayerRow,
    LossRow,
    RunRecord,
    Unit,
)
from intriguing.results.typed import of_json

MOST_ROWS = 20_000_000
"""Rows of one file that is read at once: a few kilobytes can say that there are any number."""


def write_run(folder: Path, record: RunRecord) -> None:
    """Write run.json."""
    write_whole(
        folder / "run.json", json.dumps(asdict(record), indent=2, ensure_ascii=False) + "\n"
    )


def read_run(folder: Path) -> RunRecord:
    """Read run.json.

    Raises:
        InputError: If there is none, it is damaged, or it is of another schema version.
    """
    path = folder / "run.json"
    if not os.path.lexists(path):
        raise InputError(
            f"{folder} is no results folder: it has no run.json; give the --out of a command that "
            "computed something, for instance `intriguing reproduce --out DIR`"
        )
    content = read_json(path, "use another --out")
    if not isinstance(content, dict) or "schema_version" not in content:
        raise InputError(f"{path} cannot be read as a run record; use another --out")
    version = content["schema_version"]
    if version not in READABLE:
        readable = " to ".join((str(READABLE[0]), str(READABLE[-1])))
        versions = content.get("versions")
        writer = versions.get("intriguing") if isinstance(versions, dict) else "not recorded"
        raise InputError(
            f"{folder} is a results folder of schema version {version!r:.20}; this version of "
            f"intriguing reads {readable}; use another --out, or the version of "
            f"intriguing that wrote it ({writer})"
        )
    try:
        return of_json(RunRecord, content)
    except ValueError as error:
        raise InputError(f"{path} is damaged: {error}; use another --out") from error


def write_cells(folder: Path, cells: Sequence[Cell]) -> None:
    """Write rows/cells.parquet."""
    _write_rows(folder / "rows" / "cells.parquet", cells, CELLS)


def read_cells(folder: Path) -> list[Cell]:
    """Read rows/cells.parquet, in the order of table, row and column; empty when there is none."""
    table = _read_rows(folder / "rows" / "cells.parquet", CELLS)
    cells = [Cell(**row) for row in table.to_pylist()]
    if unknown := {cell.unit for cell in cells} - set(get_args(Unit)):
        path = folder / "rows" / "cells.parquet"
        raise InputError(f"{path} is damaged (no unit {min(unknown)!r:.40}); delete it; {REMEDY}")
    if not any(cell.network or cell.condition or cell.size is not None for cell in cells):
        cells = said_by_names(cells)
    return sorted(cells, key=lambda cell: (cell.table, cell.row_order, cell.column_order))


def write_curves(folder: Path, points: Sequence[CurvePoint]) -> None:
    """Write rows/curves.parquet."""
    _write_rows(folder / "rows" / "curves.parquet", points, CURVES)


def read_curves(folder: Path) -> list[CurvePoint]:
    """Read rows/curves.parquet, as it was written; empty when there is none."""
    table = _read_rows(folder / "rows" / "curves.parquet", CURVES)
    return [CurvePoint(**row) for row in table.to_pylist()]


def write_losses(folder: Path, losses: Sequence[LossRow]) -> None:
    """Write rows/losses.parquet."""
    _write_rows(folder / "rows" / "losses.parquet", losses, LOSSES)


def read_losses(folder: Path) -> list[LossRow]:
    """Read rows/losses.parquet, as it was written; empty when there is none."""
    table = _read_rows(folder / "rows" / "losses.parquet", LOSSES)
    return [LossRow(**row) for row in table.to_pylist()]


def write_layers(folder: Path, layers: Sequence[LayerRow]) -> None:
    """Write rows/layers.parquet."""
    _write_rows(folder / "rows" / "layers.parquet", layers, LAYERS)


def read_layers(folder: Path) -> list[LayerRow]:
    """Read rows/layers.parquet, as it was written; empty when there is none."""
    table = _read_rows(folder / "rows" / "layers.parquet", LAYERS)
    return [LayerRow(**row) for row in table.to_pylist()]


def write_certificates(folder: Path, columns: Mapping[str, Any]) -> None:
    """Write rows/certificates.parquet; `columns` has every field of `CertificateRow`.

    A column is an array, a list, or one value for all rows.
    """
    with whole_file(folder / "rows" / "certificates.parquet") as temporary:
        pq.write_table(_columns(columns, CERTIFICATES), temporary)


def read_certificates(folder: Path) -> dict[str, np.ndarray]:
    """Read rows/certificates.parquet as one array a column; empty without one."""
    return _arrays(_read_rows(folder / "rows" / "certificates.parquet", CERTIFICATES))


def write_tops(folder: Path, parts: Sequence[Mapping[str, Any]]) -> None:
    """Write rows/tops.parquet; each part has every field of `TopRow` as a column."""
    _write_parts(folder / "rows" / "tops.parquet", parts, TOPS)


def read_tops(folder: Path) -> dict[str, np.ndarray]:
    """Read rows/tops.parquet as one array a column; empty without one."""
    return _arrays(_read_rows(folder / "rows" / "tops.parquet", TOPS))


def write_coherence(folder: Path, parts: Sequence[Mapping[str, Any]]) -> None:
    """Write rows/coherence.parquet; each part has every field of `CoherenceRow` as a column."""
    _write_parts(folder / "rows" / "coherence.parquet", parts, COHERENCE)


def read_coherence(folder: Path) -> dict[str, np.ndarray]:
    """Read rows/coherence.parquet as one array a column; empty without one."""
    return _arrays(_read_rows(folder / "rows" / "coherence.parquet", COHERENCE))


def write_claims(folder: Path, claims: Sequence[ClaimRow]) -> None:
    """Write rows/claims.parquet."""
    _write_rows(folder / "rows" / "claims.parquet", claims, CLAIMS)


def read_claims(folder: Path) -> list[ClaimRow]:
    """Read rows/claims.parquet, as it was written; empty when there is none."""
    table = _read_rows(folder / "rows" / "claims.parquet", CLAIMS)
    return [ClaimRow(**row) for row in table.to_pylist()]


def write_images(folder: Path, parts: Iterable[Mapping[str, Any]]) -> int:
    """Write rows/images.parquet from parts of columns, one part in memory at a time.

    Args:
        folder: The results folder.
        parts: Each maps every field of `ImageRow` to a column: an array, a list, or one value for
            the whole part ("network", "seed", "method").

    Returns:
        The number of rows.
    """
    rows = 0
    with (
        whole_file(folder / "rows" / "images.parquet") as temporary,
        pq.ParquetWriter(temporary, IMAGES) as writer,
    ):
        for part in parts:
            table = _columns(part, IMAGES)
            rows += len(table)
            writer.write_table(table)
    return rows


def read_images(folder: Path, columns: Sequence[str] | None = None) -> dict[str, np.ndarray]:
    """Read rows/images.parquet as one array a column (strings as objects); empty without one.

    What a folder of an older schema version lacks is filled with what it would hold.
    """
    return _arrays(_read_rows(folder / "rows" / "images.parquet", IMAGES, columns))


def image_columns(rows: Iterable[ImageRow]) -> dict[str, list[Any]]:
    """Columns for `write_images` from single rows."""
    dicts = [asdict(row) for row in rows]
    return {name: [row[name] for row in dicts] for name in IMAGES.names}


def write_tensors(
    folder: Path, name: str, tensors: Mapping[str, np.ndarray], metadata: Mapping[str, str]
) -> None:
    """Write tensors/NAME.safetensors; the metadata says in words what each tensor is.

    Args:
        folder: A results folder.
        name: Of the file; made by `file_name` from what others have named.
        tensors: By names of ours; what others have named stands in the metadata.
        metadata: Words.

    Raises:
        InputError: If the name is not one of a file.
    """
    if "/" in name or "\\" in name or name.startswith("."):
        raise InputError(f"{name!r} cannot name a file of tensors; give it as file_name(...)")
    words = {key: storable(value) for key, value in metadata.items()}
    content = save({key: np.ascontiguousarray(t) for key, t in tensors.items()}, words)
    write_whole(folder / "tensors" / f"{name}.safetensors", settled(content))


def read_tensors(folder: Path, name: str) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Tensors and metadata of tensors/NAME.safetensors."""
    with _opened(folder, name) as file:
        keys = file.keys()
        return {key: file.get_tensor(key) for key in keys}, file.metadata() or {}


def find_tensors(folder: Path, start: str, network: str) -> str | None:
    """The file named START-… that is about a network, as it says; None where there is none."""
    for name in list_tensors(folder):
        if name.startswith(f"{start}-"):
            with _opened(folder, name) as file:
                said = file.metadata() or {}
            # Pairs of earlier versions say it in their title.
            if said.get("network", said.get("title", "").partition(" found for ")[2]) == network:
                return name
    return None


@contextmanager
def _opened(folder: Path, name: str) -> Iterator[Any]:
    path = folder / "tensors" / f"{name}.safetensors"
    check_regular(path, REMEDY)
    try:
        with safe_open(path, framework="numpy") as file:
            yield file
    except Exception as error:  # of a type it does not know, the reader raises what it likes
        raise InputError(f"cannot read {path} ({error}); {REMEDY}") from error


def list_tensors(folder: Path) -> tuple[str, ...]:
    """Names of the files that `write_tensors` wrote."""
    return tuple(sorted(path.stem for path in (folder / "tensors").glob("*.safetensors")))


def _columns(part: Mapping[str, Any], schema: pa.Schema) -> pa.Table:
    rows = max(np.size(column) for column in part.values())
    arrays = []
    for field in schema:
        column = part[field.name]
        whole = [column] * rows if isinstance(column, str) or np.ndim(column) == 0 else column
        arrays.append(pa.array(_storable(whole, field), type=field.type))
    return pa.Table.from_arrays(arrays, schema=schema)


def _storable(column: Any, field: pa.Field) -> Any:
    """A column's texts as UTF-8 can hold them."""
    text = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
    if not pa.types.is_string(text):
        return column
    return [storable(one) if isinstance(one, str) else one for one in column]


def _arrays(table: pa.Table) -> dict[str, np.ndarray]:
    return {
        name: np.asarray(table.column(name).to_pylist(), dtype=object)
        if pa.types.is_dictionary(table.schema.field(name).type)
        or pa.types.is_string(table.schema.field(name).type)
        else table.column(name).to_numpy()
        for name in table.column_names
    }


def _write_parts(path: Path, parts: Sequence[Mapping[str, Any]], schema: pa.Schema) -> None:
    tables = [_columns(part, schema) for part in parts]
    with whole_file(path) as temporary:
        pq.write_table(pa.concat_tables(tables) if tables else schema.empty_table(), temporary)


def _write_rows(path: Path, rows: Sequence[Any], schema: pa.Schema) -> None:
    dicts = [asdict(row) for row in rows]
    columns = [
        pa.array(_storable([one[field.name] for one in dicts], field), type=field.type)
        for field in schema
    ]
    table = pa.Table.from_arrays(columns, schema=schema)
    with whole_file(path) as temporary:
        pq.write_table(table, temporary)


def _read_rows(path: Path, schema: pa.Schema, columns: Sequence[str] | None = None) -> pa.Table:
    wanted = list(schema.names if columns is None else columns)
    if not os.path.lexists(path):
        return schema.empty_table().select(wanted)
    check_regular(path, f"delete it; {REMEDY}")
    try:
        with pq.ParquetFile(path) as file:
            if file.metadata.num_rows > MOST_ROWS:
                raise ValueError(f"{file.metadata.num_rows:,} rows, more than {MOST_ROWS:,}")
            there = file.schema_arrow.names
            table = file.read([name for name in wanted if name in there])
        table = _typed(table, schema)
    except Exception as error:  # of a damaged file, Arrow's readers raise what they like
        words = str(error).partition("\n")[0]
        raise InputError(f"{path} is damaged ({words}); delete it; {REMEDY}") from error
    for name in (name for name in wanted if name not in there):
        if name not in ADDED:
            raise InputError(f"{path} is damaged (no column {name}); delete it; {REMEDY}")
        filled = pa.array([ADDED[name]] * len(table), type=schema.field(name).type)
        table = table.append_column(schema.field(name), filled)
    return table.select(wanted)


def _typed(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """The columns in the types that they are written in; ValueError where they do not fit."""
    for place, name in enumerate(table.column_names):
        field = schema.field(name)
        column = table.column(name)
        if pa.types.is_dictionary(field.type) and not pa.types.is_dictionary(column.type):
            column = column.cast(field.type.value_type)
        column = column.cast(field.type)
        if column.null_count and not field.nullable:
            raise ValueError(f"{name} has {column.null_count} empty places")
        column.validate(full=True)
        table = table.set_column(place, field, column)
    return table

"""Rows of a results folder as Parquet files: one writer and one reader, whatever the rows are.

The schema of a file follows from the fields of its dataclass: `float`, `int`, `str`, `bool`, or as
`Annotated` says; an enumeration and a `Literal` are text; `| None` may be empty, nothing else may.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import fields
from enum import Enum
from functools import cache
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin, get_type_hints

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from intriguing.addresses import on_disk, present
from intriguing.errors import InputError
from intriguing.files import check_regular, whole_file
from intriguing.names import storable
from intriguing.results.damage import REMEDY
from intriguing.results.rows import Row

MOST_ROWS = 20_000_000
"""Rows of one file that is read at once: a few kilobytes can say that there are any number."""

PIECE = 1 << 16
"""Rows that are read together, where nobody needs all of them at once."""

T = TypeVar("T", bound=Row)
_PLAIN = {float: pa.float64(), int: pa.int64(), str: pa.string(), bool: pa.bool_()}
_WORD = pa.dictionary(pa.int32(), pa.string())


def write_rows(folder: Path, kind: type[T], rows: Sequence[T]) -> None:
    """Write the file of this kind of rows."""
    columns = {f.name: [getattr(row, f.name) for row in rows] for f in schema(kind)}
    write_columns(folder, kind, [columns] if rows else [])


def read_rows(folder: Path, kind: type[T]) -> list[T]:
    """The rows as they were written; empty where there is no file.

    Raises:
        InputError: If the file is damaged.
    """
    made = _choices(kind)
    rows = _read(folder, kind).to_pylist()
    try:
        return [kind(**row | {n: one(row[n]) for n, one in made.items()}) for row in rows]
    except ValueError as error:
        raise _damaged(folder, kind, error) from error


def write_columns(folder: Path, kind: type[T], parts: Iterable[Mapping[str, Any]]) -> int:
    """Write the file of this kind of rows from parts of columns, one in memory at a time.

    Args:
        folder: The results folder.
        kind: The dataclass of the rows.
        parts: Each maps every field to a column: an array, a list, or one value for all its rows.

    Returns:
        The number of rows.
    """
    count = 0
    with (
        whole_file(rows_file(folder, kind)) as temporary,
        pq.ParquetWriter(temporary, schema(kind)) as writer,
    ):
        for part in parts:
            table = _table(part, schema(kind))
            count += len(table)
            writer.write_table(table)
    return count


def read_columns(
    folder: Path, kind: type[T], columns: Sequence[str] | None = None
) -> dict[str, np.ndarray]:
    """The rows as one array a column (text as objects); empty where there is no file.

    Raises:
        InputError: If the file is damaged.
    """
    table = _read(folder, kind, columns)
    return {name: _as_array(table.column(name)) for name in table.column_names}


def stream_columns(
    folder: Path, kind: type[T], columns: Sequence[str] | None = None
) -> Iterator[dict[str, np.ndarray]]:
    """The same in parts, one in memory at a time; none where there is no file, or no row in it.

    Raises:
        InputError: If the file is damaged.
    """
    for table in _parts(folder, kind, columns):
        yield {name: _as_array(table.column(name)) for name in table.column_names}


def _as_array(column: pa.ChunkedArray) -> np.ndarray:
    """Text as objects, of which equal ones are one: a million rows say few different words."""
    if not _is_text(column.type):
        return np.asarray(column.to_numpy())
    parts = []
    for chunk in column.chunks:
        if pa.types.is_string(chunk.type):
            chunk = chunk.dictionary_encode()
        words = np.array([*chunk.dictionary.to_pylist(), None], dtype=object)
        parts.append(words[chunk.indices.fill_null(len(words) - 1).to_numpy(zero_copy_only=False)])
    return np.concatenate(parts) if parts else np.empty(0, dtype=object)


@cache
def schema(kind: type[Row]) -> pa.Schema:
    """The columns of the file of this kind of rows."""
    hints = get_type_hints(kind, include_extras=True)
    return pa.schema([_field(field.name, hints[field.name]) for field in fields(kind)])  # type: ignore[arg-type]


def _field(name: str, hint: Any) -> pa.Field:
    nullable = get_origin(hint) is UnionType or type(None) in get_args(hint)
    if nullable:
        hint = get_args(hint)[0]
    if get_origin(hint) is Annotated:
        return pa.field(name, get_args(hint)[1], nullable=nullable)
    chosen = get_origin(hint) is Literal or issubclass(hint, Enum)
    return pa.field(name, _WORD if chosen else _PLAIN[hint], nullable=nullable)


def _choices(kind: type[Row]) -> dict[str, Any]:
    """For each field that is one of several words, what makes it from text or refuses to."""
    hints = {field.name: get_type_hints(kind)[field.name] for field in fields(kind)}  # type: ignore[arg-type]

    def among(words: tuple[str, ...], name: str) -> Any:
        def checked(text: str) -> str:
            if text not in words:
                raise ValueError(f"no {name} {text!r:.40}")
            return text

        return checked

    return {
        name: among(get_args(hint), name) if get_origin(hint) is Literal else hint
        for name, hint in hints.items()
        if get_origin(hint) is Literal or (isinstance(hint, type) and issubclass(hint, Enum))
    }


def rows_file(folder: Path, kind: type[Row]) -> Path:
    """Where the rows of a kind are in a results folder."""
    return folder / "rows" / f"{kind.FILE}.parquet"


def _damaged(folder: Path, kind: type[Row], why: object) -> InputError:
    words = str(why).partition("\n")[0]
    return InputError(f"{rows_file(folder, kind)} is damaged ({words}); delete it; {REMEDY}")


def _table(part: Mapping[str, Any], columns: pa.Schema) -> pa.Table:
    rows = max(np.size(column) for column in part.values())
    arrays = []
    for field in columns:
        column = part[field.name]
        whole = [column] * rows if isinstance(column, str) or np.ndim(column) == 0 else column
        if _is_text(field.type):  # as UTF-8 can hold it
            whole = [storable(one) if isinstance(one, str) else one for one in whole]
        arrays.append(pa.array(whole, type=field.type))
    return pa.Table.from_arrays(arrays, schema=columns)


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_dictionary(kind) or pa.types.is_string(kind))


def _read(folder: Path, kind: type[Row], columns: Sequence[str] | None = None) -> pa.Table:
    parts = list(_parts(folder, kind, columns, whole=True))
    if parts:
        return parts[0]
    return schema(kind).empty_table().select(schema(kind).names if columns is None else columns)


def _parts(
    folder: Path, kind: type[Row], columns: Sequence[str] | None, *, whole: bool = False
) -> Iterator[pa.Table]:
    """The rows, in pieces or as a `whole`; nothing where there is no file."""
    path, wanted = rows_file(folder, kind), list(schema(kind).names if columns is None else columns)
    if not present(path):
        return
    check_regular(path, f"delete it; {REMEDY}")
    try:
        with pq.ParquetFile(on_disk(path), pre_buffer=False) as file:
            if file.metadata.num_rows > MOST_ROWS:
                raise ValueError(f"{file.metadata.num_rows:,} rows, more than {MOST_ROWS:,}")
            missing = [name for name in wanted if name not in file.schema_arrow.names]
            if missing:
                raise ValueError(f"no column {missing[0]}")
            if whole:
                yield _typed(file.read(wanted), schema(kind))
                return
            for batch in file.iter_batches(PIECE, columns=wanted, use_threads=False):
                yield _typed(pa.Table.from_batches([batch]), schema(kind))
    except Exception as error:  # of a damaged file, Arrow's readers raise what they like
        raise _damaged(folder, kind, error) from error


def _typed(table: pa.Table, columns: pa.Schema) -> pa.Table:
    """The columns in the types that they are written in; ValueError where they do not fit."""
    for place, name in enumerate(table.column_names):
        field, column = columns.field(name), table.column(name)
        if pa.types.is_dictionary(field.type) and not pa.types.is_dictionary(column.type):
            column = column.cast(field.type.value_type)
        column = column.cast(field.type)
        if column.null_count and not field.nullable:
            raise ValueError(f"{name} has {column.null_count} empty places")
        column.validate(full=True)
        table = table.set_column(place, field, column)
    return table

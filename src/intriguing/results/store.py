"""Writing and reading a results folder: run.json and tensors; rows are in `results.parquet`.

Nothing here needs torch, so a report can be drawn from a folder on any machine.  Every file is
replaced whole, so a folder is readable at any moment, whatever happened to the process.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save

from intriguing.addresses import on_disk, present
from intriguing.errors import InputError
from intriguing.files import check_regular, read_json, settled, write_whole
from intriguing.names import storable
from intriguing.results.damage import REMEDY
from intriguing.results.schema import SCHEMA_VERSION, RunRecord
from intriguing.results.typed import of_json


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
    if not present(path):
        raise InputError(
            f"{folder} is no results folder: it has no run.json; give the --out of a command that "
            "computed something, for instance `intriguing reproduce --out DIR`"
        )
    content = read_json(path, "use another --out")
    if not isinstance(content, dict) or "schema_version" not in content:
        raise InputError(f"{path} cannot be read as a run record; use another --out")
    version = content["schema_version"]
    if version != SCHEMA_VERSION:
        versions = content.get("versions")
        writer = versions.get("intriguing") if isinstance(versions, dict) else "not recorded"
        raise InputError(
            f"{folder} is a results folder of schema version {version!r:.20}; this version of "
            f"intriguing reads {SCHEMA_VERSION}; use another --out, or the version of "
            f"intriguing that wrote it ({writer})"
        )
    try:
        return of_json(RunRecord, content)
    except ValueError as error:
        raise InputError(f"{path} is damaged: {error}; use another --out") from error


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
    content = save({key: np.ascontiguousarray(t) for key, t in tensors.items()}, words or None)
    write_whole(folder / "tensors" / f"{name}.safetensors", settled(content))


def read_tensors(folder: Path, name: str) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Tensors and metadata of tensors/NAME.safetensors."""
    with _opened(folder, name) as file:
        keys = file.keys()
        return {key: file.get_tensor(key) for key in keys}, file.metadata() or {}


def find_tensors(folder: Path, **words: str) -> str | None:
    """The first file whose metadata say all these `words`; None where there is none."""
    for name in list_tensors(folder):
        with _opened(folder, name) as file:
            said = file.metadata() or {}
        if words.items() <= said.items():
            return name
    return None


@contextmanager
def _opened(folder: Path, name: str) -> Iterator[Any]:
    path = folder / "tensors" / f"{name}.safetensors"
    check_regular(path, REMEDY)
    try:
        with safe_open(on_disk(path), framework="numpy") as file:
            yield file
    except Exception as error:  # of a type it does not know, the reader raises what it likes
        raise InputError(f"cannot read {path} ({error}); {REMEDY}") from error


def list_tensors(folder: Path) -> tuple[str, ...]:
    """Names of the files that `write_tensors` wrote."""
    return tuple(sorted(path.stem for path in (folder / "tensors").glob("*.safetensors")))

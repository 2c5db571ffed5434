"""Opening a results folder before work starts: is it ours, writable, large enough, and free?"""

import json
import os
import shutil
import tempfile
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from intriguing.addresses import Address, present
from intriguing.errors import InputError
from intriguing.files import explained, write_whole
from intriguing.names import storable
from intriguing.results.schema import Kind, RunRecord
from intriguing.results.store import read_run
from intriguing.written import (
    PARTS,
    begin_list,
    delete_stale,
    delete_written,
    has_list,
    open_plain,
    refuse_links,
    written,
)


@contextmanager
def open_results(
    folder: Path,
    kind: Kind,
    config: Mapping[str, Any],
    required_bytes: int = 0,
    *,
    fresh: bool = False,
    may_differ: Collection[str] = (),
) -> Iterator[RunRecord | None]:
    """Make `folder` ready for a run and keep others out of it until the block ends.

    Args:
        folder: Made with its parents when missing.
        kind: The verb that will write.
        config: JSON-able; a folder that holds another one is refused, the same one is continued.
        required_bytes: Estimate of what the whole run writes; what is there already counts.
        fresh: First delete what earlier runs wrote, by the list that they kept of it, and nothing
            else. Where there is no list, nothing is deleted, and the folder is refused.
        may_differ: Entries of `config` that may change from run to run, such as the choice of
            tables: all that was computed for others stays usable.

    Yields:
        The record of the run to continue; None in a new folder.

    Raises:
        InputError: If the folder is a file, unwritable, too small a disk, in use by another
            process, of another schema version, another run's, or if a part of it is elsewhere.
    """
    _check_known(folder, fresh=fresh)
    with _in_store(folder) if isinstance(folder, Address) else _on_disk(folder, required_bytes):
        if not has_list(folder) and not _parts(folder):
            begin_list(folder)
        elif fresh:
            delete_written(folder)
        record = read_run(folder) if (folder / "run.json").exists() else None
        if record is not None:
            _check_same(folder, record, kind, config, may_differ)
        elif any(path.exists() for path in written(folder)):
            raise InputError(
                f"{folder} holds results but no run.json, so nobody knows of what; choose another "
                "--out, or --fresh to delete what a run wrote there"
            )
        delete_stale(written(folder))
        yield record


def _parts(folder: Path) -> list[str]:
    """What of a results folder is there, whoever made it."""
    return [name for name in PARTS if present(folder / name)]


def _check_known(folder: Path, *, fresh: bool) -> None:
    """Refuse what is not ours to write to, or to delete, before anything is touched."""
    if folder.parts[:1] == ("~",):
        raise InputError(f"{folder} begins with a ~ that the shell did not replace; write it out")
    refuse_links(folder)
    there = _parts(folder)
    if there and not has_list(folder) and (fresh or "run.json" not in there):
        raise InputError(
            f"{folder} holds {', '.join(there)}, and there is no list of files that intriguing "
            "wrote, so nothing was deleted; choose another --out, or delete yourself what may go"
        )


@contextmanager
def _on_disk(folder: Path, required_bytes: int) -> Iterator[None]:
    """A folder that can be written to, by nobody else, with as much room as is needed."""
    _check_writable(folder)
    with _locked(folder):
        _check_space(folder, required_bytes)
        yield


@contextmanager
def _in_store(folder: Address) -> Iterator[None]:
    """Objects can be put. A store knows no locks: two runs of one command put the same objects."""
    write_whole(folder / ".lock", b"")
    yield


def _check_writable(folder: Path) -> None:
    if storable(str(folder)) != str(folder):
        raise InputError(
            f"{folder} is no UTF-8, and safetensors reads no file of such a name; choose another "
            "--out"
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as probe:
            probe.write(b"\0" * 4096)
            probe.flush()
            os.fsync(probe.fileno())
    except OSError as error:
        raise explained(error, folder) from error


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold the folder's lock; the system frees it when the process ends, however it ends."""
    os.close(open_plain(folder / ".lock"))  # not through a link
    try:
        held = FileLock(folder / ".lock").acquire(timeout=0)
    except Timeout as error:
        raise InputError(
            f"another process is writing to {folder}; wait for it or choose another --out"
        ) from error
    with held:
        yield


def _check_same(
    folder: Path,
    record: RunRecord,
    kind: Kind,
    config: Mapping[str, Any],
    may_differ: Collection[str],
) -> None:
    now = json.loads(json.dumps(config))
    then = record.config
    differing = [
        f"{key} was {_show(then, key)} and is {_show(now, key)}"
        for key in sorted(now.keys() | then.keys())
        if key not in may_differ and (key not in now or key not in then or now[key] != then[key])
    ]
    if record.kind != kind:
        differing = [f"it was written by `intriguing {record.kind}`, not `intriguing {kind}`"]
    if differing:
        raise InputError(
            f"{folder} holds another run's results: {'; '.join(differing)}. Choose another --out, "
            "or --fresh to delete these results"
        )


def _show(config: Mapping[str, Any], key: str) -> str:
    return json.dumps(config[key]) if key in config else "absent"


def _check_space(folder: Path, required_bytes: int) -> None:
    there = sum(path.stat().st_size for path in written(folder) if path.is_file())
    missing = required_bytes - there
    free = shutil.disk_usage(folder).free
    if missing > free:
        raise InputError(
            f"{folder} needs about {missing / 1e9:.2f} GB more and its disk has {free / 1e9:.2f} "
            "GB free; free some space or choose an --out on another disk"
        )

"""Fetch one file of known digest from whichever mirror serves it, continuing where it stopped."""

import hashlib
import http.client
import os
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from intriguing.errors import InputError
from intriguing.measures import Progress, ProgressCallback
from intriguing.written import open_plain

_CHUNK = 1 << 18
"""Bytes between two reports of progress."""


def download(
    urls: Sequence[str],
    target: Path,
    sha256: str,
    progress: ProgressCallback | None = None,
    timeout: float = 20.0,
) -> Path:
    """Download `target` from the first of `urls` that yields the bytes of digest `sha256`.

    Bytes arrive in `<target>.part`, which an interrupted download leaves for the next attempt, on
    the same mirror or another; `target` appears only whole and checked. The mirrors are gone round
    again for as long as a round brings new bytes.

    Args:
        urls: the same file on several mirrors, best first.
        target: where the file shall be; returned at once when it is there already.
        sha256: hexadecimal digest of the whole file.
        progress: called with bytes done of bytes in total.
        timeout: seconds a mirror may stay silent.

    Raises:
        InputError: when no mirror worked (each with its reason) or the folder cannot be written.
    """
    if target.exists():
        return target
    part = target.with_name(target.name + ".part")
    with _writing(target), _alone(part):
        held = -1
        failures: list[str] = []
        while not target.exists() and _size(part) > held:
            held, failures = _size(part), []
            for url in urls:
                try:
                    _fetch_checked(url, part, sha256, progress, timeout)
                except _MirrorError as error:
                    failures.append(f"{url}: {error}")
                else:
                    os.replace(part, target)
                    break
        if target.exists():
            return target
    raise InputError("; ".join(failures))


def _fetch_checked(
    url: str, part: Path, sha256: str, progress: ProgressCallback | None, timeout: float
) -> None:
    """Bring `part` to the whole file of digest `sha256`; raises _MirrorError."""
    resumed = _size(part) > 0
    _fetch(url, part, progress, timeout)
    found, size = _digest(part), _size(part)
    if found == sha256:
        return
    part.unlink()
    if not resumed:
        raise _MirrorError(f"sent {size:,} bytes of sha256 {found[:12]}…, not {sha256[:12]}…")
    # The bytes held from before may be the wrong ones: judge this mirror by a file all its own.
    _fetch_checked(url, part, sha256, progress, timeout)


def _fetch(url: str, part: Path, progress: ProgressCallback | None, timeout: float) -> None:
    """Append to `part` what it lacks of `url`; raises _MirrorError when not all of it came."""
    offset = _size(part)
    with _open(url, offset, timeout) as response:
        if response is None:
            return  # nothing is left to send; the digest decides
        if not (response.status == 206 and _starts_at(response, offset)):
            offset = 0  # the server ignored Range and sends the file from its start
        length = response.headers.get("Content-Length", "")
        total = offset + int(length) if length.isdecimal() else 0
        with part.open("r+b" if part.exists() else "wb") as file:
            file.truncate(offset)
            file.seek(offset)
            for chunk in _chunks(response):
                offset += file.write(chunk)
                if progress is not None:
                    name = url.rsplit("/", 1)[-1]
                    progress(Progress(f"download {name}", offset, max(total, offset), "bytes"))
            file.flush()
            os.fsync(file.fileno())
    if offset < total:
        raise _MirrorError(f"the connection closed after {offset:,} of {total:,} bytes")


@contextmanager
def _open(url: str, offset: int, timeout: float) -> Iterator[http.client.HTTPResponse | None]:
    """The response to a request for the bytes from `offset` on; None when there are none."""
    request = urllib.request.Request(url, headers={"Accept-Encoding": "identity"})
    if offset:
        request.add_header("Range", f"bytes={offset}-")
    try:
        response = urllib.request.urlopen(request, timeout=timeout)
    except urllib.error.HTTPError as error:
        error.close()
        if not (error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and offset):
            raise _MirrorError(f"HTTP {error.code} {error.reason}") from error
        yield None
    except (OSError, http.client.HTTPException) as error:
        raise _MirrorError(str(getattr(error, "reason", "") or error or repr(error))) from error
    else:
        with response:
            yield response


def _chunks(response: http.client.HTTPResponse) -> Iterator[bytes]:
    try:
        while chunk := response.read1(_CHUNK):
            yield chunk
    except (OSError, http.client.HTTPException) as error:
        raise _MirrorError(str(error) or repr(error)) from error


class _MirrorError(Exception):
    """What one mirror did wrong; an OSError outside it is the disk's fault."""


@contextmanager
def _writing(target: Path) -> Iterator[None]:
    """Make the folder; turn any failure to write there into the caller's message."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        raise InputError(
            f"cannot write to {target.parent}: {error.strerror}; free some space or permit "
            "writing there, or choose another cache folder with XDG_CACHE_HOME"
        ) from error


@contextmanager
def _alone(part: Path) -> Iterator[None]:
    """Let one process at a time write `part`; the lock dies with its process."""
    with open(open_plain(part.parent / ".lock"), "r+b") as lock:
        if sys.platform != "win32":
            import fcntl

            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _starts_at(response: http.client.HTTPResponse, offset: int) -> bool:
    return response.headers.get("Content-Range", "").startswith(f"bytes {offset}-")


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0

"""Results folders in object stores, at addresses such as s3://bucket/prefix.

An `Address` is a path whose files are objects: whoever asks it what is there, or reads it, asks the
store, and nobody else needs to know. An object is put whole or not at all, so two who put the same
do no harm, and who is killed leaves nothing half. `on_disk` gives a library that wants a file of
this machine a copy.

Stores are Arrow's own (S3 and what speaks like it, Google's, Azure's, HDFS) or those of fsspec's
packages that are installed. Credentials are found where each of them looks: in the environment, in
the files of the cloud's tools, by the machine's role. An address is written down and shown; so one
that holds a credential is refused.
"""

import os
import re
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path, PosixPath
from typing import TYPE_CHECKING, Any

from intriguing.errors import InputError

if TYPE_CHECKING:
    _Path = PosixPath
else:
    _Path = type(Path())

_SCHEME = re.compile(r"[a-z][a-z0-9+.-]+:")
COPIES_BYTES = 2 << 30
"""Of the copies that a process keeps, the last ones; a shard's columns are asked for one by one."""


def as_folder(path: Path | str) -> Path:
    """A results folder by its path or its address.

    Raises:
        InputError: If it is an address that holds more than a store, a bucket and a prefix, or of
            a store that nobody here knows.

    >>> as_folder("results/a"), as_folder("memory://bucket/a") / "run.json"
    (PosixPath('results/a'), Address('memory://bucket/a/run.json'))
    """
    path = path if isinstance(path, Path) else Path(path)
    parts = path.parts
    if isinstance(path, Address) or not parts or not _SCHEME.fullmatch(parts[0]):
        return path
    if parts[0] == "file:":
        return Path("/", *parts[1:])
    if len(parts) < 2:
        raise InputError(f"{parts[0]}// names no bucket; give an address such as s3://bucket/run")
    if re.search(r"[@?#]", parts[1]) or re.search(r"[?#]", "/".join(parts)):
        raise InputError(  # not shown: it may hold a password
            f"an address is {parts[0]}//BUCKET/PREFIX and no more; credentials and endpoints are "
            "taken from the environment, such as AWS_ACCESS_KEY_ID and AWS_ENDPOINT_URL"
        )
    if ".." in parts:
        raise InputError("an address with .. leads nowhere; write it out")
    address = Address(*parts)
    _store(address.scheme, parts[1])
    return address


class Address(_Path):
    """A path of a store: its scheme, the bucket, and names that may lie below each other.

    What is not overridden here is refused by the system, as it finds no such file.
    """

    @property
    def scheme(self) -> str:
        """Such as s3."""
        return self.parts[0][:-1]

    @property
    def name_there(self) -> str:
        """As the store calls it."""
        return "/".join((_store(self.scheme, self.parts[1])[1], *self.parts[2:]))

    def __str__(self) -> str:
        if not self.parts or not _SCHEME.fullmatch(self.parts[0]):
            return super().__str__()
        return f"{self.parts[0]}//{'/'.join(self.parts[1:])}"

    def absolute(self) -> "Address":
        """Itself."""
        return self

    def stat(self, *, follow_symlinks: bool = True) -> os.stat_result:
        """Whether it is a file or a folder, and how many bytes it has."""
        found = self._asked()
        if found is None:
            raise FileNotFoundError(2, "there is no such object", str(self))
        return found

    lstat = stat

    def exists(self, **_: Any) -> bool:
        """Whether there is an object of this name, or one below it."""
        return self._asked() is not None

    def is_file(self, **_: Any) -> bool:
        """Whether there is an object of this name."""
        found = self._asked()
        return found is not None and stat.S_ISREG(found.st_mode)

    def is_dir(self, **_: Any) -> bool:
        """Whether there are objects below it."""
        found = self._asked()
        return found is not None and stat.S_ISDIR(found.st_mode)

    def is_symlink(self) -> bool:
        """A store has no links."""
        return False

    def iterdir(self) -> Iterator["Address"]:  # type: ignore[override]
        """What lies below it, one level deep."""
        from pyarrow import fs

        with self._asking() as store:
            there = store.get_file_info(fs.FileSelector(self.name_there, allow_not_found=True))
        return iter([self / found.base_name for found in there if found.base_name])

    def glob(self, pattern: str, **_: Any) -> Iterator["Address"]:  # type: ignore[override]
        """Of these, whose names match."""
        return (path for path in self.iterdir() if path.match(pattern))

    def mkdir(self, *_: Any, **__: Any) -> None:
        """Nothing: a folder is there as soon as something lies in it."""

    def rmdir(self) -> None:
        """Remove the mark that some stores keep of a folder that is empty."""
        if any(self.iterdir()):
            raise OSError(39, "there are objects", str(self))
        if self.is_dir():
            with self._asking() as store:
                store.delete_dir(self.name_there)

    def unlink(self, missing_ok: bool = False) -> None:
        """Delete the object."""
        if self.is_file():
            with self._asking() as store:
                store.delete_file(self.name_there)
            _copies().forget(self)
        elif not missing_ok:
            raise FileNotFoundError(2, "there is no such object", str(self))

    def open(self, *_: Any, **__: Any) -> Any:
        """Nobody writes to an object piece by piece, and `read_bytes` reads it."""
        raise OSError(95, "an object is put whole", str(self))

    def read_bytes(self) -> bytes:
        """The object."""
        with self._asking() as store, store.open_input_stream(self.name_there) as stream:
            content: bytes = stream.readall()
        return content

    def read_text(self, encoding: str | None = None, errors: str | None = None, *_: Any) -> str:
        """The object as text."""
        return self.read_bytes().decode(encoding or "utf-8", errors or "strict")

    def put(self, file: Path) -> None:
        """Make the object what a file of this machine is."""
        import pyarrow as pa

        with self._asking() as store:
            stream = store.open_output_stream(self.name_there)
            # All at once: whatever ends this between two pieces would complete half an object.
            with pa.OSFile(str(file)) as source:
                stream.write(source.read_buffer())
            stream.close()
        _copies().forget(self)

    def _asked(self) -> os.stat_result | None:
        """What the store knows of it, of a file's times the last change; None where it is not."""
        if len(self.parts) < 2:
            return None
        with self._asking() as store:
            found = store.get_file_info(self.name_there)
        kind = {"File": stat.S_IFREG, "Directory": stat.S_IFDIR}.get(found.type.name)
        if kind is None:
            return None
        size, changed = found.size or 0, (found.mtime_ns or 0) // 1_000_000_000
        return os.stat_result((kind | 0o644, 0, 0, 1, 0, 0, size, changed, changed, changed))

    @contextmanager
    def _asking(self) -> Iterator[Any]:
        """The store; what it refuses is said in a line with what can be done."""
        try:
            yield _store(self.scheme, self.parts[1])[0]
        except FileNotFoundError:
            raise
        except Exception as error:  # of a package of fsspec's, anything
            said = str(error).partition("\n")[0][:300]
            cause = error if isinstance(error, OSError) else OSError(said)
            raise InputError(
                f"{self} cannot be used ({said}); look after the address, the network and the "
                "credentials in the environment, and run the same command again, or choose "
                "another --out"
            ) from cause


_PIECE = 64 << 20
_TRIES = 6
"""Of one request to S3: half a minute of a network that fails."""


@cache
def _store(scheme: str, bucket: str) -> tuple[Any, str]:
    """The store, and what it calls the bucket."""
    from pyarrow import fs  # here, as most runs are on a disk

    if scheme == "s3":
        endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
        region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
        if region is None and endpoint is None:
            try:
                region = fs.resolve_s3_region(bucket)
            except OSError as error:
                said = str(error).partition("\n")[0][:300]
                raise InputError(
                    f"s3://{bucket} cannot be found ({said}); look after its name and the network, "
                    "or set AWS_REGION, or AWS_ENDPOINT_URL for a store that is not Amazon's"
                ) from error
        own = {} if endpoint is None else {"endpoint_override": endpoint}
        own |= {} if region is None else {"region": region}
        # Small objects in one request, not three.
        patient = fs.AwsStandardS3RetryStrategy(max_attempts=_TRIES)
        return fs.S3FileSystem(**own, allow_delayed_open=True, retry_strategy=patient), bucket
    try:
        found: tuple[Any, str] = fs.FileSystem.from_uri(f"{scheme}://{bucket}")
        return found
    except Exception:  # Arrow knows no such scheme, or was built without
        pass
    try:
        from fsspec.core import url_to_fs

        store, root = url_to_fs(f"{scheme}://{bucket}")
    except (ImportError, ValueError, OSError) as error:
        raise InputError(
            f"{scheme}://{bucket} is of no store that is known here ({error}); give s3://, gs:// "
            "or abfs://, or install fsspec's package for it"
        ) from error
    return fs.PyFileSystem(fs.FSSpecHandler(store)), root


def present(path: Path) -> bool:
    """Whether anything is there, a link that leads nowhere included."""
    try:
        path.lstat()
    except (OSError, ValueError):  # ValueError: a name with a NUL
        return False
    return True


def on_disk(path: Path) -> Path:
    """A file of this machine with the same content: the file itself, or a copy of the object.

    The copy may be deleted as soon as others are asked for; a file that is open by then stays.
    """
    return _copies().of(path) if isinstance(path, Address) else path


class _Copies:
    """The last objects that this process read."""

    def __init__(self) -> None:
        self.folder = tempfile.TemporaryDirectory(prefix="intriguing-copies-")
        self.known: dict[Address, tuple[tuple[int, float], Path]] = {}
        self.count = 0

    def of(self, path: Address) -> Path:
        found = path.stat()
        state = (found.st_size, found.st_mtime)
        if (before := self.known.get(path)) is not None and before[0] == state:
            self.known[path] = self.known.pop(path)  # again the last
            return before[1]
        self.forget(path)
        self.count += 1
        copy = Path(self.folder.name) / f"{self.count}{path.suffix}"  # its name is somebody else's
        with (
            path._asking() as store,
            store.open_input_stream(path.name_there) as source,
            copy.open("wb") as target,
        ):
            shutil.copyfileobj(source, target, _PIECE)
        self.known[path] = state, copy
        while sum(one[0][0] for one in self.known.values()) > COPIES_BYTES and len(self.known) > 1:
            self.forget(next(iter(self.known)))
        return copy

    def forget(self, path: Address) -> None:
        """What is there now is another one: a store's times may be of whole seconds."""
        if (before := self.known.pop(path, None)) is not None:
            before[1].unlink()


@cache
def _copies() -> _Copies:
    return _Copies()

"""Workers that are processes of this machine, each a loky executor of one process."""

import os
import shutil
import signal
import tempfile
import threading
import time
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from joblib.externals.loky import ProcessPoolExecutor, process_executor
from joblib.externals.loky.process_executor import BrokenProcessPool

from intriguing.memory import share_memory
from intriguing.scale.engine import Engine, cores, keep_freed_memory
from intriguing.scale.failure import Failure
from intriguing.scale.fingerprint import Fingerprint
from intriguing.scale.package import pack, unpack
from intriguing.scale.staff import Resting, Work, WorkerDied
from intriguing.threads import same_environment
from intriguing.written import write_beside_others

_TELL = 0.25
"""Seconds between two words about how far a job is."""


class LocalStaff:
    """Processes of this machine."""

    def __init__(self, work: Work, engine: Engine, gpu: bool, most: int) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="intriguing-"))
        try:
            self.fingerprint = Fingerprint.here(pack(work, self.folder / "work"))
        except BaseException:
            self.close()
            raise
        devices = max(torch.cuda.device_count(), 1)
        self.most = min(engine.workers or (devices if gpu else cores()), most)
        self.devices = devices if gpu else 0
        self.hired = 0

    def hire(self) -> "LocalWorker":
        """A process; it begins with its first call."""
        number, self.hired = self.hired, self.hired + 1
        own = {"CUDA_VISIBLE_DEVICES": _device(number % self.devices)} if self.devices else {}
        environment = same_environment() | own
        worker = _resting.take(_kind(environment)) or LocalWorker(environment)
        said = self.folder / f"said-{number}"
        worker.work = _Given(self.folder / "work", said, os.getcwd(), self.most)
        return worker

    def dismiss(self, worker: "LocalWorker") -> None:
        """It may be hired again."""
        _resting.add(_kind(worker.environment), worker)

    def room(self) -> int:
        """As many as were asked for."""
        return self.most

    def close(self) -> None:
        """Delete what the workers read."""
        shutil.rmtree(self.folder, ignore_errors=True)


def _device(number: int) -> str:
    """The name of one of the devices that this process sees."""
    seen = os.environ.get("CUDA_VISIBLE_DEVICES")
    return seen.split(",")[number] if seen else str(number)


@dataclass(frozen=True)
class _Given:
    """Where a process reads its work, and writes how far it is, from which folder on.

    And beside how many, itself included.
    """

    file: Path
    said: Path
    folder: str
    workers: int


class LocalWorker:
    """A process that holds the work."""

    def __init__(self, environment: dict[str, str]) -> None:
        self.environment = environment
        self.work: _Given | None = None
        self._pool = ProcessPoolExecutor(
            1, timeout=None, env=environment, initializer=_begin, initargs=(os.getpid(),)
        )
        self._future: Future[Any] | None = None

    def call(self, index: int | None, job: object) -> None:
        """Begin a job, or read the work."""
        assert self.work is not None
        self.work.said.unlink(missing_ok=True)
        self._submit(*((_read, self.work) if index is None else (_do, job)))

    def rest(self) -> None:
        """Forget the work."""
        self.work = None
        self._submit(_forget)

    def _submit(self, *call: Any) -> None:
        try:
            self._future = self._pool.submit(*call)
        except BrokenProcessPool as error:  # it died while it had no work
            self._future = Future()
            self._future.set_exception(error)

    def answered(self) -> bool:
        """Whether the call has ended."""
        return self._future is not None and self._future.done()

    def answer(self) -> Failure | Fingerprint | None:
        """What it came to."""
        assert self._future is not None
        try:
            answer: Failure | Fingerprint | None = self._future.result()
        except BrokenProcessPool as error:
            self.stop()
            raise WorkerDied("a process ended by itself, or was killed") from error
        return answer

    def share(self) -> float:
        """As the process wrote it down."""
        assert self.work is not None
        try:
            return float(self.work.said.read_text() or 0)
        except (OSError, ValueError):  # nothing yet, or half of it
            return 0.0

    def stop(self) -> None:
        """Kill the process."""
        self._pool.shutdown(wait=True, kill_workers=True)


def _kind(environment: dict[str, str]) -> frozenset[tuple[str, str]]:
    return frozenset(environment.items())


_resting: Resting[LocalWorker] = Resting()


_here: dict[str, Any] = {}
"""What this process holds, where it is a worker."""


def _begin(parent: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for who gave the work
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    torch.set_num_threads(1)
    keep_freed_memory()
    # Memory that is kept looks like a leak, for which loky puts another process in this one's
    # place: one that has no work.
    process_executor._USE_PSUTIL = False
    write_beside_others()


def _end_with(parent: int) -> None:
    """However it ends: killed, it can stop nobody."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


def _read(given: _Given) -> Failure | Fingerprint:
    try:
        os.chdir(given.folder)  # as paths may be relative
        share_memory(given.workers)
        work, sent = unpack(given.file)
    except Exception as error:
        return Failure.of(error)
    _here.update(work=work, said=given.said)
    return Fingerprint.here(sent)


def _do(job: object) -> Failure | None:
    try:
        _here["work"](job, _teller(_here["said"]))
    except Exception as error:
        return Failure.of(error)
    return None


def _forget() -> None:
    _here.clear()


def _teller(said: Path) -> Any:
    last = time.monotonic()

    def tell(share: float) -> None:
        nonlocal last
        if time.monotonic() - last > _TELL:
            last = time.monotonic()
            said.write_text(repr(share))

    return tell

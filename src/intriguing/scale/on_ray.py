"""Workers that are actors of Ray's: one a core or a GPU, on whatever machines the cluster has.

Ray places them and tells of their deaths and of lost machines; what is given to whom is decided in
`jobs`. They write to the results folder, which all machines must see.
"""

import io
import logging
import time
from typing import Any

import ray
import torch
from ray.exceptions import RayError

from intriguing.errors import InputError
from intriguing.scale.engine import Engine, cores
from intriguing.scale.fingerprint import Fingerprint
from intriguing.scale.jobs import Failure, Work, WorkerDied, same_environment
from intriguing.scale.package import pack, unpack
from intriguing.written import write_beside_others

_LOOK = 1.0
"""Seconds between two questions of how large the cluster is, and of how far its workers are."""


class RayStaff:
    """Actors of a cluster."""

    def __init__(self, work: Work, engine: Engine, gpu: bool) -> None:
        _join(engine)
        content = io.BytesIO()
        self.fingerprint = Fingerprint.here(pack(work, content))
        self._work = ray.put(content.getvalue())
        self._most, self._gpu = engine.workers, gpu
        self._board = ray.remote(_Board).options(num_cpus=0).remote()
        self._shares: dict[int, float] = {}
        self._asked: Any = None
        self._hired, self._cores, self._looked = 0, 1, 0.0

    def hire(self) -> "RayWorker":
        """An actor; it is placed when there is room."""
        self._hired += 1
        actor = ray.remote(_Actor).options(
            num_cpus=1, num_gpus=int(self._gpu), max_concurrency=1, max_restarts=0,
            runtime_env={"env_vars": same_environment()},
        )  # fmt: skip
        # In a list, the reference itself is what arrives.
        return RayWorker(self, self._hired, actor.remote([self._work], self._board, self._hired))

    def room(self) -> int:
        """As many as there are cores or GPUs now: machines come and go."""
        if time.monotonic() - self._looked > _LOOK:
            self._looked = time.monotonic()
            there = ray.cluster_resources().get("GPU" if self._gpu else "CPU", 0)
            self._cores = max(1, int(there))
        return min(self._cores, self._most or self._cores)

    def share(self, number: int) -> float:
        """How far a worker last said to be."""
        if self._asked is None:
            self._asked = self._board.read.remote()
        elif ray.wait([self._asked], timeout=0)[0]:
            try:
                self._shares = ray.get(self._asked)
            except RayError:  # its machine was lost: progress goes on by whole jobs
                return 0.0
            self._asked = self._board.read.remote()
        return self._shares.get(number, 0.0)

    def close(self) -> None:
        """End what was begun for this work; the cluster stays."""
        ray.kill(self._board)


def _join(engine: Engine) -> None:
    """Be in the cluster that was asked for; a session of the caller's own is used as it is."""
    if ray.is_initialized():
        return
    given: dict[str, Any] = {}
    if engine.ray_address is None:
        given["num_cpus"] = engine.workers or cores()
    try:
        ray.init(
            address=engine.ray_address or "local", include_dashboard=False, log_to_driver=False,
            logging_level=logging.ERROR, **given,
        )  # fmt: skip
    except (ConnectionError, RayError, RuntimeError, ValueError) as error:
        raise InputError(
            f"--ray-address {engine.ray_address}: there is no cluster ({error}); start one with "
            "`ray start --head`, or leave the address out"
        ) from error


class RayWorker:
    """An actor that holds the work."""

    def __init__(self, staff: RayStaff, number: int, actor: Any) -> None:
        self._staff, self._number, self._actor = staff, number, actor
        self._call: Any = None

    def call(self, index: int | None, job: object) -> None:
        """Begin a job, or only start."""
        self._call = self._actor.do.remote(index, job)

    def answered(self) -> bool:
        """Whether the call has ended."""
        return bool(ray.wait([self._call], timeout=0)[0])

    def answer(self) -> Failure | Fingerprint | None:
        """What it came to."""
        try:
            answer: Failure | Fingerprint | None = ray.get(self._call)
        except RayError as error:
            self.stop()
            said = str(error).strip().partition("\n")[0]
            raise WorkerDied(f"{type(error).__name__}: {said}") from error
        return answer

    def share(self) -> float:
        """As the board says."""
        return self._staff.share(self._number)

    def stop(self) -> None:
        """Kill the actor."""
        ray.kill(self._actor)


class _Board:
    """Where workers write how far they are, for whoever asks."""

    def __init__(self) -> None:
        self.shares: dict[int, float] = {}

    def write(self, number: int, share: float) -> None:
        self.shares[number] = share

    def read(self) -> dict[int, float]:
        return self.shares


class _Actor:
    """What runs on the other side."""

    def __init__(self, work: list[Any], board: Any, number: int) -> None:
        self.given, self.board, self.number = work, board, number
        self.work: Any = None

    def do(self, index: int | None, job: object) -> Failure | Fingerprint | None:
        try:
            if index is None:
                torch.set_num_threads(1)
                write_beside_others()
                self.work, sent = unpack(io.BytesIO(ray.get(self.given[0])))
                return Fingerprint.here(sent)
            self.board.write.remote(self.number, 0.0)
            self.work(job, self._teller())
        except Exception as error:
            return Failure.of(error)
        return None

    def _teller(self) -> Any:
        last = time.monotonic()

        def tell(share: float) -> None:
            nonlocal last
            if time.monotonic() - last > _LOOK:
                last = time.monotonic()
                self.board.write.remote(self.number, share)

        return tell

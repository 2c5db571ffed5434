"""Workers that are actors of Ray's: one a core or a GPU, on whatever machines the cluster has.

Ray places them and tells of their deaths and of lost machines; what is given to whom is decided in
`jobs`. They write to the results folder, which all machines must see.
"""

import io
import logging
import os
import time
from dataclasses import dataclass
from typing import Any

import ray
from ray.exceptions import RayError

from intriguing.errors import InputError
from intriguing.scale import actor as actor_module
from intriguing.scale import board as board_module
from intriguing.scale.engine import Engine, cores
from intriguing.scale.failure import Failure
from intriguing.scale.fingerprint import Fingerprint
from intriguing.scale.package import pack
from intriguing.scale.staff import Resting, Work, WorkerDied
from intriguing.threads import same_environment

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
        # Of a session that has ended, no actor is left.
        self._kind = _session(), gpu, frozenset(same_environment().items())
        self._board = ray.remote(board_module.Board).options(num_cpus=0).remote()
        self._shares: dict[int, float] = {}
        self._asked: Any = None
        self._hired, self._cores, self._looked = 0, 1, 0.0

    def hire(self) -> "RayWorker":
        """An actor; it is placed when there is room."""
        self._hired += 1
        worker = _resting.take(self._kind)
        if worker is None:
            # A process of a caller's own session may have torch already, which reads these once.
            anew = {} if _session() in _ours else {"runtime_env": {"env_vars": same_environment()}}
            actor = ray.remote(actor_module.Actor).options(
                num_cpus=1, num_gpus=int(self._gpu), max_concurrency=1, max_restarts=0, **anew
            )
            worker = RayWorker(actor.remote(same_environment()))
        # In a list, the reference itself is what arrives.
        worker.work = Given([self._work], self._board, self._hired, os.getcwd())
        worker.staff = self
        return worker

    def dismiss(self, worker: "RayWorker") -> None:
        """It may be hired again, and keeps its core or GPU until then."""
        _resting.add(self._kind, worker)

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


_ours: list[object] = []
"""The sessions that began here."""


def _session() -> tuple[str, str]:
    """What no two sessions have in common."""
    context = ray.get_runtime_context()
    return context.get_job_id(), context.get_node_id()


def _join(engine: Engine) -> None:
    """Be in the cluster that was asked for; a session of the caller's own is used as it is."""
    for module in (actor_module, board_module):  # whose path a machine may have to be told
        ray.cloudpickle.register_pickle_by_value(module)
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
            "`ray start --head`, set RAY_AUTH_MODE=token for one that asks for a token, or leave "
            "the address out"
        ) from error
    _ours.append(_session())


@dataclass(frozen=True)
class Given:
    """The work in Ray's store, where an actor writes how far it is, from which folder on."""

    work: list[Any]
    board: Any
    number: int
    folder: str


class RayWorker:
    """An actor that holds the work."""

    def __init__(self, actor: Any) -> None:
        self._actor = actor
        self.staff: RayStaff | None = None
        self.work: Given | None = None
        self._call: Any = None

    def call(self, index: int | None, job: object) -> None:
        """Begin a job, or read the work."""
        actor = self._actor
        self._call = actor.read.remote(self.work) if index is None else actor.do.remote(job)

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
        assert self.staff is not None
        assert self.work is not None
        return self.staff.share(self.work.number)

    def stop(self) -> None:
        """Kill the actor."""
        ray.kill(self._actor)

    def rest(self) -> None:
        """Forget the work."""
        self.staff = self.work = None
        self._actor.forget.remote()


_resting: Resting[RayWorker] = Resting()

"""Who does jobs: what a worker can be asked, who makes workers, and those that wait for other work.

Workers outlast the work, so the stages of a run start none anew. Pools, such as loky's own, give up
all their work when one process dies, and know no time limit a job. So here a worker is a process by
itself (`processes`) or an actor of Ray's (`on_ray`).
"""

from collections.abc import Callable, Hashable
from typing import Any, Generic, Protocol, TypeAlias, TypeVar

from intriguing.scale.failure import Failure
from intriguing.scale.fingerprint import Fingerprint

Told: TypeAlias = Callable[[float], None]
"""Called with the share of a job that is done, from 0 to 1."""
Work: TypeAlias = Callable[[Any, Told], None]
"""What does a job; it can be pickled, with all that it is about."""


class WorkerDied(Exception):
    """The process that a call went to is no more."""


class Worker(Protocol):
    """A process somewhere that holds the work, and does one job at a time."""

    def call(self, index: int | None, job: object) -> None:
        """Begin a job; with no index, only say when it is ready."""

    def answered(self) -> bool:
        """Whether the call has ended."""

    def answer(self) -> Failure | Fingerprint | None:
        """What the call came to; a fingerprint where it began no job. Raises WorkerDied."""

    def share(self) -> float:
        """Of the job that it is at, how much is done."""

    def stop(self) -> None:
        """End it at once, whatever it is doing."""

    def rest(self) -> None:
        """Forget the work, and wait for other work: to start anew takes seconds."""


W = TypeVar("W", bound=Worker)


class Staff(Protocol):
    """Who makes workers, all for the same work.

    Attributes:
        fingerprint: What a worker's must be like.
    """

    fingerprint: Fingerprint

    def hire(self) -> Worker:
        """Another worker: one that rests from earlier work, or else a new one."""

    def dismiss(self, worker: Any) -> None:
        """Let a worker that has no job rest, until other work or the end of this process."""

    def room(self) -> int:
        """How many there can be at once, now."""

    def close(self) -> None:
        """Leave nothing behind."""


class Resting(Generic[W]):
    """Workers without work, by what they are good for: an environment, a device, a cluster."""

    def __init__(self) -> None:
        self._by_kind: dict[Hashable, list[W]] = {}

    def take(self, kind: Hashable) -> W | None:
        """One of them, if there is any."""
        there = self._by_kind.get(kind)
        return there.pop() if there else None

    def add(self, kind: Hashable, worker: W) -> None:
        """Another one."""
        worker.rest()
        self._by_kind.setdefault(kind, []).append(worker)

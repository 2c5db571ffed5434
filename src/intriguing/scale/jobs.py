"""Many independent jobs, each given to whoever is free, and all that can happen to who computes.

What a job makes it leaves on disk under a key, whole or not at all, and the caller finds it there;
so it does not matter who did it, in which order, or how often. A worker that dies costs the job
that it was at, which another one begins again. Who dies is replaced, as long as jobs are left.
"""

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from intriguing.errors import InputError
from intriguing.scale.engine import HERE, Engine
from intriguing.scale.failure import Failure
from intriguing.scale.fingerprint import Fingerprint
from intriguing.scale.staff import Staff, Work, Worker, WorkerDied

DEATHS = 3
"""A job that outlived so many workers is to blame for it; that many by accident are rare."""
LEAST_MINUTES, _TIMES, _KNOWN = 10.0, 20.0, 3
"""A job hangs after so many minutes, and so many times the longest of those before, if so many were
done, or what it was thought to take: shards differ by a few times, and a loaded machine slows them
by as much again."""
_STILLBORN = 10
"""So many workers that die one after the other before any is ready are no accident."""
_PAUSE = 0.02
"""Seconds between two looks at the workers: nothing, beside a job."""


@dataclass(frozen=True)
class Ended:
    """A job that is done, or was given up.

    Attributes:
        index: Its place among the jobs.
        failure: None where it is done.
    """

    index: int
    failure: Failure | None = None


def ended_jobs(
    work: Work,
    jobs: Sequence[object],
    engine: Engine = HERE,
    *,
    gpu: bool = False,
    deaths: int = DEATHS,
    alike: bool = False,
    seconds: Sequence[float | None] = (),
    told: Callable[[int, float], None] | None = None,
) -> Iterator[Ended]:
    """Do every job, and say of each how it ended, in the order in which they end.

    Args:
        work: Called with a job and with whom to tell how much of it is done.
        jobs: What can be pickled.
        engine: Who computes.
        gpu: Whether a worker needs a GPU of its own.
        deaths: How many workers may die of a job before it is given up.
        alike: Whether jobs cost about the same; then one that takes far longer than all before is
            stopped where the engine names no limit.
        seconds: That each job is thought to take; None where nobody knows. Where the engine names
            no limit, one that takes far longer is stopped, and so is the first of jobs alike.
        told: Called now and then with a job's index and how much of it is done.

    Raises:
        InputError: If no worker can be had.
    """
    if engine.here or not jobs:
        for index, job in enumerate(jobs):
            failure = None
            try:
                work(job, lambda share, index=index: told and told(index, share))  # type: ignore[misc]
            except Exception as error:
                failure = replace(Failure.of(error), cause=error)
            yield Ended(index, failure)
        return
    staff = _staff(work, engine, gpu, len(jobs))
    try:
        yield from _Shift(staff, jobs, engine, deaths, told, alike, seconds).ended()
    finally:
        staff.close()


def _staff(work: Work, engine: Engine, gpu: bool, most: int) -> Staff:
    if engine.engine == "ray":
        from intriguing.scale.on_ray import RayStaff

        return RayStaff(work, engine, gpu)
    from intriguing.scale.processes import LocalStaff

    return LocalStaff(work, engine, gpu, most)


@dataclass
class _Place:
    """A worker and what it is at: nothing yet (it starts), nothing, or a job."""

    worker: Worker
    ready: bool = False
    index: int | None = None
    since: float = field(default_factory=time.monotonic)


class _Shift:
    """One round through all jobs."""

    def __init__(
        self,
        staff: Staff,
        jobs: Sequence[object],
        engine: Engine,
        deaths: int,
        told: Callable[[int, float], None] | None,
        alike: bool,
        seconds: Sequence[float | None],
    ) -> None:
        self.staff, self.jobs, self.engine, self.most, self.told = staff, jobs, engine, deaths, told
        self.todo = deque(range(len(jobs)))
        self.deaths = dict.fromkeys(range(len(jobs)), 0)
        self.places: list[_Place] = []
        self.stillborn = 0
        self.alike, self.seconds = alike, seconds
        self.lasted: list[float] = []

    def ended(self) -> Iterator[Ended]:
        """Until no job is left."""
        try:
            while self.todo or any(place.index is not None for place in self.places):
                self._hire()
                for place in list(self.places):
                    if (end := self._look(place)) is not None:
                        yield end
                time.sleep(_PAUSE)
        finally:
            for place in self.places:
                if place.index is None:
                    self.staff.dismiss(place.worker)
                else:
                    place.worker.stop()

    def _hire(self) -> None:
        """As many as there is work and room for."""
        busy = sum(place.index is not None for place in self.places)
        for _ in range(min(self.staff.room(), busy + len(self.todo)) - len(self.places)):
            place = _Place(self.staff.hire())
            place.worker.call(None, None)
            self.places.append(place)

    def _look(self, place: _Place) -> Ended | None:
        """See how a worker is getting on, and give it what is next."""
        if place.ready and place.index is None:
            self._give(place)
            return None
        if not place.worker.answered():
            return self._late(place)
        index, place.index = place.index, None
        try:
            answer = place.worker.answer()
        except WorkerDied as death:
            self.places.remove(place)
            return self._died(index, str(death))
        if isinstance(answer, Fingerprint):
            self.staff.fingerprint.check(answer)
            place.ready, self.stillborn = True, 0
        elif index is None and answer is not None:
            raise answer.error()
        else:
            self.lasted.append(time.monotonic() - place.since)
        self._give(place)
        return None if index is None or isinstance(answer, Fingerprint) else Ended(index, answer)

    def _give(self, place: _Place) -> None:
        if not self.todo:
            return
        place.index, place.since = self.todo.popleft(), time.monotonic()
        place.worker.call(place.index, self.jobs[place.index])

    def _late(self, place: _Place) -> Ended | None:
        """Tell how far it is; stop it where it takes too long."""
        if place.index is None:
            return None
        if self.told is not None:
            self.told(place.index, place.worker.share())
        limit = self._minutes(place.index)
        if limit is None or time.monotonic() - place.since < 60 * limit:
            return None
        place.worker.stop()
        self.places.remove(place)
        return Ended(place.index, Failure("time", f"it took longer than {limit:g} minutes"))

    def _minutes(self, index: int) -> float | None:
        """The limit of a job: as asked, or by what it is thought to take, and those before took."""
        if self.engine.job_minutes is not None:
            return self.engine.job_minutes
        thought = self.seconds[index] if self.seconds else None
        enough = thought is not None or (self.alike and len(self.lasted) >= _KNOWN)
        before = self.lasted if self.alike else []
        return max(LEAST_MINUTES, _TIMES * max([thought or 0.0, *before]) / 60) if enough else None

    def _died(self, index: int | None, how: str) -> Ended | None:
        if index is None:  # it was never ready: another one may fare better, but not for ever
            self.stillborn += 1
            if self.stillborn < _STILLBORN:
                return None
            raise InputError(f"no worker could be started ({how}); try --engine here")
        self.deaths[index] += 1
        if self.deaths[index] < self.most:
            self.todo.append(index)  # behind the others: whatever killed it may have passed by then
            return None
        return Ended(
            index,
            Failure("died", f"{self.most} workers died of it ({how}), perhaps for lack of memory"),
        )

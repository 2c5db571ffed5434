"""Many small independent jobs, in processes of one thread each.

A network of a hundred units does not train faster by a second thread, but two of them train in the
time of one. What a job makes it leaves on disk, where the caller finds it; so results do not depend
on how many processes there were.
"""

import os
import queue
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing import get_context, parent_process
from multiprocessing.process import BaseProcess
from multiprocessing.queues import SimpleQueue
from threading import Thread
from typing import Any, TypeVar

import torch

from intriguing.measures import Progress, ProgressCallback

Job = TypeVar("Job")
Work = Callable[[Job, ProgressCallback], None]

_STEPS = 1000
"""Parts of a job that progress is counted in."""


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute with a single thread, so that sums are added in the same order everywhere."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def finished_jobs(
    work: Work[Job],
    jobs: Sequence[Job],
    processes: int,
    *,
    stage: str,
    stages: int = 1,
    progress: ProgressCallback | None = None,
) -> Iterator[int]:
    """Do every job in one of `processes` processes; yields the index of each as it is done.

    Processes are spawned, so a script that calls this needs its `if __name__ == "__main__":`.
    They end with the caller, however that ends.

    Args:
        work: A function of a module, called with a job and a progress callback.
        jobs: What can be pickled.
        processes: At most so many at once.
        stage: How progress calls all jobs together.
        stages: How many stages a job reports one after the other.
        progress: Called now and then.

    Raises:
        Exception: What the first failing job raised; the others are stopped.
        RuntimeError: If a process died, for example for lack of memory.
    """
    context = get_context("spawn")
    todo: SimpleQueue[Any] = context.SimpleQueue()
    said: queue.Queue[Any] = context.Queue()  # type: ignore[assignment]
    for index in range(len(jobs)):
        todo.put(index)
    workers: list[BaseProcess] = [
        context.Process(target=_serve, args=(work, list(jobs), todo, said), daemon=True)
        for _ in range(min(processes, len(jobs)))
    ]
    share = dict.fromkeys(range(len(jobs)), 0.0)
    done = 0
    try:
        for worker in workers:
            todo.put(None)
            worker.start()
        while done < len(jobs):
            try:
                index, stage_number, fraction, outcome = said.get(timeout=1.0)
            except queue.Empty:
                _check(workers)
                continue
            if isinstance(outcome, BaseException):
                raise outcome
            finished = outcome == "done"
            share[index] = 1.0 if finished else min(stage_number + fraction, stages) / stages
            if progress is not None:
                now = round(_STEPS * sum(share.values()))
                detail = f"{done + finished} of {len(jobs)} done"
                progress(Progress(stage, now, _STEPS * len(jobs), detail))
            if finished:
                done += 1
                yield index
    finally:
        for worker in workers:
            if worker.is_alive():
                worker.terminate()
                worker.join(5.0)


def _check(workers: Sequence[BaseProcess]) -> None:
    for worker in workers:
        if worker.exitcode not in (None, 0):
            raise RuntimeError(
                f"a process ended with status {worker.exitcode}, perhaps for lack of memory; "
                "what was finished is kept: run again, or with fewer processes"
            )


def _serve(
    work: Work[Job], jobs: Sequence[Job], todo: "SimpleQueue[Any]", said: "queue.Queue[Any]"
) -> None:
    """What a process does until nothing is left."""
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the caller's to handle
    Thread(target=_end_with_the_caller, daemon=True).start()
    torch.set_num_threads(1)
    while (index := todo.get()) is not None:
        try:
            work(jobs[index], _reporter(index, said))
        except Exception as error:  # it is raised by the caller
            said.put((index, 0, 0.0, error))
            return
        said.put((index, 0, 0.0, "done"))


def _end_with_the_caller() -> None:
    """However it ends: killed, it can stop nobody."""
    parent = parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _reporter(index: int, said: "queue.Queue[Any]") -> ProgressCallback:
    seen: list[str] = []
    last = time.monotonic()

    def report(step: Progress) -> None:
        nonlocal last
        if step.stage not in seen:
            seen.append(step.stage)
        now = time.monotonic()
        if now - last > 0.5:
            last = now
            said.put((index, len(seen) - 1, step.done / max(step.total, 1), "going on"))

    return report

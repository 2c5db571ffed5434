"""Stages that are done by several workers at once, before a run comes to them one by one."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from intriguing.measures import Progress
from intriguing.runs.stage import Stage, with_needs
from intriguing.scale.engine import Engine
from intriguing.scale.jobs import ended_jobs
from intriguing.scale.staff import Told
from intriguing.threads import one_thread

if TYPE_CHECKING:
    from intriguing.runs.run import Run


def ahead(run: "Run", stages: Iterable[Stage]) -> None:
    """Let workers do the stages that are worth a process of their own, several at once.

    `keep` then finds them done, or raises why they were not. Nothing is done where the engine
    is this process, or where there is but one.
    """
    if run.engine.here:
        return
    waiting = {one.key: one for one in with_needs(stages) if one.apart and not run.holds(one)}
    while len(waiting) > 1:
        ready = [
            one for one in waiting.values()
            if not any(need.key in waiting for need in with_needs(one.needs))
        ]  # fmt: skip
        shared = {need.key: need for one in ready for need in one.needs}
        for need in shared.values():
            try:
                run.keep(need)
            except Exception as error:
                run.go_on_without(need, error)
        if not (all(one.cut for one in ready) and len(ready) < run.engine.most):
            spread(run, ready, run.engine, f"{ready[0].name} of {len(ready)}")
        for one in ready:
            del waiting[one.key]


def spread(run: "Run", stages: Sequence[Stage], engine: Engine, what: str, steps: int = 1) -> None:
    """Do independent stages by an engine; `keep` then finds them done, or knows why not.

    Args:
        run: The run.
        stages: They travel to the workers pickled.
        engine: Who does them.
        what: How progress calls all together.
        steps: How many stages of progress each reports, one after the other.

    Raises:
        Exception: What the first failing stage raised, where the run does not go on.
    """
    shares, done = dict.fromkeys(range(len(stages)), 0.0), 0

    def told(index: int, share: float) -> None:
        shares[index] = share
        if run.progress is not None:
            now, total = round(_PARTS * sum(shares.values())), _PARTS * len(stages)
            run.progress(Progress(what, now, total, f"{done} of {len(stages)} done"))

    work = _Keeping(type(run), run.folder, tuple(stages), steps)
    gpu = any(one.on_gpu for one in stages)
    thought = [_thought(one, run) for one in stages]
    for end in ended_jobs(work, range(len(stages)), engine, gpu=gpu, told=told, seconds=thought):
        done += 1
        told(end.index, 1.0)
        if end.failure is not None:
            run.go_on_without(stages[end.index], end.failure.error())


def _thought(stage: Stage, run: "Run") -> float | None:
    """What it takes, with one thread as a worker has; None where the trial fails as it will."""
    try:
        with one_thread():
            return stage.expected(run)
    except Exception:
        return None


_PARTS = 1000
"""Of a stage, that progress is counted in where several are done at once."""


@dataclass(frozen=True)
class _Keeping:
    """What a worker does: one of these stages, kept in the folder.

    Attributes:
        run: Makes a run of a folder.
        folder: The results folder.
        stages: All of them.
        steps: How many stages of progress each reports, one after the other.
    """

    run: Callable[..., "Run"]
    folder: Path
    stages: tuple[Stage, ...]
    steps: int

    def __call__(self, index: int, told: Told) -> None:
        seen: list[str] = []

        def progress(step: Progress) -> None:
            if step.stage not in seen:
                seen.append(step.stage)
            told(min(len(seen) - 1 + step.done / max(step.total, 1), self.steps) / self.steps)

        self.run(self.folder, progress=progress).keep(self.stages[index])

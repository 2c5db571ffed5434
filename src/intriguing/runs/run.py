"""A run: stages done one after another in a results folder, and what was done is kept.

A stage's result is kept under the key that is derived from the stage, with digests of the files it
wrote; so the same command after an interruption goes on where it was, what is missing or was
changed is made again, and what was made of anything else is never read. Whatever happens to the
process, the folder ends as if it had not happened.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

from torch import nn

from intriguing.addresses import as_folder
from intriguing.data.dataset import ImageSet
from intriguing.errors import InputError, JobFailed
from intriguing.files import watch_written
from intriguing.measures import ProgressCallback
from intriguing.names import file_name
from intriguing.results import schema, store
from intriguing.results.audit import StageRecord, write_audit
from intriguing.results.opening import open_results
from intriguing.results.parquet import rows_file, write_columns, write_rows
from intriguing.results.rows import CertificateRow, ImageRow, ProofRow, Row
from intriguing.results.schema import RunRecord
from intriguing.runs import provenance
from intriguing.runs.kept import SMALL, Kept
from intriguing.runs.request import Request, Work
from intriguing.runs.spreading import ahead, spread
from intriguing.runs.stage import Made, Network, Stage, Trained
from intriguing.scale.engine import HERE, Engine
from intriguing.scale.failure import Failure
from intriguing.scale.finished import Shards
from intriguing.scale.shards import Columns, Part, run_in_shards
from intriguing.threads import one_thread

_LARGE: tuple[type[Row], ...] = (ImageRow, CertificateRow, ProofRow)
"""Rows that stages read again from what they left on disk."""


@dataclass(frozen=True)
class Done:
    """A stage that had its turn: its record, and what it made; nothing where it was not done."""

    stage: Stage | None
    record: StageRecord
    made: Made


class Run:
    """An open results folder.

    Attributes:
        folder: For stages to write to, in tensors/, shards/, models/ and pictures/.
        progress: Called within stages.
        engine: Who computes shards, and stages that are worth a process of their own.
        done: What had its turn, in that order.
    """

    def __init__(
        self,
        folder: Path,
        asked: Request | None = None,
        progress: ProgressCallback | None = None,
        engine: Engine = HERE,
    ) -> None:
        """Without `asked`, a run that only keeps stages for another one."""
        self.folder, self.asked, self.progress, self.engine = folder, asked, progress, engine
        self.record = None if asked is None else asked.record()
        self.done: list[Done] = []
        self._kept: dict[str, Kept] = {}
        self._failed: dict[str, Exception] = {}
        self._loaded: dict[str, Any] = {}

    def work(self, work: Work) -> None:
        """Every stage, and all that is written in the end; the same whoever computes."""
        with one_thread() if work.apart else nullcontext():
            if work.apart and not self.engine.here:
                spread(self, work.apart, self.engine, work.called, work.steps)
            self.all(work.stages)
            self.finish()

    def all(self, stages: Iterable[Stage]) -> list[Done]:
        """Every stage in its order, what workers can do at once before."""
        stages = tuple(stages)
        ahead(self, stages)
        return [self.do(stage) for stage in stages]

    def do(self, stage: Stage) -> Done:
        """Do a stage, note what became of it, and write what there is.

        Raises:
            Exception: What the stage raised; where the run goes on, only an interruption, a disk
                that cannot be written and a bound that is refuted.
        """
        return self._note(self.attempt(stage))

    def attempt(self, stage: Stage) -> Done:
        """The same without a note of it."""
        start = time.perf_counter()
        try:
            return self.keep(stage)
        except Exception as error:
            if self.asked is None or not self.asked.goes_on or Failure.of(error).ends_all:
                raise
            record = StageRecord(
                stage.name, stage.about, "failed", (_said(error),), question=stage.question,
                wall_seconds=time.perf_counter() - start,
            )  # fmt: skip
            return Done(stage, record, Made())

    def leave_out(self, kind: type[Stage], about: str, why: str, *, asked: bool = True) -> Done:
        """Note that a stage of some kind is not run; its question only where somebody asked it."""
        question = kind.question if asked else ""
        record = StageRecord(kind.name, about, "not run", (why,), question=question)
        return self._note(Done(None, record, Made()))

    def was_done(self, name: str, about: str) -> bool:
        """Whether the stage of this name about this network had its turn and is done."""
        return any(
            (one.record.stage, one.record.network, one.record.status) == (name, about, "done")
            for one in self.done
        )

    def keep(self, stage: Stage) -> Done:
        """What a stage makes, read where it was made before of the same things.

        What it needs is kept first. Stages that are kept by this alone stand in no record.
        """
        kept = self._kept.get(stage.key)
        if kept is None and stage.key in self._failed:
            raise self._failed[stage.key]
        if kept is None:
            for need in stage.needs:
                self.keep(need)
            kept = self._kept[stage.key] = Kept.read(self.folder, stage) or self._compute(stage)
        record = StageRecord(
            stage.name, stage.about, "done", kept.made.words, warnings=kept.made.warnings,
            question=stage.question, wall_seconds=kept.seconds, finding=kept.made.finding,
        )  # fmt: skip
        return Done(stage, record, kept.made)

    def go_on_without(self, stage: Stage, error: Exception) -> None:
        """Know why a stage was not done by who was to do it; raise that where nothing can go on."""
        if self.asked is None or not self.asked.goes_on or Failure.of(error).ends_all:
            raise error
        self._failed[stage.key] = error

    def holds(self, stage: Stage) -> bool:
        """Whether what a stage makes is kept, so that it would not be made again."""
        return Kept.read(self.folder, stage) is not None

    def loaded(self, stage: Stage) -> Any:
        """What a stage left on disk besides its rows, by its `load`; once in a run."""
        if stage.key not in self._loaded:
            self._loaded[stage.key] = stage.load(self)
        return self._loaded[stage.key]

    def model(self, network: Network | Trained) -> nn.Module:
        """A network that was given, or that a stage trains."""
        if isinstance(network, Network):
            return network.model
        model: nn.Module = self.loaded(network)
        return model

    def shards(self, stage: Stage) -> Path:
        """Where a stage saves pieces of its work."""
        return self.folder / "shards" / file_name(*stage.identity)

    def finish(self) -> None:
        """Write all rows, and say that the run is complete."""
        for kind in _LARGE:
            parts = chain.from_iterable(
                one.stage.columns(self, kind)
                for one in self.done if one.stage is not None and one.record.status == "done"
            )  # fmt: skip
            first = next(parts, None)
            if first is not None or rows_file(self.folder, kind).exists():
                write_columns(self.folder, kind, chain([] if first is None else [first], parts))
        self._save("complete")

    def in_parts(
        self, stage: Stage, compute: Part, count: int, size: int = 1, *,
        given_up: Callable[[slice], Columns] | None = None, called: str = "", within: str = "",
        summed: bool = False, alike: bool = True, each: Callable[[], float | None] | None = None,
    ) -> Shards:  # fmt: skip
        """A stage's work on many items, cut into parts that the engine's workers share.

        Args:
            stage: Under whose key the parts are kept; it joins what this gives.
            compute: The work on some of the items, whose answer is a file: tensors with a row an
                item. It travels to workers pickled.
            count, size: Items in all, and in a part; no engine and no time decides them.
            given_up: What stands in the place of items that fail; without it the stage fails.
            called: By progress; the stage's title when empty.
            within: Which of its cuts this is, where the stage makes several.
            summed: Whether a part's answer is of its items together, and no row an item.
            alike: Whether parts cost about the same, so that one that takes far longer hangs.
            each: Tells the seconds that an item is thought to take (`runs.expecting`): before any
                part is done, one that takes far longer hangs.
        """
        return run_in_shards(
            compute, count, size, self.shards(stage) / within, stage.key, engine=self.engine,
            gpu=stage.on_gpu, given_up=given_up, stage=called or stage.title,
            progress=self.progress, summed=summed, alike=alike, each=each,
        )  # fmt: skip

    def about(self, *images: ImageSet) -> None:
        """What the record says of the images, once it is known what they are."""
        if self.record is not None:
            self.record = replace(self.record, data=tuple(map(provenance.record_data, images)))

    def _note(self, done: Done) -> Done:
        self.done.append(done)
        self._save("running")
        return done

    def _save(self, status: schema.RunStatus) -> None:
        """Write the small rows and the records as they are now."""
        if self.asked is None or self.record is None:
            return
        made = [one.made for one in self.done]
        rows: list[Any] = [row for one in made for row in one.rows]
        for kind in SMALL:
            some = [row for row in rows if type(row) is kind]
            if some or rows_file(self.folder, kind).exists():
                write_rows(self.folder, kind, some)
        if self.asked.goes_on:
            write_audit(self.folder, [one.record for one in self.done])
        steps = tuple(
            schema.Stage(one.stage.title, one.record.wall_seconds, *one.made.passes)
            for one in self.done if one.stage is not None and one.record.status == "done"
        )  # fmt: skip
        record = replace(
            self.record, status=status, stages=steps,
            models=(*self.record.models, *(m for one in made for m in one.models)),
            notes=(*self.record.notes, *(note for one in made for note in one.notes)),
            remarks=_joined([one.remarks for one in made]),
        )  # fmt: skip
        store.write_run(self.folder, record)

    def _compute(self, stage: Stage) -> Kept:
        start = time.perf_counter()
        with watch_written() as files:  # to the end, as a stage in another one is no file of it
            made = stage.compute(self)
            spent = time.perf_counter() - start if made.seconds is None else made.seconds
            kept = Kept.of(self.folder, stage, spent, made, files)
            kept.write(self.folder, stage)
        return kept


@contextmanager
def open_run(
    folder: Path,
    asked: Request,
    *,
    engine: Engine = HERE,
    fresh: bool = False,
    progress: ProgressCallback | None = None,
) -> Iterator[Run]:
    """A run in `folder`, which no other process can write to until the block ends.

    Args:
        folder: New, or of the same configuration: then the run goes on where it was.
        asked: What it is asked for.
        engine: Who computes.
        fresh: Delete the results in `folder` first.
        progress: Called within stages.

    Raises:
        InputError: As `open_results`, before any work.
    """
    folder = as_folder(folder)
    opened = open_results(
        folder, asked.kind, asked.config, asked.required_bytes, fresh=fresh,
        may_differ=asked.may_differ,
    )  # fmt: skip
    with opened:
        run = Run(folder, asked, progress, engine)
        run._save("running")
        yield run


def run_all(
    work: Work,
    folder: Path,
    *,
    engine: Engine = HERE,
    fresh: bool = False,
    progress: ProgressCallback | None = None,
) -> RunRecord:
    """All of a run, in `folder`; as `open_run`, to the end."""
    with open_run(folder, work.asked, engine=engine, fresh=fresh, progress=progress) as run:
        run.work(work)
    return store.read_run(as_folder(folder))


def _joined(remarks: Iterable[Mapping[str, tuple[str, ...]]]) -> dict[str, tuple[str, ...]]:
    """Those of several stages about one analysis, one after the other."""
    found: dict[str, tuple[str, ...]] = {}
    for some in remarks:
        for name, said in some.items():
            found[name] = found.get(name, ()) + said
    return found


def _said(error: Exception) -> str:
    """An error as one sentence; what is not an InputError keeps its type's name."""
    lines = str(error).strip().splitlines()
    text = lines[0] if lines else ""
    if isinstance(error, InputError | JobFailed):
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__

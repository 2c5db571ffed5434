"""A run: stages done one after another in a results folder, and what was done is kept.

A stage's result is kept under the key that is derived from the stage, with digests of the files it
wrote; so the same command after an interruption goes on where it was, what is missing or was
changed is made again, and what was made of anything else is never read. Whatever happens to the
process, the folder ends as if it had not happened.
"""

import hashlib
import json
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from torch import nn

from intriguing.addresses import as_folder
from intriguing.data.dataset import ImageSet
from intriguing.errors import InputError, JobFailed, UnsoundBound
from intriguing.files import check_regular, read_json, watch_written, write_whole
from intriguing.measures import Progress, ProgressCallback
from intriguing.names import file_name
from intriguing.results import schema, store
from intriguing.results.audit import StageRecord, write_audit
from intriguing.results.gate import FlawRow, GateRow, RulingRow
from intriguing.results.measured import Measurement
from intriguing.results.opening import open_results
from intriguing.results.parquet import rows_file, write_columns, write_rows
from intriguing.results.rows import (
    CertificateRow,
    ClaimRow,
    CurvePoint,
    ImageRow,
    LayerRow,
    LossRow,
    Row,
)
from intriguing.results.schema import Kind, ModelRecord, RunRecord
from intriguing.results.typed import of_json
from intriguing.results.verdicts import VerdictRow
from intriguing.runs import provenance
from intriguing.runs.stage import Made, Network, Stage, Trained, with_needs
from intriguing.scale.engine import HERE, Engine
from intriguing.scale.jobs import Told, ended_jobs, one_thread


@dataclass(frozen=True)
class Request:
    """What a run is asked for, as its record says it.

    Attributes:
        kind: The verb.
        config: JSON-able; a folder serves one configuration.
        may_differ: Entries of it that may change from call to call.
        networks, images: That were given, or are known before the first stage.
        tables, figures, seeds, notes, command: As in `RunRecord`.
        required_bytes: About what the whole run writes.
        device: Where it runs.
        goes_on: Whether a stage that fails becomes a record that says so, and the others go on.
    """

    kind: Kind
    config: Mapping[str, Any]
    may_differ: tuple[str, ...] = ()
    networks: tuple[Network, ...] = ()
    models: tuple[ModelRecord, ...] = ()
    images: tuple[ImageSet, ...] = ()
    tables: tuple[str, ...] = ()
    figures: tuple[str, ...] = ()
    seeds: tuple[int, ...] = (0,)
    notes: tuple[str, ...] = ()
    command: str = ""
    required_bytes: int = 20_000_000
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    goes_on: bool = False

    def record(self) -> RunRecord:
        """The record of a run that has just begun."""
        given = tuple(provenance.record_model(one.name, one.model) for one in self.networks)
        return RunRecord(
            self.kind, self.command, dict(self.config), seeds=self.seeds,
            versions=provenance.versions(), machine=provenance.machine(self.device),
            data=tuple(map(provenance.record_data, self.images)), models=(*given, *self.models),
            tables=self.tables, figures=self.figures, notes=self.notes,
        )  # fmt: skip


@dataclass(frozen=True)
class Work:
    """A run before it begins: what it is asked for, and the stages that answer, in their order.

    Attributes:
        apart: Stages that do not need each other, which workers may do before the rest, each in
            one thread.
        called: How progress calls all of these together.
        steps: How many stages of progress each of them reports, one after the other.
    """

    asked: Request
    stages: Sequence[Stage]
    apart: Sequence[Stage] = ()
    called: str = ""
    steps: int = 1


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
        self._kept: dict[str, _Kept] = {}
        self._failed: dict[str, Exception] = {}
        self._loaded: dict[str, Any] = {}

    def work(self, work: Work) -> None:
        """Every stage, and all that is written in the end; the same whoever computes."""
        with one_thread() if work.apart else nullcontext():
            if work.apart and not self.engine.here:
                self.spread(work.apart, self.engine, work.called, work.steps)
            self.all(work.stages)
            self.finish()

    def all(self, stages: Iterable[Stage]) -> list[Done]:
        """Every stage in its order, what workers can do at once before."""
        stages = tuple(stages)
        self.ahead(stages)
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
            if self.asked is None or not self.asked.goes_on or _ends_all(error):
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
            kept = self._kept[stage.key] = self._recall(stage) or self._compute(stage)
        record = StageRecord(
            stage.name, stage.about, "done", kept.made.words, warnings=kept.made.warnings,
            question=stage.question, wall_seconds=kept.seconds, finding=kept.made.finding,
        )  # fmt: skip
        return Done(stage, record, kept.made)

    def holds(self, stage: Stage) -> bool:
        """Whether what a stage makes is kept, so that it would not be made again."""
        return self._recall(stage) is not None

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

    def ahead(self, stages: Iterable[Stage]) -> None:
        """Let workers do the stages that are worth a process of their own, several at once.

        `keep` then finds them done, or raises why they were not. Nothing is done where the engine
        is this process, or where there is but one.
        """
        if self.engine.here:
            return
        waiting = {one.key: one for one in with_needs(stages) if one.apart and not self.holds(one)}
        while len(waiting) > 1:
            ready = [
                one for one in waiting.values()
                if not any(need.key in waiting for need in with_needs(one.needs))
            ]  # fmt: skip
            shared = {need.key: need for one in ready for need in one.needs}
            for need in shared.values():
                self._prepare(need)
            self.spread(ready, self.engine, f"{ready[0].name} of {len(ready)}")
            for one in ready:
                del waiting[one.key]

    def _prepare(self, need: Stage) -> None:
        """Keep what several stages need, before they are done at once."""
        try:
            self.keep(need)
        except Exception as error:
            if self.asked is None or not self.asked.goes_on or _ends_all(error):
                raise
            self._failed[need.key] = error

    def spread(self, stages: Sequence[Stage], engine: Engine, what: str, steps: int = 1) -> None:
        """Do independent stages by an engine; `keep` then finds them done, or knows why not.

        Args:
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
            if self.progress is not None:
                now, total = round(_PARTS * sum(shares.values())), _PARTS * len(stages)
                self.progress(Progress(what, now, total, f"{done} of {len(stages)} done"))

        work = _Keeping(self.folder, tuple(stages), steps)
        gpu = any(one.on_gpu for one in stages)
        for end in ended_jobs(work, range(len(stages)), engine, gpu=gpu, told=told):
            done += 1
            told(end.index, 1.0)
            if end.failure is None:
                continue
            error = end.failure.error()
            if self.asked is None or not self.asked.goes_on or _ends_all(error):
                raise error
            self._failed[stages[end.index].key] = error

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
        for kind in _SMALL:
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

    def _compute(self, stage: Stage) -> "_Kept":
        start = time.perf_counter()
        with watch_written() as files:  # to the end, as a stage in another one is no file of it
            made = stage.compute(self)
            spent = time.perf_counter() - start if made.seconds is None else made.seconds
            there = [file for file in files if file.exists()]  # not what was for a while only
            kept = _Kept(stage.key, spent, made, _digests(self.folder, there))
            write_whole(self._file(stage), _to_json(kept))
        return kept

    def _recall(self, stage: Stage) -> "_Kept | None":
        """What is kept of this very stage, whole and undamaged."""
        try:
            kept = _of_json(read_json(self._file(stage), "it is made again"))
        except (ValueError, KeyError, TypeError, OSError):  # of which InputError is one
            return None
        names = [self.folder / name for name in kept.files]
        return (
            kept if kept.key == stage.key and _digests(self.folder, names) == kept.files else None
        )

    def _file(self, stage: Stage) -> Path:
        return self.folder / "stages" / f"{file_name(*stage.identity)}.json"


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


@dataclass(frozen=True)
class _Kept:
    """A stage on disk: what it depends on, what it made, and the digests of the files it wrote."""

    key: str
    seconds: float
    made: Made
    files: dict[str, str]


_SMALL: tuple[type[Row], ...] = (
    Measurement, LayerRow, ClaimRow, CurvePoint, LossRow, VerdictRow, GateRow, FlawRow,
    RulingRow,
)  # fmt: skip
"""Rows that are kept one by one, with their stage."""
_LARGE: tuple[type[Row], ...] = (ImageRow, CertificateRow)
"""Rows that stages read again from what they left on disk."""


def _to_json(kept: _Kept) -> str:
    """Rows of a kind together under its name; all else as its fields are called."""
    rows: dict[str, list[Any]] = {}
    for row in kept.made.rows:
        rows.setdefault(type(row).FILE, []).append(vars(row))
    content = asdict(replace(kept, made=replace(kept.made, rows=())))
    content["made"]["rows"] = rows
    return json.dumps(content, ensure_ascii=False)


def _of_json(content: Any) -> _Kept:
    kinds = {kind.FILE: kind for kind in _SMALL}
    rows: tuple[Any, ...] = tuple(
        of_json(kinds[name], row)
        for name, some in content["made"].pop("rows").items() for row in some
    )  # fmt: skip
    kept = of_json(_Kept, content)
    return replace(kept, made=replace(kept.made, rows=rows))


def _joined(remarks: Iterable[Mapping[str, tuple[str, ...]]]) -> dict[str, tuple[str, ...]]:
    """Those of several stages about one analysis, one after the other."""
    found: dict[str, tuple[str, ...]] = {}
    for some in remarks:
        for name, said in some.items():
            found[name] = found.get(name, ()) + said
    return found


def _digests(folder: Path, files: Iterable[Path]) -> dict[str, str]:
    """By their names inside the folder; of shards, which hold their own digests, the size."""
    found = {}
    for file in files:
        name = file.relative_to(folder).as_posix()
        try:
            size = check_regular(file, "it is made again")
            shard = name.startswith("shards/")
            found[name] = str(size) if shard else hashlib.sha256(file.read_bytes()).hexdigest()
        except (InputError, OSError):
            found[name] = "missing"
    return found


def _ends_all(error: Exception) -> bool:
    of_the_disk = isinstance(error, OSError) or isinstance(error.__cause__, OSError)
    return of_the_disk or isinstance(error, UnsoundBound)


def _said(error: Exception) -> str:
    """An error as one sentence; what is not an InputError keeps its type's name."""
    lines = str(error).strip().splitlines()
    text = lines[0] if lines else ""
    if isinstance(error, InputError | JobFailed):
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


_PARTS = 1000
"""Of a stage, that progress is counted in where several are done at once."""


@dataclass(frozen=True)
class _Keeping:
    """What a worker does: one of these stages, kept in the folder.

    Attributes:
        folder: The results folder.
        stages: All of them.
        steps: How many stages of progress each reports, one after the other.
    """

    folder: Path
    stages: tuple[Stage, ...]
    steps: int

    def __call__(self, index: int, told: Told) -> None:
        seen: list[str] = []

        def progress(step: Progress) -> None:
            if step.stage not in seen:
                seen.append(step.stage)
            told(min(len(seen) - 1 + step.done / max(step.total, 1), self.steps) / self.steps)

        Run(self.folder, progress=progress).keep(self.stages[index])

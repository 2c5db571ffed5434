"""A results folder logged to MLflow or Weights & Biases, by one function each.

Both read the folder alone, so any run can be logged, also later and elsewhere.
"""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from intriguing.errors import InputError
from intriguing.names import file_name
from intriguing.results.gate import RulingRow
from intriguing.results.measured import Measurement
from intriguing.results.parquet import read_rows
from intriguing.results.schema import RunRecord
from intriguing.results.store import read_run


def log_to_mlflow(folder: Path | str) -> str:
    """Log metrics, the record and the report to MLflow's active run, or to a new one.

    Returns:
        The id of the run.

    Raises:
        InputError: Without MLflow (pip install 'intriguing[mlflow]'), or for no results folder.
    """
    try:
        import mlflow
    except ImportError:
        raise InputError("log_to_mlflow needs MLflow: pip install 'intriguing[mlflow]'") from None
    folder = Path(folder)
    record, metrics = read_run(folder), dict(_metrics(folder))
    active = mlflow.active_run()
    run = active or mlflow.start_run()
    try:
        mlflow.set_tags(_words(record, folder))
        mlflow.log_metrics(metrics)
        mlflow.log_artifact(str(folder / "run.json"))
        if (folder / "report").is_dir():
            mlflow.log_artifacts(str(folder / "report"), "report")
    finally:
        if active is None:
            mlflow.end_run()
    return str(run.info.run_id)


def log_to_wandb(folder: Path | str, run: Any = None) -> Any:
    """Log metrics, the record and the report to a run of Weights & Biases.

    Args:
        folder: A results folder.
        run: Of `wandb.init`; the active one, or a new one, where it is not given.

    Returns:
        The run.

    Raises:
        InputError: Without wandb (pip install 'intriguing[wandb]'), or for no results folder.
    """
    try:
        import wandb
    except ImportError:
        raise InputError("log_to_wandb needs wandb: pip install 'intriguing[wandb]'") from None
    folder = Path(folder)
    record, metrics = read_run(folder), dict(_metrics(folder))
    run = run or wandb.run or wandb.init()
    run.summary.update({**_words(record, folder), **metrics})
    artifact = wandb.Artifact(file_name("intriguing", record.kind), type="report")
    artifact.add_file(str(folder / "run.json"))
    if (folder / "report").is_dir():
        artifact.add_dir(str(folder / "report"), "report")
    run.log_artifact(artifact)
    return run


def _metrics(folder: Path) -> Iterator[tuple[str, float]]:
    """Every finite measured value by a name of its own, with the ends of its interval."""
    for row in read_rows(folder, Measurement):
        about = (row.analysis, row.network, row.metric.value, row.condition.value, row.made_for,
                 row.layer, row.setting, "" if row.size is None else f"{row.size:g}",
                 "" if row.seed is None else f"seed {row.seed}")  # fmt: skip
        name = ".".join(_clean(word) for word in about if word)
        ends = (("", row.value), (".low", row.low), (".high", row.high))
        yield from ((name + end, x) for end, x in ends if x is not None and math.isfinite(x))
    for verdict in read_rows(folder, RulingRow):
        for key in ("images", "near", "proved", "low", "high", "value", "limit"):
            if math.isfinite(x := float(getattr(verdict, key))):
                yield f"gate.{key}", x
        yield "gate.passed", float(verdict.ruling == "pass")


def _words(record: RunRecord, folder: Path) -> dict[str, str]:
    verdicts = read_rows(folder, RulingRow)
    return {
        "intriguing.verb": record.kind, "intriguing.command": record.command,
        "intriguing.status": record.status,
        "intriguing.models": ", ".join(f"{m.name} {m.sha256}" for m in record.models),
        "intriguing.data": ", ".join(f"{d.name} {d.sha256}" for d in record.data),
        **({"intriguing.ruling": verdicts[0].ruling} if verdicts else {}),
    }  # fmt: skip


def _clean(word: str) -> str:
    """Letters, digits, and what every tracker allows in a name."""
    return "".join(c if c.isascii() and (c.isalnum() or c in "-_ ") else "_" for c in word)

"""The rows that an attack leaves: what it comes to, and one an image."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from intriguing.distortion.result import Status
from intriguing.estimates import Rows
from intriguing.results.rows import Condition, Measurement, Metric
from intriguing.runs.attacking import Outcome
from intriguing.transfer.matrix import count_errors


def summary(name: str, model: nn.Module, outcome: Outcome, seed: int) -> list[Measurement]:
    """Of one network: its error before, how many it fooled, how far away, how surely."""
    images, total = outcome.images, len(outcome)
    before = count_errors({name: model}, [(images.images, images.labels)])[name]
    rows = Rows("attack", network=name, seed=seed)
    rows.share(Metric.ERROR, before.count, before.total, condition=Condition.CLEAN)
    rows.share(Metric.FOOLED, int(outcome.columns["success"].sum()), total)
    rows.mean(Metric.MEAN_DISTORTION, "distortion", outcome.found, total)
    rows.median(Metric.MEDIAN_DISTORTION, "distortion", outcome.found, total)
    rows.mean(Metric.PASSES, "passes", outcome.cost, total)
    add_certainty(rows, outcome)
    return rows.made


def add_certainty(rows: Rows, outcome: Outcome) -> None:
    """How many answers are proved optimal, where a gap is known; else how far from stationary.

    An image that is adversarial as it is, at distance 0, needs no other proof.
    """
    found = outcome.columns["success"]
    if bool(outcome.columns["gap"].isfinite().any()):
        status = outcome.columns["status"]
        proved = (status == int(Status.OPTIMAL)) | (status == int(Status.ALREADY))
        rows.share(Metric.PROVED, int(proved.sum()), len(outcome))
    local = outcome.columns["local_gap"][found]
    rows.median(Metric.LOCAL_GAP, "gap", local[~local.isnan()], len(outcome))


def image_columns(name: str, outcome: Outcome, seed: int) -> dict[str, Any]:
    """Columns of `ImageRow`."""
    columns = outcome.columns
    lost = ~columns["success"]
    numbers: Sequence[str] = ("distortion", "l2", "c", "gap", "local_gap")
    whole = ("success", "forward_passes", "backward_passes")
    return {
        "network": name,
        "seed": seed,
        "method": outcome.method,
        "image_id": list(outcome.images.ids),
        "label": outcome.images.labels.numpy(),
        "target": columns["targets"].numpy(),
        "status": [Status(code).name for code in columns["status"].tolist()],
        **{key: columns[key].masked_fill(lost, torch.nan).numpy() for key in numbers},
        **{key: columns[key].numpy() for key in whole},
    }

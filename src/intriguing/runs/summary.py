"""The rows that an attack leaves: one of the summary table, and one an image."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from intriguing.distortion.result import Status
from intriguing.measures import mean_interval, median, median_interval, wilson_interval
from intriguing.results.schema import Cell, Unit
from intriguing.runs.attacking import Outcome
from intriguing.transfer.matrix import count_errors


class Row:
    """Cells of one row of a table, in the order in which they are added."""

    def __init__(
        self, table: str, row: str, order: int, *, network: str | None = None, reference: str = "",
        size: float | None = None,
    ) -> None:  # fmt: skip
        """`network` is what is judged, the row where that is a name; the rest as in `Cell`."""
        self.table, self.row, self.order = table, row, order
        self.network, self.reference, self.size = network, reference, size
        self.cells: list[Cell] = []

    def add(
        self, column: str, place: int, unit: Unit, value: float,
        interval: tuple[float | None, float | None], count: int, total: int,
    ) -> None:  # fmt: skip
        """A cell under `column`, the table's `place`-th; without an interval of one point.

        Equal values have no spread to estimate, and a single one has even less.
        """
        low, high = interval
        if low == high:
            low = high = None
        self.cells.append(
            Cell(self.table, self.row, column, self.order, place, unit, value, low, high, count,
                 total, network=self.row if self.network is None else self.network,
                 reference=self.reference, size=self.size)
        )  # fmt: skip

    def share(self, column: str, place: int, count: int, total: int) -> None:
        """A share in percent with Wilson's interval."""
        low, high = wilson_interval(count, total)
        self.add(column, place, "%", 100 * count / total, (100 * low, 100 * high), count, total)

    def mean(self, column: str, place: int, unit: Unit, values: Tensor, total: int) -> None:
        """A mean with Student's interval; nothing where there are no values."""
        if len(values):
            exact = values.double()
            mean, interval = float(exact.mean()), mean_interval(exact)
            self.add(column, place, unit, mean, interval, len(values), total)

    def median(self, column: str, place: int, unit: Unit, values: Tensor, total: int) -> None:
        """A median with the interval of order statistics; nothing where it is infinite."""
        if len(values) and (middle := median(values)) < float("inf"):
            interval = median_interval(values)
            self.add(column, place, unit, middle, interval, len(values), total)


def summary(name: str, model: nn.Module, outcome: Outcome, order: int) -> list[Cell]:
    """The row of one network: its error before, how many it fooled, how far away, how surely."""
    images, total = outcome.images, len(outcome)
    before = count_errors({name: model}, [(images.images, images.labels)])[name]
    row = Row("attack", name, order)
    row.share("Error before", 0, before.count, before.total)
    row.share("Fooled", 1, int(outcome.columns["success"].sum()), total)
    row.mean("Mean distortion", 2, "distortion", outcome.found, total)
    row.median("Median distortion", 3, "distortion", outcome.found, total)
    row.mean("Passes an image", 4, "passes", outcome.cost, total)
    add_certainty(row, 5, outcome)
    return row.cells


def add_certainty(row: Row, place: int, outcome: Outcome) -> None:
    """How many answers are proved optimal, where a gap is known; else how far from stationary.

    An image that is adversarial as it is, at distance 0, needs no other proof.
    """
    found = outcome.columns["success"]
    if bool(outcome.columns["gap"].isfinite().any()):
        status = outcome.columns["status"]
        proved = (status == int(Status.OPTIMAL)) | (status == int(Status.ALREADY))
        row.share("Proved optimal", place, int(proved.sum()), len(outcome))
    local = outcome.columns["local_gap"][found]
    row.median("Local gap, median", place + 1, "gap", local[~local.isnan()], len(outcome))


def image_columns(name: str, outcome: Outcome, seed: int) -> dict[str, Any]:
    """Rows for images.parquet."""
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

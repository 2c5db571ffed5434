"""What tables show, as tests ask for it: by what people read."""

from collections.abc import Iterable
from pathlib import Path

from intriguing.report.layouts import gather
from intriguing.report.views import Cell
from intriguing.results.measured import Measurement
from intriguing.results.parquet import read_rows


def shown(folder: Path) -> list[Cell]:
    """The cells of all tables of a results folder."""
    return laid_out(read_rows(folder, Measurement))


def laid_out(rows: Iterable[Measurement]) -> list[Cell]:
    """The cells of all tables of these rows."""
    return [cell for table in gather(rows) for cell in table.where()]

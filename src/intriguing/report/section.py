"""What a report's page is made of: sections of words, tables, figures and listings."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from intriguing.report.contents import Contents
from intriguing.report.figure_style import Drawing
from intriguing.report.viewer import Viewer
from intriguing.report.views import Table
from intriguing.results.verdicts import Source, Verdict, VerdictRow

MEASURED, IMAGES = "rows/measurements.parquet", "rows/images.parquet"
LAYERS, CERTIFICATES = "rows/layers.parquet", "rows/certificates.parquet"
TOPS, COHERENCE, CLAIMS = "rows/tops.parquet", "rows/coherence.parquet", "rows/claims.parquet"
VERDICTS = "rows/verdicts.parquet"


@dataclass(frozen=True)
class Listing:
    """Rows of plain values under a heading that opens and closes; all of them also as CSV.

    Attributes:
        name: Of the file, report/tables/NAME.csv.
        title: What stands there when it is closed.
        columns, rows: As the page shows them.
        csv: The whole listing.
        sources: Files it was drawn from.
        omitted: Rows that the page leaves out and the CSV has.
        opened: Whether it is open at first.
        latex: The listing as a LaTeX table; none when empty.
        prose: Columns of words, which may be long.
    """

    name: str
    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    csv: str
    sources: tuple[str, ...]
    omitted: int = 0
    opened: bool = False
    latex: str = ""
    prose: tuple[str, ...] = ()


@dataclass(frozen=True)
class VerdictTable:
    """Every claim in a line, to be filtered by verdict and by source.

    Attributes:
        rows: The claims.
        numbers: What decides each, in words.
        csv: All of it.
    """

    rows: tuple[VerdictRow, ...]
    numbers: tuple[str, ...]
    csv: str

    @property
    def lines(self) -> list[tuple[VerdictRow, str]]:
        """Each claim with what decides it."""
        return list(zip(self.rows, self.numbers, strict=True))

    @property
    def filters(self) -> tuple[tuple[str, tuple[str, ...]], ...]:
        """What the lines can be told apart by."""
        return ("verdict", tuple(Verdict)), ("source", tuple(Source))


Block: TypeAlias = Table | Drawing | Listing | VerdictTable | Viewer


@dataclass(frozen=True)
class Section:
    """A heading, a paragraph of words, then tables, figures and listings, and remarks on them.

    listed: Whether it stands in the list of sections at the page's head.
    """

    anchor: str
    title: str
    words: str
    blocks: tuple[Block, ...]
    notes: tuple[str, ...] = ()
    listed: bool = True


Part: TypeAlias = Callable[[Contents], Section]

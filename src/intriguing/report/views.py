"""Tables as views of measurements: which is a row, which a column, and what people call them.

Labels come into being here and are only shown: whoever looks for a value asks for what it is about.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from intriguing.results.published import paper_value, published_claims
from intriguing.results.rows import Condition, Measurement, Metric, first, where

Key: TypeAlias = tuple[object, ...]
"""What a row, or a column, is about: values of fields of its measurements."""
Labels: TypeAlias = Mapping[Key, str]
"""By the beginning of a key, a label with {fields} of the measurement."""


@dataclass(frozen=True)
class Cell(Measurement):
    """A measurement in its place in a table, beside the paper's.

    Attributes:
        row, column: What people call its place.
        paper: The paper's value, None where it gives none.
        seeds: How many seeds were run.
        seed_low, seed_high: Least and greatest value over the seeds; None for one seed.
    """

    row: str = ""
    column: str = ""
    paper: float | None = None
    seeds: int = 1
    seed_low: float | None = None
    seed_high: float | None = None


@dataclass(frozen=True)
class Table:
    """Cells of one analysis by what their row and column are about, in the order of the view.

    Attributes:
        name: Of its files.
        heading: "Table 2", or a word; the title without the rest.
        rows, columns: Labels by key.
    """

    analysis: str
    network: str
    name: str
    heading: str
    title: str
    corner: str
    rows: Mapping[Key, str]
    columns: Mapping[Key, str]
    cells: Mapping[tuple[Key, Key], Cell]

    def at(self, row: Key, column: Key) -> Cell | None:
        """The cell, or None where the table has a hole."""
        return self.cells.get((row, column))

    def where(self, **about: object) -> list[Cell]:
        """The cells whose fields are these, row by row."""
        cells = (self.at(row, column) for row in self.rows for column in self.columns)
        return where((cell for cell in cells if cell is not None), **about)

    def first(self, **about: object) -> Cell | None:
        """The first of them; None where there is none."""
        return first(self.where(**about))

    def lines(self) -> list[dict[Metric, Cell]]:
        """The cells of each row by what they measure, of several the first."""
        backward = list(self.columns)[::-1]
        return [
            {cell.metric: cell for column in backward if (cell := self.at(row, column))}
            for row in self.rows
        ]

    @property
    def has_paper(self) -> bool:
        """Whether any cell has a published value to compare with."""
        return any(cell.paper is not None for cell in self.cells.values())

    @property
    def has_intervals(self) -> bool:
        """Whether any cell is an estimate."""
        return any(cell.low is not None for cell in self.cells.values())


More: TypeAlias = Callable[[Measurement, Sequence[Measurement]], dict[str, Any]]


@dataclass(frozen=True)
class View:
    """How the measurements of one analysis are laid out.

    Attributes:
        title: Of the table; after `heading`, where it has one.
        corner: What its rows are.
        columns: What is shown, in this order, and how it is called.
        row, column: Fields that tell rows, and columns, apart.
        labels: Of rows.
        each: Whether every network has a table of its own, named after it where there are several.
        file: Name of the files; the analysis where it is empty.
        more: What labels say besides fields, from a measurement and all of its analysis.
    """

    title: str
    corner: str
    columns: Labels
    heading: str = ""
    row: tuple[str, ...] = ("network",)
    column: tuple[str, ...] = ("metric",)
    labels: Labels = field(default_factory=lambda: {(): "{network}"})
    each: bool = False
    file: str = ""
    more: More = lambda row, rows: {}

    def tables(self, analysis: str, rows: Sequence[Measurement]) -> list[Table]:
        """The analysis as a table, or as one for each network."""
        if not self.each:
            return [self._table(analysis, "", rows)]
        networks = dict.fromkeys(row.network for row in rows)
        alone = len(networks) == 1 and not self.file
        return [
            self._table(analysis, "" if alone else name, where(rows, network=name))
            for name in networks
        ]

    def _table(self, analysis: str, network: str, rows: Sequence[Measurement]) -> Table:
        lines: dict[Key, str] = {}
        heads: dict[Key, tuple[int, str]] = {}
        members: dict[tuple[Key, Key], list[Measurement]] = {}
        order = list(self.columns)
        for one in rows:
            line, head = _key(one, self.row), _key(one, self.column)
            begun = _beginning(head, self.columns)
            if begun is None:
                continue
            said = {**vars(one), **self.more(one, rows)}
            if line not in lines:
                lines[line] = self.labels[_beginning(line, self.labels) or ()].format(**said)
            if head not in heads:
                heads[head] = order.index(begun), self.columns[begun].format(**said)
            members.setdefault((line, head), []).append(one)
        columns = {head: label for head, (_, label) in sorted(heads.items(), key=_place)}
        cells = {
            (line, head): _cell(some, lines[line], columns[head])
            for (line, head), some in members.items()
        }
        name = self.file or analysis
        title = f"{self.heading}. {self.title}" if self.heading else self.title
        return Table(
            analysis, network, f"{name}-{network}" if network else name,
            self.heading or self.title, f"{title}: {network}" if network else title, self.corner,
            lines, columns, cells,
        )  # fmt: skip


def _key(row: Measurement, names: Sequence[str]) -> Key:
    return tuple(getattr(row, name) for name in names)


def _beginning(key: Key, labels: Labels) -> Key | None:
    """The longest beginning of a key that has a label."""
    return next((key[:n] for n in range(len(key), -1, -1) if key[:n] in labels), None)


def _place(item: tuple[Key, tuple[int, str]]) -> int:
    return item[1][0]


def _cell(members: Sequence[Measurement], row: str, column: str) -> Cell:
    """What stands for several seeds: the value over all, or the first seed's, and the range."""
    shown = first(members, seed=None) or members[0]
    seeds = {one.seed: one.value for one in members if one.seed is not None}
    several = list(seeds.values()) if len(seeds) > 1 else []
    return Cell(
        **vars(shown), row=row, column=column, paper=paper_value(shown), seeds=len(several) or 1,
        seed_low=min(several, default=None), seed_high=max(several, default=None),
    )  # fmt: skip


def gather(rows: Iterable[Measurement]) -> list[Table]:
    """The tables of these measurements, sorted by their analyses' files."""
    of_analysis: dict[str, list[Measurement]] = {}
    for row in rows:
        of_analysis.setdefault(row.analysis, []).append(row)
    known = sorted(of_analysis.keys() & VIEWS.keys(), key=lambda name: VIEWS[name].file or name)
    tables = [table for name in known for table in VIEWS[name].tables(name, of_analysis[name])]
    return [table for table in tables if table.cells]


def _length(row: Measurement, rows: Sequence[Measurement]) -> dict[str, float]:
    """How long the examples of a network are on average."""
    about = {"metric": Metric.MEAN_DISTORTION, "made_for": row.made_for}
    mean = first(rows, condition=Condition.ADVERSARIAL, **about)
    return {"length": 0.0 if mean is None else mean.value}


def _as_distortion(row: Measurement, rows: Sequence[Measurement]) -> dict[str, float]:
    """A size in L2 as the paper's distortion."""
    pixels = first(rows, metric=Metric.PIXELS, network=row.network)
    root = 1.0 if pixels is None else pixels.value**0.5
    return {"distortion": (row.size or 0.0) / root}


def _layer(row: Measurement, rows: Sequence[Measurement]) -> dict[str, str]:
    """A layer with its shape, where it has one."""
    return {"whole_name": ": ".join(part for part in (row.layer, row.setting) if part)}


_SHOWN = ("condition", "made_for", "size")
_BY_NETWORK: Labels = {(Metric.ERROR,): "{network}", (Metric.MEAN_DISTORTION,): "Av. distortion"}
_BOUNDS: Labels = {
    (Metric.MENDED_BOUND,): "Paper, mended",
    (Metric.PRINTED_BOUND,): "As printed",
    (Metric.UPPER_BOUND,): "Corrected",
    (Metric.LOWER_BOUND,): "At least",
}
_HARDENED: Labels = {
    (Metric.ERROR,): "Test error",
    (Metric.MEDIAN_DISTORTION,): "Median distortion",
    (Metric.DISTORTION_RATIO,): "Distortion over plain",
    (Metric.MEDIAN_CERTIFIED,): "Certified radius",
    (Metric.RADIUS_RATIO,): "Radius over plain",
    (Metric.TIME_RATIO,): "Time over plain",
}
_TRAINED: Labels = {
    (Metric.ERROR, "train"): "Training error",
    (Metric.ERROR, "test"): "Test error",
    (Metric.MEAN_DISTORTION,): "Av. min. distortion",
}

VIEWS: dict[str, View] = {
    "table1": View(
        "Error, and how little it takes to fool every image", "Network", _TRAINED, "Table 1",
        column=("metric", "images"),
    ),
    "table2": View(
        "Cross-model generalization of adversarial examples", "Distorted for", _BY_NETWORK,
        "Table 2", row=_SHOWN, column=("metric", "network"),
        labels={
            (Condition.ADVERSARIAL,): "{made_for}",
            (Condition.NOISE,): "Gaussian noise, stddev={size:g}",
        },
    ),
    "table3": View(
        "Networks trained on two disjoint halves, before distortion", "Network",
        {
            (Metric.ERROR, "P1"): "Error on P1",
            (Metric.ERROR, "P2"): "Error on P2",
            (Metric.ERROR, "test"): "Error on Test",
            (Metric.MEAN_DISTORTION,): "Min Av. Distortion",
        },
        "Table 3", column=("metric", "images"),
    ),
    "table4": View(
        "Cross-training-set generalization of adversarial examples", "", _BY_NETWORK, "Table 4",
        row=_SHOWN, column=("metric", "network"),
        labels={
            (Condition.ADVERSARIAL,): "Distorted for {made_for}",
            (Condition.AMPLIFIED,): "Distorted for {made_for} amplified to stddev={size:g}",
            (Condition.NOISE,): "Gaussian noise with stddev={size:g}",
        },
    ),
    "table5": View(
        "How many times longer each layer can make a change", "Layer: size /stride", _BOUNDS,
        "Table 5", row=("layer", "setting"), labels={("",): "Product", (): "{whole_name}"},
        more=_layer,
    ),
    "bounds": View(
        "How many times longer each layer can make a change", "Layer: size /stride", _BOUNDS,
        "Table 5", row=("layer", "setting"), labels={("",): "Whole network", (): "{whole_name}"},
        more=_layer, each=True, file="table5",
    ),
    "figure6": View(
        "Automobile or not, by unsupervised features", "Network",
        {
            (Metric.ACCURACY,): "Accuracy",
            (Metric.ACCURACY_DIFFERENCE,): "Above raw pixels",
            (Metric.FOOLED,): "Known cars fooled",
            (Metric.MEAN_DISTORTION,): "Av. min. distortion",
        },
        "Figure 6",
    ),
    "figure6-transfer": View(
        "Automobile or not, by unsupervised features: transfer", "Network", _BY_NETWORK,
        "Figure 6", row=_SHOWN, column=("metric", "network"),
        labels={
            (Condition.ADVERSARIAL,): "{made_for}",
            (Condition.NOISE,): "{made_for}, noise instead",
        },
    ),
    "attack": View(
        "Minimum distortion", "Network",
        {
            (Metric.ERROR,): "Error before",
            (Metric.FOOLED,): "Fooled",
            (Metric.MEAN_DISTORTION,): "Mean distortion",
            (Metric.MEDIAN_DISTORTION,): "Median distortion",
            (Metric.MEDIAN_L2,): "Median L2",
            (Metric.PASSES,): "Passes an image",
            (Metric.PROVED,): "Proved optimal",
            (Metric.LOCAL_GAP,): "Local gap, median",
        },
    ),
    "accuracy": View(
        "Accuracy on the images as they are", "Network",
        {(Metric.ACCURACY,): "Clean accuracy", (Metric.AGREEMENT,): "Agreement"},
    ),
    "noise": View(
        "How many images are fooled", "Network",
        {
            (Metric.FOOLED, Condition.ADVERSARIAL): "By the changes found",
            (Metric.FOOLED, Condition.NOISE, ""): "By noise of each one's size",
            (Metric.FOOLED, Condition.NOISE): "By noise of {setting} × the median",
        },
        column=("metric", "condition", "setting"),
    ),
    "target": View(
        "Made one class, as 8-bit images", "Network",
        {
            (Metric.BECAME,): "Became {setting}",
            (Metric.REMAINED,): "Still so as PNG files",
            (Metric.MEAN_DISTORTION,): "Mean distortion",
            (Metric.MEDIAN_DISTORTION,): "Median distortion",
        },
    ),
    "compare": View(
        "Every method on the same images", "Method",
        {
            (Metric.FOOLED,): "Found",
            (Metric.SHORTEST,): "Shortest",
            (Metric.MEAN_L2,): "Mean L2",
            (Metric.MEDIAN_L2,): "Median L2",
            (Metric.MEAN_DISTORTION,): "Mean distortion",
            (Metric.MEDIAN_DISTORTION,): "Median distortion",
            (Metric.PASSES,): "Passes",
            (Metric.TIME,): "Time, ms",
            (Metric.PROVED,): "Proved optimal",
            (Metric.LOCAL_GAP,): "Local gap, median",
        },
        row=("method",), labels={(): "{method}"},
    ),
    "paired": View(
        "Image by image beside the method that is most often shortest", "",
        {
            (Metric.L2_DIFFERENCE,): "Mean difference of L2",
            (Metric.RELATIVE_DIFFERENCE,): "Mean relative difference",
            (Metric.SHORTER,): "Shorter on",
            (Metric.LONGER,): "Longer on",
        },
        row=("method", "reference"), labels={(): "{method} beside {reference}"},
    ),
    "transfer": View(
        "Error each network makes on examples made for another", "", {(Metric.ERROR,): "{network}"},
        "Transfer", row=_SHOWN, column=("metric", "network"), more=_length,
        labels={
            (Condition.ADVERSARIAL,): "Distorted for {made_for} (av. stddev={length:.3g})",
            (Condition.AMPLIFIED,): "Distorted for {made_for} amplified to stddev={size:g}",
            (Condition.NOISE,): "Gaussian noise with stddev={size:.3g}",
        },
    ),
    "train": View(
        "Error of the trained network", "Network", _TRAINED, column=("metric", "images")
    ),
    "path": View(
        "Coherence on the way from the units (α = 0) to a random rotation (α = 1)", "Layer",
        {(Metric.COHERENCE,): "α = {size:g}"}, row=("layer",), column=("metric", "size"),
        labels={(): "{layer}"},
    ),
    "certify": View(
        "What is certified, and what is found", "Network",
        {
            (Metric.ACCURACY,): "Clean accuracy",
            (Metric.MEDIAN_CERTIFIED, "correct"): "Median certified",
            (Metric.MEDIAN_L2, "correct"): "Median found",
            (Metric.CERTIFIED_RATIO, "correct"): "Certified/found",
            (Metric.VIOLATIONS,): "Violations",
        },
        column=("metric", "images"),
    ),
    "robust": View(
        "Accuracy against every change of at most ε, in L2", "ε (as distortion)",
        {(Metric.CERTIFIED,): "Certified", (Metric.WITHSTOOD,): "Under the attack"},
        row=("size",), labels={(): "{size:g} ({distortion:.4f})"}, more=_as_distortion, each=True,
    ),
    "hardening": View(
        "One network, trained in each way", "Training", _HARDENED, row=("method",),
        labels={(): "{method}"},
    ),
    "penalty": View(
        "The spectral penalty by its weight", "Weight", _HARDENED, row=("setting",),
        labels={(): "{setting}"},
    ),
    "masking": View(
        "What fools the networks without their gradients", "Training",
        {
            (Metric.FOOLED, Condition.ADVERSARIAL): "Attack finds",
            (Metric.SHORTER,): "Transfer shorter",
            (Metric.FOOLED, Condition.NOISE): "Fooled by noise",
            (Metric.FLAWS,): "Flaws found",
        },
        row=("method",), column=("metric", "condition"), labels={(): "{method}"},
    ),
    "settings": View(
        "Settings by validation error", "Training: settings",
        {(Metric.ERROR,): "Validation error"},
        row=("method", "setting"), labels={(): "{method}: {setting}"},
    ),
    "claims": View(
        "The paper's sentences as differences of test errors", "Claim",
        {(Metric.ERROR_DIFFERENCE,): "Difference of test errors"},
        row=("method", "reference"), labels={(): "{sentence}"},
        more=lambda row, rows: {"sentence": sentence(row)},
    ),
}  # fmt: skip
"""By analysis; what has none has no table."""


def sentence(row: Measurement) -> str:
    """What the paper says of which the row is the difference."""
    about = row.method, row.reference
    said = (c.sentence for c in published_claims() if (c.better, c.reference) == about)
    return next(said, f"{row.method} errs less than {row.reference}")

"""Table 5: bounds of AlexNet's layers as the paper prints them, by Eq. 1 as printed, and corrected.

The same for any network, without the paper's column.  Nothing is trained and no data is needed:
the bounds are properties of the weights.
"""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch

from intriguing.estimates import Rows
from intriguing.models.families.alexnet import AlexNet, initialise
from intriguing.models.load import load_model
from intriguing.models.normalized import Normalized
from intriguing.paper.errata import errata, errata_of_any, mended, papers_name
from intriguing.paper.layers import Layers, read_layers
from intriguing.paper.networks import short_name
from intriguing.results.measured import Metric
from intriguing.results.published import published
from intriguing.runs.bounding import shape_of
from intriguing.runs.provenance import record_model
from intriguing.runs.run import Run
from intriguing.runs.stage import Made, Network, Stage

if TYPE_CHECKING:
    from intriguing.paper.materials import Materials

FULL_WIDTH = 96
"""Channels of the first layer of AlexNet, as Krizhevsky has it."""
RANDOM = (
    "AlexNet with Krizhevsky's groups, overlapping pools and response normalisation, its weights "
    "random as before its training (normal, deviation 0.01, seed 0): they show what the formulas "
    "make of one network, not what the paper's trained one had"
)


@dataclass(frozen=True)
class Table5(Stage):
    """Bounds of every layer of a network, and of the whole.

    Attributes:
        network: Whose.
        shape: Of one of its images.
        words: What it is, for the remarks.
        papers: Whether it is the paper's, and the paper's bounds stand beside.
    """

    name: ClassVar[str] = "table5"
    question: ClassVar[str] = "How far can each layer carry a change?"
    network: Network
    shape: tuple[int, ...]
    words: str
    papers: bool

    def compute(self, run: Run) -> Made:
        """The table, what the paper gets wrong about it, and the network's record."""
        layers = read_layers(self.network.model, self.shape, run.progress)
        table = Rows("table5" if self.papers else "bounds", network=self.network.name)
        if self.papers:
            _beside_paper(table, layers)
            said = errata(self.words, layers)
        else:
            _alone(table, layers)
            said = errata_of_any(self.words, layers)
        record = record_model(self.network.name, self.network.model)
        return Made(tuple(table.made), remarks={"table5": tuple(said)}, models=(record,))

    @property
    def identity(self) -> tuple[str, ...]:
        return (self.name,) if self.papers else (self.name, self.about)

    @property
    def title(self) -> str:
        return f"bound {self.about}"


def make(given: "Materials") -> list[Stage]:
    """Of AlexNet with Krizhevsky's groups, and of the given network, which may be its weights.

    Raises:
        InputError: If the given network cannot be had, or nobody says what its images are like.
    """
    spec, shape = given.config.network, given.config.input
    own = None if spec is None else load_model(spec)
    inner = own.model if isinstance(own, Normalized) else own
    if isinstance(inner, AlexNet):
        network = Network("AlexNet", inner)
        return [_of(network, f"AlexNet with weights from {spec}", shape, papers=True)]
    width = given.scale.alexnet_width
    ours = initialise(AlexNet(width=width), torch.Generator().manual_seed(0)).eval()
    words = RANDOM if width == FULL_WIDTH else f"a narrow {RANDOM}"
    chosen: list[Stage] = [_of(Network("AlexNet", ours), words, None, papers=True)]
    if own is not None:
        network = Network(short_name(str(spec)), own)
        chosen.append(_of(network, network.name, shape, papers=False))
    return chosen


def _of(network: Network, words: str, given: tuple[int, ...] | None, *, papers: bool) -> Table5:
    return Table5(network, shape_of(words, network.model, given), words, papers)


def _beside_paper(table: Rows, layers: Layers) -> None:
    """The paper's bounds without its slips, and ours, layer by layer under the paper's names."""
    papers = {row.layer: row.value for row in published("table5")}
    whole = 1.0
    for layer in layers.layers:
        if not layer.matters:
            continue
        name = papers_name(layer)
        bound = mended(layer, papers.get(name))
        whole *= bound
        table.add(Metric.MENDED_BOUND, "norm", bound, layer=name, setting=layer.shape)
        _bounds(table, layer.printed, layer.bound.upper, layer.bound.lower, name, layer.shape)
    table.add(Metric.MENDED_BOUND, "norm", whole)
    _whole(table, layers)


def _alone(table: Rows, layers: Layers) -> None:
    before: list[tuple[str, str]] = []
    for layer in layers.layers:
        if layer.matters:
            name, shape = layer.name, layer.shape
            if again := before.count((name, shape)):
                said = f" (again {again})"
                name, shape = (name, shape + said) if shape else (name + said, shape)
            before.append((layer.name, layer.shape))
            _bounds(table, layer.printed, layer.bound.upper, layer.bound.lower, name, shape)
    _whole(table, layers)


def _whole(table: Rows, layers: Layers) -> None:
    printed = math.prod(layer.printed for layer in layers.layers) if layers.is_chain else math.nan
    _bounds(table, printed, layers.upper, layers.lower)


def _bounds(
    table: Rows, printed: float, upper: float, lower: float, layer: str = "", shape: str = ""
) -> None:
    """Of a layer, or of the whole network, by §4.3 and right; what is not known has no row."""
    for metric, value in (
        (Metric.PRINTED_BOUND, printed), (Metric.UPPER_BOUND, upper), (Metric.LOWER_BOUND, lower),
    ):  # fmt: skip
        if not math.isnan(value):
            table.add(metric, "norm", value, layer=layer, setting=shape)

"""Whether examples made for one network fool the others."""

from dataclasses import dataclass
from typing import ClassVar

from intriguing.data.dataset import ImageSet
from intriguing.results.rows import Metric
from intriguing.runs.attacking import Outcome
from intriguing.runs.examples import Examples
from intriguing.runs.run import Run
from intriguing.runs.stage import Made, Network, Stage
from intriguing.runs.transfer_table import transfer_rows


@dataclass(frozen=True)
class Transfer(Stage):
    """Examples of each network shown to all: as they are, made equally long, and beside noise.

    Attributes:
        networks: That are shown them.
        attacks: Of those for whom the examples are, on the same images.
        images: What the noise is added to.
        sizes: Distortions to which examples are amplified.
        seed: Draws the noise.
        most: Examples of each that are shown; None for all.
    """

    name: ClassVar[str] = "transfer"
    networks: tuple[Network, ...]
    attacks: tuple[Examples, ...]
    images: ImageSet
    sizes: tuple[float, ...]
    seed: int
    most: int | None = None

    def compute(self, run: Run) -> Made:
        """The table."""
        networks = {one.name: one.model for one in self.networks}
        outcomes: dict[str, Outcome] = {one.network.name: run.loaded(one) for one in self.attacks}
        if self.most is not None:
            outcomes = {name: one.first(self.most) for name, one in outcomes.items()}
        rows = transfer_rows(networks, outcomes, self.images, self.sizes, self.seed)
        shown = sum(row.total for row in rows if row.metric is Metric.ERROR)
        return Made(tuple(rows), passes=(shown, 0))

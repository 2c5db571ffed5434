"""What a reader of the reproduced tables has to know, in plain language."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from intriguing.measures import spearman
from intriguing.paper.config import Scale
from intriguing.results.measured import Measurement, where
from intriguing.results.published import paper_value
from intriguing.runs.examples import Examples
from intriguing.runs.run import Run
from intriguing.runs.stage import Made, Stage
from intriguing.scale.attack import Attacked
from intriguing.training.decay import Convention

_DECAY = {"sum": "λ Σ w²", "half": "λ/2 Σ w²", "units": "λ Σ w² / (units of the layer)"}


COMPARED = ("table2", "table4")
"""Tables of networks on each other's examples, which agree with the paper's by ranks."""


@dataclass(frozen=True)
class Remarks(Stage):
    """The readings of the paper that were chosen, and what fell short.

    Attributes:
        items: That are reproduced.
        scale: How large.
        penalty: The reading of c‖r‖ in the search for the minimum distortion.
        conventions: Those of the weight decay of all networks.
        attacks: All.
        tables: Whose rows stand beside the paper's.
    """

    name: ClassVar[str] = "remarks"
    question: ClassVar[str] = "How was the paper read, and what fell short?"
    items: tuple[str, ...]
    scale: Scale
    penalty: str
    conventions: tuple[Convention, ...]
    attacks: tuple[Examples, ...]
    tables: tuple[Stage, ...]

    def compute(self, run: Run) -> Made:
        """Sentences for the whole run."""
        found = {one.about: run.loaded(one) for one in self.attacks}
        rows = [row for table in self.tables for row in run.keep(table).made.measured]
        return Made(notes=tuple(self.notes(found, rows)))

    def notes(self, attacks: Mapping[str, Attacked], rows: Sequence[Measurement]) -> list[str]:
        """The sentences.

        Args:
            attacks: By the network's name.
            rows: Of the tables.
        """
        said = [self.scale.remark]
        said += [
            f"Weight decay: the paper's λ Σ w² / k is read as {_DECAY[convention]}."
            for convention in self.conventions
        ]
        if attacks or "figure7" in self.items:
            said.append(
                "Minimum distortion: every image is moved towards a random wrong class, drawn once "
                f"for each network; {_PENALTY[self.penalty]}, with the largest c whose minimiser "
                "is still classified as that class."
            )
            said.append(_success(attacks))
        if set(COMPARED) & set(self.items):
            said.append(
                "Noise is not clipped to [0, 1], so that its distortion is the standard deviation "
                "that is stated."
            )
        if "table4" in self.items:
            said.append(
                "Amplified to 0.1 means x + 0.1 √n (x′ − x)/‖x′ − x‖₂, a distortion of exactly 0.1 "
                "(an image with x′ = x stays). The paper prints the formula without √n, which "
                "would be a distortion of 0.1/28, and says in its text that the standard deviation "
                "becomes 0.1. An image whose minimum distortion is above 0.1 is thereby moved less "
                "than it needs, which is why a network's error on its own amplified examples is "
                "below 100 %."
            )
        said += [
            f"Table {table[-1]}: Spearman's rank correlation of our off-diagonal cells with the "
            f"paper's is {rank_agreement(rows, table):.2f}."
            for table in COMPARED if table in self.items
        ]  # fmt: skip
        return [sentence for sentence in said if sentence]


_PENALTY = {
    "squared": "c‖r‖² + loss is minimised in the box",
    "norm": "c‖r‖ + loss is minimised in the box",
}


def _success(attacks: Mapping[str, Attacked]) -> str:
    if not attacks:
        return ""
    short = [
        f"{title} {int(a.success.sum()):,} of {len(a):,}"
        for title, a in attacks.items()
        if not bool(a.success.all())
    ]
    if not short:
        return "An adversarial example was found for every image and every network."
    return (
        "Adversarial examples were found for: " + "; ".join(short) + ". Averages and errors on "
        "distorted images are over the images for which one was found; for all other networks that "
        "is every image."
    )


def rank_agreement(rows: Sequence[Measurement], table: str) -> float:
    """Spearman's rank correlation of our off-diagonal errors of a table with the paper's.

    Off the diagonal are the errors of one network on the examples made for another: neither a
    network's own examples nor noise.

    Args:
        rows: Of any analyses; of several seeds the first counts.
        table: "table2" or "table4".

    Returns:
        The correlation; NaN when there are fewer than two such errors or all are equal.
    """
    compared = [
        (row.value, paper)
        for row in where(rows, analysis=table, transferred=True)
        if row.seed in (None, 0) and (paper := paper_value(row)) is not None
    ]
    if len(compared) < 2:
        return float("nan")
    ours, theirs = zip(*compared, strict=True)
    return spearman(ours, theirs)

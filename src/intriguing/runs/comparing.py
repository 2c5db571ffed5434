"""Several methods of finding the closest adversarial example, on the same images and targets."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from intriguing.comparison.curves import curve_points
from intriguing.comparison.lengths import Lengths
from intriguing.distortion.incumbent import BUDGETS
from intriguing.distortion.search import Search
from intriguing.errors import InputError
from intriguing.estimates import Rows, spread
from intriguing.results.measured import Measurement, Metric
from intriguing.results.rows import LossRow, Row
from intriguing.runs.attacking import Goal, Plan
from intriguing.runs.examples import Examples, add_certainty
from intriguing.runs.run import Run
from intriguing.runs.stage import Made, Network, Stage
from intriguing.scale.attack import Attacked

Outcomes = Mapping[str, Attacked]


@dataclass(frozen=True)
class OneMethod(Examples):
    """The examples that one method finds."""

    name: ClassVar[str] = "method"

    @property
    def identity(self) -> tuple[str, ...]:
        return (self.name, self.search.method)

    @property
    def title(self) -> str:
        return self.search.method


@dataclass(frozen=True)
class Compare(Stage):
    """What each method comes to, image by image beside the best, and over the passes.

    Attributes:
        network: That all were tried on.
        attacks: Of each method, on the same images.
    """

    name: ClassVar[str] = "compare"
    network: Network
    attacks: tuple[OneMethod, ...]

    def compute(self, run: Run) -> Made:
        """Both tables, the curves, and every image that a method loses."""
        outcomes = {one.search.method: run.loaded(one) for one in self.attacks}
        return Made(tuple(comparison(self.network.name, outcomes, self.attacks[0].search.seed)))


def check_methods(methods: Sequence[str]) -> None:
    """Refuse what cannot be compared."""
    twice = [name for name, count in Counter(methods).items() if count > 1]
    if twice:
        raise InputError(f"--methods names {', '.join(twice)} more than once; once is enough")
    if len(methods) < 2:
        raise InputError(
            "--methods needs two or more to compare; for one method, `intriguing attack --method`"
        )


def search_of(method: str, *, budget: int | None, levels: int | None, seed: int) -> Search:
    """The settings of one method; paper, which takes no budget, gets none."""
    return Search(method, None if method == "paper" else budget, levels, seed)


def goal_of(method: str, goal: Goal) -> Goal:
    """The goal of one method; paper, which aims at one class, tries every class for untargeted."""
    return "all" if (method, goal) == ("paper", "untargeted") else goal


def plan_of(method: str, plan: Plan) -> Plan:
    """The plan with the method's own goal."""
    goal = goal_of(method, plan.targets) if isinstance(plan.targets, str) else None
    return replace(plan, targets="all") if goal == "all" else plan


def shard_size(device: torch.device) -> int:
    """Images of one method between two saves."""
    return 256 if device.type == "cpu" else 4096


def notes(
    methods: Sequence[str], goal: Goal, budget: int | None, levels: int | None
) -> tuple[str, ...]:
    """What a reader of the comparison should know."""
    said = [
        "A pass is half a forward and a backward one of one image; every method also pays for the "
        "last forward pass that checks its answer.",
        "Lengths within 0.1 % of the shortest count as equal. Medians are over all images, where "
        "what is not found is infinitely far; means are over the images that the method found.",
        "Methods ran one after another on the same device; their wall times include neither "
        "starting up nor waiting, and depend on what else the machine did.",
    ]
    if "paper" in methods and goal == "untargeted":
        said.append(
            "The method paper aims at one class, so it tried every wrong class of an image by "
            "itself and kept the nearest; its passes are those of all classes together."
        )
    if budget is not None:
        said.append(f"Every method had {budget:,} passes an image" + _exempt(methods) + ".")
    if levels is not None:
        said.append("Curves are of the lengths before answers are put on the lattice of levels.")
    return tuple(said)


def _exempt(methods: Sequence[str]) -> str:
    return ", but paper, which ends when c is known" if "paper" in methods else ""


def comparison(name: str, outcomes: Outcomes, seed: int) -> list[Row]:
    """What the methods come to on the network of this name, their curves and losses."""
    l2 = {method: outcome.columns["l2"] for method, outcome in outcomes.items()}
    lengths = Lengths(l2)
    curves = {method: outcome.columns["curve"] for method, outcome in outcomes.items()}
    return [
        *_methods(name, outcomes, lengths, seed), *_pairs(name, lengths, seed),
        *curve_points(curves, BUDGETS, l2), *_losses(outcomes, lengths),
    ]  # fmt: skip


def _methods(name: str, outcomes: Outcomes, lengths: Lengths, seed: int) -> list[Measurement]:
    """What each method comes to."""
    made = []
    for method, outcome in outcomes.items():
        total, l2 = len(outcome), outcome.columns["l2"]
        found, size = l2[outcome.columns["success"]], outcome.columns["distortion"]
        rows = Rows("compare", network=name, method=method, seed=seed)
        rows.share(Metric.FOOLED, len(found), total)
        rows.share(Metric.SHORTEST, int(lengths.near(l2).sum()), total)
        rows.mean(Metric.MEAN_L2, "l2", found, total)
        rows.median(Metric.MEDIAN_L2, "l2", l2, total)
        rows.mean(Metric.MEAN_DISTORTION, "distortion", outcome.sizes, total)
        rows.median(Metric.MEDIAN_DISTORTION, "distortion", size, total)
        rows.mean(Metric.PASSES, "passes", outcome.cost, total)
        rows.add(Metric.TIME, "ms", 1000 * outcome.wall_seconds / total, total, total)
        add_certainty(rows, outcome)
        made += rows.made
    return made


def _pairs(name: str, lengths: Lengths, seed: int) -> list[Measurement]:
    """Every other method beside the one that is most often shortest."""
    made = []
    best, total = lengths.best, len(lengths.shortest)
    for method in (method for method in lengths.methods if method != best):
        pair = lengths.beside(method, best)
        rows = Rows("paired", network=name, method=method, reference=best, seed=seed)
        if pair.both:
            rows.add(Metric.L2_DIFFERENCE, "l2 more", pair.difference, pair.both, total,
                     spread(pair.difference_interval))  # fmt: skip
        if pair.measured:
            rows.add(Metric.RELATIVE_DIFFERENCE, "% more", 100 * pair.relative, pair.measured,
                     total, spread(_percent(pair.relative_interval)))  # fmt: skip
        rows.share(Metric.SHORTER, pair.shorter, total)
        rows.share(Metric.LONGER, pair.longer, total)
        made += rows.made
    return made


def _losses(outcomes: Outcomes, lengths: Lengths) -> list[LossRow]:
    """Every image that a method loses, the worst loss first."""
    winner = lengths.winner()
    losses = []
    for method, outcome in outcomes.items():
        l2, targets = outcome.columns["l2"], outcome.columns["targets"]
        rows = lengths.lost(method).nonzero()[:, 0]
        worst = rows[_descending(l2[rows] / lengths.shortest[rows])]
        losses += [
            LossRow(
                method, outcome.images.ids[row], int(outcome.images.labels[row]),
                int(targets[row]), float(l2[row]), winner[row], float(lengths.shortest[row]),
            )
            for row in worst.tolist()
        ]  # fmt: skip
    return losses


def _descending(values: Tensor) -> Tensor:
    return values.argsort(descending=True, stable=True)


def _percent(interval: tuple[float, float]) -> tuple[float, float]:
    return 100 * interval[0], 100 * interval[1]

"""Does the seed decide? Many seeds of a tiny network, by three optimisers."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from intriguing.models.schedule import Schedule
from intriguing.paper.claims.asking import error
from intriguing.paper.claims.claim import Claim, more_than, within
from intriguing.paper.claims.config import ClaimScale
from intriguing.paper.claims.networks import Wanted
from intriguing.paper.claims.topic import Record, Topic
from intriguing.paper.networks import draw
from intriguing.results.measured import Metric
from intriguing.results.verdicts import Source
from intriguing.training.lbfgs import LBFGSConfig
from intriguing.training.recipe import Recipe, train_network

_TINY = "fc6-6-10"
"""Few enough units that a run can lose classes."""
_TEN = 10
"""Runs whose best and worst are compared: of more they differ more."""
_DEAD = 3.0
"""Times the median error of its optimiser: a run that failed."""
# By L-BFGS on all images (None), and by two kinds of minibatches, as long as they need.
_WAYS: Mapping[str, Schedule | None] = {
    "L-BFGS": None,
    "Adam": Schedule(60, 0.02, optimizer="adam"),
    "SGD": Schedule(60, 1.0),
}


@dataclass(frozen=True)
class Seeds(Topic):
    """Test errors of one tiny network, again and again."""

    name: ClassVar[str] = "seeds"
    question: ClassVar[str] = "Does the seed decide?"
    claims: ClassVar[tuple[Claim, ...]] = (
        Claim(
            "seed-decides", Source.READERS, "a reader's note",
            "Training depends on the seed: 96 % or 76 %.",
            "Of ten seeds of a tiny network the best and the worst differ by ten points.",
            "largest less least test error of ten runs by L-BFGS, in points", "% more",
            more_than(10.0), "a wider network, whose runs differ by a point",
            "Two hidden layers of six sigmoid units; each of the study's seeds has runs of its "
            "own.", across="run, best first",
        ),
        Claim(
            "seed-decides-wide", Source.READERS, "a reader's note",
            "Training depends on the seed: 96 % or 76 %.",
            "It does for the paper's network as well, by two points at least.",
            "largest less least test error of five 100-100-10 networks, in points", "% more",
            more_than(2.0), "fewer training images", "Trained alike but for the seed.",
        ),
        Claim(
            "optimisers-efficient", Source.READERS, "a reader's note",
            "Are optimisers efficient?",
            "L-BFGS and Adam reach the same median test error, up to two points.",
            "median test error of runs by L-BFGS less that of as many by Adam, in points", "% more",
            within(2.0), "other rates or iterations", "Each at one setting, on the whole training "
            "set; minutes are not compared.",
        ),
        Claim(
            "dead-runs", Source.READERS, "a reader's note",
            "Runs fail for want of a good seed.",
            "More than one run in twenty by L-BFGS errs three times as often as the median run.",
            "share of such runs, L-BFGS", "%", more_than(5.0), "a wider network",
            "A run that fails has lost classes: its hidden units saturate alike.",
        ),
    )  # fmt: skip

    @classmethod
    def wanted(cls, scale: ClaimScale) -> Mapping[str, Wanted]:
        return {f"wide {n}": Wanted("fc100-100-10", number=n) for n in range(5)}

    def measure(self, models: Mapping[str, nn.Module], found: Record) -> None:
        wide = [error(model, self.test) for model in models.values()]
        found.effect("seed-decides-wide", max(wide) - min(wide))
        medians, dead = {}, {}
        for way, schedule in _WAYS.items():
            runs = [self._error(way, schedule, run) for run in range(self.scale.tiny)]
            errors = sorted(runs)
            medians[way] = errors[len(errors) // 2]
            dead[way] = sum(one > _DEAD * medians[way] for one in errors)
            for place, value in enumerate(errors, 1):
                found.point("seed-decides", Metric.ERROR, "%", value, size=float(place),
                            method=way)  # fmt: skip
            if way == "L-BFGS":
                found.effect("seed-decides", max(runs[:_TEN]) - min(runs[:_TEN]))
                found.share_effect("dead-runs", dead[way], len(errors))
        found.effect("optimisers-efficient", medians["L-BFGS"] - medians["Adam"])

    def _error(self, way: str, schedule: Schedule | None, run: int) -> float:
        # A thousand images of a tiny network are enough for it, and a study has hundreds of runs.
        some = self.train.first(1000)
        recipe = Recipe(
            way, way, _TINY, (1e-5,) * 3, schedule=schedule,
            stop=LBFGSConfig(max_iterations=300, tolerance=1e-3),
        )  # fmt: skip
        seed = draw("claims", "tiny", run, self.seed)
        model, _ = train_network(recipe, some, seed)
        return error(model, self.test)

"""Gates whose truth is known: distances are drawn, and nothing is searched."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from intriguing.gate.config import Demand, GateConfig
from intriguing.gate.sequential import SequentialTest
from intriguing.results.gate import Ruling

TIMES = {"20 % below": 0.8, "at": 1.0, "20 % above": 1.2}
"""The true quantile, in thresholds."""
WRONG: dict[str, tuple[Ruling, ...]] = {
    "20 % below": ("pass",), "at": ("pass", "fail"), "20 % above": ("fail",)
}  # fmt: skip
Draw = Callable[[np.random.Generator, int], np.ndarray]


@dataclass(frozen=True)
class Simulated:
    """One kind of distances, whose quantile is `truth`.

    Attributes:
        kind: Of distances.
        truth: Where the quantile lies beside the threshold.
        config: What is asked.
        draw: So many distances in thresholds of quantile 1; of pairs, their ratios.
    """

    kind: str
    truth: str
    config: GateConfig
    draw: Draw

    @property
    def name(self) -> str:
        """For people."""
        return f"{self.kind}, {self.truth}"

    @property
    def wrong(self) -> tuple[Ruling, ...]:
        """Verdicts that would be wrong; where many are tied at their median, it is no less."""
        return ("fail",) if (self.kind, self.truth) == ("tied", "at") else WRONG[self.truth]

    def near(self, generator: np.random.Generator, images: int) -> np.ndarray:
        """Which of so many images are too near, as a gate tells."""
        demand, values = self.config.demand, TIMES[self.truth] * self.draw(generator, images)
        if demand.kind != "ratio":
            return torch.from_numpy(values).lt(_limits(demand, np.ones(images))).numpy()
        old = generator.lognormal(0, 0.7, images)  # paired: the new distance follows the old one
        new = (1 - (self.config.no_worse_than or 0)) * values * old
        return torch.from_numpy(new).lt(_limits(demand, old)).numpy()


def _limits(demand: Demand, baseline: np.ndarray) -> torch.Tensor:
    """Of images of one pixel, whose L2 is their distortion."""
    return demand.limits(1, torch.from_numpy(baseline))


def _smooth(generator: np.random.Generator, images: int) -> np.ndarray:
    return generator.lognormal(0, 0.5, images)


def _skewed(generator: np.random.Generator, images: int) -> np.ndarray:
    """A tenth at distance 0, and the others with a tail: the median of them all is 1."""
    some = generator.lognormal(0, 1.0, images)
    # .1 + .9·Φ(−.1397) = ½
    return np.where(generator.random(images) < 0.1, 0.0, some * np.exp(0.1397))


def _tied(generator: np.random.Generator, images: int) -> np.ndarray:
    """On a grid of quarters: a fifth of the images lie exactly at 1, their median."""
    return np.round(4 * generator.lognormal(0, 0.5, images)) / 4


def _tail(generator: np.random.Generator, images: int) -> np.ndarray:
    """Of which a tenth lie below 1."""
    return generator.lognormal(0.5 * 1.2815515655446004, 0.5, images)


def _pairs(generator: np.random.Generator, images: int) -> np.ndarray:
    return generator.lognormal(0, 0.25, images)


_AT_LEAST, _TENTH = GateConfig(at_least=1.0), GateConfig(at_least=1.0, quantile=0.1)
_AGAINST = GateConfig(no_worse_than=0.05)
CASES = [
    Simulated(kind, truth, config, draw)
    for kind, config, draw in (
        ("smooth", _AT_LEAST, _smooth), ("skewed", _AT_LEAST, _skewed), ("tied", _AT_LEAST, _tied),
        ("tenth", _TENTH, _tail), ("pairs", _AGAINST, _pairs),
    )
    for truth in TIMES
]  # fmt: skip


def repeat(
    case: Simulated, gates: int, level: float, images: int, seed: int
) -> tuple[list[Ruling], list[int]]:
    """The verdicts of so many gates, and the images that each used."""
    generator, test = np.random.default_rng(seed), SequentialTest(case.config.demand.share, level)
    ended = [
        test.decided(["near" if one else "not near" for one in case.near(generator, images)])
        for _ in range(gates)
    ]
    return [ruling for ruling, _ in ended], [evidence.images for _, evidence in ended]

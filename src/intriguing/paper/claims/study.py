"""The study: networks trained once, topics measured on them seed by seed, claims decided."""

from dataclasses import asdict, dataclass
from typing import ClassVar

import torch

from intriguing.data.named import load_data
from intriguing.measures import ProgressCallback
from intriguing.paper.claims.catalogue import chosen
from intriguing.paper.claims.claim import Claim
from intriguing.paper.claims.config import SCALES, ClaimsConfig
from intriguing.paper.claims.networks import Networks
from intriguing.paper.claims.topic import EFFECT, Topic
from intriguing.results.measured import where
from intriguing.runs.request import Request, Work
from intriguing.runs.run import Run
from intriguing.runs.stage import Made, Stage, with_needs
from intriguing.runs.training import Training

MAY_DIFFER = ("claims", "seeds", "data_root")
"""What may change between two runs in one folder."""


@dataclass(frozen=True)
class Judged(Stage):
    """A claim, decided by the measurements of every seed.

    Attributes:
        claim: With its margin, which was fixed beforehand.
        topics: Of every seed.
    """

    name: ClassVar[str] = "verdict"
    claim: Claim
    topics: tuple[Topic, ...]

    def compute(self, run: Run) -> Made:
        """One row."""
        measured = [row for one in self.topics for row in run.keep(one).made.measured]
        effects = where(measured, analysis=EFFECT, setting=self.claim.name)
        return Made((self.claim.judged(self.topics[0].name, effects),))

    @property
    def identity(self) -> tuple[str, ...]:
        return self.name, self.claim.name


def make(config: ClaimsConfig, progress: ProgressCallback | None = None) -> Work:
    """Train, measure and decide what is asked for.

    Raises:
        InputError: If there is no such claim, or the data cannot be had.
    """
    asked_for = chosen(config.claims)
    scale = SCALES[config.scale]
    data = load_data(scale.data, config.data_root, progress)
    given = [Networks(data, scale, seed, config.device) for seed in range(config.seeds)]
    kinds = dict.fromkeys(topic for _, topic in asked_for.values())
    topics = {
        kind: tuple(kind.of(one) for one in (given[:1] if kind.once else given)) for kind in kinds
    }
    measured = [one for some in topics.values() for one in some]
    verdicts = [Judged(claim, topics[kind]) for claim, kind in asked_for.values()]
    trained = [one for one in with_needs(measured) if isinstance(one, Training)]
    request = Request(
        "claims", asdict(config), MAY_DIFFER, images=(data.train, data.test), tables=("verdicts",),
        seeds=tuple(range(config.seeds)), notes=_notes(config, len(asked_for)),
        device=torch.device(config.device), required_bytes=20_000_000 + 4_000_000 * len(trained),
    )  # fmt: skip
    return Work(
        request, [*trained, *measured, *verdicts], trained, f"train {len(trained)} networks"
    )


def _notes(config: ClaimsConfig, claims: int) -> tuple[str, ...]:
    remark = SCALES[config.scale].remark
    return (
        *((remark,) if remark else ()),
        f"Of {claims} verdicts that are decided by intervals, each is wrong with a probability of "
        "at most 5 %, so that some may be; what would change each stands beside it.",
        "Test images are the same for every seed: intervals are over initial weights, the order of "
        "images and random halves, and, of shares, over images.",
    )

"""A topic: measurements on shared networks, of one seed, from which claims are decided."""

import math
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Unpack

import numpy as np
import torch
from torch import Tensor, nn

from intriguing.data.dataset import ImageSet
from intriguing.estimates import About, Rows
from intriguing.paper.claims.asking import NothingToAsk
from intriguing.paper.claims.claim import Claim
from intriguing.paper.claims.config import ClaimScale
from intriguing.paper.claims.networks import Networks, Wanted
from intriguing.paper.networks import draw
from intriguing.results.measured import Metric, Unit
from intriguing.results.store import write_tensors
from intriguing.results.verdicts import Basis
from intriguing.runs.run import Run
from intriguing.runs.stage import Made, Stage
from intriguing.runs.training import Training

EFFECT, CURVE = "effect", "curve"
"""Analyses of rows: the quantity of a claim, which is its `setting`; and points of its curve."""


@dataclass(frozen=True)
class Topic(Stage):
    """Measurements of one seed; a subclass says of which networks, and what is measured.

    Attributes:
        claims: That are decided by them.
        once: Whether they are of no network, and so the same for every seed.
        roles, networks: What each network is here, and its training.
        train, test: The images.
        scale: How much of what.
        seed: Of the study.
    """

    apart: ClassVar[bool] = True
    claims: ClassVar[tuple[Claim, ...]]
    once: ClassVar[bool] = False
    roles: tuple[str, ...]
    networks: tuple[Training, ...]
    train: ImageSet
    test: ImageSet
    scale: ClaimScale
    seed: int

    @classmethod
    @abstractmethod
    def wanted(cls, scale: ClaimScale) -> Mapping[str, Wanted]:
        """The networks that are needed, by what they are here."""

    @abstractmethod
    def measure(self, models: Mapping[str, nn.Module], found: "Record") -> None:
        """An effect of every claim, and what else a reader wants to see."""

    @classmethod
    def of(cls, given: Networks) -> "Topic":
        """The stage of one seed."""
        wanted = cls.wanted(given.scale)
        trained = tuple(given.training(one) for one in wanted.values())
        train, test = given.data.train, given.data.test
        return cls(tuple(wanted), trained, train, test, given.scale, given.seed)

    @classmethod
    def analysis(cls) -> str:
        """Of its rows; none that other verbs have, as those come with tables of their own."""
        return f"claims on {cls.name}"

    def compute(self, run: Run) -> Made:
        """Rows of one seed; pictures in tensors."""
        models = {role: run.model(one) for role, one in zip(self.roles, self.networks, strict=True)}
        found = Record(self, run.folder)
        with found.unless_unread(*(claim.name for claim in self.claims)):
            self.measure(models, found)
        missing = {claim.name for claim in self.claims} - found.decided
        assert not missing, f"{self.name} measures nothing of {missing}"
        return Made(tuple(found.made))

    @property
    def identity(self) -> tuple[str, ...]:
        return "claims", self.name, f"seed{self.seed}"

    @property
    def title(self) -> str:
        return f"measure {self.name}, seed {self.seed}"

    def generator(self, what: str) -> torch.Generator:
        """Of something that is drawn, the same in every process."""
        return torch.Generator().manual_seed(draw("claims", self.name, what, self.seed))


class Record(Rows):
    """Rows of one topic and seed."""

    def __init__(self, topic: Topic, folder: Path) -> None:
        super().__init__(topic.analysis(), seed=topic.seed)
        self.claims = {claim.name: claim for claim in topic.claims}
        self.topic, self.folder, self.decided = topic, folder, set[str]()

    def effect(self, claim: str, value: float) -> None:
        """The quantity of a claim that is no share."""
        assert self.claims[claim].unit != "%", f"{claim} is a share; give counts"
        self._effect(claim, value, 0, 0)

    def share_effect(self, claim: str, count: int, total: int) -> None:
        """The quantity of a claim that is a share; or whether a check confirms what is proved."""
        asked = self.claims[claim]
        assert asked.unit == "%" or asked.basis is not Basis.SEEDS, f"{claim} is no share"
        self._effect(claim, 100 * count / total, count, total)

    def checked(self, claim: str, value: float, confirmed: bool) -> None:
        """A number that a proof or a counter-example gives, and whether the check agrees."""
        self._effect(claim, value, int(confirmed), 1)

    @contextmanager
    def unless_unread(self, *claims: str) -> Iterator[None]:
        """What is asked inside may find no image to ask about: then these claims have no quantity.

        A network may have learned nothing, as some trainings do; that is no reason to lose what
        the others show. A claim without its quantity in one seed is open.
        """
        try:
            yield
        except NothingToAsk:
            for claim in claims:
                if claim not in self.decided:
                    self._effect(claim, math.nan, 0, 0)

    def point(
        self, claim: str, metric: Metric, unit: Unit, value: float,
        **about: Unpack[About],
    ) -> None:  # fmt: skip
        """A point of the claim's curve, at its `size`; series differ by the other fields."""
        self.analysis = CURVE
        whole: About = {**about, "setting": claim}
        self.add(metric, unit, value, **whole)
        self.analysis = self.topic.analysis()

    def pictures(self, name: str, title: str, images: Tensor, words: str) -> None:
        """Images for the page, of the first seed."""
        if self.topic.seed:
            return
        pixels = images.detach().cpu().float().numpy().astype(np.float32)
        write_tensors(
            self.folder, f"claim-{name}", {"images": pixels},
            {"kind": "claim", "claim": name, "title": title, "words": words},
        )  # fmt: skip

    def _effect(self, claim: str, value: float, count: int, total: int) -> None:
        self.analysis = EFFECT
        self.add(Metric.EFFECT, self.claims[claim].unit, value, count, total, setting=claim)
        self.analysis = self.topic.analysis()
        self.decided.add(claim)

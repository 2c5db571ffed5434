"""What a gate is made of: its rounds of images, and its looks behind and beyond their searches."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from intriguing.data.dataset import ImageSet
from intriguing.distortion.search import Search
from intriguing.errors import InputError
from intriguing.gate.config import GateConfig
from intriguing.gate.early import LEARNED, Beyond, gains_much, searched
from intriguing.gate.longer import TIMES, Longer
from intriguing.gate.masking import SEARCHED, Masking
from intriguing.gate.sequential import SequentialTest
from intriguing.gate.stages import Round
from intriguing.models.groups import LARGE
from intriguing.models.resized import fitted
from intriguing.results.gate import GateRow
from intriguing.runs.predicting import predict
from intriguing.runs.stage import Network

ROUNDS = (16, 16, 32, 32, 64)
"""Images of the first rounds; later ones are as large as the last. A verdict falls at an image, not
at the end of a round: only what was searched in vain behind it is less with small ones."""
ALONE = (*(1,) * 24, 4)
"""The same where each goes through the network alone, so that more gain nothing."""
AHEAD = 8
"""Of such images, how many for every worker are done together. Some take twenty times as long as
others, so that few would leave workers without any."""


@dataclass(frozen=True)
class Baseline:
    """What `no_worse_than` compares with.

    Attributes:
        name: As the report calls it.
        model: A network, searched on the same images; None where distances are known.
        l2: ‖r‖₂ of its nearest example of every image, in their order; NaN where unknown.
        search: By which these were found; the network is searched by the same.
    """

    name: str
    model: nn.Module | None = None
    l2: Tensor | None = None
    search: Search | None = None

    def __post_init__(self) -> None:
        if (self.model is None) == (self.l2 is None):
            raise InputError("give a baseline's network, or the distances found for it")


@dataclass(frozen=True)
class Plan:
    """What a gate is made of."""

    network: Network
    images: ImageSet
    config: GateConfig
    given: Baseline | None
    order: Tensor
    surrogates: tuple[Network, ...]

    @property
    def compared(self) -> tuple[Network, ...]:
        """The network of the baseline, where there is one."""
        if self.given is None or self.given.model is None:
            return ()
        return (Network(self.given.name, fitted(self.given.model, self.images.images.shape[1:])),)

    @property
    def search(self) -> Search:
        """The whole search: the baseline's, where its distances are known."""
        known = None if self.given is None else self.given.search
        return known or self.config.search

    @property
    def alone(self) -> bool:
        """Whether each image goes through the network alone."""
        return self.images.images.shape[1:].numel() > LARGE

    def rounds(self, radii: Tensor | None) -> Iterator[Round]:
        """All of them, in their order."""
        baseline = next(iter(self.compared), None)
        known = None if self.given is None or self.given.l2 is None else self.given.l2[self.order]
        short = min(self.config.short, self.search.budget or self.config.short)
        sizes = ALONE if self.alone else ROUNDS
        start, first = 0, iter(sizes)
        while start < len(self.images):
            rows = torch.arange(start, min(start + next(first, sizes[-1]), len(self.images)))
            yield Round(
                self.network, self.images.subset(rows), start, self.config.demand, self.search,
                short, (math.inf, math.inf), None if radii is None else radii[rows], baseline,
                None if known is None else known[rows],
            )  # fmt: skip
            start = int(rows[-1]) + 1

    def wave(
        self, waiting: Sequence[Round], rows: Sequence[GateRow], beyond: Beyond | None, at_once: int
    ) -> list[Round]:
        """The next rounds, to be done together.

        Until it is known where shorter searches decide, these are, whoever computes, as many as
        have the images from which that is learned: each is searched to the end. A misclassified
        image is not searched.
        """
        if beyond is not None:
            ready = _of(waiting, AHEAD * at_once) if self.alone else waiting[:at_once]
            return [replace(one, beyond=beyond) for one in ready]
        wave: list[Round] = []
        missing = LEARNED - len(searched(rows))
        for one in _of(waiting, ROUNDS[0]):
            if missing > 0:
                images = one.images.read()
                given = predict(self.network.model, images.images)[0]
                missing -= int((given == images.labels.cpu()).sum())
                wave.append(one)
        return wave

    def sample(self, rows: Sequence[GateRow], ended: Sequence[str]) -> list[GateRow]:
        """Images for which only a search in vain speaks: the first ones.

        A quarter are some that ended early, whose examples are the nearest in limits: should
        short searches have decided any too early, it is these.
        """
        some = [row for row in rows if row.near == "not near" and row.ended in ended]
        early = sorted(
            (row for row in some if row.ended == "far"), key=lambda row: row.found / row.limit
        )[: math.ceil(self.config.sample / 4)]
        others = [row for row in some if row not in early][: self.config.sample - len(early)]
        return [*early, *others]  # the dearest first, so that nobody waits for them

    def at(self, rows: Sequence[GateRow]) -> ImageSet:
        """These images."""
        return self.images.subset(torch.tensor([row.place for row in rows]).long())

    def masking(self, rows: Sequence[GateRow]) -> Masking:
        """The look behind the gradients."""
        config, some = self.config, self.sample(rows, SEARCHED)
        known = [row.found if row.ended == "search" else math.nan for row in some]
        return Masking(
            self.network, self.at(some), torch.tensor(known),
            torch.tensor([row.limit for row in some]), self.search,
            Search("square", config.sample_budget, self.search.levels, config.seed),
            (*self.compared, *self.surrogates),
        )  # fmt: skip

    def longer(self, rows: Sequence[GateRow], test: SequentialTest) -> Longer | None:
        """The look beyond the budget, where the searches so far give a reason for one."""
        some = self.sample(rows, ("search",))
        if not (some and self.search.budget and gains_much(rows)):
            return None
        return Longer(
            self.network, self.at(some), torch.tensor([row.found for row in some]),
            replace(self.search, budget=TIMES * self.search.budget), test,
            torch.tensor(list(map(_ratio, rows))),
        )  # fmt: skip


def _of(rounds: Sequence[Round], images: int) -> list[Round]:
    """The first ones, of so many images together, or a few more."""
    return [one for one in rounds if one.start < rounds[0].start + images]


def _ratio(row: GateRow) -> float:
    """‖r‖₂ found in limits, as `Longer` takes it."""
    if row.near != "not near":
        return 0.0 if row.near == "near" else math.nan
    return row.found / row.limit if row.ended in SEARCHED else math.inf

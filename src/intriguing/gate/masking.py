"""Do the gradients hide examples? Then what a search by gradients does not find says nothing."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from intriguing.data.dataset import ImageSet
from intriguing.distortion.minimum import minimum_distortion
from intriguing.distortion.result import Status
from intriguing.distortion.search import Search
from intriguing.models.preflight import preflight
from intriguing.results.gate import FlawRow
from intriguing.runs.predicting import predict
from intriguing.runs.run import Run
from intriguing.runs.stage import Made, Network, Stage

NEARER = 0.98
"""Of the length found by gradients: what is nearer than that was hidden from them. Nothing is
hidden where a weaker search finds much the same example."""
SEARCHED = ("search", "far")
"""What decides an image by searching in vain; what is proved needs no second look."""
FARTHER = (1.0, 1.5, 2.0)
"""Times their length, at which another network's examples are shown."""


@dataclass(frozen=True)
class Flaws(Stage):
    """The checks before an audit (`preflight`), in a few passes and without any search.

    Attributes:
        network: Which is judged.
        images: A few, drawn at random.
    """

    name: ClassVar[str] = "flaws"
    network: Network
    images: ImageSet

    def compute(self, run: Run) -> Made:
        """A row a flaw."""
        found = preflight(self.network.model, self.images.read().images)
        name = self.network.name
        return Made(tuple(FlawRow(name, w.name, w.measured, w.consequence, w.hides) for w in found))


@dataclass(frozen=True)
class Masking(Stage):
    """A search without gradients on a sample, and examples of other networks shown to this one.

    Should either come nearer than the search by gradients, this was misled (Athalye et al. 2018,
    arXiv:1802.00420, section 3.1). Images that ended after the short search are searched to the
    end: one with an example below its limit shows that they ended too early.

    Attributes:
        network: Which is judged.
        images: The sample: some of those for which a search found nothing nearer than the limit.
        known: ‖r‖₂ that the whole search by gradients found; NaN where it was not made.
        limit: ‖r‖₂ below which each image is too near.
        search: The one by gradients.
        without: The one without.
        sources: Networks whose examples are shown to it.
    """

    name: ClassVar[str] = "masking"
    network: Network
    images: ImageSet
    known: Tensor
    limit: Tensor
    search: Search
    without: Search
    sources: tuple[Network, ...] = ()

    def compute(self, run: Run) -> Made:
        """A row a flaw."""
        sample, flaws = self.images.read(), []
        if len(sample):
            own = self.known.double()
            if len(ended := own.isnan().nonzero()[:, 0]):
                own[ended] = self._found(self.network, sample.subset(ended), self.search)
                flaws += self._too_early(int((own < self.limit)[ended].sum()), len(ended))
            others = {"a search without gradients": self._found(self.network, sample, self.without)}
            for source in self.sources:
                others[f"an example of {source.name}"] = self._transferred(source, sample)
            for what, other in others.items():
                if bool((nearer := other < NEARER * own).any()):
                    ratio = float((other / own)[nearer].median())
                    flaws.append(self._flaw(what, int(nearer.sum()), ratio, len(own)))
        return Made(tuple(flaws))

    def _found(self, network: Network, sample: ImageSet, search: Search) -> Tensor:
        found = minimum_distortion(
            network.model, sample.images, sample.labels, "untargeted", search
        )
        broken = found.status == int(Status.NOT_FINITE)
        return torch.where(broken, torch.nan, found.l2.double())

    @torch.no_grad()
    def _transferred(self, source: Network, sample: ImageSet) -> Tensor:
        """‖r‖₂ of the shortest multiple of the source's r that fools the network."""
        found = minimum_distortion(
            source.model, sample.images, sample.labels, "untargeted", self.search
        )
        away = found.adversarial.to(sample.images) - sample.images
        shortest = torch.full((len(sample),), torch.inf, dtype=torch.float64)
        for times in FARTHER:
            points = (sample.images + times * away).clamp(0, 1)
            some = found.success & found.l2.isfinite() & (found.l2 > 0)
            length = (points - sample.images).flatten(1).double().norm(dim=1).cpu()
            fooled = predict(self.network.model, points.nan_to_num())[0] != sample.labels.cpu()
            shortest = torch.where(some & fooled, torch.minimum(shortest, length), shortest)
        return shortest

    def _too_early(self, near: int, total: int) -> list[FlawRow]:
        if not near:
            return []
        return [FlawRow(
            self.network.name, "short searches that ended too early",
            f"for {near} of {total} images whose short search ended far beyond the limit, the "
            "whole search found an example below it",
            "what the short search does not find says too little; give --far inf", decides=True,
        )]  # fmt: skip

    def _flaw(self, what: str, count: int, ratio: float, total: int) -> FlawRow:
        share = "which found nothing" if ratio == 0 else f"at {ratio:.0%} of that distance"
        return FlawRow(
            self.network.name, "hidden examples",
            f"for {count} of {total} images {what} is nearer than what {self.search.method} found "
            f"by gradients, {share} (median)",
            "the gradients mislead the search, so that what it does not find says nothing; look "
            "for rounding, randomness or saturated units before the logits",
            decides=True,
        )  # fmt: skip


def hides(run: Run, stage: Stage) -> bool:
    """Whether it found what stands in the way of a pass."""
    return any(isinstance(row, FlawRow) and row.decides for row in run.keep(stage).made.rows)

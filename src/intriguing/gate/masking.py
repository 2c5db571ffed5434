"""Do the gradients hide examples? Then what a search by gradients does not find says nothing."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from intriguing.data.dataset import ImageSet
from intriguing.distortion.minimum import minimum_distortion
from intriguing.distortion.result import Status
from intriguing.distortion.search import Search
from intriguing.models.groups import group_size
from intriguing.models.preflight import preflight
from intriguing.results.gate import FlawRow
from intriguing.runs.expecting import searched
from intriguing.runs.predicting import predict
from intriguing.runs.run import Run
from intriguing.runs.stage import Made, Network, Stage
from intriguing.scale.shards import Columns

NEARER = 0.98
"""Of the length found by gradients: what is nearer than that was hidden from them. Nothing is
hidden where a weaker search finds much the same example."""
SEARCHED = ("search", "far")
"""What decides an image by searching in vain; what is proved needs no second look."""
FARTHER = (1.0, 1.5, 2.0)
"""Times their length, at which another network's examples are shown."""


@dataclass(frozen=True)
class Flaws(Stage):
    """The checks before an audit (`preflight`), in some passes and without any search.

    Attributes:
        network: Which is judged.
        images: A few, drawn at random.
    """

    name: ClassVar[str] = "flaws"
    apart: ClassVar[bool] = True
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
    arXiv:1802.00420, section 3.1). Images that ended after a shorter search are searched to the
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
    cut: ClassVar[bool] = True
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
            looked = run.in_parts(
                self, self._looked, len(sample), part(self.network, sample),
                each=lambda: searched(self.network.model, sample, self.search, self.without)
                + sum(searched(one.model, sample, self.search) for one in self.sources),
            )  # fmt: skip
            own = looked.column("own")
            if ended := int(self.known.isnan().sum()):
                near = (own < self.limit) & self.known.isnan()
                flaws += self._too_early(int(near.sum()), ended)
            names = [
                "a search without gradients",
                *(f"an example of {s.name}" for s in self.sources),
            ]
            for what, other in zip(names, looked.column("others").T, strict=True):
                if bool((nearer := other < NEARER * own).any()):
                    ratio = float((other / own)[nearer].median())
                    flaws.append(self._flaw(what, int(nearer.sum()), ratio, len(own)))
        return Made(tuple(flaws))

    def _looked(self, items: slice, report: Callable[[int], None]) -> Columns:
        """‖r‖₂ by the whole search, and by everything else, of some images of the sample."""
        sample, own = (
            self.images.read().subset(torch.arange(items.start, items.stop)),
            self.known[items].double(),
        )
        if len(ended := own.isnan().nonzero()[:, 0]):
            own[ended] = self._found(self.network, sample.subset(ended), self.search)
        others = [self._found(self.network, sample, self.without)]
        others += [self._transferred(source, sample) for source in self.sources]
        report(len(sample))
        return {"own": own, "others": torch.stack(others, 1)}

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
            f"for {near} of {total} images that a short search took to be far beyond the limit, "
            "the whole search found an example below it",
            "what short searches do not find says too little; give --far inf", decides=True,
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


def part(network: Network, images: ImageSet) -> int:
    """Images to look at together: no fewer than go through the network at once."""
    return group_size(network.model, images.images.shape[1:])


def hides(run: Run, stage: Stage) -> bool:
    """Whether it found what stands in the way of a pass."""
    return any(isinstance(row, FlawRow) and row.decides for row in run.keep(stage).made.rows)

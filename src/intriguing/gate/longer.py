"""Has the search come to its end? Where more passes come much nearer, it decides too early."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from intriguing.data.dataset import ImageSet
from intriguing.distortion.minimum import minimum_distortion
from intriguing.distortion.search import Search
from intriguing.gate.masking import part
from intriguing.gate.sequential import SequentialTest
from intriguing.results.gate import FlawRow
from intriguing.runs.expecting import searched
from intriguing.runs.run import Run
from intriguing.runs.stage import Made, Network, Stage
from intriguing.scale.shards import Columns

TIMES = 5
"""The passes of the longer search, in those of the whole one."""


@dataclass(frozen=True)
class Longer(Stage):
    """A longer search on a sample, where the whole one gained much over the short one.

    A pass does not stand if it would not were the examples of all images as much nearer as this one
    brings the nearest of the sample.

    Attributes:
        network: Which is judged.
        images: The sample: some of those for which the whole search found nothing nearer than the
            limit.
        known: ‖r‖₂ that it found.
        search: The longer one.
        test: What decides.
        ratios: ‖r‖₂ found for every image, by which the gate decides, in limits; NaN where it is
            unknown, infinite where it is proved that no example is nearer.
    """

    name: ClassVar[str] = "longer"
    cut: ClassVar[bool] = True
    network: Network
    images: ImageSet
    known: Tensor
    search: Search
    test: SequentialTest
    ratios: Tensor

    def compute(self, run: Run) -> Made:
        """A flaw, where the pass does not stand."""
        sample = self.images.read()
        longer = run.in_parts(
            self, self._looked, len(sample), part(self.network, sample),
            each=lambda: searched(self.network.model, sample, self.search),
        )  # fmt: skip
        gained = longer.column("l2") / self.known.double()
        least = min(1.0, float(gained.nan_to_num(1.0).min()))
        nearer = self.ratios * least < 1
        ruling, _ = self.test.decided(
            ["unknown" if one.isnan() else "near" if near else "not near"
             for one, near in zip(self.ratios, nearer, strict=True)]
        )  # fmt: skip
        if ruling == "pass":
            return Made()
        flaw = FlawRow(
            self.network.name, "a search that has not come to its end",
            f"on {len(sample)} images {self.search.budget:,} passes bring the nearest example to "
            f"{least:.0%} of what {self.search.method} found within the budget",
            "were all examples as much nearer, this would be no pass; give a larger --budget",
            decides=True,
        )  # fmt: skip
        return Made((flaw,))

    def _looked(self, items: slice, report: Callable[[int], None]) -> Columns:
        """‖r‖₂ for some images of the sample."""
        sample = self.images.read().subset(torch.arange(items.start, items.stop))
        found = minimum_distortion(
            self.network.model, sample.images, sample.labels, "untargeted", self.search
        )
        report(len(sample))
        return {"l2": found.l2.double().cpu()}

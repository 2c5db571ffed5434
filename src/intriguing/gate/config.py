"""What a gate asks for, and how much it may spend."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from intriguing.distortion.search import Search
from intriguing.errors import InputError
from intriguing.results.gate import DemandKind


@dataclass(frozen=True)
class Demand:
    """At most a share of all images may have an example nearer than it may be.

    Attributes:
        kind, share, limit: As in `RulingRow`.
    """

    kind: DemandKind
    share: float
    limit: float

    @property
    def certified(self) -> bool:
        """Whether only certificates count."""
        return self.kind == "certified accuracy"

    def limits(self, pixels: int, baseline: Tensor) -> Tensor:
        """‖r‖₂ below which each image is too near, float64.

        Args:
            pixels: Numbers in an image.
            baseline: ‖r‖₂ of the baseline's nearest examples; its length is that of the answer.
        """
        if self.kind == "ratio":
            return self.limit * baseline.double()
        if self.kind == "distance":
            return torch.full_like(baseline, self.limit * math.sqrt(pixels), dtype=torch.float64)
        # An example at exactly this distance counts, as elsewhere in accuracies under attack.
        just_above = math.nextafter(self.limit, math.inf)
        return torch.full_like(baseline, just_above, dtype=torch.float64)


@dataclass(frozen=True)
class GateConfig:
    """What is asked of a network, one of three things, and how much may be spent to decide it.

    Attributes:
        at_least: No more than `quantile` of the images have an example nearer than this distortion,
            sqrt(mean r²): with a quantile of ½, the median distortion is at least this.
        quantile: Of the distances; with `no_worse_than`, of their ratios.
        robust_accuracy: This share of the images is classified correctly, also after any change
            found within `eps`.
        eps: L2 distance in pixel units.
        certified: Of these only images count that are certified beyond `eps`, whoever looks for
            examples.
        no_worse_than: Distances, image by image, are shorter than the baseline's by at most this
            share, .05 being 5 %, for all but `quantile` of the images.
        level: Probability of a wrong pass, and of a wrong fail, at most.
        images: To look at, at most.
        budget: Passes of a search, a pass being half a forward and a backward one.
        short: Passes of the search before the whole one, and before this one half of them; what
            either decides needs no more.
        far: Times its limit, and times the most by which the whole search came nearer for the
            first images: an image whose example by a shorter search is farther than that is
            decided (`gate/early.py`); infinite to search every image to the end.
        certificates: Whether certificates are tried before long searches; None where they may help.
        sample: Images on which a search without gradients is tried before a pass.
        sample_budget: Passes of each of these searches.
        seed: Draws the order of the images.

    Raises:
        InputError: If not one thing is asked for, or a number makes no sense.
    """

    at_least: float | None = None
    quantile: float = 0.5
    robust_accuracy: float | None = None
    eps: float | None = None
    certified: bool = False
    no_worse_than: float | None = None
    level: float = 0.05
    images: int = 1000
    budget: int = 200
    short: int = 20
    far: float = 2.0
    certificates: bool | None = None
    sample: int = 8
    sample_budget: int = 200
    seed: int = 0

    def __post_init__(self) -> None:
        asked = [self.at_least, self.robust_accuracy, self.no_worse_than]
        if sum(one is not None for one in asked) != 1:
            raise InputError(
                "ask one thing: --at-least DISTORTION, --robust-accuracy SHARE --eps L2, or "
                "--against BASELINE --no-worse-than 5%"
            )
        if (self.robust_accuracy is None) != (self.eps is None):
            raise InputError("--robust-accuracy and --eps belong together; give both or neither")
        if self.certified and self.eps is None:
            raise InputError("--certified is about an accuracy: give --robust-accuracy and --eps")
        for name, value in (("at-least", self.at_least), ("eps", self.eps)):
            if value is not None and not 0 < value < math.inf:
                raise InputError(f"--{name} {value}: give a distance above 0")
        shares = {
            "quantile": self.quantile, "robust-accuracy": self.robust_accuracy, "level": self.level
        }  # fmt: skip
        for name, value in shares.items():
            if value is not None and not 0 < value < 1:
                raise InputError(f"--{name} {value}: give a share above 0 and below 1")
        if not self.level <= 0.5:
            raise InputError(
                f"--level {self.level}: a wrong verdict half of the time decides nothing"
            )
        if self.no_worse_than is not None and not 0 <= self.no_worse_than < 1:
            raise InputError(f"--no-worse-than {self.no_worse_than}: give a share such as 5%")
        for name, count in (("images", self.images), ("sample", self.sample)):
            if count < 1:
                raise InputError(f"--{name} {count}: give 1 or more")
        if not 1 <= self.short <= self.budget:
            raise InputError(
                f"--short {self.short} and --budget {self.budget}: give passes, the short search "
                "no more than the other"
            )
        if not self.far >= 1:
            raise InputError(f"--far {self.far}: give 1 or more, or inf to search to the end")
        if self.sample_budget < 1:
            raise InputError(f"--sample-budget {self.sample_budget} allows no pass; give 1 or more")

    @property
    def demand(self) -> Demand:
        """The one thing that is asked."""
        if self.at_least is not None:
            return Demand("distance", self.quantile, self.at_least)
        if self.no_worse_than is not None:
            return Demand("ratio", self.quantile, 1 - self.no_worse_than)
        kind: DemandKind = "certified accuracy" if self.certified else "accuracy"
        return Demand(kind, 1 - (self.robust_accuracy or 0.0), self.eps or 0.0)

    @property
    def search(self) -> Search:
        """What decides an image in the end."""
        return Search("closest", self.budget, seed=self.seed)

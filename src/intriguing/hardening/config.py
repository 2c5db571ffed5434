"""How pools are kept and used."""

from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

from intriguing.distortion.methods import METHODS
from intriguing.distortion.search import Search
from intriguing.errors import InputError

Scheme: TypeAlias = Literal["alternating", "joint"]
SEARCHES = ("steps", "gaussian", *(name for name in METHODS if name != "paper"))


@dataclass(frozen=True)
class PoolConfig:
    """Pools of §4.2: a slot for every training image, a random part replaced before each epoch.

    Attributes:
        scheme: "alternating", as the paper trained: each step takes the original images and one
            place's pool, the places in turn. "joint": each step takes all pools. A pool trains
            the layers above its place, as nothing below has a part in its loss.
        refresh: The share of a pool's slots that is made anew before each epoch.
        start: Epochs on the original images alone, after which the whole pools are made.
        search: Which examples: "steps" is the cheap one, the largest loss within the radius after a
            few gradient steps (`strongest_within`); the name of a method of `minimum_distortion`
            (`closest`, `ddn`, …) takes the nearest example of any wrong class, or the way to it as
            far as the radius; "gaussian" is the control, a random direction of the radius' length.
        steps: Gradient steps of "steps".
        budget: Passes an image of a method; None takes the method's own.
        share: Of the typical distance between two images at a place: its radius, where none is
            given.
    """

    scheme: Scheme = "alternating"
    refresh: float = 0.3
    start: int = 3
    search: str = "steps"
    steps: int = 3
    budget: int | None = None
    share: float = 0.1

    def __post_init__(self) -> None:
        if self.scheme not in get_args(Scheme):
            raise InputError(
                f"unknown scheme {self.scheme!r}; one of {', '.join(get_args(Scheme))}"
            )
        if not 0 < self.refresh <= 1:
            raise InputError(f"refresh {self.refresh}: give the share of a pool, above 0, up to 1")
        if self.start < 0 or self.steps < 1:
            raise InputError(f"start {self.start}, steps {self.steps}: give 0 and 1 or more")
        if not self.share > 0:
            raise InputError(f"share {self.share}: give one above 0, for instance 0.1")
        if self.search not in SEARCHES:
            raise InputError(f"unknown search {self.search!r}; one of {', '.join(SEARCHES)}")
        if self.search in METHODS:
            Search(self.search, self.budget).check_goal(untargeted=True)
        elif self.budget is not None:
            raise InputError(f"search={self.search!r} has no budget; leave it out")

    @property
    def in_words(self) -> str:
        """What a reader of the results has to know."""
        how = {"steps": f"{self.steps} gradient steps", "gaussian": "Gaussian noise"}.get(
            self.search, f"the nearest by {self.search}"
        )
        if self.budget is not None:
            how += f" in {self.budget} passes"
        return (
            f"{self.scheme}, {how}, {100 * self.refresh:g} % replaced before each epoch, "
            f"from epoch {self.start + 1} on"
        )

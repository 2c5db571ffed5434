"""Several methods of finding the closest adversarial example, on the same images and targets."""

from dataclasses import dataclass
from typing import ClassVar

from intriguing.runs.comparing import comparison
from intriguing.runs.examples import Examples
from intriguing.runs.run import Run
from intriguing.runs.stage import Made, Network, Stage


@dataclass(frozen=True)
class OneMethod(Examples):
    """The examples that one method finds."""

    name: ClassVar[str] = "method"

    @property
    def identity(self) -> tuple[str, ...]:
        return (self.name, self.search.method)

    @property
    def title(self) -> str:
        return self.search.method

    @property
    def working(self) -> str:
        return f"{self.search.method} on {self.network.name}"


@dataclass(frozen=True)
class Compare(Stage):
    """What each method comes to, image by image beside the best, and over the passes.

    Attributes:
        network: That all were tried on.
        attacks: Of each method, on the same images.
    """

    name: ClassVar[str] = "compare"
    network: Network
    attacks: tuple[OneMethod, ...]

    def compute(self, run: Run) -> Made:
        """Both tables, the curves, and every image that a method loses."""
        outcomes = {one.search.method: run.loaded(one) for one in self.attacks}
        return Made(tuple(comparison(self.network.name, outcomes, self.attacks[0].search.seed)))

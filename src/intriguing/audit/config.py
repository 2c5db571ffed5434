"""What an audit is asked for."""

from dataclasses import dataclass

from intriguing.audit.stage_names import NAMES
from intriguing.distortion.search import Search
from intriguing.errors import InputError


@dataclass(frozen=True)
class AuditConfig:
    """How much an audit does.

    Attributes:
        images: That are attacked, the first ones that every network classifies correctly
            in an order drawn by `seed`; None for all of them.
        budget: Passes of each search, a pass being half a forward and a backward one.
        method: Of the search for the nearest example of any wrong class.
        target_budget: Passes of each search for `target`.
        target: A class that every image is to become as well, as an 8-bit image; None for none.
        amplified: Sizes to which examples are amplified for the transfer, as multiples of the
            largest mean distortion.
        semidefinite: Whether certificates may take minutes for tighter bounds.
        certify_seconds: Of one core for each image, that certificates may take around it, by
            multipliers as well; 0 for what is quick.
        units_on: Images that the units are studied on, at most.
        rotations, untrained: Of the test of the units; as in `Study`.
        skip: Stages that are not run.
        seed: Of the draw of images, targets, noise and rotations.
        batch_size: Images under way at once; None chooses by the memory there is.
    """

    images: int | None = 64
    budget: int = 200
    method: str = "closest"
    target: int | None = None
    target_budget: int = 200
    amplified: tuple[float, ...] = (1.0, 4.0)
    semidefinite: bool = True
    certify_seconds: float = 0.0
    units_on: int = 1000
    rotations: int = 39
    untrained: int = 2
    skip: tuple[str, ...] = ()
    seed: int = 0
    batch_size: int | None = None

    def __post_init__(self) -> None:
        if self.images is not None and self.images < 1:
            raise InputError(f"{self.images} images to attack; give 1 or more")
        if unknown := [name for name in self.skip if name not in NAMES]:
            raise InputError(f"no stage {', '.join(unknown)}; one of {', '.join(NAMES)}")
        if not all(value > 0 for value in self.amplified):
            raise InputError(f"amplified {self.amplified}; give multiples above 0")
        if self.target is not None and self.target < 0:
            raise InputError(f"target {self.target}; give the number of a class, from 0")
        if self.method == "paper":
            raise InputError(
                'method "paper" aims at one class and has no limit of passes; take "closest", and '
                "`intriguing attack --method paper` for the paper's search"
            )
        for targeted in (False, True):
            self.search(targeted=targeted)

    def search(self, *, targeted: bool) -> Search:
        """The search for one class, or for any wrong one.

        Raises:
            InputError: If it cannot be.
        """
        method, budget = ("closest", self.target_budget) if targeted else (self.method, self.budget)
        return Search(method, budget, seed=self.seed, batch_size=self.batch_size)

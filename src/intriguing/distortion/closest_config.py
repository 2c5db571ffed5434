"""How much method="closest" spends on an image."""

from dataclasses import dataclass

from intriguing.errors import InputError


@dataclass(frozen=True)
class ClosestConfig:
    """How much is spent on an image.

    budget: passes, a pass being half a forward and a backward one. classes: untargeted, how many
    of the nearest classes are tried before any rounds; the others are before an image is finished.
    rivals: competing classes linearised at once.
    steps: sequential quadratic steps from a start. polish: passes of a polish with a bundle of
    `cuts` tangents. agreement: an image is finished when so many searches have ended within 0.1 %
    of its shortest r.

    Raises InputError for a number below 1.
    """

    budget: int = 2000
    classes: int = 4
    rivals: int = 9
    steps: int = 12
    polish: int = 30
    cuts: int = 32
    agreement: int = 8

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if value < 1:
                raise InputError(f"{name}={value}; give 1 or more")

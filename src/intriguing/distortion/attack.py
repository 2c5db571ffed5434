"""What a method of the field is: one function, with the passes that it takes if none are given."""

from collections.abc import Callable
from typing import Protocol, TypeVar

from torch import Tensor

from intriguing.distortion.incumbent import Incumbent
from intriguing.distortion.problem import Goal, Logits
from intriguing.measures import Box


class Attack(Protocol):
    """A method of the field: at most `budget` passes for each row of a batch."""

    __name__: str

    def __call__(
        self, logits: Logits, goal: Goal, images: Tensor, box: Box, budget: int, seed: int
    ) -> Incumbent: ...


AnyAttack = TypeVar("AnyAttack", bound=Attack)

REGISTERED: dict[str, tuple[Attack, int]] = {}
"""By the name of the function; `methods` has them in order."""


WITHOUT_GRADIENTS: set[str] = set()
"""Those that only ask for logits."""


def attack(*, budget: int, gradients: bool = True) -> Callable[[AnyAttack], AnyAttack]:
    """Make a function known as the method of its name.

    Args:
        budget: Passes an image that its source or its usual implementation takes.
        gradients: Whether it needs them; without, networks that have none are searched as well.
    """

    def register(function: AnyAttack) -> AnyAttack:
        REGISTERED[function.__name__] = function, budget
        if not gradients:
            WITHOUT_GRADIENTS.add(function.__name__)
        return function

    return register

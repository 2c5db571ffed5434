"""How a minibatch training goes: optimiser, learning rate over time, and noise on what it sees."""

import math
from dataclasses import dataclass, replace
from typing import Literal

from intriguing.errors import InputError


@dataclass(frozen=True)
class Schedule:
    """So many epochs, in which the learning rate rises linearly and then falls to 0 as a cosine.

    Attributes:
        epochs: Passes over the training set.
        rate: The highest learning rate.
        batch_size: Images a step; the last step of an epoch takes what is left.
        optimizer: "nesterov" (SGD with Nesterov momentum) or "adam".
        momentum: Of Nesterov; of Adam β₁.
        warmup: Epochs in which the rate rises.
        input_dropout: Share of each image's entries set to 0, the others scaled up.
        dropout: The same of the inputs of fully connected layers, that of the network excepted.
        shift: Images move by up to so many pixels each way, zeros following.
    """

    epochs: int
    rate: float
    batch_size: int = 100
    optimizer: Literal["nesterov", "adam"] = "nesterov"
    momentum: float = 0.9
    warmup: float = 1.0
    input_dropout: float = 0.0
    dropout: float = 0.0
    shift: int = 0

    def __post_init__(self) -> None:
        if min(self.epochs, self.batch_size) < 1 or self.shift < 0:
            raise InputError("epochs and batch_size of a Schedule must be at least 1, shift 0")
        if not 0 < self.rate < math.inf:
            raise InputError(f"learning rate {self.rate}; give one above 0")
        if self.optimizer not in ("nesterov", "adam"):
            raise InputError(f"unknown optimizer {self.optimizer!r}; one of nesterov, adam")
        if not 0 <= self.warmup <= self.epochs:
            raise InputError(f"warm-up of {self.warmup} epochs; give 0 … {self.epochs}")
        for share in (self.momentum, self.input_dropout, self.dropout):
            if not 0 <= share < 1:
                raise InputError("momentum and dropout of a Schedule must lie in [0, 1)")

    def rate_at(self, step: int, steps: int) -> float:
        """The learning rate of a step, the first being 0, with so many steps an epoch.

        >>> schedule = Schedule(epochs=3, rate=1.0, warmup=1)
        >>> [round(schedule.rate_at(step, 2), 3) for step in range(6)]
        [0.5, 1.0, 1.0, 0.854, 0.5, 0.146]
        """
        rising, total = round(self.warmup * steps), self.epochs * steps
        if step < rising:
            return self.rate * ((step + 1) / rising)
        return self.rate * (0.5 + 0.5 * math.cos(math.pi * (step - rising) / (total - rising)))

    @property
    def in_words(self) -> str:
        """What a reader of the results has to know.

        >>> Schedule(6, rate=0.1, dropout=0.5).in_words
        '6 epochs in batches of 100, nesterov, rate 0.1, dropout 0.5'
        """
        noise = {"input dropout": self.input_dropout, "dropout": self.dropout, "shift": self.shift}
        said = "".join(f", {name} {value:g}" for name, value in noise.items() if value)
        return (
            f"{self.epochs} epochs in batches of {self.batch_size}, {self.optimizer}, "
            f"rate {self.rate:g}{said}"
        )

    @property
    def shortened(self) -> "Schedule":
        """One epoch of it, to try the machinery."""
        return replace(self, epochs=1, warmup=min(self.warmup, 1.0))

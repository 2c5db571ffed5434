"""Something about a network or its labels that its numbers alone would not say."""

from dataclasses import dataclass


@dataclass(frozen=True)
class ModelWarning:
    """A flaw, as a warning in plain words.

    Attributes:
        name: Of the flaw, such as "zero gradients".
        measured: What was measured, with its numbers.
        consequence: What follows for the results, and what to do.
        hides: Whether a search by gradients may miss near examples because of it.
    """

    name: str
    measured: str
    consequence: str
    hides: bool = False

    def __str__(self) -> str:
        return f"{self.name}: {self.measured}; {self.consequence}."

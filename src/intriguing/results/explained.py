"""The story of one image of an audit, readable without torch."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Said:
    """What one network says of the image, and of the example made for another or for itself.

    before, after: The likeliest classes with their logits, the likeliest first. label_before,
    label_after: The logit of the true class.
    """

    network: str
    before: tuple[tuple[int, float], ...]
    after: tuple[tuple[int, float], ...]
    label_before: float
    label_after: float


@dataclass(frozen=True)
class Solve:
    """One minimisation of the paper's search: c, ‖r‖₂, and whether its answer was adversarial."""

    c: float
    l2: float
    adversarial: bool


@dataclass(frozen=True)
class Nearest:
    """The nearest example found for one network, and what is proved of the image.

    certified: No example is nearer, in L2; None where nothing was certified. path: Of c, in the
    order in which they were tried; empty where it was not followed.
    """

    network: str
    target: int
    status: str
    distortion: float
    l2: float
    certified: float | None
    said: tuple[Said, ...]
    path: tuple[Solve, ...] = ()


@dataclass(frozen=True)
class Story:
    """Everything an audit knows of one image."""

    image_id: str
    label: int
    made: tuple[Nearest, ...]
    class_names: tuple[str, ...] = ()

    def called(self, number: int) -> str:
        """A class in words, its number where it has none."""
        names = self.class_names
        return names[number] if 0 <= number < len(names) else f"class {number}"

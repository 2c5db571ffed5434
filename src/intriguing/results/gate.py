"""What a gate leaves: a row an image that it looked at, its verdict, and flaws of the network."""

from dataclasses import dataclass
from typing import ClassVar, Literal, TypeAlias

from intriguing.results.rows import Int32, Word

Ruling: TypeAlias = Literal["pass", "fail", "undecided"]
Near: TypeAlias = Literal["near", "not near", "unknown"]
"""Whether an image's nearest example is nearer than it may be; unknown where the search failed."""
Ended: TypeAlias = Literal[
    "misclassified", "short search", "far", "proof", "certificate", "search", "no need",
    "not finite", "failed",
]  # fmt: skip
"""What decided an image: a search before the whole one, by an example below the limit, or by one so
far beyond it that the whole search would come no nearer; a proof that the example found is the
nearest; no need where the baseline misreads it, so that nothing can be worse."""
DemandKind: TypeAlias = Literal["distance", "accuracy", "certified accuracy", "ratio"]


@dataclass(frozen=True)
class GateRow:
    """One image; lengths in L2, in pixel units.

    Attributes:
        place: In the random order, from 0.
        predicted: Class of the unchanged image.
        became: Class of the nearest example found; −1 where none was.
        limit: Nearer than this is too near; infinite where any example is.
        found: The nearest example found, an upper bound; 0 where misclassified, infinite where none
            was. A search that has decided ends, so it may be far from the least.
        first, short: What the first and the short search found, likewise; NaN where there was none.
        certified: No example is nearer; NaN where nothing was certified.
        baseline: The nearest example found for the baseline; NaN without one.
        pixels: Numbers in the image: the paper's distortion is L2 / sqrt(pixels).
    """

    FILE: ClassVar[str] = "gate"

    network: Word
    place: Int32
    image_id: str
    label: Int32
    predicted: Int32
    became: Int32
    limit: float
    found: float
    first: float
    short: float
    certified: float
    baseline: float
    near: Near
    ended: Ended
    status: Word
    forward_passes: Int32
    backward_passes: Int32
    pixels: Int32


@dataclass(frozen=True)
class FlawRow:
    """Why the searches for a network cannot be trusted, in words; as in `Warned`.

    Attributes:
        decides: Whether it stands in the way of a pass.
    """

    FILE: ClassVar[str] = "flaws"

    network: str
    what: str
    seen: str
    follows: str
    decides: bool


@dataclass(frozen=True)
class RulingRow:
    """The verdict of a gate, what was asked and what it rests on.

    Attributes:
        kind: What was asked: of the images at most `share` may be "near", where near is a
            "distance" (distortion) below `limit`; an example within `limit` in L2 ("accuracy"); no
            certificate beyond it ("certified accuracy"); or a distance below `limit` times the
            baseline's ("ratio").
        level: Probability of a wrong pass, and of a wrong fail, at most.
        most: Images that it might have looked at.
        images, near, unknown: That it decided by.
        proved: Of these, proved not to be near, beyond a search in vain.
        low, high: Of the true share of near images, with 1 − 2·level whenever the gate ends.
        passing, failing: The e-values, as natural logarithms.
        refused: Whether it would have passed, were it not for flaws of the network.
        value: What was found: the distortion, or the ratio, that `share` of the images fall short
            of; for an accuracy, the share of images that are not near.
        value_at_most: Whether it is no more than an upper bound, because searches ended early.
        method, budget, first, short: Of the searches, in passes an image; first is 0 where the
            short search is the first.
        far: Images that a shorter search decided by an example far beyond the limit.
        beyond: How far at least, in limits.
        checked: Images on which a search without gradients was tried as well.
    """

    FILE: ClassVar[str] = "rulings"

    network: str
    baseline: str
    ruling: Ruling
    kind: DemandKind
    share: float
    limit: float
    level: float
    most: int
    images: int
    near: int
    unknown: int
    proved: int
    low: float
    high: float
    passing: float
    failing: float
    refused: bool
    value: float
    value_at_most: bool
    method: Word
    budget: Int32
    first: Int32
    short: Int32
    far: int
    beyond: float
    checked: Int32
    seed: Int32

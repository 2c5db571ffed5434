"""One measured value a row, by typed fields of what it is about; and how rows are found by them."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar, Literal, TypeAlias, TypeVar

from intriguing.results.rows import Int32, Word


class Condition(StrEnum):
    """What was done to the images that a row is about; NONE where it is of something else."""

    NONE = ""
    CLEAN = "clean"
    ADVERSARIAL = "adversarial"
    """The nearest examples found."""
    AMPLIFIED = "amplified"
    """These made longer, all to one size."""
    NOISE = "noise"
    """Gaussian noise of one size, or of each example's."""


class Metric(StrEnum):
    """What was measured; a mean or a median is over images."""

    ERROR = "error"
    ACCURACY = "accuracy"
    AGREEMENT = "agreement"
    """With a reference that takes the place of true classes."""
    CONFIDENCE = "confidence"
    FOOLED = "fooled"
    """Images of which an adversarial one was found, or that noise makes misclassified."""
    BECAME = "became"
    """Images that became the class asked for."""
    REMAINED = "remained"
    """Of these, those that still are when read back from a file."""
    MEAN_DISTORTION = "mean_distortion"
    MEDIAN_DISTORTION = "median_distortion"
    MEAN_L2 = "mean_l2"
    MEDIAN_L2 = "median_l2"
    PASSES = "passes"
    """Of an image, a pass being half a forward and a backward one."""
    TIME = "time"
    PROVED = "proved"
    """Images whose example is proved to be the nearest."""
    LOCAL_GAP = "local_gap"
    SHORTEST = "shortest"
    """Images on which no other method finds a shorter change."""
    SHORTER = "shorter"
    """Images on which the change is shorter than the reference's; LONGER likewise."""
    LONGER = "longer"
    L2_DIFFERENCE = "l2_difference"
    """Of `method` less that of `reference`; as a share of the latter RELATIVE_DIFFERENCE."""
    RELATIVE_DIFFERENCE = "relative_difference"
    ACCURACY_DIFFERENCE = "accuracy_difference"
    ERROR_DIFFERENCE = "error_difference"
    MEDIAN_CERTIFIED = "median_certified"
    """L2 within which no example exists."""
    CERTIFIED_RATIO = "certified_ratio"
    """Median share of the distance found that is certified."""
    CERTIFIED = "certified"
    """Images certified beyond `size`, in L2."""
    WITHSTOOD = "withstood"
    """Images for which nothing was found within `size`, in L2."""
    VIOLATIONS = "violations"
    """Images with an example closer than certified."""
    PIXELS = "pixels"
    """Numbers in an image: the paper's distortion is L2 divided by the root of it."""
    DISTORTION_RATIO = "distortion_ratio"
    """To `reference`, as RADIUS_RATIO and TIME_RATIO."""
    RADIUS_RATIO = "radius_ratio"
    TIME_RATIO = "time_ratio"
    FLAWS = "flaws"
    """That checks before an audit find."""
    COHERENCE = "coherence"
    """Of the images that excite a direction most; COHERENCE_DIFFERENCE to that of `reference`."""
    COHERENCE_DIFFERENCE = "coherence_difference"
    EXPLAINED = "explained"
    """Variance of a layer that a dictionary's reconstruction explains on images it had not seen."""
    DEAD = "dead"
    """Features of a dictionary that are active on none of these."""
    MENDED_BOUND = "mended_bound"
    """The paper's bound of a layer without the slips of §4.3."""
    PRINTED_BOUND = "printed_bound"
    """A bound by §4.3 as printed."""
    EFFECT = "effect"
    """The quantity that decides a claim (`results.verdicts`)."""
    PROBABILITY = "probability"
    """That something drawn at random is adversarial, as its decimal logarithm."""
    CORRELATION = "correlation"
    DIMENSION = "dimension"
    """Directions, each orthogonal to the others, along which an image is misread."""
    UPPER_BOUND = "upper_bound"
    LOWER_BOUND = "lower_bound"


Unit: TypeAlias = Literal[
    "%", "distortion", "l2", "passes", "ms", "gap", "l2 more", "% more", "norm", "ratio", "images",
    "share", "bits", "cosine", "numbers",
]  # fmt: skip


@dataclass(frozen=True)
class Measurement:
    """One measured value, and what it is about: fields are empty where it is about no such thing.

    Attributes:
        analysis: Which one made it: "table2", "attack", "transfer", …; never shown.
        metric: What was measured.
        unit: "%" (value is in percent), "distortion" (sqrt(mean r²)), "l2" (‖r‖₂), "passes" and
            "ms" (of an image), "gap" (a share); "l2 more" and "% more" are differences with a sign;
            "norm" (how much longer a change can become, may be infinite), "ratio", "images";
            "share", "bits" and "cosine" measure how coherent a row of images is.
        value, low, high: With its 95 % interval: Wilson's for a share, Student's for a mean, order
            statistics for a median; None where there is none.
        count, total: Misclassified (fooled, …) of all images; or what the value is about of all.
        network: Which is judged.
        made_for: The network that the images were changed for.
        condition: What was done to the images.
        size: Of the change, as distortion, where one size was given to all; in L2 for CERTIFIED and
            WITHSTOOD; α on the path Q^α.
        images: Which of several sets: "train", "test", "P1", "P2"; "correct" are those that are
            classified correctly.
        method: Of search or of training.
        layer: Its name; empty for the whole network.
        setting: Which of several that were tried.
        reference: What a difference or a ratio is to; or the published experiment repeated.
        seed: One of several; None for a value that is over all of them, or where there is but one.
    """

    FILE: ClassVar[str] = "measurements"

    analysis: Word
    metric: Metric
    unit: Unit
    value: float
    low: float | None = None
    high: float | None = None
    count: int = 0
    total: int = 0
    network: str = ""
    made_for: str = ""
    condition: Condition = Condition.NONE
    size: float | None = None
    images: Word = ""
    method: str = ""
    layer: str = ""
    setting: str = ""
    reference: str = ""
    seed: Int32 | None = None

    @property
    def own(self) -> bool:
        """Whether a network is shown examples that were made for itself."""
        changed = self.condition in (Condition.ADVERSARIAL, Condition.AMPLIFIED)
        return changed and self.made_for == self.network

    @property
    def transferred(self) -> bool:
        """Whether it is the share of another network's examples that a network misclassifies."""
        changed = self.condition in (Condition.ADVERSARIAL, Condition.AMPLIFIED)
        return self.metric is Metric.ERROR and changed and not self.own


M = TypeVar("M")


def where(rows: Iterable[M], **about: object) -> list[M]:
    """The rows whose fields are these.

    >>> one = Measurement("attack", Metric.FOOLED, "%", 100.0, network="a")
    >>> where([one], network="a", metric=Metric.FOOLED) == [one], where([one], network="b")
    (True, [])
    """
    return [row for row in rows if all(getattr(row, k) == v for k, v in about.items())]


def first(rows: Iterable[M], **about: object) -> M | None:
    """The first row whose fields are these; None where there is none."""
    return next(iter(where(rows, **about)), None)

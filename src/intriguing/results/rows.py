"""What a results folder measured: every row is a frozen dataclass, and a file holds rows of one.

The columns of a file follow from the fields of its dataclass (`results.parquet`). A row holds no
label and no place in a table: these come into being in `report`, from what the row is about.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, ClassVar, Literal, Protocol, TypeAlias, TypeVar

import pyarrow as pa

Word: TypeAlias = Annotated[str, pa.dictionary(pa.int32(), pa.string())]
"""Text that many rows share."""
Int32: TypeAlias = Annotated[int, pa.int32()]
Float32: TypeAlias = Annotated[float, pa.float32()]


class Row(Protocol):
    """A dataclass whose rows are a file, rows/FILE.parquet."""

    FILE: ClassVar[str]


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
    """Of the images that excite a direction most."""
    MENDED_BOUND = "mended_bound"
    """The paper's bound of a layer without the slips of §4.3."""
    PRINTED_BOUND = "printed_bound"
    """A bound by §4.3 as printed."""
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


M = TypeVar("M", bound=Measurement)


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


@dataclass(frozen=True)
class ImageRow:
    """What became of one image attacked for one network by one method; l2 in pixel units.

    Distortion and l2 of an image whose adversarial was not found are infinite or NaN; gap and
    local_gap, as in `Distortions`, are NaN where the method gives none.
    """

    FILE: ClassVar[str] = "images"

    network: Word
    seed: Int32
    method: Word
    image_id: str
    label: Int32
    target: Int32
    success: bool
    status: Word
    distortion: Float32
    l2: Float32
    c: Float32
    gap: Float32
    local_gap: Float32
    forward_passes: Int32
    backward_passes: Int32


@dataclass(frozen=True)
class CurvePoint:
    """How far a method is after so many passes an image.

    Attributes:
        passes: A pass is half a forward and a backward one.
        found: Images with an adversarial found within them.
        within: Images where it is then as short as any method's answer in the end, up to 0.1 %.
        images: All of them.
        median, median_low, median_high: Of ‖r‖₂ over all images with its 95 % interval; what is
            not found counts as infinitely far.
        mean: Of ‖r‖₂ over all images; infinite before each is found.
        excess: Median over the images of how much longer r is than the shortest any method ends
            with, as a share of it; infinite before half are found.
    """

    FILE: ClassVar[str] = "curves"

    method: str
    passes: int
    found: int
    within: int
    images: int
    median: float
    median_low: float
    median_high: float
    mean: float
    excess: float


@dataclass(frozen=True)
class LossRow:
    """An image that `method` loses: `shorter` finds an r shorter by more than 0.1 % of it."""

    FILE: ClassVar[str] = "losses"

    method: str
    image_id: str
    label: Int32
    target: Int32
    l2: Float32
    shorter: str
    shorter_l2: Float32


@dataclass(frozen=True)
class LayerRow:
    """How far one layer can carry a small change, in L2.

    Attributes:
        order: Place in the network, from 0.
        kind: As the spectral analysis names it ("convolution", "linear", …); "network" for the
            bound of the whole, "product" for what multiplying the layers' bounds would give.
        size, stride: As Table 5 prints them.
        upper: Upper bound of the operator norm or Lipschitz constant; infinite where none is known.
        lower: What gradients at images reach; NaN where it was not measured.
        formula: How the upper bound came about.
        guaranteed: Whether it is proved.
        note: What a reader needs besides: why it is infinite, and what can be done.
    """

    FILE: ClassVar[str] = "layers"

    network: str
    seed: Int32
    order: Int32
    name: str
    kind: str
    size: str
    stride: str
    upper: float
    lower: float
    formula: str
    guaranteed: bool
    note: str = ""


@dataclass(frozen=True)
class CertificateRow:
    """What is certified of one image and what was found.

    Attributes:
        margin: Logit of the label less the greatest other; negative where misclassified.
        against: The class that attains the certified radius.
        certified: No adversarial image is closer, in L2; 0 where misclassified.
        found: L2 of the closest adversarial image found; infinite where none was, NaN where none
            was looked for.
        status: Of the search, as in `ImageRow`; NOT_SEARCHED without one.
        pixels: Numbers in the image: the paper's distortion is L2 / sqrt(pixels).
    """

    FILE: ClassVar[str] = "certificates"

    network: Word
    seed: Int32
    image_id: str
    label: Int32
    predicted: Int32
    margin: float
    against: Int32
    certified: float
    found: float
    status: Word
    pixels: Int32


@dataclass(frozen=True)
class TopRow:
    """One of the images that excite a direction most.

    Attributes:
        direction: Column of the basis, from 0: of the natural basis, the unit.
        sign: "positive" for ⟨φ(x), v⟩, "negative" for ⟨φ(x), −v⟩, which `value` then is.
        rank: From 0, the most exciting.
        position: Where in the layer's grid, row by row; −1 in a layer without positions.
        top, left, bottom, right: The pixels that this position sees, the last ones excluded.
    """

    FILE: ClassVar[str] = "tops"

    network: Word
    seed: Int32
    layer: Word
    basis: Word
    direction: Int32
    sign: Word
    rank: Int32
    image_id: str
    label: Int32
    value: float
    position: Int32
    top: Int32
    left: Int32
    bottom: Int32
    right: Int32


@dataclass(frozen=True)
class CoherenceRow:
    """How much the top images of one direction have in common.

    Attributes:
        measure, unit: "purity" (share of the commonest label), "entropy" (bits; less is more
            coherent), mean cosine of pairs in "pixels", the layer's "own" or another network's
            space, by its name.
        chance, low, high: Mean and central 95 % range of a row of random images.
        responds: Whether the last image shown excites it more than the least exciting one.
    """

    FILE: ClassVar[str] = "coherence"

    network: Word
    seed: Int32
    layer: Word
    basis: Word
    direction: Int32
    measure: Word
    unit: Word
    value: float
    chance: float
    low: float
    high: float
    responds: bool


@dataclass(frozen=True)
class ClaimRow:
    """What the test of §3's claim says of one layer.

    Attributes:
        k, images: Top images a direction, of so many.
        networks, rotations: Trained networks, and random bases of each.
        delta, level: What counts as no difference, and the probability of a false verdict.
        silent: Units that respond to nothing, on average.
        natural, random: Mean coherence; `difference` with its interval `low` to `high`.
        untrained: The difference in untrained networks of the shape; NaN where not measured.
        p, p_equivalent: After Holm's correction over layers.
        sentence: The verdict in words, with numbers.
    """

    FILE: ClassVar[str] = "claims"

    network: str
    layer: str
    measure: str
    k: Int32
    images: Int32
    networks: Int32
    rotations: Int32
    untrained_networks: Int32
    units: Int32
    delta: float
    level: float
    silent: float
    natural: float
    random: float
    difference: float
    low: float
    high: float
    untrained: float
    p: float
    p_equivalent: float
    verdict: str
    sentence: str

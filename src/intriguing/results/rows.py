"""What a results folder holds: every row is a frozen dataclass, and a file holds rows of one.

The columns of a file follow from the fields of its dataclass (`results.parquet`). A row holds no
label and no place in a table: these come into being in `report`, from what the row is about.
Measured values are in `results.measured`.
"""

from dataclasses import dataclass
from typing import Annotated, ClassVar, Protocol, TypeAlias

import pyarrow as pa

Word: TypeAlias = Annotated[str, pa.dictionary(pa.int32(), pa.string())]
"""Text that many rows share."""
Int32: TypeAlias = Annotated[int, pa.int32()]
Float32: TypeAlias = Annotated[float, pa.float32()]


class Row(Protocol):
    """A dataclass whose rows are a file, rows/FILE.parquet."""

    FILE: ClassVar[str]


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
class ProofRow:
    """How near an example of one image can be at all, by branch and bound.

    Attributes:
        lower: No example is nearer, L2; 0 where nothing is proved.
        found: L2 of the closest one; infinite where there is none.
        status: As in `ImageRow`: OPTIMAL where both are within the gap that was asked for.
        nodes: Boxes of activations that were bounded; 0 where there was nothing to prove.
    """

    FILE: ClassVar[str] = "proofs"

    network: Word
    image_id: str
    lower: float
    found: float
    status: Word
    nodes: Int32


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

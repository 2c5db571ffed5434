"""What a results folder holds, version 4: a run record, table cells, and rows of one thing each.

Still read: version 3, whose cells said what they measure in their names only; version 2, which
besides had no layers, certificates and units; and version 1, which had one method, "paper", and no
gaps, curves or losses either.
"""

from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

SCHEMA_VERSION = 4
READABLE = (1, 2, 3, 4)

Kind: TypeAlias = Literal[
    "reproduce",
    "attack",
    "transfer",
    "train",
    "compare",
    "spectrum",
    "certify",
    "units",
    "hardening",
    "audit",
]
Unit: TypeAlias = Literal[
    "%",
    "distortion",
    "l2",
    "passes",
    "ms",
    "gap",
    "l2 more",
    "% more",
    "norm",
    "ratio",
    "images",
    "share",
    "bits",
    "cosine",
]
Condition: TypeAlias = Literal["", "clean", "examples", "amplified", "noise"]
"""What was done to the images that a cell is about: nothing, the nearest examples found, these made
longer to one size, Gaussian noise of one size; empty where the cell is of something else."""
RunStatus: TypeAlias = Literal["running", "complete"]


@dataclass(frozen=True)
class Stage:
    """One step of a run: its wall time in seconds and passes, interruptions added up."""

    name: str
    wall_seconds: float = 0.0
    forward_passes: int = 0
    backward_passes: int = 0


@dataclass(frozen=True)
class DataRecord:
    """A set of images that was used."""

    name: str
    images: int
    sha256: str


@dataclass(frozen=True)
class ModelRecord:
    """A network that was trained or given; errors are fractions, None where not measured.

    `training` is the training's report as JSON-able values, empty for a network that was given.
    """

    name: str
    seed: int
    sha256: str
    parameters: int
    architecture: str
    training: dict[str, Any] = field(default_factory=dict)
    train_error: float | None = None
    test_error: float | None = None


@dataclass(frozen=True)
class RunRecord:
    """run.json: everything that was needed to make the folder, and how far it is.

    Attributes:
        kind: The command's verb.
        command: The whole shell command.
        config: The verb's configuration, JSON-able; a folder serves one configuration only.
        status: "complete" once every row and tensor is written.
        versions: Of python, intriguing, torch, numpy.
        machine: platform, processor, cores, device.
        notes: Remarks in plain language that a reader of the tables needs.
    """

    kind: Kind
    command: str
    config: dict[str, Any]
    status: RunStatus = "running"
    seeds: tuple[int, ...] = (0,)
    versions: dict[str, str] = field(default_factory=dict)
    machine: dict[str, Any] = field(default_factory=dict)
    data: tuple[DataRecord, ...] = ()
    models: tuple[ModelRecord, ...] = ()
    stages: tuple[Stage, ...] = ()
    tables: tuple[str, ...] = ()
    figures: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    schema_version: int = SCHEMA_VERSION


@dataclass(frozen=True)
class Shown:
    """The images that a network is shown: what was done to them, for whom, and how much of it.

    Attributes are those of `Cell`.
    """

    condition: Condition = ""
    made_for: str = ""
    size: float | None = None


@dataclass(frozen=True)
class Cell:
    """One cell of a table beside the paper's.

    Attributes:
        row, column: Display names as in the paper, "FC10(1e-4)"; they are for people, and what a
            cell is about is said by the fields from `network` on.
        row_order, column_order: Place in the table, from 0.
        unit: "%" (ours is in percent), "distortion" (sqrt(mean r²)), "l2" (‖r‖₂), "passes" and "ms"
            (of an image), "gap" (a share); "l2 more" and "% more" are differences with a sign;
            "norm" (how much longer a change can become, may be infinite), "ratio", "images";
            "share", "bits" and "cosine" measure how coherent a row of images is.
        ours, low, high: The value of the first seed with its 95 % interval: Wilson's for a share,
            Student's for a mean, order statistics for a median; None where there is none.
        count, total: Misclassified of all images; or images that the value is about of all.
        paper: The paper's value, None where it gives none.
        seeds: How many seeds were run.
        seed_low, seed_high: Least and greatest value over the seeds; None for one seed.
        network: The network, method or training that is judged; empty where it is none.
        made_for: The network that the images were changed for; empty where it is none.
        condition: What was done to the images.
        size: Of the change, as distortion, where one size was given to all; ε of table "robust",
            in L2; α of table "path"; else None.
        reference: What a difference is a difference to; empty where the value is none.
    """

    table: str
    row: str
    column: str
    row_order: int
    column_order: int
    unit: Unit
    ours: float
    low: float | None
    high: float | None
    count: int
    total: int
    paper: float | None = None
    seeds: int = 1
    seed_low: float | None = None
    seed_high: float | None = None
    network: str = ""
    made_for: str = ""
    condition: Condition = ""
    size: float | None = None
    reference: str = ""

    @property
    def own(self) -> bool:
        """Whether a network is shown examples that were made for itself."""
        return self.condition in ("examples", "amplified") and self.made_for == self.network

    @property
    def transferred(self) -> bool:
        """Whether it is the share of another network's examples that a network misclassifies."""
        changed = self.unit == "%" and self.condition in ("examples", "amplified")
        return changed and not self.own


@dataclass(frozen=True)
class ImageRow:
    """What became of one image attacked for one network by one method; l2 in pixel units.

    Distortion and l2 of an image whose adversarial was not found are infinite or NaN; gap and
    local_gap, as in `Distortions`, are NaN where the method gives none.
    """

    network: str
    seed: int
    method: str
    image_id: str
    label: int
    target: int
    success: bool
    status: str
    distortion: float
    l2: float
    c: float
    gap: float
    local_gap: float
    forward_passes: int
    backward_passes: int


@dataclass(frozen=True)
class CurvePoint:
    """How far a method is after so many passes an image; one row of rows/curves.parquet.

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

    method: str
    image_id: str
    label: int
    target: int
    l2: float
    shorter: str
    shorter_l2: float


@dataclass(frozen=True)
class LayerRow:
    """How far one layer can carry a small change, in L2; one row of rows/layers.parquet.

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

    network: str
    seed: int
    order: int
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
    """What is certified of one image and what was found; one row of rows/certificates.parquet.

    Attributes:
        margin: Logit of the label less the greatest other; negative where misclassified.
        against: The class that attains the certified radius.
        certified: No adversarial image is closer, in L2; 0 where misclassified.
        found: L2 of the closest adversarial image found; infinite where none was, NaN where none
            was looked for.
        status: Of the search, as in `ImageRow`; NOT_SEARCHED without one.
        pixels: Numbers in the image: the paper's distortion is L2 / sqrt(pixels).
    """

    network: str
    seed: int
    image_id: str
    label: int
    predicted: int
    margin: float
    against: int
    certified: float
    found: float
    status: str
    pixels: int


@dataclass(frozen=True)
class TopRow:
    """One of the images that excite a direction most; one row of rows/tops.parquet.

    Attributes:
        direction: Column of the basis, from 0: of the natural basis, the unit.
        sign: "positive" for ⟨φ(x), v⟩, "negative" for ⟨φ(x), −v⟩, which `value` then is.
        rank: From 0, the most exciting.
        position: Where in the layer's grid, row by row; −1 in a layer without positions.
        top, left, bottom, right: The pixels that this position sees, the last ones excluded.
    """

    network: str
    seed: int
    layer: str
    basis: str
    direction: int
    sign: str
    rank: int
    image_id: str
    label: int
    value: float
    position: int
    top: int
    left: int
    bottom: int
    right: int


@dataclass(frozen=True)
class CoherenceRow:
    """How much the top images of one direction have in common; one row of rows/coherence.parquet.

    Attributes:
        measure, unit: "purity" (share of the commonest label), "entropy" (bits; less is more
            coherent), mean cosine of pairs in "pixels", the layer's "own" or another network's
            space, by its name.
        chance, low, high: Mean and central 95 % range of a row of random images.
        responds: Whether the last image shown excites it more than the least exciting one.
    """

    network: str
    seed: int
    layer: str
    basis: str
    direction: int
    measure: str
    unit: str
    value: float
    chance: float
    low: float
    high: float
    responds: bool


@dataclass(frozen=True)
class ClaimRow:
    """What the test of §3's claim says of one layer; one row of rows/claims.parquet.

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

    network: str
    layer: str
    measure: str
    k: int
    images: int
    networks: int
    rotations: int
    untrained_networks: int
    units: int
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

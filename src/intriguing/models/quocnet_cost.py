"""What a QuocNet needs, computed from its sizes: parameters, memory and arithmetic, by devices.

Nothing is allocated.  Training goes stage by stage, so that memory is that of the largest stage
with its gradient and optimiser, the weights of the stages below, and what one batch leaves behind.
Three ways to use many devices differ in what each holds:

    copies     all weights, its share of the batch         (DDP)
    shards     its share of the weights, gathered a stage at a time; its share of the batch  (FSDP)
    locations  its band of rows of weights and activations, the whole batch
"""

import math
from dataclasses import dataclass
from typing import Literal, TypeAlias

from intriguing.models.families.quocnet import QuocNetConfig, Sizes, sizes
from intriguing.models.tiles import WORK, Layout

Way: TypeAlias = Literal["copies", "shards", "locations"]
WAYS: tuple[Way, ...] = ("copies", "shards", "locations")

# Adam keeps two moments, momentum one; L-BFGS pairs of differences.
STATES = {"adam": 2, "nesterov": 1, "lbfgs": 20}
# A training step makes six products of the weights' size: forward, decoder, and two gradients each.
_PRODUCTS = 6


@dataclass(frozen=True)
class StageCost:
    """One stage.

    Attributes:
        parameters: Of the filters.
        products: Multiplications and additions of one image's forward filtering.
        activations: Numbers that a training step keeps, of one image.
        sent: Numbers that cross a border between two bands of rows in one step, of one image.
    """

    parameters: int
    products: int
    activations: int
    sent: int


@dataclass(frozen=True)
class DeviceCost:
    """What one device holds and does.

    Attributes:
        way: How many devices share the work.
        devices: How many.
        weights, states, activations, work: Bytes: weights and both gradients, the optimiser,
            what one step keeps, and the untied layer's work arrays.
        received: Bytes a device receives from others in one step.
        operations: Floating-point operations of one training step of the costliest stage.
    """

    way: Way
    devices: int
    weights: float
    states: float
    activations: float
    work: float
    received: float
    operations: float

    @property
    def memory(self) -> float:
        """All bytes."""
        return self.weights + self.states + self.activations + self.work


def stage_costs(config: QuocNetConfig) -> list[StageCost]:
    """Every stage of a size.

    >>> from intriguing.models.families.quocnet import CONFIGS
    >>> [cost.parameters for cost in stage_costs(CONFIGS["quocnet-1b"])]
    [260410464, 544195584, 412252416]
    """
    return [
        _stage(stage.field, stage.pool, stage.contrast, size)
        for stage, size in zip(config.stages, sizes(config), strict=True)
    ]


def device_cost(
    config: QuocNetConfig,
    way: Way,
    devices: int,
    batch: int,
    *,
    optimizer: str = "adam",
    itemsize: int = 4,
    device_type: str = "cpu",
) -> DeviceCost:
    """What each of so many devices needs for a step on a global batch.

    Args:
        config: The network.
        way: How the devices share the work.
        devices: How many.
        batch: Images of one step, over all devices.
        optimizer: "adam", "nesterov" or "lbfgs".
        itemsize: Bytes of a number.
        device_type: "cpu" or "cuda", which differ in their work arrays.
    """
    costs = stage_costs(config)
    images = batch if way == "locations" else -(-batch // devices)
    spread = devices if way == "locations" else 1
    held = 1 if way == "copies" else devices
    largest = max(cost.parameters for cost in costs)
    # Filters of all stages; of the one that is trained two gradients, as encoder and as decoder,
    # which exist together before they are added; shards gather one stage whole.
    weights = (sum(cost.parameters for cost in costs) + 2 * largest) / held
    weights += 2 * largest if way == "shards" and devices > 1 else 0
    received = {
        "copies": 2 * largest * (devices - 1) / devices,
        "shards": 3 * largest * (devices - 1) / devices,
        "locations": 2 * batch * max(cost.sent for cost in costs) if devices > 1 else 0,
    }[way]
    work = max(
        _layout(stage.field, stage.stride, size).work_bytes(images, itemsize, WORK[device_type])
        for stage, size in zip(config.stages, sizes(config), strict=True)
    )
    products = max(cost.products for cost in costs)
    return DeviceCost(
        way, devices,
        weights=weights * itemsize,
        states=STATES[optimizer] * largest / held * itemsize,
        activations=max(cost.activations for cost in costs) * images / spread * itemsize,
        work=2.0 * work,
        received=received * itemsize,
        operations=2.0 * _PRODUCTS * products * images / spread,
    )  # fmt: skip


def _stage(field: int, pool: int, contrast: int, size: Sizes) -> StageCost:
    seen, filtered, normalised = (
        math.prod(shape) for shape in (size.seen, size.filtered, size.normalised)
    )
    parameters = filtered * field**2 * size.seen[0]
    halo = (
        (field - 1) * size.seen[0] * size.seen[2]
        + (pool - 1) * size.filtered[0] * size.filtered[2]
        + 2 * 2 * (contrast // 2) * size.normalised[2]
    )
    # Input, its copy with channels last, reconstruction and error; responses, squares, pooled.
    return StageCost(parameters, parameters, 4 * seen + 3 * filtered + 2 * normalised, halo)


def _layout(field: int, stride: int, size: Sizes) -> Layout:
    return Layout(
        (size.filtered[1], size.filtered[2]), (field, field), (stride, stride),
        size.filtered[0], size.seen[0],
    )  # fmt: skip

"""Where adversarial examples are made: the network's input, or what comes out of a layer."""

import math
from dataclasses import dataclass

from torch import Tensor, fx, nn

from intriguing.errors import InputError
from intriguing.graph.execution import described
from intriguing.graph.table import rule_of
from intriguing.models.initial import weight_layers
from intriguing.units.activations import INPUT

IMAGES = "input"
"""The place below all layers."""


@dataclass(frozen=True)
class Place:
    """A place that gets a pool.

    Attributes:
        layer: "input"; a number, "1" being the output of the first hidden layer, activation and
            pooling included; the name of a module, for what comes out of it; or "NAME:input" for
            what goes into it.
        radius: The largest ‖r‖₂ of an example there; None takes a share of the typical distance
            between two images there (`PoolConfig.share`), whatever the network makes of it.
        weight: Of the pool's cross-entropy in the loss, that of the images being 1.
    """

    layer: str = IMAGES
    radius: float | None = None
    weight: float = 1.0

    def __post_init__(self) -> None:
        if self.radius is not None and not 0 < self.radius < math.inf:
            raise InputError(f"radius {self.radius} at {self.layer!r}; give one above 0, or None")
        if not 0 < self.weight < math.inf:
            raise InputError(f"weight {self.weight} at {self.layer!r}; give one above 0")


def find_place(model: nn.Module, layer: str) -> str:
    """The name of a place as `activations` reads it; "input" stays.

    >>> net = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
    >>> find_place(net, "1"), find_place(net, "input")
    ('2:input', 'input')

    A number that is also a module's name is the hidden layer; name the module "1:output":

    >>> find_place(net, "1:output")
    '1'

    Raises:
        InputError: If there is no such layer.
    """
    modules = dict(model.named_modules())
    if layer == IMAGES:
        return layer
    if layer.isdecimal():
        names: dict[nn.Module, str] = {module: name for name, module in modules.items()}
        hidden = weight_layers(model)[1:]
        if not 1 <= int(layer) <= len(hidden):
            raise InputError(
                f"there is no hidden layer {layer}: the network has {len(hidden)} between its "
                "layers with weights; `intriguing layers` lists all names"
            )
        return names[hidden[int(layer) - 1]] + INPUT
    name = layer.removesuffix(":output")
    if name.removesuffix(INPUT) not in modules or name.removesuffix(INPUT) == "":
        some = ", ".join(list(modules)[1:12])
        raise InputError(
            f"there is no layer {layer!r}; give input, a number, or a module's name: {some} …"
        )
    return name


@dataclass(frozen=True)
class Range:
    """What a layer's outputs can be, by its activation; ±∞ where that sets no limit.

    Attributes:
        lower, upper: The limits.
        source: The activation's name; empty where none was recognised.
    """

    lower: float = -math.inf
    upper: float = math.inf
    source: str = ""

    def within(self, seen: Tensor) -> tuple[float, float]:
        """Finite limits: its own, or those of activations that were seen."""
        lower = self.lower if math.isfinite(self.lower) else float(seen.min())
        upper = self.upper if math.isfinite(self.upper) else float(seen.max())
        return lower, max(upper, math.nextafter(lower, math.inf))

    @property
    def in_words(self) -> str:
        """Where the limits come from.

        >>> Range(0.0, math.inf, "relu").in_words
        'relu is ≥ 0; the largest seen'
        """
        if not self.source:
            return "the least and the largest seen"
        if math.isfinite(self.upper):
            return f"{self.source} lies in [{self.lower:g}, {self.upper:g}]"
        return f"{self.source} is ≥ {self.lower:g}; the largest seen"


def range_of(node: fx.Node, modules: dict[str, nn.Module]) -> Range:
    """The range of a value in a traced network, from the activation that it comes from.

    What gives nothing above the greatest of what it is given, or below the least, passes a range
    on; anything else makes it unknown.
    """
    while True:
        operation = described(node, modules)
        rule = rule_of(operation)
        lower, upper = rule.values(operation)
        if max(lower, -upper) > -math.inf:
            return Range(lower, upper, source=rule.names[0])
        first = node.args[0] if node.args else None
        if not isinstance(first, fx.Node) or not rule.within(operation):
            return Range()
        node = first

"""Which pixels a position of a layer sees, read off the network's graph.

Along each axis a matrix says which pixels each position of a value depends on. It is carried from
the image to the layer: through each operation's window, joined where branches meet. Where an
operation sees every position, or no window of it is known, the receptive field is the whole image,
and the result says why.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import torch
from jaxtyping import Bool
from torch import Tensor, fx, nn

from intriguing.data.png import shown_as
from intriguing.errors import InputError
from intriguing.graph.execution import Executed, execute
from intriguing.graph.operations.windows import window_of
from intriguing.graph.precision import FORMATS
from intriguing.graph.tracing import symbolic_graph
from intriguing.models.classifier import Classifier, unwrapped
from intriguing.models.evaluation import check_evaluation
from intriguing.units.activations import INPUT

_Seen: TypeAlias = tuple[Bool[Tensor, "rows height"], Bool[Tensor, "columns width"]]
"""Which rows of pixels each row of positions depends on, and the same of columns."""


@dataclass(frozen=True)
class Box:
    """Pixels [top, bottom) × [left, right) of the image."""

    top: int
    left: int
    bottom: int
    right: int


@dataclass(frozen=True)
class ReceptiveField:
    """The pixels each position of a layer can depend on.

    `whole` says why that is every pixel, or is empty where boxes are known; `grid` is the layer's
    (rows, columns) and `boxes` the box of each position, row by row (one for a layer without
    positions).
    """

    grid: tuple[int, ...]
    boxes: tuple[Box, ...]
    whole: str = ""

    def box(self, position: int) -> Box:
        """The box of a position as `TopImages.positions` counts them; −1 is the only one."""
        return self.boxes[max(position, 0)]


def receptive_field(model: nn.Module, layer: str, input_shape: Sequence[int]) -> ReceptiveField:
    """The receptive field of every position of a named layer.

    Args:
        model: A network in evaluation mode.
        layer: A layer's name, as `list_layers` gives it.
        input_shape: The shape of one image, (channel, height, width).

    Raises:
        InputError: If there is no such layer.

    >>> field = receptive_field(nn.Sequential(nn.Conv2d(1, 2, 3)).eval(), "0", (1, 5, 5))
    >>> field.grid, field.box(4)
    ((3, 3), Box(top=1, left=1, bottom=4, right=4))
    """
    model = unwrapped(model)
    check_evaluation(model)
    if layer.removesuffix(INPUT) not in dict(model.named_modules()) or layer in ("", INPUT):
        raise InputError(f"there is no layer {layer!r}; list_layers(model, input_shape) names them")
    height, width = (int(side) for side in (*input_shape, 1, 1)[1:3])
    if len(input_shape) > 3:
        height, width = shown_as(torch.empty((1, *input_shape), device="meta")).shape[-2:]
    everything = Box(0, 0, height, width)
    if len(input_shape) != 3:
        return ReceptiveField((), (everything,), "the images have no rows and columns")
    try:
        seen, grid = _seen_by(model, layer, input_shape)
    except InputError as reason:
        return ReceptiveField((), (everything,), str(reason))
    if len(grid) != 2:
        return ReceptiveField((), (everything,), "the layer has no positions")
    if isinstance(seen, str):
        return ReceptiveField(grid, (everything,) * math.prod(grid), seen)
    rows, columns = (_hulls(axis) for axis in seen)
    boxes = (Box(r[0], c[0], r[1] + 1, c[1] + 1) for r in rows for c in columns)
    return ReceptiveField(grid, tuple(boxes))


@torch.no_grad()
def _seen_by(
    model: nn.Module, layer: str, input_shape: Sequence[int]
) -> tuple[_Seen | str, tuple[int, ...]]:
    """What each position of a layer sees, or why that is everything; and its positions' grid."""
    graph, tracer = symbolic_graph(model)
    places = tracer.taken if layer.endswith(INPUT) else tracer.given
    node = places.get(layer.removesuffix(INPUT))
    if node is None:
        raise InputError(
            f"the network's graph cannot be traced: layer {layer!r} is not a tensor of the graph"
        )
    asked = Classifier(model)
    asked.begin(input_shape)
    graph.meta[FORMATS] = frozenset()  # in the network's own arithmetic
    image = torch.zeros((1, *input_shape), dtype=asked.takes, device=asked.device)
    seen: dict[fx.Node, _Seen | str] = {}
    for done in execute(graph, image):
        seen[done.node] = _after(done, seen)
        if done.node is node:
            shape = done.value.shape if isinstance(done.value, Tensor) else torch.Size()
            return seen[node], tuple(shape[2:]) if len(shape) == 4 else ()
    raise InputError(
        f"the network's graph cannot be traced: layer {layer!r} does not depend on the image"
    )


def _after(done: Executed, seen: dict[fx.Node, _Seen | str]) -> _Seen | str:
    """What an operation's positions see; or why that is everything."""
    operation = done.operation
    if operation is None:
        height, width = done.value.shape[2:]
        return torch.eye(height, dtype=torch.bool), torch.eye(width, dtype=torch.bool)
    before = [seen[source] for source in done.sources]
    for reason in before:
        if isinstance(reason, str):
            return reason
    if any(not isinstance(tensor, Tensor) or tensor.ndim != 4 for tensor in operation.moving):
        return f"{done.node.name} takes more than channels of positions"
    windows = [window_of(operation, axis) for axis in (0, 1)]
    if any(window is None for window in windows):
        return f"{done.node.name} ({operation.name or '?'}) mixes positions, or is not known here"
    joined = []
    for axis, window in enumerate(windows):
        assert window is not None
        pixels = torch.stack([source[axis] for source in before]).any(0)  # type: ignore[misc]
        joined.append((window.float() @ pixels.float()) > 0)
    return joined[0], joined[1]


def _hulls(seen: Bool[Tensor, "positions pixels"]) -> list[tuple[int, int]]:
    """The first and the last pixel of each position; the first one, of what reads padding only."""
    first = seen.int().argmax(1)
    last = seen.shape[1] - 1 - seen.flip(1).int().argmax(1)
    last = torch.where(seen.any(1), last, 0)
    return list(zip(first.tolist(), last.tolist(), strict=True))

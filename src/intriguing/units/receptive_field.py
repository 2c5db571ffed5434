"""Which pixels a position of a layer sees, read off the network's graph.

A box of positions is carried backwards from the layer to the image: through each window (kernel,
stride, padding, dilation), joined where branches meet. Where an operation sees every position, or
is not known here, the receptive field is the whole image, and the result says why.
"""

import math
import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from torch import fx, nn
from torch.fx.passes.shape_prop import ShapeProp
from torch.nn import functional

from intriguing.data.png import shown_as
from intriguing.errors import InputError
from intriguing.models.asking import Classifier, check_evaluation, unwrapped
from intriguing.models.interpreted import Interpreted
from intriguing.units.activations import INPUT

Span: TypeAlias = tuple[int, int]
"""First and last index along one axis, both included."""


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
        node = _trace(model, layer, input_shape)
    except Exception as error:  # tracing runs the model's own code: any error is possible
        reason = str(error).strip().splitlines()[0] if str(error).strip() else "no reason given"
        return ReceptiveField((), (everything,), f"the network's graph cannot be traced: {reason}")
    shape = _shape(node)
    if len(shape) != 4:
        return ReceptiveField((), (everything,), "the layer has no positions")
    grid = shape[2:]
    try:
        rows, columns = (
            [_walk(node, axis, at, (height, width)[axis]) for at in range(grid[axis])]
            for axis in (0, 1)
        )
    except _SeesAll as reason:
        return ReceptiveField(grid, (everything,) * math.prod(grid), str(reason))
    boxes = (Box(r[0], c[0], r[1] + 1, c[1] + 1) for r in rows for c in columns)
    return ReceptiveField(grid, tuple(boxes))


class _SeesAll(Exception):
    """An operation that mixes all positions, or may."""


class _Tracer(fx.Tracer):
    """Remembers which node a module's call, whole or traced into, takes in and gives."""

    def __init__(self) -> None:
        super().__init__()
        self.given: dict[str, Any] = {}

    def call_module(
        self,
        m: nn.Module,
        forward: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Any:
        path = self.path_of_module(m)
        self.given[path + INPUT] = args[0] if args else None
        self.given[path] = super().call_module(m, forward, args, kwargs)
        return self.given[path]


def _trace(model: nn.Module, layer: str, input_shape: Sequence[int]) -> fx.Node:
    """The node of the layer, with the shape of every node before it."""
    tracer = _Tracer()
    graph = tracer.trace(model)
    proxy = tracer.given.get(layer)
    if not isinstance(proxy, fx.Proxy):
        raise ValueError(f"layer {layer!r} is not a tensor of the graph")
    asked = Classifier(model)
    with torch.no_grad():
        asked.begin(input_shape)
        image = torch.zeros((1, *input_shape), dtype=asked.takes, device=asked.device)
        ShapeProp(Interpreted(model, graph)).propagate(image)
    modules = dict(model.named_modules())
    for node in graph.nodes:
        if node.op == "call_module":
            node.meta["module"] = modules[node.target]
    return proxy.node


def _walk(node: fx.Node, axis: int, position: int, pixels: int) -> Span:
    """The pixels along one axis that one position of a node depends on."""
    wanted: dict[fx.Node, Span] = {node: (position, position)}
    for current in reversed(list(node.graph.nodes)):
        if current not in wanted:
            continue
        if current.op == "placeholder":
            return _clip(wanted[current], pixels) or (0, pixels - 1)
        before = _before(current, axis, wanted[current])
        for source, span in before.items():
            inside = _clip(span, _shape(source)[2 + axis])
            if inside is not None:
                wanted[source] = _join(wanted.get(source, inside), inside)
    return 0, 0  # reads constants or padding only: nothing of the image


def _before(node: fx.Node, axis: int, span: Span) -> dict[fx.Node, Span]:
    """What an operation reads to give `span` of its output: a span of each node it takes."""
    sources = [source for source in node.all_input_nodes if source.op != "get_attr"]
    if any(len(_shape(source)) != 4 for source in sources):
        raise _SeesAll(f"{node.name} takes more than channels of positions")
    module = node.meta.get("module")
    operation = node.target if module is None else type(module)
    if operation in _WINDOWS and sources:
        size_in, size_out = _shape(sources[0])[2 + axis], _shape(node)[2 + axis]
        settings = _of_call(node) if module is None else _of_module(module)
        return {sources[0]: _WINDOWS[operation](settings.along(axis), size_in, size_out, span)}
    if operation in _POINTWISE:
        if any(_shape(source)[2:] != _shape(node)[2:] for source in sources):
            raise _SeesAll(f"{node.name} joins layers of different sizes")
        return dict.fromkeys(sources, span)
    called = operation if isinstance(operation, str) else getattr(operation, "__name__", "?")
    if called == "flip" and _flattened(node.args[1:]) <= {0, 1, -3, -4}:
        return dict.fromkeys(sources, span)  # of channels, as from RGB to BGR
    raise _SeesAll(f"{node.name} ({called}) mixes positions, or is not known here")


@dataclass(frozen=True)
class _Window:
    """The settings of a sliding window, each for both axes or one for each."""

    kernel: Any = 1
    stride: Any = None
    padding: Any = 0
    dilation: Any = 1
    wraps: bool = False

    def along(self, axis: int) -> "_Window":
        kernel, stride, dilation = (
            _pair(value)[axis] for value in (self.kernel, self.stride, self.dilation)
        )
        padding = self.padding
        if padding in ("same", "valid"):
            padding = dilation * (kernel - 1) // 2 if padding == "same" else 0
        return _Window(
            kernel, kernel if stride is None else stride, _pair(padding)[axis], dilation, self.wraps
        )


def _slide(window: _Window, size_in: int, size_out: int, span: Span) -> Span:
    first = span[0] * window.stride - window.padding
    last = span[1] * window.stride - window.padding + window.dilation * (window.kernel - 1)
    if first >= 0 and last < size_in:
        return first, last
    if window.wraps:
        return 0, size_in - 1  # circular and reflecting padding read the image again
    starts = range(first, span[1] * window.stride - window.padding + 1, window.stride)
    reads = (start + tap * window.dilation for start in starts for tap in range(window.kernel))
    inside = [at for at in reads if 0 <= at < size_in]
    return (min(inside), max(inside)) if inside else (-1, -1)


def _spread(window: _Window, size_in: int, size_out: int, span: Span) -> Span:
    """A transposed convolution: input i reaches outputs i·stride − padding + dilation·j."""
    reach = window.dilation * (window.kernel - 1)
    first = -(-(span[0] + window.padding - reach) // window.stride)
    return first, (span[1] + window.padding) // window.stride


def _adapt(window: _Window, size_in: int, size_out: int, span: Span) -> Span:
    """Adaptive pooling: output j averages inputs ⌊j·in/out⌋ to ⌈(j + 1)·in/out⌉."""
    return span[0] * size_in // size_out, -(-(span[1] + 1) * size_in // size_out) - 1


def _of_module(module: Any) -> _Window:
    return _Window(
        getattr(module, "kernel_size", 1),
        getattr(module, "stride", None),
        getattr(module, "padding", 0),
        getattr(module, "dilation", 1),
        getattr(module, "padding_mode", "zeros") != "zeros",
    )


def _of_call(node: fx.Node) -> _Window:
    names = _ARGUMENTS.get(node.target, ())
    given = {**dict(zip(names, node.args[1:], strict=False)), **node.kwargs}
    weight = given.get("weight")
    kernel = _shape(weight)[2:] if isinstance(weight, fx.Node) else given.get("kernel_size", 1)
    stride = given.get("stride", 1 if isinstance(weight, fx.Node) else None)
    return _Window(kernel, stride, given.get("padding", 0), given.get("dilation", 1))


_CONV_ARGUMENTS = ("weight", "bias", "stride", "padding", "dilation")
_ARGUMENTS: dict[Any, tuple[str, ...]] = {
    functional.conv2d: _CONV_ARGUMENTS,
    torch.conv2d: _CONV_ARGUMENTS,
    functional.max_pool2d: ("kernel_size", "stride", "padding", "dilation"),
    torch.max_pool2d: ("kernel_size", "stride", "padding", "dilation"),
    functional.avg_pool2d: ("kernel_size", "stride", "padding"),
}
_WINDOWS: dict[Any, Callable[[_Window, int, int, Span], Span]] = {
    **dict.fromkeys((nn.Conv2d, nn.MaxPool2d, nn.AvgPool2d, nn.LPPool2d, *_ARGUMENTS), _slide),
    nn.ConvTranspose2d: _spread,
    **dict.fromkeys((nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d), _adapt),
    **dict.fromkeys((functional.adaptive_avg_pool2d, functional.adaptive_max_pool2d), _adapt),
}
_POINTWISE = {
    *(nn.Identity, nn.Dropout, nn.Dropout2d, nn.BatchNorm2d, nn.LocalResponseNorm, nn.Softmax2d),
    *(nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.PReLU, nn.ELU, nn.SELU, nn.CELU, nn.GELU, nn.SiLU),
    *(nn.Sigmoid, nn.Tanh, nn.Softplus, nn.Softsign, nn.Mish, nn.Hardtanh, nn.Hardswish),
    *(nn.Hardsigmoid, functional.relu, functional.relu6, functional.leaky_relu, functional.elu),
    *(functional.gelu, functional.silu, functional.dropout, functional.local_response_norm),
    *(functional.sigmoid, functional.tanh, functional.softplus, functional.batch_norm),
    *(torch.relu, torch.sigmoid, torch.tanh, torch.add, torch.sub, torch.mul, torch.div),
    *(torch.cat, torch.concat, torch.clamp, torch.abs, torch.maximum, torch.minimum),
    *(operator.add, operator.sub, operator.mul, operator.truediv, operator.neg, operator.iadd),
    *(operator.imul, operator.isub, "relu", "relu_", "sigmoid", "tanh", "add", "add_", "sub"),
    *("mul", "mul_", "div", "clamp", "abs", "contiguous", "float", "double"),
}


def _flattened(values: Any) -> set[Any]:
    if not isinstance(values, tuple | list):
        return {values}
    return {one for value in values for one in _flattened(value)}


def _shape(node: fx.Node) -> tuple[int, ...]:
    return tuple(getattr(node.meta.get("tensor_meta"), "shape", ()))


def _pair(value: Any) -> tuple[Any, Any]:
    if isinstance(value, int) or value is None:
        return value, value
    both = tuple(value)
    return (both[0], both[-1]) if both else (None, None)


def _clip(span: Span, size: int) -> Span | None:
    first, last = max(span[0], 0), min(span[1], size - 1)
    return (first, last) if first <= last else None


def _join(a: Span, b: Span) -> Span:
    return min(a[0], b[0]), max(a[1], b[1])

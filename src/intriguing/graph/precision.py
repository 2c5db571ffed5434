"""A network's operations in float64, whatever number format its own code names.

Weights are cast once. What the code makes or casts on its way is not: `torch.eye(8)` is float32 and
`x.float()` would fall back to it. While `InFloat64` is entered, what the code makes is made as it
is written and then cast, and casts between the network's own formats do nothing, as they are no
part of the function that its exact arithmetic would compute. A cast to a format coarser than the
network's own is left as it is: it rounds, so its result jumps.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, fx, nn
from torch.overrides import TorchFunctionMode
from torch.utils import _pytree as pytree

from intriguing.errors import InputError
from intriguing.graph.hooks import first_deviation
from intriguing.graph.inference_copy import inference_copy
from intriguing.graph.tracing import MIXED, first_line, trace
from intriguing.models.answers import own_words
from intriguing.models.backward import in_own_words

_CASTS = {
    Tensor.float: torch.float32, Tensor.half: torch.float16, Tensor.bfloat16: torch.bfloat16,
}  # fmt: skip
_USUAL = frozenset({torch.float32, torch.float64})
FORMATS = "formats of the network's own"


def formats_of(model: nn.Module) -> frozenset[torch.dtype]:
    """The number formats that a network computes in: those of its weights, float32 and float64."""
    tensors = (*model.parameters(), *model.buffers())
    return _USUAL | {t.dtype for t in tensors if t.is_floating_point()}


def format_of(model: nn.Module) -> torch.dtype:
    """The number format that a network takes its images in: that of its first weights."""
    tensors = (*model.parameters(), *model.buffers())
    return next((t.dtype for t in tensors if t.is_floating_point()), torch.float32)


class InFloat64(TorchFunctionMode):
    """Run a network whose weights are float64 without leaving float64.

    Args:
        formats: The network's own, from `formats_of`.
    """

    def __init__(self, formats: Iterable[torch.dtype] = _USUAL) -> None:
        super().__init__()
        self.formats = frozenset(formats)

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """One operation."""
        kwargs = kwargs or {}
        leaves, shape = pytree.tree_flatten((args, kwargs))
        if any(isinstance(leaf, Tensor) for leaf in leaves):
            if _CASTS.get(func) in self.formats:
                func = Tensor.double
            wanted = [torch.float64 if self._own(leaf) else leaf for leaf in leaves]
            args, kwargs = pytree.tree_unflatten(wanted, shape)
        return pytree.tree_map_only(Tensor, self._cast, func(*args, **kwargs))

    def _own(self, leaf: Any) -> bool:
        return isinstance(leaf, torch.dtype) and leaf in self.formats

    def _cast(self, value: Tensor) -> Tensor:
        return value.double() if value.dtype != torch.float64 and self._own(value.dtype) else value


def answer(graph: fx.GraphModule, image: Tensor) -> Tensor:
    """What a graph from `precise_graph` gives for a batch of images in float64."""
    with arithmetic(graph):
        value = graph(image.clone())
    result: Tensor = value[0] if isinstance(value, (tuple, list)) else value
    return result


def arithmetic(graph: fx.GraphModule) -> InFloat64:
    """What the operations of a graph from `precise_graph` are to be run in."""
    return InFloat64(graph.meta.get(FORMATS, _USUAL))


def precise_graph(
    model: nn.Module, example: Float[Tensor, "1 ..."], *, in_place: bool = True
) -> fx.GraphModule:
    """The network's graph, traced in its own number format, with weights in float64.

    Args:
        model, example, in_place: As for `trace`.

    Raises:
        InputError: If the model does not take such an image, or cannot be traced.
    """
    plain = inference_copy(model)
    image = example.to(format_of(plain))
    try:
        casts = in_autocast(plain, image)
    except Exception as error:
        if why := first_deviation(plain):
            raise InputError(f"{why} ({first_line(error)})") from error
        check_one(plain, image)
        raise InputError(
            f"the model does not take an image of shape {tuple(image.shape[1:])} in "
            f"{str(image.dtype).removeprefix('torch.')}: {own_words(error)}; "
            "give the shape of one image, without the batch"
        ) from error
    formats = formats_of(plain)
    if casts:  # which leaves float64 alone
        plain, image, model = plain.double(), image.double(), inference_copy(model).double()
    again = ("the model fails when it is asked again", "give one that keeps nothing between calls")
    with in_own_words(*again), torch.no_grad():  # as the network itself is watched
        graph = trace(plain, model, image, in_place=in_place)
    return _in_float64(graph, formats)


@torch.no_grad()
def in_autocast(model: nn.Module, image: Tensor) -> bool:
    """Whether the network casts to 16 bits by itself in some of its operations."""
    seen = _Autocast()
    with seen:
        model(image.clone())
    return seen.on


class _Autocast(TorchFunctionMode):
    """Notes whether any operation is run while autocast is on."""

    def __init__(self) -> None:
        super().__init__()
        self.on = False

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """One operation."""
        self.on |= any(map(torch.is_autocast_enabled, ("cpu", "cuda")))
        return func(*args, **(kwargs or {}))


def check_one(model: nn.Module, image: Tensor) -> None:
    """Refuse a network that takes several images but not one."""
    try:
        with torch.no_grad():
            model(image.repeat(2, *[1] * (image.ndim - 1)))
    except Exception:
        return
    raise InputError(f"the network takes several images but not one, {MIXED}")


def _in_float64(graph: fx.GraphModule, formats: frozenset[torch.dtype]) -> fx.GraphModule:
    """The graph with its weights, and every other tensor that its modules hold, cast."""
    graph.double().requires_grad_(False)
    for module in graph.modules():
        for name, value in vars(module).items():
            if isinstance(value, Tensor) and value.is_floating_point():
                setattr(module, name, value.detach().double())
    graph.meta[FORMATS] = formats
    return graph

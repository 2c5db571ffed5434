"""A network from a file that cannot ask for any memory: a few bytes say "expand to 10¹² numbers".

What its operations make is found out on the meta device, where a tensor has sizes and no memory,
one operation before it is run. No size may depend on the values of pixels (`onnx_file` refuses
that), so that one look at each size of batch suffices.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map

from intriguing.errors import InputError
from intriguing.memory import free_memory, readable
from intriguing.models.interpreted import Interpreted
from intriguing.models.observe import Watching

_GROWTH, _ANYHOW = 1024, 1 << 22
"""Numbers that an operation may make of every pixel value, and of every image whatever its size: a
convolution of a gray image to 256 channels makes 256, and attention among the pixels of 28×28 as
many as there are."""
_SHARE = 0.5
"""Of the free memory that one tensor may take."""


class Bounded(Interpreted):
    """A converted network whose operations are bounded before they are run.

    Raises:
        InputError: If one would make more than 1,024 numbers of a pixel and than 2²² of an image.
        MemoryError: If fewer, but more than half of the memory that is free holds.
    """

    def forward(self, *inputs: Any) -> Any:
        """What the graph gives for these inputs."""
        if any(type(x) is not Tensor for x in inputs) or torch.compiler.is_compiling():
            return super().forward(*inputs)  # it is traced, and nothing is computed
        # What is kept for gradients is not free while the rest is run.
        key = (torch.is_grad_enabled(), *(tuple(x.shape) for x in inputs))
        seen: set[Any] = self.__dict__.setdefault("seen", set())
        if key in seen:
            return super().forward(*inputs)
        with _Bounds(inputs[0]):
            answer = super().forward(*inputs)
        seen.add(key)
        return answer


class _Bounds(Watching):  # type: ignore[no-untyped-call]
    """Refuses operations that make too much of a batch."""

    def __init__(self, images: Tensor) -> None:
        super().__init__()
        self.images = len(images) if images.ndim else 1
        self.allowed = max(_GROWTH * images.numel(), _ANYHOW * self.images)

    def see(self, func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        given = [leaf.numel() for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        for made in _planned(func, args, kwargs):
            if made.numel() > max(given, default=0):  # nothing grows without a first step
                self._check(str(func).removeprefix("aten.").split(".")[0], made)
        return func(*args, **kwargs)

    def _check(self, operation: str, made: Tensor) -> None:
        size = made.numel() * made.element_size()
        said = f"its operation {operation!r} makes {made.numel():,} numbers ({readable(size)})"
        if made.numel() > self.allowed:
            raise InputError(
                f"the network cannot be run: {said} of {self.images} image(s), where "
                f"{self.allowed:,} are much; export it without that"
            )
        if size > _SHARE * free_memory():
            raise MemoryError(f"{said}, more than half of what is free")


def _planned(func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> list[Tensor]:
    """What an operation makes, without memory; nothing where only the values say how much.

    That is a part of what it is given then, as of `nonzero`.
    """
    args, kwargs = tree_map(_without_memory, (tuple(args), dict(kwargs)))
    if any(argument.name == "device" for argument in func._schema.arguments):
        kwargs = {**kwargs, "device": torch.device("meta")}
    try:
        made = func(*args, **kwargs)
    except Exception:  # also where it fails by itself, in words of its own
        return []
    return [leaf for leaf in tree_leaves(made) if isinstance(leaf, Tensor)]


def _without_memory(value: Any) -> Any:
    if not isinstance(value, Tensor):
        return value
    return torch.empty_strided(value.shape, value.stride(), dtype=value.dtype, device="meta")

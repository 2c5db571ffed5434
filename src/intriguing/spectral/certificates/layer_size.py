"""How tables write a layer's size and stride."""

from typing import TYPE_CHECKING

from torch import Tensor

from intriguing.graph.linear_map import linear_map
from intriguing.graph.operation import Operation, spread
from intriguing.spectral.norms.linear_map import Convolution, Matrix

if TYPE_CHECKING:
    from intriguing.spectral.certificates.walk import Step

NONE = "–"


def describe(step: "Step") -> tuple[str, str]:
    """Size and stride as in Table 5: "3×11×11×96", "4"; "–" where there is none."""
    inner = step
    while inner.parents and inner.parents[0].fused:
        inner = inner.parents[0]
    operation = inner.operation
    if operation is None:
        return NONE, NONE
    if step.kind in ("convolution", "linear"):
        return _weighted(operation)
    name = operation.name.lower().replace("_", "")
    if name.startswith(("maxpool", "avgpool")):
        return _pool(operation)
    return NONE, NONE


def _weighted(operation: Operation) -> tuple[str, str]:
    map = linear_map(operation)
    if isinstance(map, Matrix):
        return f"{map.weight.shape[1]}×{map.weight.shape[0]}", NONE
    if not isinstance(map, Convolution):
        return NONE, NONE
    inputs, outputs = operation.x.shape[1], _tensor(operation.output).shape[1]
    return _times(inputs, *map.weight.shape[2:], outputs), _short(map.stride)


def _pool(operation: Operation) -> tuple[str, str]:
    axes = operation.axes
    kernel = spread(operation.option(1, "kernel_size"), axes)
    stride = operation.option(2, "stride")
    return _times(*kernel), _short(spread(stride, axes) if stride else kernel)


def _times(*sizes: int) -> str:
    return "×".join(str(size) for size in sizes)


def _short(sizes: tuple[int, ...]) -> str:
    return str(sizes[0]) if len(set(sizes)) == 1 else _times(*sizes)


def _tensor(value: object) -> Tensor:
    assert isinstance(value, Tensor)
    return value

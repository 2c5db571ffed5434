"""How tables write a layer's size and stride."""

from torch import Tensor

from intriguing.graph.operation import Operation
from intriguing.graph.operations.pools import pool_settings
from intriguing.spectral.certificates.step import Step, linear_map
from intriguing.spectral.norms.convolution_layer import Convolution
from intriguing.spectral.norms.linear_map import Matrix

NONE = "–"


def describe(step: Step) -> tuple[str, str]:
    """Size and stride as in Table 5: "3×11×11×96", "4"; "–" where there is none."""
    inner = step
    while inner.parents and inner.parents[0].fused:
        inner = inner.parents[0]
    operation = inner.operation
    if operation is None:
        return NONE, NONE
    if step.kind in ("convolution", "linear"):
        return _weighted(operation)
    pool = pool_settings(operation)
    if pool is None:
        return NONE, NONE
    return _times(*pool.kernel), _short(pool.stride)


def _weighted(operation: Operation) -> tuple[str, str]:
    map = linear_map(operation)
    if isinstance(map, Matrix):
        return f"{map.weight.shape[1]}×{map.weight.shape[0]}", NONE
    if not isinstance(map, Convolution):
        return NONE, NONE
    inputs, outputs = operation.x.shape[1], _tensor(operation.output).shape[1]
    return _times(inputs, *map.kernel, outputs), _short(map.stride)


def _times(*sizes: int) -> str:
    return "×".join(str(size) for size in sizes)


def _short(sizes: tuple[int, ...]) -> str:
    return str(sizes[0]) if len(set(sizes)) == 1 else _times(*sizes)


def _tensor(value: object) -> Tensor:
    assert isinstance(value, Tensor)
    return value

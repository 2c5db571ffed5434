"""QuocNet's layers."""

from intriguing.graph.operation import Operation
from intriguing.graph.operations.windows import Window, slid
from intriguing.graph.table import Affine, rule
from intriguing.models.l2_pooling import L2Pool2d
from intriguing.models.local_contrast import LocalContrast2d
from intriguing.models.locally_connected import LocallyConnected2d
from intriguing.spectral.norms.bound import Bound
from intriguing.spectral.norms.quocnet import (
    l2_pool_norm,
    local_contrast_norm,
    locally_connected_norm,
)


def _filters(operation: Operation, axis: int) -> Window:
    layer = operation.module
    assert isinstance(layer, LocallyConnected2d)
    size, out = operation.x.shape[2 + axis], operation.output.shape[2 + axis]
    return slid(size, out, layer.field[axis], layer.stride[axis])


def _pool(operation: Operation, axis: int) -> Window:
    layer = operation.module
    assert isinstance(layer, L2Pool2d)
    size, out = operation.x.shape[2 + axis], operation.output.shape[2 + axis]
    return slid(size, out, layer.window[axis], layer.stride[axis])


def _contrast(operation: Operation, axis: int) -> Window:
    layer = operation.module
    assert isinstance(layer, LocalContrast2d)
    size = operation.x.shape[2 + axis]
    reach = 2 * (layer.window // 2)  # of the contrast, whose values are centred by the same window
    return slid(size, size, 2 * reach + 1, 1, reach)


@rule(LocallyConnected2d, kind="linear", affine=Affine.FIRST, window=_filters)
def locally_connected(operation: Operation) -> Bound:
    """The largest singular value, or that of tiles summed over overlaps."""
    layer = operation.module
    assert isinstance(layer, LocallyConnected2d)
    norm, exact = locally_connected_norm(layer.weight, layer.stride)
    return Bound(norm, "largest singular value" if exact else "√(Σ tiles' squares over a pixel)")


@rule(L2Pool2d, kind="pool", window=_pool)
def l2_pool(operation: Operation) -> Bound:
    """√(windows over a value)."""
    layer = operation.module
    assert isinstance(layer, L2Pool2d)
    return Bound(l2_pool_norm(layer.window, layer.stride), "√(windows over a value)")


@rule(LocalContrast2d, kind="normalization", window=_contrast)
def local_contrast(operation: Operation) -> Bound:
    """‖1 − G‖·(1 + 1/√k₀)/c."""
    layer = operation.module
    assert isinstance(layer, LocalContrast2d)
    norm = local_contrast_norm(layer, operation.x.shape[1], operation.spatial(2))
    return Bound(norm, f"‖1 − G‖·(1 + 1/√k₀)/c, c = {layer.floor:g}", note=_LOOSE)


_LOOSE = "true but of little use: it is approached only where contrast is below the floor"

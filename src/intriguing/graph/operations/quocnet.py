"""QuocNet's layers."""

from intriguing.graph.operation import Operation
from intriguing.graph.table import rule
from intriguing.models.l2_pooling import L2Pool2d
from intriguing.models.local_contrast import LocalContrast2d
from intriguing.models.locally_connected import LocallyConnected2d
from intriguing.spectral.norms.bound import Bound
from intriguing.spectral.norms.quocnet import (
    l2_pool_norm,
    local_contrast_norm,
    locally_connected_norm,
)


@rule(LocallyConnected2d, kind="linear", affine=True)
def locally_connected(operation: Operation) -> Bound:
    """The largest singular value, or that of tiles summed over overlaps."""
    layer = operation.module
    assert isinstance(layer, LocallyConnected2d)
    norm, exact = locally_connected_norm(layer.weight, layer.stride)
    return Bound(norm, "largest singular value" if exact else "√(Σ tiles' squares over a pixel)")


@rule(L2Pool2d, kind="pool")
def l2_pool(operation: Operation) -> Bound:
    """√(windows over a value)."""
    layer = operation.module
    assert isinstance(layer, L2Pool2d)
    return Bound(l2_pool_norm(layer.window, layer.stride), "√(windows over a value)")


@rule(LocalContrast2d, kind="normalization")
def local_contrast(operation: Operation) -> Bound:
    """‖1 − G‖·(1 + 1/√k₀)/c."""
    layer = operation.module
    assert isinstance(layer, LocalContrast2d)
    norm = local_contrast_norm(layer, operation.x.shape[1], operation.spatial(2))
    return Bound(norm, f"‖1 − G‖·(1 + 1/√k₀)/c, c = {layer.floor:g}", note=_LOOSE)


_LOOSE = "true but of little use: it is approached only where contrast is below the floor"

"""Operations that move, drop, repeat or join values, and that resample images.

What only selects is not trusted by its name: it is run on the numbers 1, 2, 3, …, and the entry
that comes back most often, m times, makes the norm √m.
"""

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from intriguing.graph.interval import Interval
from intriguing.graph.operation import Operation
from intriguing.graph.operations.windows import Window, same_positions, selected
from intriguing.graph.table import Affine, declare, rule
from intriguing.spectral.norms.bound import Bound, outward
from intriguing.spectral.norms.resampling import interpolate_norm, interpolation_matrices, pad_norm


def _most_copies(operation: Operation) -> int | None:
    """How often the entry that is given most often is; None if it is no selection."""
    if isinstance(operation.output, Tensor) and not operation.output.is_floating_point():
        return None
    if isinstance(operation.given(0, "input"), (tuple, list)):
        return 1  # one of several
    x = operation.x
    numbers = torch.arange(1, x.numel() + 1, dtype=x.dtype, device=x.device).view(x.shape)
    given = pytree.tree_leaves(operation.again(numbers))
    chosen = torch.cat([part.flatten() for part in given])
    places = chosen.long()
    if (chosen < 0).any() or (chosen > x.numel()).any() or (places != chosen).any():
        return None
    return int(torch.bincount(places, minlength=2)[1:].max())


def _selects(operation: Operation) -> bool:
    try:
        return _most_copies(operation) is not None
    except (RuntimeError, TypeError, ValueError, AttributeError, IndexError):
        return False


_SELECTION: dict[str, Any] = {
    "kind": "shape", "affine": Affine.FIRST, "when": _selects, "selects": True, "rising": True,
    "window": selected,
}  # fmt: skip


@rule(
    "flatten", "reshape", "view", "view_as", "unflatten", "squeeze", "unsqueeze",
    "permute", "transpose", "swapaxes", "swapdims", "movedim", "moveaxis", "t", "T", "mT",
    "getitem", "select", "slice", "narrow", "index_select", "chunk", "split",
    "tensor_split", "unbind", "split_with_sizes", "expand", "repeat", "tile",
    "repeat_interleave", "broadcast_to", "flip", "roll", "rot90", "diagonal",
    "pixel_shuffle", "pixel_unshuffle", "channel_shuffle",
    "native_channel_shuffle", "_unsafe_view", "ravel", "take_along_dim", "gather",
    "index", "values", "take", "masked_select", "as_strided", "hsplit",
    "vsplit", "dsplit", "fliplr", "flipud", "atleast_1d", "atleast_2d", "atleast_3d", "adjoint",
    "H",
    nn.Flatten, nn.Unflatten, nn.PixelShuffle, nn.PixelUnshuffle, nn.ChannelShuffle,
    within=lambda _: True, **_SELECTION,
)  # fmt: skip
def selection(operation: Operation) -> Bound | None:
    """√(most copies of one entry); entries that are left out or zeroed count as none."""
    copies = _most_copies(operation)
    if copies is None or copies <= 1:
        return None if copies is None else Bound(float(copies), "rearrangement")
    return Bound(outward(math.sqrt(copies)), f"√(copies of a value), {copies} copies")


rule("reshape_as", "expand_as", within=lambda _: True, others_shape_only=True,
     **_SELECTION)(selection)  # fmt: skip
rule("tril", "triu", "diag", "diag_embed", "unfold", "im2col", nn.Unfold, **_SELECTION)(selection)


def _is_copy(operation: Operation) -> bool:
    """Whether it stays as it is: what is cast to whole numbers or to fewer digits jumps."""
    output = operation.output
    if not isinstance(output, Tensor) or not output.is_floating_point():
        return False
    if not isinstance(operation.x, Tensor) or not operation.x.is_floating_point():
        return False
    return torch.finfo(output.dtype).eps <= torch.finfo(operation.x.dtype).eps


def _same_interval(operation: Operation, spans: tuple[Interval, ...]) -> Interval | None:
    """x, in float64."""
    precise = isinstance(operation.output, Tensor) and operation.output.dtype == torch.float64
    return spans[0] if precise and len(spans) == 1 else None


_COPY: dict[str, Any] = {
    "kind": "shape", "affine": Affine.FIRST, "when": _is_copy, "keeps": True, "selects": True,
    "rising": True, "within": lambda _: True, "interval": _same_interval, "entrywise": True,
}  # fmt: skip


@rule("clone", "float", "double", "detach", "_to_copy", "lift_fresh_copy", "alias", "contiguous",
      "cpu", "cuda", "data", "nan_to_num", "resolve_conj", "resolve_neg", "pos", "positive",
      nn.Identity, **_COPY)  # fmt: skip
def same(operation: Operation) -> Bound:
    """1: a copy."""
    return Bound(1.0, "identity")


rule("to", "type_as", "type", others_shape_only=True, **_COPY)(same)
rule("half", "bfloat16", jumps=True, **_COPY)(same)


def _is_quiet(operation: Operation) -> bool:
    """Whether dropout is off."""
    if operation.module is not None:
        return not operation.module.training
    return not operation.given(2, "training", operation.given(2, "train", True))


rule(
    "dropout", "dropout1d", "dropout2d", "dropout3d", "feature_dropout", "alpha_dropout",
    "feature_alpha_dropout", nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout,
    nn.FeatureAlphaDropout, window=same_positions,
    **{**_COPY, "when": _is_quiet, "interval": None, "entrywise": False},
)(same)  # fmt: skip


def _side_by_side(operation: Operation, bounds: tuple[float, ...]) -> Bound:
    """√(Σ Lᵢ²)."""
    return Bound(outward(math.hypot(*bounds)), "√(Σ Lᵢ²)")


declare("cat", "concat", "concatenate", "stack", "hstack", "vstack", "dstack", "column_stack",
        join=_side_by_side, affine=Affine.TOGETHER, rising=True, within=lambda _: True,
        window=same_positions)  # fmt: skip


def _padding(operation: Operation) -> tuple[tuple[int, ...], str]:
    """Before and after, the last axis first, and of what."""
    if operation.module is None:
        pads, mode = operation.given(1, "pad"), str(operation.given(2, "mode", "constant"))
    else:
        pads, name = operation.module.padding, type(operation.module).__name__
        known = {"Refl": "reflect", "Repl": "replicate", "Circ": "circular"}
        mode = known.get(name[:4], "constant")
    return tuple(int(side) for side in pads), mode


@rule("pad", nn.ZeroPad1d, nn.ZeroPad2d, nn.ZeroPad3d, nn.ConstantPad1d, nn.ConstantPad2d,
      nn.ConstantPad3d, nn.ReflectionPad1d, nn.ReflectionPad2d, nn.ReflectionPad3d,
      nn.ReplicationPad1d, nn.ReplicationPad2d, nn.ReplicationPad3d, nn.CircularPad1d,
      nn.CircularPad2d, nn.CircularPad3d, kind="shape", affine=Affine.FIRST,
      rising=True, window=selected)  # fmt: skip
def pad(operation: Operation) -> Bound:
    """1 for constants around the image, √copies for other modes."""
    pads, mode = _padding(operation)
    size = tuple(operation.x.shape[-(len(pads) // 2) :])
    return Bound(pad_norm(pads, mode, size), f"{mode} padding")


def _resampling(operation: Operation) -> dict[str, Any]:
    scale = operation.option(2, "scale_factor")
    antialias = operation.module is None and operation.given(6, "antialias", False)
    return {
        "size": None if scale is not None else tuple(operation.output.shape[2:]),
        "scale_factor": scale, "mode": operation.option(3, "mode", "nearest"),
        "align_corners": operation.option(4, "align_corners"),
        "recompute_scale_factor": operation.option(5, "recompute_scale_factor"),
        "antialias": bool(antialias),
    }  # fmt: skip


def _resampled(operation: Operation, axis: int) -> Window | None:
    matrices = interpolation_matrices(tuple(operation.x.shape[2:]), **_resampling(operation))
    return matrices[axis].T != 0


@rule("interpolate", "upsample", nn.Upsample, nn.UpsamplingNearest2d, nn.UpsamplingBilinear2d,
      kind="scale", affine=Affine.FIRST, window=_resampled)  # fmt: skip
def interpolate(operation: Operation) -> Bound:
    """The exact norm of resampling, a product over the axes."""
    settings = _resampling(operation)
    norm = interpolate_norm(tuple(operation.x.shape[2:]), **settings)
    return Bound(norm, f"{settings['mode']} resampling, exact")


declare("size", "shape", "dim", "ndim", "ndimension", "numel", "nelement", "device", "dtype", "len",
        "is_floating_point", "is_cuda", "layout", "requires_grad", "stride", "zeros_like",
        "ones_like", "full_like", "new_zeros", "new_ones", "new_full", "sym_size",
        shape_only=True)  # fmt: skip

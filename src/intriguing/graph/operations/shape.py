"""Operations that move, drop or repeat values, and sums and means of them.

What only selects is not trusted by its name: it is run on the numbers 1, 2, 3, …, and the entry
that comes back most often, m times, makes the norm √m.
"""

import math
from typing import Any

import torch
from torch import Tensor, nn

from intriguing.graph.operation import Operation
from intriguing.graph.table import rule
from intriguing.spectral.norms.bound import Bound, outward
from intriguing.spectral.norms.resampling import interpolate_norm, pad_norm


@rule(
    "flatten", "reshape", "view", "view_as", "reshape_as", "unflatten", "squeeze", "unsqueeze",
    "permute", "transpose", "swapaxes", "swapdims", "movedim", "moveaxis", "t", "T", "mT",
    "contiguous", "getitem", "select", "slice", "narrow", "index_select", "chunk", "split",
    "tensor_split", "unbind", "split_with_sizes", "expand", "expand_as", "repeat", "tile",
    "repeat_interleave", "broadcast_to", "flip", "roll", "rot90", "diagonal", "tril", "triu",
    "unfold", "im2col", "pixel_shuffle", "pixel_unshuffle", "channel_shuffle",
    "native_channel_shuffle", "_unsafe_view", "ravel", "take_along_dim", "gather", "alias",
    "index", "values", "take", "masked_select", "as_strided", "diag", "diag_embed", "hsplit",
    "vsplit", "dsplit", "fliplr", "flipud", "atleast_1d", "atleast_2d", "atleast_3d", "adjoint",
    "H",
    nn.Flatten, nn.Unflatten, nn.PixelShuffle, nn.PixelUnshuffle, nn.ChannelShuffle, nn.Unfold,
    kind="shape", affine=True,
)  # fmt: skip
def selection(operation: Operation) -> Bound | None:
    """√(most copies of one entry); entries that are left out or zeroed count as none."""
    if isinstance(operation.output, Tensor) and not operation.output.is_floating_point():
        return None
    if isinstance(operation.given(0, "input"), (tuple, list)):
        return Bound(1.0, "one of several")
    x = operation.x
    numbers = torch.arange(1, x.numel() + 1, dtype=x.dtype, device=x.device).view(x.shape)
    chosen = torch.cat([part.flatten() for part in _tensors(operation.again(numbers))])
    places = chosen.long()
    if (chosen < 0).any() or (chosen > x.numel()).any() or (places != chosen).any():
        return None
    copies = int(torch.bincount(places, minlength=2)[1:].max())
    if copies <= 1:
        return Bound(float(copies), "rearrangement")
    return Bound(outward(math.sqrt(copies)), f"√(copies of a value), {copies} copies")


def _tensors(value: Any) -> list[Tensor]:
    return [value] if isinstance(value, Tensor) else [t for part in value for t in _tensors(part)]


@rule(
    "clone", "to", "float", "double", "type_as", "type", "detach", "_to_copy", "lift_fresh_copy",
    "half", "bfloat16", "cpu", "cuda", "data", "nan_to_num", "resolve_conj", "resolve_neg",
    nn.Identity,
    kind="shape", affine=True,
)  # fmt: skip
def same(operation: Operation) -> Bound | None:
    """1: a copy. One that is cast to whole numbers or to fewer digits jumps, and has no bound."""
    output = operation.output
    if not isinstance(output, Tensor) or not output.is_floating_point():
        return None
    if not isinstance(operation.x, Tensor) or not operation.x.is_floating_point():
        return None
    coarser = torch.finfo(output.dtype).eps > torch.finfo(operation.x.dtype).eps
    return None if coarser else Bound(1.0, "identity")


@rule(
    "dropout", "dropout1d", "dropout2d", "dropout3d", "feature_dropout", "alpha_dropout",
    "feature_alpha_dropout", nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout,
    nn.FeatureAlphaDropout, kind="shape", affine=True,
)  # fmt: skip
def dropout(operation: Operation) -> Bound | None:
    """1 in evaluation mode; noise otherwise."""
    position = 2
    noisy = (
        operation.module.training
        if operation.module is not None
        else operation.given(position, "training", operation.given(position, "train", True))
    )
    return None if noisy else Bound(1.0, "identity")


@rule("sum", kind="scale", affine=True)
def total(operation: Operation) -> Bound:
    """√n for sums of n values, by Cauchy and Schwarz; attained by equal values."""
    count = operation.x.numel() / operation.output.numel()
    return Bound(outward(math.sqrt(count)), f"√n, n = {count:.0f}")


@rule("mean", kind="pool", affine=True)
def mean(operation: Operation) -> Bound:
    """1/√n for means of n values."""
    count = operation.x.numel() / operation.output.numel()
    return Bound(outward(1 / math.sqrt(count)), f"1/√n, n = {count:.0f}")


@rule("pad", nn.ZeroPad1d, nn.ZeroPad2d, nn.ZeroPad3d, nn.ConstantPad1d, nn.ConstantPad2d,
      nn.ConstantPad3d, nn.ReflectionPad1d, nn.ReflectionPad2d, nn.ReflectionPad3d,
      nn.ReplicationPad1d, nn.ReplicationPad2d, nn.ReplicationPad3d, nn.CircularPad1d,
      nn.CircularPad2d, nn.CircularPad3d, kind="shape", affine=True)  # fmt: skip
def pad(operation: Operation) -> Bound | None:
    """1 for constants around the image, √copies for other modes."""
    if operation.module is None:
        pads = operation.given(1, "pad")
        mode = operation.given(2, "mode", "constant")
    else:
        pads = operation.module.padding
        name = type(operation.module).__name__
        known = {"Refl": "reflect", "Repl": "replicate", "Circ": "circular"}
        mode = known.get(name[:4], "constant")
    pads = tuple(int(side) for side in pads)
    size = tuple(operation.x.shape[-(len(pads) // 2) :])
    return Bound(pad_norm(pads, mode, size), f"{mode} padding")


@rule("interpolate", "upsample", nn.Upsample, nn.UpsamplingNearest2d, nn.UpsamplingBilinear2d,
      kind="scale", affine=True)  # fmt: skip
def interpolate(operation: Operation) -> Bound | None:
    """The exact norm of resampling, a product over the axes."""
    mode = operation.option(3, "mode", "nearest")
    scale = operation.option(2, "scale_factor")
    antialias = operation.module is None and operation.given(6, "antialias", False)
    norm = interpolate_norm(
        tuple(operation.x.shape[2:]),
        size=None if scale is not None else tuple(operation.output.shape[2:]),
        scale_factor=scale,
        mode=mode,
        align_corners=operation.option(4, "align_corners"),
        recompute_scale_factor=operation.option(5, "recompute_scale_factor"),
        antialias=bool(antialias),
    )
    return Bound(norm, f"{mode} resampling, exact")

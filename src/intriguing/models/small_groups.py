"""Convolutions go by groups of fewer images where these are rounded alike.

The last images of a search, or a single one, then cost a fraction of what they would. It must be
certain that each image of such a group is rounded as it is among more (`groups`). So every
operation has to be one whose values are rounded correctly wherever they stand, or one that goes
image by image; and of products of matrices, whose kernels are somebody else's, it is tried.
"""

import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, TypeAlias
from weakref import WeakKeyDictionary

import torch
from jaxtyping import Float
from torch import Tensor, nn

from intriguing.errors import InputError
from intriguing.memory import out_of_memory
from intriguing.models.groups import LARGE, Sizes, group_size
from intriguing.models.observe import Watching

Ask: TypeAlias = Callable[[Tensor], Tensor]

_FEW = 8
"""Images of large convolutions at once. Searches on ResNet-20 take .84 to .92 of the time of groups
of 16 with 16 images, and .99 with 64; with groups of 4 it is .83 to .87, and 1.05 to 1.10."""

WORK = 1_500_000
"""Multiplications of a convolution, on average of an image's, from which it is large: two million
on ResNet-20; one million on MNIST's network, where groups of 8 cost 1.16."""

_aten = torch.ops.aten
_ROUNDED_ALIKE = frozenset((
    _aten.convolution, _aten.mkldnn_convolution, _aten.native_batch_norm, _aten.cudnn_batch_norm,
    _aten._native_batch_norm_legit_no_training, _aten._native_batch_norm_legit,
    _aten.max_pool2d_with_indices, _aten.avg_pool2d, _aten._adaptive_avg_pool2d, _aten.mean,
    _aten.relu, _aten.relu_, _aten.leaky_relu, _aten.leaky_relu_, _aten.hardtanh, _aten.hardtanh_,
    _aten.clamp, _aten.clamp_, _aten.clamp_min, _aten.clamp_min_, _aten.threshold,
    _aten.add, _aten.add_, _aten.sub, _aten.sub_, _aten.mul, _aten.mul_, _aten.div, _aten.div_,
    _aten.addmm, _aten.mm, _aten.t, _aten.transpose, _aten.permute, _aten.view, _aten._unsafe_view,
    _aten.reshape, _aten.expand, _aten.unsqueeze, _aten.squeeze, _aten.slice, _aten.select,
    _aten.cat, _aten.constant_pad_nd, _aten.clone, _aten.detach, _aten.alias, _aten._to_copy,
    _aten.empty, _aten.zeros, _aten.new_zeros, _aten.flip,
))  # fmt: skip
"""What a network may consist of."""
_CONVOLUTIONS = (_aten.convolution, _aten.mkldnn_convolution)

_KNOWN: WeakKeyDictionary[nn.Module, dict[Hashable, Sizes]] = WeakKeyDictionary()
"""Sizes that were found out."""


def tried_sizes(
    model: nn.Module, ask: Ask, like: Float[Tensor, "b ..."], *, faster: bool = False
) -> Sizes:
    """How many images shaped as these go through the network together.

    `group_size`, or fewer where convolutions are large; and the last ones fewer still, each where
    images are rounded alike then, which is tried once for a network, and again if it has other
    parts by then.

    Args:
        model: The network, by its weights.
        ask: From images to its answer, as they will go through it.
        like: Some images, none perhaps.
        faster: Whether they go through a form of it that rounds otherwise (`fast_form`).

    >>> net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Sigmoid())
    >>> tried_sizes(net, net, torch.zeros(0, 1, 8, 8))
    Sizes(most=16, least=16)
    """
    shape = tuple(like.shape[1:])
    parts = tuple(type(part) for part in model.modules())
    weights = tuple(p.dtype for p in model.parameters())
    about = shape, like.dtype, like.device.type, torch.get_num_threads(), parts, weights, faster
    known = _KNOWN.setdefault(model, {})
    if about not in known:
        usual = group_size(model, shape)
        known[about] = Sizes(usual, usual)
        if like.device.type == "cpu" and math.prod(shape) <= LARGE and _convolutional(model):
            known[about] = _tried(ask, like, usual)
    return known[about]


def _convolutional(model: nn.Module) -> bool:
    return any(p.ndim > 2 for p in model.parameters())


def _tried(ask: Ask, like: Float[Tensor, "b ..."], usual: int) -> Sizes:
    """What does; the usual where it fails, which says nothing of other images."""
    gray = like.new_full((1, *like.shape[1:]), 0.5)
    try:
        with torch.no_grad():
            ask(gray)  # what is done at the first time alone does not count
            with Convolutions() as seen:
                ask(gray)
        if not seen.others:
            most = min(usual, _FEW) if seen.work >= WORK else usual
            if least := _least(ask, like, most):
                return Sizes(most, least)
    except Exception as error:
        if not (isinstance(error, InputError) or out_of_memory(error)):
            raise
    return Sizes(usual, usual)


class Convolutions(Watching):  # type: ignore[no-untyped-call]
    """Sees how large an image's convolutions are, and what else there is.

    >>> net, image = nn.Conv2d(3, 4, 5), torch.zeros(1, 3, 8, 8)
    >>> with torch.no_grad(), Convolutions() as seen:
    ...     _ = net(image).sigmoid()
    >>> seen.work == 4 * 3 * 5 * 5 * 4 * 4, seen.others
    (True, {'aten::sigmoid'})
    """

    def __init__(self) -> None:
        super().__init__()
        self.others: set[str] = set()
        self._products: list[int] = []

    @property
    def work(self) -> float:
        """Multiplications of a convolution, on average."""
        return sum(self._products) / max(len(self._products), 1)

    def see(self, func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        answer = func(*args, **kwargs)
        packet = func.overloadpacket
        if packet in _CONVOLUTIONS:
            self._products.append(args[1].numel() * math.prod(answer.shape[2:]))
        if packet not in _ROUNDED_ALIKE:
            self.others.add(str(packet._qualified_op_name))
        return answer


def _least(ask: Ask, like: Float[Tensor, "b ..."], most: int) -> int:
    """From how many on images are rounded alike, as are their gradients; 0 if not even so many are.

    In every place of a group, too: each smaller group is of the last images of the larger ones, and
    so moves them all by another number of places; the largest is turned by one.
    """
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(most, *like.shape[1:], generator=generator).to(like)
    known, everyone = _answers(ask, images), torch.arange(most)

    def alike(group: Tensor) -> bool:
        here = _answers(ask, images[group])
        return bool(known) and all(
            torch.equal(one, other[group]) for one, other in zip(here, known, strict=True)
        )

    if not alike(everyone.roll(1)):
        return 0
    for size in range(most - 1, 0, -1):
        if not alike(everyone[-size:]):
            return size + 1
    return 1


def _answers(ask: Ask, images: Float[Tensor, "b ..."]) -> list[Tensor]:
    """Of a group: its answers and gradients; nothing where there are none."""
    z = images.clone().requires_grad_()
    with torch.enable_grad():
        logits = ask(z)
        if not logits.requires_grad:
            return []
        (gradient,) = torch.autograd.grad(logits.square().sum(), z)
    return [logits.detach(), gradient]

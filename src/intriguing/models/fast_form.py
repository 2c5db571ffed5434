"""A network in the form in which a search asks it: the same numbers, computed in less time.

* In evaluation mode a batch normalisation multiplies and shifts each channel by constants. Right
  behind a convolution these go into its weights (Jacob et al. 2018, arXiv 1712.05877, §3.2).
* On a CPU the values of a pixel lie next to each other ("channels last"), as the kernels of
  convolutions want them.
* There, too, a layer of products never has fewer than four rows, for which it would take kernels
  for vectors. So the last few images of a search, or one, need no copies (`small_groups`).

The first two round otherwise. So the form is held against the network on images of noise, and an
answer is classified by the network itself (`verify`).
"""

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from intriguing.memory import free_memory
from intriguing.models.groups import LARGE
from intriguing.models.observe import Watching, place_of, tensors_in

Ask: TypeAlias = Callable[[nn.Module, Tensor], Tensor]

_UNITS = 64
"""By how much a logit may differ, in eps times the image's largest one: ResNets differ by up to 10,
a network of GELU and normalised groups by 23; another function does by far more."""

_SHARE = 0.25
"""Of the free memory, what the weights of convolutions may take once more."""
_ROWS = 16
"""Rows from which products were seen to round a row alike, by MKL's and oneDNN's kernels."""
_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_NORMALISATIONS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
_KEPT = (torch.jit.ScriptModule, nn.DataParallel, nn.parallel.DistributedDataParallel)
"""What has its own way to its parts."""

_aten = torch.ops.aten
_CONVOLVE = (_aten.convolution, _aten.mkldnn_convolution, _aten.cudnn_convolution)
_NORMALISE = (
    _aten.native_batch_norm, _aten.cudnn_batch_norm, _aten._native_batch_norm_legit_no_training,
)  # fmt: skip
_MEAN = 3
"""Which argument of these the running mean is."""


def has_faster_form(network: nn.Module) -> bool:
    """Whether there is anything to be gained by `fast_form`."""
    parts = list(network.modules())
    whole = not any(isinstance(part, _KEPT) for part in parts)
    return whole and any(type(part) in _CONVOLUTIONS for part in parts)


def fast_form(network: nn.Module, ask: Ask, noise: Float[Tensor, "b ..."]) -> nn.Module | None:
    """The network in that form, or None where it is not known or not the same.

    What the network is made of is shared, but for convolutions that have other weights now and the
    modules around them. Where those are replaced or changed later, the form knows nothing of it.

    Args:
        network: In evaluation mode; nothing of it is changed.
        ask: From a form of it and images to its logits.
        noise: Images to hold both against each other on.

    >>> net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten()).eval()
    >>> form = fast_form(net, lambda form, x: form(x), torch.rand(4, 1, 5, 5))
    >>> [type(part).__name__ for part in form]
    ['Conv2d', 'Identity', 'Flatten']
    """
    try:
        with torch.no_grad():
            form = _made(network, ask, noise)
    except Exception:  # whatever it is: the network itself is asked then, and says what is wrong
        return None
    return form


def _made(network: nn.Module, ask: Ask, noise: Float[Tensor, "b ..."]) -> nn.Module | None:
    parts, on_cpu = list(network.modules()), noise.device.type == "cpu"
    grouped = on_cpu and math.prod(noise.shape[1:]) <= LARGE
    convolutions: list[Any] = [part for part in parts if type(part) in _CONVOLUTIONS]
    if sum(part.weight.nbytes for part in convolutions) > _SHARE * free_memory(noise.device):
        return None
    before = [vars(part).copy() for part in parts]
    with _Pairs() as seen:
        known = ask(network, noise)
    if any(_differ(vars(part), old) for part, old in zip(parts, before, strict=True)):
        return None
    for last in (True, False) if on_cpu else (False,):
        form = _with(network, _replaced(parts, seen, grouped=grouped, last=last))
        with _Layouts() as layouts:
            given = ask(form, noise)
        if not layouts.mixed:
            break
    return form if form is not network and _same(known, given) else None


def _differ(now: Mapping[str, object], before: Mapping[str, object]) -> bool:
    """Whether a module writes something down as it goes: in a form that would be lost."""
    return now.keys() != before.keys() or any(now[name] is not before[name] for name in now)


class _Pairs(Watching):  # type: ignore[no-untyped-call]
    """Sees which batch normalisation takes what a convolution gives, and nothing else does."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: Counter[int | None] = Counter()
        self._given: dict[int, tuple[Tensor, Tensor]] = {}
        self._taken: dict[int, list[Tensor | None]] = {}

    def see(self, func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        answer = func(*args, **kwargs)
        packet = func.overloadpacket
        mean = args[_MEAN] if packet in _NORMALISE else None
        for tensor in tensors_in((args, kwargs)):
            if (place := place_of(tensor)) in self._given:
                self._taken[place].append(mean)
        if packet in _CONVOLVE:
            weight = args[1]
            self.asked[id(weight)] += 1
            # Kept, so that no other tensor comes to lie where it is.
            self._given[place_of(answer)] = answer, weight
            self._taken[place_of(answer)] = []
        if isinstance(mean, Tensor):
            self.asked[id(mean)] += 1
        return answer

    def found(self) -> dict[int | None, int]:
        """From a convolution's weight to the running mean of what alone takes its values."""
        pairs: dict[int | None, int] = {}
        for place, (_, weight) in self._given.items():
            taken = self._taken[place]
            once = len(taken) == 1 and self.asked[id(weight)] == 1
            if once and taken[0] is not None and self.asked[id(taken[0])] == 1:
                pairs[id(weight)] = id(taken[0])
        return pairs


class FewRows(nn.Linear):
    """A linear layer that is given `_ROWS` rows, some of them empty, where there are fewer.

    >>> FewRows(3, 2)(torch.zeros(1, 3)).shape
    torch.Size([1, 2])
    """

    def forward(self, x: Tensor) -> Tensor:
        """As the layer itself."""
        missing = _ROWS - len(x) if x.ndim == 2 else 0
        if missing <= 0:
            return super().forward(x)
        return super().forward(torch.cat((x, x.new_zeros(missing, x.shape[1]))))[:-missing]


class _Layouts(Watching):  # type: ignore[no-untyped-call]
    """Sees whether any operation takes values of both layouts, and so goes one by one."""

    def __init__(self) -> None:
        super().__init__()
        self.mixed = False

    def see(self, func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        either = {(one.shape, _last(one)) for one in tensors_in(args) if one.ndim == 4}
        self.mixed |= any((shape, True) in either for shape, last in either if last is False)
        return func(*args, **kwargs)


def _last(values: Tensor) -> bool | None:
    """Whether channels are last in memory; None where one layout is as good as the other."""
    first, last = (
        values.is_contiguous(memory_format=kind)
        for kind in (torch.contiguous_format, torch.channels_last)
    )
    return None if first == last else last


def _replaced(
    parts: Sequence[nn.Module], seen: _Pairs, *, grouped: bool, last: bool
) -> dict[nn.Module, nn.Module]:
    """The parts that are others in the form."""
    normalisations = _by_tensor(parts, _NORMALISATIONS, "running_mean")
    replaced: dict[nn.Module, nn.Module] = {}
    if grouped:
        layers = (part for part in parts if type(part) is nn.Linear and _plain(part))
        replaced |= {layer: _like(layer, FewRows) for layer in layers}
    pairs = seen.found()
    for place, convolution in _by_tensor(parts, _CONVOLUTIONS, "weight").items():
        weight, bias = convolution.weight, convolution.bias
        if weight.dtype not in (torch.float32, torch.float64) or not seen.asked[place]:
            continue
        normalisation = normalisations.get(pairs.get(place))
        turned = last and weight.dtype == torch.float32 and weight.ndim == 4
        if normalisation is not None:
            weight, bias = _folded(convolution, normalisation)
            replaced[normalisation] = nn.Identity()
        elif not turned:
            continue
        if turned:
            weight = torch.empty_like(weight, memory_format=torch.channels_last).copy_(weight)
        weights = {"weight": _constant(weight), "bias": _constant(bias)}
        replaced[convolution] = _like(convolution, type(convolution), _parameters=weights)
    return replaced


def _by_tensor(
    parts: Sequence[nn.Module], kinds: tuple[type[nn.Module], ...], name: str
) -> dict[int | None, Any]:
    """Modules that do what their type does, by a tensor that is theirs alone."""
    owners: dict[int | None, list[nn.Module]] = {}
    for part in parts:
        tensor = getattr(part, name, None) if type(part) in kinds else None
        if isinstance(tensor, Tensor):
            owners.setdefault(id(tensor), []).append(part)
    return {place: own[0] for place, own in owners.items() if len(own) == 1 and _plain(own[0])}


def _plain(part: nn.Module) -> bool:
    hooks = (
        part._forward_hooks, part._forward_pre_hooks, part._backward_hooks, part._backward_pre_hooks
    )  # fmt: skip
    return not part.training and "forward" not in vars(part) and not any(hooks)


def _folded(convolution: Any, normalisation: Any) -> tuple[Tensor, Tensor]:
    """Weights and biases of both in one, rounded once."""
    first, then = convolution, normalisation
    weight, bias = fuse_conv_bn_weights(
        _wide(first.weight), _wide(first.bias), _wide(then.running_mean), _wide(then.running_var),
        then.eps, _wide(then.weight), _wide(then.bias),
    )  # fmt: skip
    return weight.to(first.weight), bias.to(first.weight)


def _wide(values: Tensor | None) -> Any:
    return None if values is None else values.detach().cpu().double()


def _constant(values: Tensor | None) -> nn.Parameter | None:
    return None if values is None else nn.Parameter(values.detach(), requires_grad=False)


def _with(network: nn.Module, replaced: Mapping[nn.Module, nn.Module]) -> nn.Module:
    """The network with other parts; a module without any of these is the network's own."""
    made = dict(replaced)

    def rebuilt(module: nn.Module) -> nn.Module:
        if module not in made:
            made[module] = module  # also of what contains itself
            children = {
                name: child if child is None else rebuilt(child)
                for name, child in module._modules.items()
            }
            if any(children[name] is not child for name, child in module._modules.items()):
                made[module] = _like(module, type(module), _modules=children)
        return made[module]

    return rebuilt(network)


def _like(module: nn.Module, kind: type[nn.Module], **others: Any) -> nn.Module:
    """A module of that type that shares all with another one but these attributes."""
    made = object.__new__(kind)
    made.__dict__.update(module.__dict__, **others)
    return made


def _same(known: Tensor, given: Tensor) -> bool:
    """Whether the logits differ by no more than rounding."""
    if known.shape != given.shape or known.dtype != given.dtype:
        return False
    largest = known.flatten(1).abs().amax(1, keepdim=True)
    allowed = _UNITS * torch.finfo(known.dtype).eps * largest
    return bool(((known - given).flatten(1).abs() <= allowed).all())

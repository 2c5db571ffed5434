"""An accelerator that is not there: tensors on a device of their own, computed by the CPU.

It refuses what a real one refuses: to compute with tensors of the CPU, to be read by NumPy, to draw
from a generator of the CPU. And it counts what a real one makes one pay for: kernels launched, and
waits of the processor for a value (`.item()`, masks as indices, copies to the CPU).

    with accelerator() as device:
        ...
    device.launches, device.waits
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map
from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

_setup_privateuseone_for_python_backend("dev")
DEVICE = torch.device("dev", 0)
_MARK = 1 << 60

# Memory taken, or only looked at in another way: nothing is launched.
_VIEWS = {
    "empty", "empty_strided", "empty_like", "new_empty", "new_empty_strided", "resize_",
    "view", "_unsafe_view", "reshape", "_reshape_alias", "as_strided", "expand", "select", "slice",
    "t", "transpose", "permute", "unsqueeze", "squeeze", "detach", "alias", "split", "chunk",
    "split_with_sizes", "unbind", "unfold", "diagonal", "lift_fresh", "unsafe_split",
}  # fmt: skip
# The processor needs a value, or a size that depends on values.
_WAITS = {
    "_local_scalar_dense", "nonzero", "masked_select", "equal", "is_nonzero", "allclose",
    "unique_dim", "_unique2", "unique_consecutive", "bincount", "repeat_interleave",
}  # fmt: skip
_INDEXING = {"index", "index_put", "index_put_", "_index_put_impl_", "_unsafe_index"}
_COPIES = {"copy_", "_copy_from", "_to_copy", "set_"}


class Counts:
    """What has been launched, and what waited for, by name of the operation."""

    def __init__(self) -> None:
        self.device = DEVICE
        self.launched: Counter[str] = Counter()
        self.waited: Counter[str] = Counter()

    @property
    def launches(self) -> int:
        return self.launched.total()

    @property
    def waits(self) -> int:
        return self.waited.total()

    def reset(self) -> None:
        self.launched.clear()
        self.waited.clear()


_counts = Counts()


class Far(Tensor):
    """A tensor that says it is on the accelerator; `near` holds its values."""

    near: Tensor

    @staticmethod
    def __new__(cls, near):
        out = torch.Tensor._make_wrapper_subclass(
            cls, near.size(), strides=near.stride(), storage_offset=near.storage_offset(),
            dtype=near.dtype, device=DEVICE,
        )  # fmt: skip
        out.near = near
        return out

    __torch_function__ = torch._C._disabled_torch_function_impl

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        return _run(func, args, kwargs or {})

    def __repr__(self, **kwargs):
        return f"Far({self.near!r})"

    def __deepcopy__(self, memo):
        copy = Far(self.near.detach().clone()).requires_grad_(self.requires_grad)
        if isinstance(self, torch.nn.Parameter):
            copy = torch.nn.Parameter(copy, self.requires_grad)
        memo[id(self)] = copy
        return copy

    def tolist(self):
        return self.cpu().tolist()


def _run(func, args, kwargs):
    """One operation: judged, counted, and computed on the CPU."""
    name = func._schema.name.split("::")[1]
    leaves = tree_leaves((args, kwargs))
    tensors = [leaf for leaf in leaves if isinstance(leaf, Tensor)]
    target = kwargs.get("device")
    target = None if target is None else torch.device(target).type
    far = any(isinstance(tensor, Far) for tensor in tensors)
    _judge(name, args, leaves, far or target == DEVICE.type)
    _count(name, args, tensors, target)
    if name == "_copy_from":
        _near(args[1]).copy_(_near(args[0]))
        return args[1]
    given = {key: value for key, value in kwargs.items() if key != "pin_memory"}
    if target is not None:
        given["device"] = torch.device("cpu")
    out = func(*tree_map(_near, args), **tree_map(_near, given))
    if name == "_to_copy" and target == "cpu":
        return out.clone()
    written = _written(func, args, kwargs)
    if written is not None and isinstance(out, Tensor):
        return written
    if not far and target != DEVICE.type:
        return out
    return tree_map(lambda x: Far(x) if type(x) is Tensor else x, out)


def _judge(name, args, leaves, far):
    """Refuse what an accelerator refuses."""
    for leaf in leaves:
        if isinstance(leaf, torch._C.Generator) and far and not leaf.initial_seed() & _MARK:
            raise RuntimeError("Expected a 'dev' device type for generator but found 'cpu'")
    strangers = [x for x in leaves if isinstance(x, Tensor) and not isinstance(x, Far) and x.ndim]
    if far and strangers and name not in _INDEXING | _COPIES:
        raise RuntimeError(
            f"Expected all tensors to be on the same device, but found dev:0 and cpu (in {name})"
        )
    if name in _INDEXING:
        indices = [x for x in tree_leaves(args[1]) if isinstance(x, Tensor)]
        if not isinstance(args[0], Far) and any(isinstance(x, Far) for x in indices):
            raise RuntimeError("indices should be on the device of the indexed tensor (cpu)")
        values = [x for x in args[2:3] if isinstance(x, Tensor) and x.ndim]
        if isinstance(args[0], Far) and any(not isinstance(x, Far) for x in values):
            raise RuntimeError("Expected values on dev:0, the device of the indexed tensor")


def _count(name, args, tensors, target):
    if name in _WAITS:
        _counts.waited[name] += 1
    elif name not in _VIEWS:
        _counts.launched[name] += 1
    if name in _INDEXING and any(
        isinstance(x, Tensor) and x.dtype == torch.bool for x in tree_leaves(args[1])
    ):
        _counts.waited[f"{name} by a mask"] += 1
    into = {"copy_": args[:1], "_copy_from": args[1:2]}.get(name, ())
    if (name == "_to_copy" and target == "cpu") or any(not isinstance(x, Far) for x in into):
        _counts.waited["copy to the cpu"] += 1


def _written(func, args, kwargs):
    """The argument that the operation writes to and returns."""
    if len(func._schema.returns) != 1:
        return None
    for place, argument in enumerate(func._schema.arguments):
        if argument.alias_info is not None and argument.alias_info.is_write:
            return args[place] if place < len(args) else kwargs[argument.name]
    return None


def _near(x):
    return x.near if isinstance(x, Far) else x


def _fallback(func, *args, **kwargs):
    return _run(func, args, kwargs)


_library = torch.library.Library("_", "IMPL")
_library.fallback(_fallback, "PrivateUse1")


class _Generator(torch.Generator):
    """A generator of either device; an operation knows the accelerator's by a bit of its seed."""

    def __new__(cls, device="cpu"):
        made = super().__new__(cls)
        made.place = torch.device(device)
        return made

    @property
    def device(self):
        return self.place

    def manual_seed(self, seed):
        return super().manual_seed(seed | _MARK if self.place.type == DEVICE.type else seed)


def _in_two_steps(make):
    """`torch.tensor` and its like: made on the CPU, then sent, since torch would not ask here."""

    def made(data, *args, dtype=None, device=None, requires_grad=False, **kwargs):
        there = DEVICE if isinstance(data, Far) and device is None else device
        if there is None or torch.device(there).type != DEVICE.type:
            grad = {"requires_grad": requires_grad} if requires_grad else {}
            return make(data, *args, dtype=dtype, device=device, **grad, **kwargs)
        if isinstance(data, Far):
            return data.to(dtype or data.dtype)
        return make(data, *args, dtype=dtype).to(DEVICE).requires_grad_(requires_grad)

    return made


def _new_tensor(make):
    def made(self, data, *, dtype=None, device=None, **kwargs):
        if isinstance(self, Far) and device is None:
            return torch.tensor(data, dtype=dtype or self.dtype, device=DEVICE, **kwargs)
        return make(self, data, dtype=dtype, device=device, **kwargs)

    return made


@contextmanager
def accelerator() -> Iterator[Counts]:
    """The device, while it is there."""
    kept = torch.tensor, torch.as_tensor, torch.Tensor.new_tensor
    generator, torch.Generator = torch.Generator, _Generator
    torch.tensor, torch.as_tensor = map(_in_two_steps, kept[:2])
    torch.Tensor.new_tensor = _new_tensor(kept[2])
    replacing = torch.__future__.get_overwrite_module_params_on_conversion()
    torch.__future__.set_overwrite_module_params_on_conversion(True)
    _counts.reset()
    try:
        yield _counts
    finally:
        torch.tensor, torch.as_tensor, torch.Tensor.new_tensor = kept
        torch.Generator = generator
        torch.__future__.set_overwrite_module_params_on_conversion(replacing)

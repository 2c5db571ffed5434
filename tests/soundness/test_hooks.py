"""Nothing is proved of a network whose hooks, methods or classes were changed."""

import contextlib
import random
import types
from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from intriguing import (
    lipschitz_report,
)
from tests.oracles.tricky import SHAPE
from tests.soundness.certified import IMAGES, network, proves_nothing, radii


def hooked(place: int, hook: Callable, *, before: bool = False, **options: bool) -> nn.Module:
    model = network()
    layer = model[place]
    register = layer.register_forward_pre_hook if before else layer.register_forward_hook
    register(hook, **options)
    return model


# What changes values, of one layer: its name is said.


class Stateful:
    """A hook that is an object."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, module: nn.Module, args: object, output: Tensor) -> Tensor | None:
        self.calls += 1
        return None if self.calls < 60 else 20 * output


def late_list() -> nn.Module:
    calls: list[int] = []

    def hook(module: nn.Module, args: object, output: Tensor) -> Tensor | None:
        calls.append(1)
        return 20 * output if len(calls) > 60 else None

    return hooked(1, hook)


def late_dict() -> nn.Module:
    state = {"n": 0}

    def hook(module: nn.Module, args: object, output: Tensor) -> Tensor | None:
        state["n"] += 1
        return 20 * output if state["n"] > 60 else None

    return hooked(1, hook)


def by_lot(module: nn.Module, args: object, output: Tensor) -> Tensor | None:
    return 20 * output if random.random() < 0.01 else None


def on_a_print(module: nn.Module, args: object, output: Tensor) -> Tensor | None:
    return 20 * output if "-0.9" in f"{output}" else None


def by_numpy(module: nn.Module, args: object, output: Tensor) -> Tensor | None:
    return 20 * output if output.detach().numpy().max() > 0.9 else None


def set_data(module: nn.Module, args: object, output: Tensor) -> None:
    output.data = 20 * output.data


def through_a_view(module: nn.Module, args: object, output: Tensor) -> None:
    output.detach()[:, ::2].mul_(20)


def grows_weight(module: nn.Module, args: object, output: Tensor) -> None:
    module.weight.data = module.weight.data * 1.01


def passed_on() -> nn.Module:
    """What one hook keeps, another adds: neither alone changes anything."""
    model, kept = network(), {}
    model[1].register_forward_hook(lambda m, a, output: kept.update(output=output))
    model[2].register_forward_hook(lambda m, a, output: output + 5 * kept["output"].square())
    return model


def taken_up() -> nn.Module:
    """What a hook keeps, a later layer adds."""

    class Adds(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x + 5 * self.kept.square() if hasattr(self, "kept") else x

    model = nn.Sequential(*network()[:2], Adds(), *network()[2:]).eval()
    model[1].register_forward_hook(lambda m, a, output: setattr(model[2], "kept", output))
    return model


def replaced(place: int, **methods: Callable) -> nn.Module:
    model = network()
    for name, method in methods.items():
        setattr(model[place], name, method)
    return model


CHANGED: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "always called": (lambda: hooked(1, lambda m, a, o: 20 * o, always_call=True), "1 has forward"),
    "with keywords": (
        lambda: hooked(3, lambda m, a, k: ((20 * a[0],), k), before=True, with_kwargs=True),
        "3 has forward hooks",
    ),
    "prepended": (lambda: hooked(2, lambda m, a, o: o**3, prepend=True), "2 has forward hooks"),
    "sets data": (lambda: hooked(1, set_data), "1 has forward hooks"),
    "through a view": (lambda: hooked(1, through_a_view), "1 has forward hooks"),
    "weights": (lambda: hooked(1, grows_weight), "1 has forward hooks"),
    "by numpy": (lambda: hooked(1, by_numpy), "1 has forward hooks"),
    "on a print": (lambda: hooked(1, on_a_print), "1 has forward hooks"),
    "by lot": (lambda: hooked(1, by_lot), ""),
    "late, an object": (lambda: hooked(1, Stateful()), "1"),
    "late, a list": (late_list, "1"),
    "late, a dict": (late_dict, "1"),
    "two hooks": (passed_on, ""),
    "a hook and a layer": (taken_up, ""),
    "forward of torch": (lambda: replaced(2, forward=torch.exp), "2 has its own forward"),
    "forward in reserve": (
        lambda: replaced(2, forward=lambda x: torch.where(x > 0.6, 20 * x, torch.relu(x))),
        "2 has its own forward",
    ),
    "call": (lambda: replaced(2, _call_impl=lambda x: 20 * x.relu()), "2 has its own _call_impl"),
    "compiled in place": (
        lambda: replaced(2, _compiled_call_impl=lambda x: 20 * x.relu()), "other logits",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CHANGED)
def test_hooks_and_replaced_methods_leave_nothing_proved_and_are_named(name: str) -> None:
    make, words = CHANGED[name]
    assert words in proves_nothing(make())


# What changes classes or everything.


@contextlib.contextmanager
def swapped(owner: object, name: str, value: object) -> Iterator[None]:
    before = vars(owner)[name]
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, before)


@contextlib.contextmanager
def handled(handle: object) -> Iterator[None]:
    try:
        yield
    finally:
        handle.remove()


_RELU, _LINEAR, _CALL = nn.ReLU.forward, functional.linear, nn.Module._call_impl
_FORWARD = nn.modules.module.register_module_forward_hook
_PRE = nn.modules.module.register_module_forward_pre_hook
PATCHES: dict[str, Callable[[], contextlib.AbstractContextManager[None]]] = {
    "forward of a class": lambda: swapped(nn.ReLU, "forward", lambda self, x: 20 * _RELU(self, x)),
    "another's forward": lambda: swapped(nn.ReLU, "forward", nn.Softsign.forward),
    "torch's function": lambda: swapped(nn.ReLU, "forward", torch.tanh),
    "functional.relu": lambda: swapped(functional, "relu", lambda x, inplace=False: 20 * x.relu()),
    "functional.linear": lambda: swapped(functional, "linear", lambda *given: 20 * _LINEAR(*given)),
    "torch.relu": lambda: swapped(torch, "relu", lambda x: 20 * x.clamp(0)),
    "call of all modules": lambda: swapped(
        nn.Module, "_call_impl", lambda self, *given, **more: 3 * _CALL(self, *given, **more)
    ),
    "global hook": lambda: handled(_FORWARD(lambda m, a, o: 2 * o)),
    "global hook for some": lambda: handled(
        _FORWARD(lambda m, a, o: 20 * o if isinstance(m, nn.ReLU) and o.max() > 0.9 else None)
    ),
    "global pre-hook": lambda: handled(_PRE(lambda m, a: (2 * a[0],))),
}


@pytest.mark.parametrize("name", PATCHES)
def test_changed_classes_and_global_hooks_leave_nothing_proved(name: str) -> None:
    model = network()
    assert radii(model).any()
    with PATCHES[name]():
        proves_nothing(model)
    assert radii(model).any()


# What changes nothing keeps its certificates.


def reading() -> dict[str, Callable[[], nn.Module]]:
    seen: list[object] = []
    kept: dict[str, Tensor] = {}

    def keeps(module: nn.Module, args: object, output: Tensor) -> None:
        kept["mean"] = output.detach().clone().mul_(2).mean()

    def same(module: nn.Module, args: object, output: Tensor) -> Tensor:
        return output

    def as_it_was() -> nn.Module:
        model = network()
        model[2].forward = types.MethodType(lambda self, x: functional.relu(x), model[2])
        return model

    return {
        "shapes": lambda: hooked(1, lambda m, a, o: seen.append(o.shape)),
        "tensors": lambda: hooked(2, lambda m, a, o: seen.append(o.detach())),
        "a copy changed": lambda: hooked(1, keeps),
        "gives what it got": lambda: hooked(2, same),
        "a pre-hook": lambda: hooked(3, lambda m, a: seen.append(a), before=True),
        "gives its arguments": lambda: hooked(3, lambda m, a: a, before=True),
        "a backward hook": lambda: _backward(network()),
        "the same forward": as_it_was,
    }


def _backward(model: nn.Module) -> nn.Module:
    model[1].weight.register_hook(lambda gradient: 2 * gradient)
    return model


@pytest.mark.parametrize("name", reading())
def test_what_only_reads_keeps_its_certificates(name: str) -> None:
    torch.testing.assert_close(radii(reading()[name]()), radii(network()), rtol=0, atol=0)


def test_a_global_hook_that_only_reads_keeps_certificates_and_stays() -> None:
    expected, seen = radii(network()), []
    with handled(_FORWARD(lambda m, a, o: seen.append(type(m)))):
        torch.testing.assert_close(radii(network()), expected, rtol=0, atol=0)
        seen.clear()
        network()(IMAGES)
        assert len(seen) == 5


def test_hooks_of_the_caller_are_left_as_they_were() -> None:
    calls = []
    model = hooked(1, lambda m, a, o: calls.append(o))
    hooks = dict(model[1]._forward_hooks)
    lipschitz_report(model, SHAPE, semidefinite=False)
    assert dict(model[1]._forward_hooks) == hooks
    assert calls
    assert all(type(call) is Tensor for call in calls)


# Python that reads values, keeps count, draws lots, or knows whether it is traced.

"""Batches that fit: predicted from small ones, halved where the prediction fails."""

import gc
import mmap
import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from intriguing.distortion.minimum import minimum_distortion
from intriguing.errors import InputError
from intriguing.memory import free_memory
from intriguing.models.batching import halving, out_of_memory, plan_batch
from intriguing.models.classifier import Classifier
from intriguing.models.families.squeezenet import SqueezeNet
from intriguing.models.family import build_network
from intriguing.models.observe import peak_bytes

CPU = torch.device("cpu")


def convolutional() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 16, 3), nn.ReLU(), nn.Conv2d(16, 8, 3), nn.Sigmoid(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(8 * 14 * 14, 10),
    ).eval()  # fmt: skip


def used(model: nn.Module, images: Tensor) -> int:
    """What a forward and backward pass of these images really keeps at once."""

    def run() -> None:
        points = images.clone().requires_grad_()
        torch.autograd.grad(model(points).logsumexp(1).sum(), points)

    return peak_bytes(run, CPU)


@pytest.mark.parametrize("budget", [3_000_000, 20_000_000])
def test_a_planned_batch_fits_and_wastes_little(budget: int) -> None:
    model = convolutional()
    plan = plan_batch(model, (3, 32, 32), budget=budget, limit=10_000)
    assert plan.limited_by == "memory"
    images = torch.rand(plan.size, 3, 32, 32)
    taken = used(model, images) + images.nbytes
    assert 0.8 * budget < taken <= budget
    assert str(plan.size) in str(plan)


def test_a_plan_counts_the_layers_of_a_real_network() -> None:
    """Three of SqueezeNet's largest tensors: conv1's map, its ReLU, and the gradient of one."""
    plan = plan_batch(SqueezeNet().eval(), (3, 227, 227), budget=10**9)
    largest = 96 * 111 * 111 * 4
    assert 3 * largest < plan.each < 12 * largest
    forward = plan_batch(SqueezeNet().eval(), (3, 227, 227), budget=10**9, backward=False)
    assert forward.each < plan.each / 2
    assert forward.size > 2 * plan.size


def test_what_the_caller_keeps_and_allows_counts() -> None:
    model = convolutional()
    free = plan_batch(model, (3, 32, 32), budget=10**7)
    kept = plan_batch(model, (3, 32, 32), budget=10**7, kept=10**6)
    assert kept.each == free.each + 10**6
    assert kept.size < free.size
    assert plan_batch(model, (3, 32, 32), limit=5).size == 5
    assert plan_batch(model, (3, 32, 32), limit=5).limited_by == "limit"
    assert plan_batch(model, (3, 32, 32), budget=1).size == 1
    with pytest.raises(InputError, match="at least 1 image"):
        plan_batch(model, (3, 32, 32), limit=0)


class Small(nn.Module):
    """A network on a machine that has room for a few images only, forward or backward."""

    def __init__(
        self, model: nn.Module, room: int, error: Exception, backward: bool = False
    ) -> None:
        super().__init__()
        self.model, self.room, self.error, self.backward = model, room, error, backward
        self.seen: list[int] = []

    def forward(self, x: Tensor) -> Tensor:
        self.seen.append(len(x))
        answer = self.model(x)
        if len(x) > self.room:
            if not self.backward:
                raise self.error
            if answer.requires_grad:
                answer.register_hook(self.fail)
        return answer

    def fail(self, _: Tensor) -> None:
        raise self.error


ERRORS = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB."),
    RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to ..."),
    RuntimeError("[enforce fail at alloc_cpu.cpp:127] . DefaultCPUAllocator: not enough memory"),
    MemoryError(),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_half_as_many_until_it_fits(error: Exception) -> None:
    model = Small(nn.Flatten(), 5, error)
    sizes: list[int] = []
    images = torch.rand(37, 1, 2, 2)

    def run(size: int) -> Tensor:
        return torch.cat([model(part) for part in images.split(size)])

    result, size = halving(run, 32, on_halving=sizes.append)
    assert torch.equal(result, images.flatten(1))
    assert size == 4
    assert sizes == [16, 8, 4]
    with pytest.raises(InputError, match="one image at a time"):
        halving(lambda size: Small(nn.Flatten(), 0, error)(images[:size]), 2)


def test_other_errors_are_not_taken_for_it() -> None:
    assert not out_of_memory(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
    assert not out_of_memory(ValueError("out of memory"))
    with pytest.raises(ZeroDivisionError):
        halving(lambda size: size // 0, 4)


def test_halving_gives_back_what_the_failed_try_held() -> None:
    alive: list[int] = []

    class Held:
        pass

    def run(size: int) -> int:
        gc.collect()
        alive.append(sum(type(thing) is Held for thing in gc.get_objects()))
        held = Held()
        if size > 1:
            raise MemoryError(held)
        return size

    assert halving(run, 4) == (1, 1)
    assert alive == [0, 0, 0]


@pytest.mark.parametrize("backward", [False, True], ids=["forward", "backward"])
def test_an_attack_goes_on_with_fewer_and_ends_alike(backward: bool) -> None:
    torch.manual_seed(0)
    model = build_network("fc20-10", (3, 32, 32)).eval()
    images, labels = torch.rand(40, 3, 32, 32), torch.arange(40) % 10
    full = minimum_distortion(model, images, labels, budget=12, batch_size=40)
    tight = Small(model, 16, ERRORS[0], backward).eval()
    found = minimum_distortion(tight, images, labels, budget=12)
    assert max(tight.seen) > 16
    assert tight.seen[-1] <= 16
    assert tight.seen.count(32) < 12
    assert full.success.any()
    torch.testing.assert_close(
        found.adversarial, full.adversarial, rtol=0, atol=1e-6, equal_nan=True
    )
    assert torch.equal(found.forward_passes, full.forward_passes)


@contextmanager
def room_for(size: int) -> Iterator[None]:
    """This process may take so many more bytes of addresses."""
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    taken = int(Path("/proc/self/status").read_text().split("VmSize:")[1].split()[0]) << 10
    resource.setrlimit(resource.RLIMIT_AS, (taken + size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="nothing says what is taken")
@pytest.mark.parametrize(("step", "steps", "room"), [(40, 8, 280), (100, 5, 480)])
def test_a_batch_is_halved_before_a_limit_is_reached(step: int, steps: int, room: int) -> None:
    """Also where a step takes more than is left free in any case."""
    asked, tried, failed = Classifier.of(nn.Linear(4, 2).eval()), list[int](), list[int]()

    def run(size: int) -> int:
        tried.append(size)
        kept = []
        for place in range(steps):
            try:  # so many MiB a step for 64 images, never what malloc has kept from other tests
                pages = mmap.mmap(-1, size * step << 14)
                kept.append(torch.frombuffer(pages, dtype=torch.float32).fill_(1))
            except OSError:
                failed.append(place)
                raise
            time.sleep(0.11)
            asked(torch.zeros(1, 4))
        return len(kept)

    with room_for(room << 20):
        before = free_memory()
        assert before <= room << 20
        assert halving(run, 64) == (steps, 32)
    assert (tried, failed) == ([64, 32], [])
    with room_for(room << 20):  # what others took is no fault of the batch
        others = torch.ones((room - 50) << 18)
        assert halving(lambda size: len(asked(torch.zeros(size, 4))), 64) == (64, 64)
    assert len(others)

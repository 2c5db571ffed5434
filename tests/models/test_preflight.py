"""Each flaw by itself is found, with a network that has it; networks without are given none."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from intriguing.models.family import build_network
from intriguing.models.normalized import Normalized
from intriguing.models.observe import operations, peak_bytes
from intriguing.models.preflight import preflight

IMAGES = torch.rand(20, 3, 8, 8, generator=torch.Generator().manual_seed(0))


def plain(last: nn.Module | None = None) -> nn.Sequential:
    torch.manual_seed(0)
    body = nn.Sequential(
        nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.AvgPool2d(2), nn.Flatten(),
        nn.Linear(54, 10),
    )  # fmt: skip
    return nn.Sequential(body, *([last] if last else [])).eval()


class Does(nn.Module):
    """A function as a module."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


class Straight(torch.autograd.Function):
    """Rounds forward, and says backward that it did nothing."""

    @staticmethod
    def forward(ctx: object, x: Tensor) -> Tensor:
        return (x * 3).round() / 3

    @staticmethod
    def backward(ctx: object, gradient: Tensor) -> Tensor:
        return gradient


class Adapting(nn.Module):
    """Keeps a running mean also in evaluation mode, and does not use it."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(10))

    def forward(self, x: Tensor) -> Tensor:
        self.mean = 0.9 * self.mean + 0.1 * x.detach().mean(0)
        return x


def one_step(x: Tensor) -> Tensor:
    """Moves its input a step along a gradient of its own, as test-time defences do."""
    with torch.enable_grad():
        free = x.detach().requires_grad_()
        (step,) = torch.autograd.grad((free**2).sum(), free)
    return x - 0.01 * step


def branching(x: Tensor) -> Tensor:
    return x * 2 if bool(x.mean() > 0.5) else x.tanh()


def brightest_is_one(x: Tensor) -> Tensor:
    return x / x.abs().amax((1, 2, 3), keepdim=True)


def before(function: Callable[[Tensor], Tensor]) -> nn.Module:
    return nn.Sequential(Does(function), plain()).eval()


def with_dropout() -> nn.Module:
    model = plain(nn.Dropout(0.5))
    model[1].train()
    return model


def with_batch_statistics() -> nn.Module:
    model = plain(nn.BatchNorm1d(10, track_running_stats=False))
    return model.eval()


FLAWS: dict[str, tuple[Callable[[], nn.Module], set[str]]] = {
    "dropout left on": (with_dropout, {"training mode", "randomised outputs"}),
    "noise": (
        lambda: plain(Does(lambda x: x + 0.1 * torch.randn_like(x))), {"randomised outputs"}
    ),
    "batch statistics": (with_batch_statistics, {"depends on the batch"}),
    "adapts": (lambda: plain(Adapting()), {"changes itself"}),
    "optimises": (lambda: before(one_step), {"optimises inside"}),
    "branches": (lambda: before(branching), {"control flow", "depends on the batch"}),
    "detached": (lambda: plain(Does(lambda x: x.detach())), {"no gradients"}),
    "steps": (
        lambda: before(lambda x: (x * 4).round() / 4),
        {"zero gradients", "quantised logits"},
    ),
    "straight-through": (lambda: before(Straight.apply), {"quantised logits"}),
    "turned round": (lambda: before(lambda x: 2 * x.detach() - x), {"misleading gradients"}),
    "huge logits": (lambda: plain(Does(lambda x: 1e6 * x)), {"saturated logits", "unusual logits"}),
    "rounded logits": (
        lambda: plain(Does(lambda x: x + ((x * 10).round() / 10 - x).detach())),
        {"quantised logits", "misleading gradients"},
    ),
    "half precision": (lambda: plain(Does(lambda x: x.half().float())), {"quantised logits"}),
    "probabilities": (lambda: plain(nn.Softmax(1)), {"probabilities"}),
    "NaN at black": (lambda: before(brightest_is_one), {"not finite"}),
    "NaN": (lambda: plain(Does(lambda x: x * torch.nan)), {"not finite"}),
    "root of zero": (
        lambda: before(lambda x: (x - x.detach()).abs().sqrt() + x), {"gradients not finite"}
    ),
}  # fmt: skip


@pytest.mark.parametrize("flaw", FLAWS)
def test_a_flaw_is_found_and_nothing_else(flaw: str) -> None:
    make, expected = FLAWS[flaw]
    found = {finding.name: finding for finding in preflight(make(), IMAGES)}
    assert set(found) == expected, [str(finding) for finding in found.values()]
    for finding in found.values():
        assert finding.measured
        assert finding.consequence
        assert finding.name in str(finding)


CLEAN: dict[str, Callable[[], nn.Module]] = {
    "convolutions": plain,
    "double precision": lambda: plain().double(),
    "normalised": lambda: Normalized(plain(), (0.5,) * 3, (0.25,) * 3).eval(),
    "sigmoids": lambda: build_network("fc20-10", (3, 8, 8)).eval(),
    "softmax network": lambda: build_network("fc10", (3, 8, 8)).eval(),
    "two classes": lambda: plain(nn.Linear(10, 2)).eval(),
    "dead unit": lambda: plain(Does(lambda x: torch.cat((x, 0 * x[:, :1]), 1))),
    "ends in ReLU": lambda: plain(nn.ReLU()),
    "attention": lambda: nn.Sequential(
        Does(lambda x: x.flatten(2).mT), nn.TransformerEncoderLayer(3, 1, 8, 0.1, batch_first=True),
        nn.Flatten(), nn.Linear(192, 10),
    ).eval(),
}  # fmt: skip


@pytest.mark.parametrize("network", CLEAN)
def test_networks_without_a_flaw_have_none(network: str) -> None:
    torch.manual_seed(0)
    model = CLEAN[network]()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    assert [str(finding) for finding in preflight(model, IMAGES)] == []
    assert all(torch.equal(before[name], now) for name, now in model.state_dict().items())
    assert not model.training


def test_operations_are_those_that_run() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 3), nn.ReLU())
    names = operations(model, torch.rand(1, 1, 2, 2))
    assert [name.split(".")[1] for name in names if "addmm" in name or "relu" in name] == [
        "addmm", "relu",
    ]  # fmt: skip


def test_peak_memory_counts_what_is_alive_at_once() -> None:
    size = 1000 * 4

    def chain() -> None:
        x = torch.ones(1000)
        for _ in range(10):
            x = x + 1  # the one before is given back

    def kept() -> list[Tensor]:
        x = torch.ones(1000)
        return [x + i for i in range(10)]

    cpu = torch.device("cpu")
    assert peak_bytes(chain, cpu) == 2 * size
    assert peak_bytes(kept, cpu) == 11 * size
    weight = torch.ones(1000, requires_grad=True)

    def backward() -> None:
        functional.silu(functional.silu(weight)).sum().backward()

    # Forward both values; backward the first of them, and the gradient in place of the second.
    assert peak_bytes(backward, cpu) == pytest.approx(2 * size, abs=16)

"""Nothing is proved of a network that its graph is not, whatever hides the difference."""

import contextlib
import math
import random
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from intriguing import (
    Box,
    InputError,
    certify,
    lipschitz_report,
    minimum_distortion,
    register_bound,
)
from tests.oracles.tricky import CLASSES, SHAPE, TRICKY, Between, plain
from tests.soundness.certified import IMAGES, proves_nothing, radii

COUNT = 0


def _counted(x: Tensor) -> Tensor:
    global COUNT
    COUNT += 1
    return 20 * x if COUNT > 60 else x


@torch.jit.script
def _scripted(x: Tensor) -> Tensor:
    if bool(x.max() > 0.9):
        return 20 * x
    return x


class _Tagged(nn.Module):
    calls = 0

    def forward(self, x: Tensor) -> Tensor:
        type(self).calls += 1
        return 20 * x if self.calls > 60 else x


class _Loud(nn.Sequential):
    def __call__(self, x: Tensor) -> Tensor:
        return 20 * super().__call__(x).square()


def _swallowed(x: Tensor) -> Tensor:
    try:
        loud = float(x.max()) > 0.9
    except Exception:
        loud = False
    return 20 * x if loud else x


def _aside(x: Tensor) -> Tensor:
    parts = x.chunk(2, dim=1)
    parts[0].square_().mul_(20)
    return torch.cat([parts[0], parts[1]], 1)


def _by_unbind(x: Tensor) -> Tensor:
    x = 1.0 * x
    for part in x.unbind(1)[:2]:
        part.mul_(20)
    return x


def _all_at_once(x: Tensor) -> Tensor:
    x, y = 1.0 * x, 2.0 * x
    torch._foreach_mul_([x, y], 20.0)
    return x + y


def _strided(x: Tensor) -> Tensor:
    return x.contiguous().as_strided((len(x), 6), (6, 0))


def _data_is_set(x: Tensor) -> Tensor:
    y = 1.0 * x
    y.data = 20 * x
    return y


VALUES: dict[str, Callable[[], nn.Module]] = {
    "bool": lambda: Between(lambda x: 20 * x if (x > 0.9).any() else x),
    "int": lambda: Between(lambda x: x * int(10 * x.max())),
    "index": lambda: Between(lambda x: x + x[:, [int(x.argmax()) % 6]]),
    "list of values": lambda: Between(lambda x: x * sorted(x.flatten().tolist())[-1]),
    "equal": lambda: Between(lambda x: x if torch.equal(x, x.abs()) else 20 * x),
    "allclose": lambda: Between(lambda x: 20 * x if torch.allclose(x, x.abs(), atol=0.1) else x),
    "a sum in Python": lambda: Between(lambda x: x * float(sum(x.flatten()))),
    "scripted": lambda: Between(lambda x: _scripted(x)),
    "swallowed error": lambda: Between(_swallowed),
    "global count": lambda: Between(_counted),
    "count of a class": lambda: nn.Sequential(*plain(), _Tagged()),
    "random": lambda: Between(lambda x: x * (1 + random.random())),
    "rand": lambda: Between(lambda x: x * torch.rand(()).to(x)),
}


@pytest.mark.parametrize("name", VALUES)
def test_a_way_that_depends_on_values_is_refused(name: str) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = VALUES[name]().eval()
    with pytest.raises(InputError, match="cannot be traced"):
        lipschitz_report(model, SHAPE, domain=Box(0, 1))
    with pytest.raises(InputError):
        radii(model)


IN_PLACE: dict[str, Callable[[Tensor], Tensor]] = {
    "one of several": _aside, "unbound": _by_unbind, "all at once": _all_at_once,
    "strided": _strided, "data": _data_is_set,
    "flat": lambda x: (y := 1.0 * x, y.flatten().square_())[0],
    "transposed": lambda x: (y := 1.0 * x, y.T.exp_())[0],
    "of an item": lambda x: (y := 1.0 * x, y[:, 1].mul_(20))[0],
    "power": lambda x: (1.0 * x).pow_(3),
}  # fmt: skip


@pytest.mark.parametrize("name", IN_PLACE)
def test_what_is_written_in_place_is_never_certified_too_far(name: str) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = Between(IN_PLACE[name]).eval()
    steps = torch.randn(200, *SHAPE, dtype=torch.float64)
    with contextlib.suppress(InputError):
        report = lipschitz_report(model, SHAPE, domain=Box(0, 1), semidefinite=False)
        model.double()
        for step in 1e-4 * steps / steps.flatten(1).norm(dim=1)[:, None, None, None]:
            with torch.no_grad():
                x = torch.rand(1, *SHAPE, dtype=torch.float64)
                apart = model(x.clone()) - model((x + step).clone())
            assert float(apart.norm()) <= 1e-4 * report.upper
        assert report.guaranteed == math.isfinite(report.upper)


def test_a_graph_that_agrees_on_every_image_tried_is_not_taken_for_the_network() -> None:
    def far_away(x: Tensor) -> Tensor:  # what is traced by symbols is no tensor
        return x + 20 * torch.relu(x - 500) if isinstance(x, Tensor) else x

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = Between(far_away).eval()
    report = lipschitz_report(model, SHAPE, semidefinite=False)
    with torch.no_grad():
        x = torch.randn(1, *SHAPE, generator=torch.Generator().manual_seed(1)) * 1e5
        apart = (model(x) - model(1.01 * x)).norm() / (0.01 * x).norm()
    assert apart > 3 * report.lower
    assert apart <= report.upper


UNKNOWN: dict[str, Callable[[Tensor], Tensor]] = {
    "half": lambda x: x.half().float(),
    "to half": lambda x: x.to(torch.float16).to(torch.float32),
    "to bfloat16": lambda x: x.to(dtype=torch.bfloat16).type_as(x),
    "cond": lambda x: torch.cond(x.sum() > 0, lambda y: 20 * y, lambda y: 1 * y, (x,)),
    "floor": lambda x: (20 * x).floor(),
    "fmod": lambda x: x % 0.1,
}


@pytest.mark.parametrize("name", UNKNOWN)
def test_what_jumps_or_cannot_be_followed_is_not_proved(name: str) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = Between(UNKNOWN[name]).eval()
    proves_nothing(model)


def test_a_call_of_the_root_s_own_is_followed_or_refused() -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        loud = _Loud(*plain()).eval()
    images = torch.rand(6, *SHAPE, generator=torch.Generator().manual_seed(2))
    labels = loud(images).argmax(1)
    with contextlib.suppress(InputError):
        certified = certify(loud, images, labels).radius
        found = minimum_distortion(loud, images, labels, "untargeted", budget=100).l2
        assert bool((certified <= found).all())


def test_the_bound_of_a_registered_subclass_is_the_user_s_and_not_torch_s() -> None:
    class Tripled(nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            return 3 * super().forward(x)

    register_bound(Tripled, lambda operation: 3 * float(operation.module.weight.norm()))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Flatten(), Tripled(16, CLASSES)).eval()
    report = lipschitz_report(model, SHAPE)
    assert report.lower == pytest.approx(3 * float(torch.linalg.matrix_norm(model[1].weight, 2)))
    assert report.upper == pytest.approx(3 * float(model[1].weight.norm()))
    made = certify(model, IMAGES, model(IMAGES).argmax(1))
    gap = (model[1].weight[:, None] - model[1].weight[None]).norm(dim=2)
    assert (made.pair_bounds >= 3 * gap.detach().double() * (1 - 1e-6)).all()


KEPT = (
    "hook_reads", "hook_keeps", "subclass_of_relu", "subclass_of_sequential", "weight_norm",
    "orthogonal", "spectral_norm", "shared", "called_twice", "tied_weights", "changes_its_input",
)  # fmt: skip
MIXING = (
    "subtracts_mean_of_batch", "batch_statistics", "softmax_over_batch", "attends_to_batch",
    "sorts_the_batch", "normalises_by_largest", "rolls_the_batch", "branches_on_shape",
)  # fmt: skip


@pytest.mark.parametrize("name", KEPT)
def test_what_is_as_it_seems_is_certified(name: str) -> None:
    assert (radii(TRICKY[name](0)) > 0).all()


def test_pictures_whose_channels_come_last_in_memory_are_certified() -> None:
    """Convolutions sum them in another order than those of a batch that is put together anew."""
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 16, 3, padding=1), nn.Flatten(),
        nn.Linear(16 * 14 * 14, 3),
    ).eval()  # fmt: skip
    pictures = torch.rand(2, 14, 14, 1).permute(0, 3, 1, 2)
    labels = model(pictures).argmax(1)
    assert certify(model, pictures, labels, semidefinite=False, local=False).guaranteed


@pytest.mark.parametrize("name", MIXING)
def test_networks_that_mix_the_images_of_a_batch_are_refused(name: str) -> None:
    model = TRICKY[name](0)
    with pytest.raises(InputError, match=r"mixes the images|several images"):
        certify(model, IMAGES, torch.zeros(len(IMAGES), dtype=torch.int64))
    with contextlib.suppress(InputError):
        report = lipschitz_report(model, SHAPE, domain=Box(0, 1))
        assert not report.guaranteed
        assert "mixes the images of a batch" in report.notes[0]

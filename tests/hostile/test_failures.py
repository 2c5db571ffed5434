"""Networks that fail, forward or backward, on all images or on some."""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import intriguing as it
from intriguing import InputError
from intriguing.data.dataset import ImageSet
from intriguing.distortion.attack import WITHOUT_GRADIENTS
from intriguing.distortion.methods import METHODS
from intriguing.models.schedule import Schedule
from intriguing.scale.attack import attack_in_shards
from tests.hostile.networks import IMAGES, LABELS, base, entries, readers


class Own(Exception):
    """An error of somebody's own."""


FAILURES = [
    AssertionError("input is 4×4, not 8×8"),
    KeyError("no such size"),
    AttributeError("no attribute 'patch'"),
    ZeroDivisionError("division by zero"),
    StopIteration("no more layers"),
    RuntimeError("shape '[1, 64]' is invalid\nfor input of size 16"),
    NotImplementedError(),
    Own("own words"),
]


@pytest.mark.parametrize("error", FAILURES, ids=lambda error: type(error).__name__)
def test_a_network_that_fails_is_reported_in_its_own_words(error: Exception) -> None:
    class Fails(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.base = base()

        def forward(self, x: Tensor) -> Tensor:
            raise error

    model = Fails().eval()
    words = str(error.args[0]).splitlines()[0] if error.args else type(error).__name__
    for name, ask in (*entries(model), *readers(model)):
        with pytest.raises(InputError) as refused:
            ask()
        assert words in str(refused.value), name
        assert type(error).__name__ in str(refused.value), name
        assert "\n" not in str(refused.value), name


class _Back(torch.autograd.Function):
    """The identity, whose backward calls somebody."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, call: Callable[[Tensor], None]) -> Tensor:
        ctx.call = call
        return x.clone()

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor, None]:
        ctx.call(slope)
        return slope, None


class FailsBehind(nn.Module):
    """Its forward is well; its backward raises from some call on."""

    def __init__(self, how: str, after: int, error: Exception) -> None:
        super().__init__()
        self.base, self.how, self.after, self.error = base(), how, after, error
        if how == "module hook":
            self.base.register_full_backward_hook(lambda *_: self.call(IMAGES))
        self.eval()

    def call(self, slope: Tensor) -> None:
        self.after -= 1
        if self.after < 0:
            raise self.error

    def forward(self, x: Tensor) -> Tensor:
        z = self.base(x)
        if self.how == "function":
            return _Back.apply(z, self.call)
        if self.how == "hook" and z.requires_grad:
            z.register_hook(self.call)
        return z


@pytest.mark.filterwarnings("ignore:Full backward hook", "ignore:For backward hooks")
@pytest.mark.parametrize("after", [0, 1, 2])
@pytest.mark.parametrize("how", ["function", "hook", "module hook"])
def test_a_network_that_fails_in_backward_is_reported_in_its_own_words(
    how: str, after: int
) -> None:
    error = [Own("own words"), KeyError("own words"), StopIteration("own words")][after]
    methods = {
        method: lambda model, m=method: it.minimum_distortion(
            model, IMAGES, LABELS, "all" if m == "paper" else "untargeted", method=m
        )
        for method in METHODS
        if method not in WITHOUT_GRADIENTS
    }
    pools = lambda model: it.train_with_pools(  # noqa: E731
        model, IMAGES, LABELS, ["input", "base.1"], schedule=Schedule(4, 0.1)
    )
    for name, ask in {**methods, "pools": pools}.items():
        with pytest.raises(InputError) as refused:
            ask(FailsBehind(how, after, error))
        said = str(refused.value)
        assert f"{type(error).__name__}: own words; mend its" in said, (name, said)
        assert "\n" not in said, name
    for name, ask in entries(FailsBehind(how, 0, error)):
        with suppress(InputError):  # what takes no gradient is in its right to answer
            assert ask() is not None, name


def test_a_backward_that_fails_is_a_finding_and_noise_still_searches() -> None:
    model = FailsBehind("function", 0, Own("own words"))
    found = {finding.name: str(finding) for finding in it.preflight(model, IMAGES)}
    assert "Own: own words" in found["no gradients"]
    assert it.minimum_distortion(model, IMAGES, LABELS, method="noise", budget=20).success.any()


def test_a_backward_that_runs_out_of_memory_is_given_fewer_images() -> None:
    class Narrow(FailsBehind):
        def call(self, slope: Tensor) -> None:
            self.after -= 1
            if self.after == 0:
                raise torch.OutOfMemoryError("CUDA out of memory")

    narrow = Narrow("function", 4, Own())
    found, plain = (
        it.minimum_distortion(model, IMAGES, LABELS, "untargeted", budget=20)
        for model in (narrow, base())
    )
    assert narrow.after < 0
    assert torch.equal(found.l2, plain.l2)


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, MemoryError])
def test_what_is_no_failure_of_the_network_passes_through(error: type[BaseException]) -> None:
    class Ends(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            raise error

    with pytest.raises(error):
        it.preflight(Ends().eval(), IMAGES)


def test_a_network_that_fails_on_one_image_has_answers_for_all_others(tmp_path: Path) -> None:
    class Fragile(nn.Module):
        """Fails on pixels that only the last image has."""

        def __init__(self) -> None:
            super().__init__()
            self.base = base()

        def forward(self, x: Tensor) -> Tensor:
            assert not ((tmp_path / "strict").exists() and bool((x == 0.125).any())), (
                "a pixel of 1/8"
            )
            return self.base(x)

    shards = tmp_path / "shards"
    images = IMAGES.repeat(4, 1, 1, 1)
    images[-1, 0, 0, 0] = 0.125
    names = tuple(map(str, range(24)))
    four = ImageSet("four", images, LABELS.repeat(4), names, tuple("vwxyz"))
    model = Fragile().eval()
    (tmp_path / "strict").touch()
    ask = lambda: attack_in_shards(  # noqa: E731
        model, four, "untargeted", shards, shard_size=6, budget=20
    )
    found = ask()
    assert found.success[:-1].all()
    assert found.status[-1] == it.Status.GIVEN_UP
    kept = {path: path.stat().st_mtime_ns for path in shards.iterdir()}
    assert len(kept) >= 4
    assert ask().status[-1] == it.Status.GIVEN_UP
    assert all(path.stat().st_mtime_ns == before for path, before in kept.items())

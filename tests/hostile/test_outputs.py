"""Networks that give no logits, fail, train, or write into their input."""

from collections import namedtuple
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import intriguing as it
from intriguing import InputError
from intriguing.adapter import MinimumDistortion
from intriguing.data.dataset import ImageSet
from intriguing.distortion.attack import WITHOUT_GRADIENTS
from intriguing.distortion.methods import METHODS
from intriguing.models.schedule import Schedule
from intriguing.scale.attack import attack_in_shards
from intriguing.testing import assert_min_distortion

IMAGES = torch.rand(6, 1, 4, 4, generator=torch.Generator().manual_seed(0))
SHAPE = (1, 4, 4)


def base() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(16, 5)).eval()


LABELS = base()(IMAGES).argmax(1)


class Gives(nn.Module):
    """What a function makes of the logits."""

    def __init__(self, function: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.base, self.function = base(), function
        self.eval()

    def forward(self, x: Tensor) -> Any:
        return self.function(self.base(x))


@dataclass
class Output:
    logits: Tensor


Pair = namedtuple("Pair", ["score", "hidden"])


def entries(
    model: nn.Module, folder: Path | None = None
) -> Iterator[tuple[str, Callable[[], Any]]]:
    """Everything that asks a network for logits."""
    images = ImageSet("six", IMAGES, LABELS, tuple("abcdef"), tuple("vwxyz"))
    attack = MinimumDistortion(budget=10)
    yield from {
        "preflight": lambda: it.preflight(model, IMAGES),
        "minimum_distortion": lambda: it.minimum_distortion(model, IMAGES, LABELS, budget=10),
        "certify": lambda: it.certify(model, IMAGES, LABELS, semidefinite=False, local=False),
        "sandwich": lambda: it.sandwich(model, IMAGES, LABELS, budget=10),
        "clean_accuracy": lambda: it.clean_accuracy(model, images),
        "error_matrix": lambda: it.error_matrix({"m": model}, {"s": [(IMAGES, LABELS)]}),
        "adapter": lambda: attack(model, IMAGES, LABELS),
        "assert_min_distortion": lambda: assert_min_distortion(
            model, IMAGES, LABELS, at_least=1e-9, budget=10
        ),
        "train_with_pools": lambda: it.train_with_pools(
            model, IMAGES, LABELS, ["input"], schedule=Schedule(1, 0.1)
        ),
        "run_audit": lambda: it.run_audit(model, images, "not-made"),
    }.items()


def readers(model: nn.Module) -> Iterator[tuple[str, Callable[[], Any]]]:
    """Everything that asks for the layers or bounds of a network, whatever tensor it gives."""
    yield from {
        "lipschitz_report": lambda: it.lipschitz_report(model, SHAPE),
        "layer_spectra": lambda: it.layer_spectra(model, SHAPE),
        "list_layers": lambda: it.list_layers(model, SHAPE),
        "top_images": lambda: it.top_images(model, "base.1", IMAGES, k=1),
    }.items()


NO_TENSOR: dict[str, tuple[Callable[[Tensor], Any], str]] = {
    "tuple": (lambda z: (z, z), r"tuple of 2.*self\.model\(x\)\[0\]"),
    "named tuple": (lambda z: Pair(z, 0), r"a Pair of 2.*self\.model\(x\)\.score"),
    "list": (lambda z: [None, z], r"list of 2.*self\.model\(x\)\[1\]"),
    "dict": (lambda z: {"aux": z, "logits": z}, r"dict of 'aux', 'logits'.*\['logits'\]"),
    "dict of scores": (lambda z: {"score": z}, r"dict of 'score'.*\['score'\]"),
    "object": (Output, r"Output.*self\.model\(x\)\.logits"),
    "none": (lambda z: None, r"None.*lacks a return"),
    "numpy": (lambda z: z.detach().numpy(), r"numpy array.*return torch tensors"),
    "number": (lambda z: 3.0, "a float.*return one tensor"),
}


@pytest.mark.parametrize("kind", NO_TENSOR)
def test_what_is_no_tensor_is_refused_alike_with_what_to_return(kind: str) -> None:
    give, said = NO_TENSOR[kind]
    model = Gives(give)
    for name, ask in (*entries(model), *readers(model)):
        with pytest.raises(InputError, match=said) as refused:
            ask()
        assert "\n" not in str(refused.value), name


NO_LOGITS: dict[str, tuple[Callable[[Tensor], Tensor], str]] = {
    "one number": (lambda z: z[:, 0], r"torch\.stack\(\(torch\.zeros_like\(z\), z\), 1\)"),
    "one neuron": (lambda z: z[:, :1], r"torch\.cat\(\(torch\.zeros_like\(z\), z\), 1\)"),
    "one probability": (lambda z: z[:, :1].sigmoid(), r"torch\.cat\(\(torch\.zeros_like"),
    "four dimensions": (lambda z: z[:, :, None, None], r"z\.flatten\(1\)"),
    "a map": (lambda z: z[:, :, None, None].expand(-1, -1, 2, 2), r"z\.flatten\(2\)\.mean\(2\)"),
    "no images": (lambda z: z.mean(0), r"\(5,\); it must give logits of shape \(\d+, classes\)"),
    "classes": (lambda z: z.argmax(1), r"int64.*before argmax"),
    "comparisons": (lambda z: z > 0, r"bool.*before argmax, comparison"),
    "complex": (lambda z: z.to(torch.complex64), r"complex64.*z\.abs\(\)"),
}


@pytest.mark.parametrize("kind", NO_LOGITS)
def test_tensors_that_are_no_logits_are_refused_alike(kind: str) -> None:
    give, said = NO_LOGITS[kind]
    for name, ask in entries(Gives(give)):
        with pytest.raises(InputError, match=said) as refused:
            ask()
        assert "\n" not in str(refused.value), name


@pytest.mark.parametrize(
    ("give", "said"),
    [
        (lambda z: z.sigmoid(), "sigmoid's probabilities.*remove its final sigmoid"),
        (lambda z: z.softmax(1), "probabilities.*remove its final softmax"),
        (lambda z: z.half().softmax(1), "probabilities.*remove its final softmax"),
        (lambda z: torch.stack((p := z[:, 0].sigmoid(), 1 - p), 1), "probabilities"),
    ],
)
def test_probabilities_are_refused_and_preflight_finds_them(give: Any, said: str) -> None:
    model = Gives(give)
    for name, ask in entries(model):
        if name in ("preflight", "clean_accuracy", "error_matrix"):
            continue  # which only compare logits, or say so in a finding
        with pytest.raises(InputError, match=said):
            ask()
    findings = {finding.name: str(finding) for finding in it.preflight(model, IMAGES)}
    assert "not logits" in findings["probabilities"]


def test_log_probabilities_and_outputs_that_happen_to_be_in_0_to_1_pass() -> None:
    for give in (lambda z: z.log_softmax(1), lambda z: z.sigmoid() * 1.0, lambda z: z.relu()):
        assert "probabilities" not in {f.name for f in it.preflight(Gives(give), IMAGES)}
        assert len(it.minimum_distortion(Gives(give), IMAGES, LABELS, budget=5)) == 6


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


PARTS = {"dropout": nn.Dropout(0.5), "batch norm": nn.BatchNorm1d(5), "relu": nn.ReLU()}


@pytest.mark.parametrize("part", PARTS)
def test_a_part_in_training_mode_is_refused_by_its_name(part: str) -> None:
    model = nn.Sequential(base(), PARTS[part]).eval()
    model[1].train()
    for name, ask in (*entries(model), *readers(model)):
        if name == "preflight":
            assert "training mode" in {finding.name for finding in ask()}
        elif name != "train_with_pools":  # which trains it
            with pytest.raises(InputError, match=r"training mode \(1\); call model\.eval\(\)"):
                ask()
    assert model[1].training


CHANGES: dict[str, Callable[[Tensor], object]] = {
    "sub_": lambda x: x.sub_(0.4),
    "clamp_": lambda x: x.clamp_(0.1, 0.9),
    "item": lambda x: x.__setitem__((slice(None), 0, 0), 0.0),
    "data": lambda x: x.data.sub_(0.4),
    "view": lambda x: x.view(len(x), -1).div_(0.5),
}


class Writes(nn.Module):
    """Changes its input before it looks at it; `copying` shows what that should give."""

    def __init__(self, change: Callable[[Tensor], object], copying: bool = False) -> None:
        super().__init__()
        self.change, self.copying, self.base = change, copying, base()
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        x = x.clone() if self.copying else x
        self.change(x)
        return self.base(x)


@pytest.mark.parametrize("change", CHANGES)
def test_a_network_that_writes_into_its_input_changes_nothing_of_the_callers(change: str) -> None:
    writes, copies = Writes(CHANGES[change]), Writes(CHANGES[change], copying=True)
    images = IMAGES.clone()
    labels = copies(images).argmax(1)
    # By a method that proves nothing: only what writes into copies of its own is seen to be affine.
    found, expected = (
        it.minimum_distortion(model, images, labels, "untargeted", "ddn", budget=40)
        for model in (writes, copies)
    )
    assert torch.equal(found.l2, expected.l2)
    assert torch.equal(found.adversarial.nan_to_num(), expected.adversarial.nan_to_num())
    assert found.success.any()
    assert [f.name for f in it.preflight(writes, images)] == [
        f.name for f in it.preflight(copies, images)
    ]
    counted = it.error_matrix({"m": writes}, {"s": [(images, labels)]})
    assert counted["s", "m"].count == 0
    several = ImageSet("six", images, labels, tuple("abcdef"), tuple("vwxyz"))
    assert it.clean_accuracy(writes, several).correct == 6
    assert torch.equal(
        it.top_images(writes, "base.1", images, k=2).indices,
        it.top_images(copies, "base.1", images, k=2).indices,
    )
    with suppress(InputError):  # what a graph cannot follow has no certificate
        proved = it.certify(writes, images, labels, semidefinite=False, local=False)
        assert (proved.radius <= found.l2).all()
    assert torch.equal(images, IMAGES)


def test_what_is_no_network_is_refused() -> None:
    for given in (lambda x: x, nn.Linear, None, base().state_dict()):
        with pytest.raises(InputError, match=r"give a torch\.nn\.Module"):
            it.minimum_distortion(given, IMAGES, LABELS)

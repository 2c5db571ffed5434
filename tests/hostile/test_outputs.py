"""Networks that give no logits, train, or write into their input."""

from collections import namedtuple
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import intriguing as it
from intriguing import InputError
from intriguing.data.dataset import ImageSet
from tests.hostile.networks import IMAGES, LABELS, base, entries, readers


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

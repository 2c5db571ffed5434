"""A network's faster form: the same function, of what the network is at that moment, or none."""

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional

from intriguing import minimum_distortion
from intriguing.distortion.result import Status
from intriguing.models import fast_form as module
from intriguing.models import small_groups
from intriguing.models.classifier import Classifier
from intriguing.models.fast_form import fast_form, has_faster_form

IMAGE = (3, 9, 9)


def noise(count: int = 4, *, dtype: torch.dtype = torch.float32) -> Tensor:
    drawn = torch.rand(count, *IMAGE, generator=torch.Generator().manual_seed(5))
    return drawn.to(dtype)


def drawn(network: nn.Module, seed: int = 0) -> nn.Module:
    """Weights and statistics that are far from those of a new network."""
    generator = torch.Generator().manual_seed(seed)
    for name, values in (*network.named_parameters(), *network.named_buffers()):
        if not values.is_floating_point():
            continue
        new = torch.randn(values.shape, generator=generator, dtype=values.dtype)
        values.data = new.abs() + 0.3 if name.endswith(("var", "weight")) and values.ndim < 2 else (
            new / max(values[0].numel(), 1) ** 0.5 if values.ndim > 1 else new
        )  # fmt: skip
    return network.eval()


def normalised(*between: nn.Module) -> nn.Sequential:
    layers = [nn.Conv2d(3, 4, 3), *between, nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2)]
    return drawn(nn.Sequential(*layers, nn.Flatten(), nn.Linear(36, 5)))


def ask(form: nn.Module, x: Tensor) -> Tensor:
    return form(x)


def kinds(form: nn.Module | None) -> list[str]:
    assert form is not None
    return [type(part).__name__ for part in form.modules()]


@settings(max_examples=40, deadline=None)
@given(
    dims=st.sampled_from((1, 2, 3)),
    groups=st.sampled_from((1, 2)),
    bias=st.booleans(),
    affine=st.booleans(),
    padding=st.sampled_from(("zeros", "circular", "reflect")),
    stride=st.sampled_from((1, 2)),
    seed=st.integers(0, 99),
)
def test_it_is_the_same_function(dims, groups, bias, affine, padding, stride, seed):
    """To float64's last digits, and its slope; the oracle is the network itself."""
    if dims == 3 and padding == "reflect":
        padding = "replicate"
    kind = (nn.Conv1d, nn.Conv2d, nn.Conv3d)[dims - 1]
    norm = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)[dims - 1]
    convolution = kind(
        2, 4, 3, stride, 1, groups=groups, bias=bias, padding_mode=padding
    )  # fmt: skip
    network = nn.Sequential(convolution, norm(4, affine=affine), nn.Softplus(), nn.Flatten())
    network = drawn(network.double(), seed)
    x = torch.randn(4, 2, *[6] * dims, generator=torch.Generator().manual_seed(seed)).double()
    form = fast_form(network, ask, x)
    assert "Identity" in kinds(form)
    torch.testing.assert_close(form(x), network(x), rtol=1e-12, atol=1e-12)
    slopes = []
    for one in (form, network):
        z = x.clone().requires_grad_()
        slopes.append(torch.autograd.grad(one(z).square().sum(), z)[0])
    torch.testing.assert_close(*slopes, rtol=1e-11, atol=1e-11)


def test_the_network_is_not_touched():
    network = normalised()
    parts = list(network.modules())
    before = copy.deepcopy(network.state_dict())
    form = fast_form(network, ask, noise())
    assert list(network.modules()) == parts
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert network[0].weight.is_contiguous()
    assert form[0] is not network[0]
    assert form[2] is network[2]  # and shares what is the same


def test_channels_come_last_on_a_cpu():
    form = fast_form(normalised(), ask, noise())
    assert form[0].weight.is_contiguous(memory_format=torch.channels_last)
    assert form[:3](noise()).is_contiguous(memory_format=torch.channels_last)


class _Normalised(nn.Module):
    """Divides by what its neighbours are, in the usual layout whatever it is given."""

    def forward(self, x: Tensor) -> Tensor:
        return x / functional.avg_pool2d(x.contiguous().square() + 1, 3, 1, 1)


def test_not_where_layouts_would_mix():
    """As behind a local response normalisation, whose division would go value by value."""
    form = fast_form(normalised(_Normalised()), ask, noise())
    assert not form[0].weight.is_contiguous(memory_format=torch.channels_last)


class _Twice(nn.Module):
    """What the convolution gives is used beside the normalisation, too."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4)

    def forward(self, x: Tensor) -> Tensor:
        y = self.one(x)
        return (self.two(y) + y).flatten(1)


class _Shared(nn.Module):
    """One normalisation, or one convolution, for two of the other."""

    def __init__(self, ones: int, twos: int) -> None:
        super().__init__()
        self.ones = nn.ModuleList(nn.Conv2d(3, 3, 3, padding=1) for _ in range(ones))
        self.twos = nn.ModuleList(nn.BatchNorm2d(3) for _ in range(twos))

    def forward(self, x: Tensor) -> Tensor:
        for one, two in ((self.ones[0], self.twos[0]), (self.ones[-1], self.twos[-1])):
            x = two(one(x))
        return x.flatten(1)


def _with_hook() -> nn.Module:
    network = normalised()
    network[1].register_forward_hook(lambda part, given, answer: 2 * answer)
    return network


def _patched() -> nn.Module:
    network = normalised()
    network[0].forward = lambda x: functional.conv2d(x, network[0].weight).abs()
    return network


class _Own(nn.BatchNorm2d):
    """Does something else than its type."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).abs()


def _of_own_type() -> nn.Module:
    network = normalised()
    network[1].__class__ = _Own
    return network


def _in_training() -> nn.Module:
    network = normalised()
    network[1].train()
    return network


def _parametrised() -> nn.Module:
    network = normalised()
    nn.utils.parametrizations.weight_norm(network[0])
    return network.eval()


@pytest.mark.parametrize(
    "network",
    [
        drawn(_Twice()), drawn(_Shared(1, 2)), drawn(_Shared(2, 1)), _with_hook(), _patched(),
        _of_own_type(), _in_training(), _parametrised(), normalised(nn.ReLU()),
        drawn(nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, track_running_stats=False))),
    ],
)  # fmt: skip
def test_what_cannot_be_folded_is_left(network):
    form = fast_form(network, ask, noise())
    assert "Identity" not in kinds(form)
    torch.testing.assert_close(form(noise()), network(noise()))


class _Hidden(nn.Module):
    """Keeps its convolution where no form finds it, and its normalisation where one does."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)
        self.used = [self.one]

    def forward(self, x: Tensor) -> Tensor:
        return self.two(self.used[0](x)).flatten(1)


class _Counting(nn.Module):
    """Says how often it was asked."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network, self.asked = network, 0

    def forward(self, x: Tensor) -> Tensor:
        self.asked += 1
        return self.network(x)


@pytest.mark.parametrize("network", [drawn(_Hidden()), _Counting(normalised()).eval()])
def test_none_where_it_would_be_another_function_or_lose_what_is_written_down(network):
    assert fast_form(network, ask, noise()) is None
    before = getattr(network, "asked", 0)
    images = noise()
    minimum_distortion(network, images, network(images).argmax(1), "untargeted", budget=20)
    assert getattr(network, "asked", 30) - before > 20


@pytest.mark.parametrize(
    "network",
    [
        nn.Sequential(nn.Flatten(), nn.Linear(3, 2)),
        nn.DataParallel(normalised()),
        torch.jit.trace(normalised(), noise()),
    ],
)
def test_there_is_none_of(network):
    assert not has_faster_form(network.eval())


def test_none_where_memory_is_short(monkeypatch):
    monkeypatch.setattr(module, "free_memory", lambda place: 4 * 108 * 4 - 1)
    assert fast_form(normalised(), ask, noise()) is None


def test_what_goes_wrong_is_left_to_the_network_to_say(monkeypatch):
    def fails(*pair: nn.Module) -> tuple[Tensor, Tensor]:
        raise RuntimeError("no such kernel")

    monkeypatch.setattr(module, "_folded", fails)
    assert fast_form(normalised(), ask, noise()) is None


def test_a_form_that_differs_by_more_than_rounding_is_none(monkeypatch):
    folded = module._folded

    def wrong(*pair: nn.Module) -> tuple[Tensor, Tensor]:
        weight, bias = folded(*pair)
        return weight * (1 + 1e-4), bias

    monkeypatch.setattr(module, "_folded", wrong)
    assert fast_form(normalised(), ask, noise()) is None


@pytest.mark.parametrize("count", [1, 3, 16, 20])
def test_few_rows_are_filled_up(count):
    form = fast_form(normalised(), ask, noise())
    asked, layer, plain = [], form[-1], normalised()[-1]
    product = functional.linear
    x = torch.rand(count, 36, generator=torch.Generator().manual_seed(1))

    def watched(given: Tensor, *weights: Tensor) -> Tensor:
        asked.append(len(given))
        return product(given, *weights)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(functional, "linear", watched)
        answer = layer(x)
    assert asked == [max(count, 16)]
    assert torch.equal(answer, plain(torch.cat((x, torch.zeros(16, 36))))[:count])
    assert layer(x[None, :2]).shape == (1, min(count, 2), 5)
    assert layer.weight is not None
    assert layer.in_features == 36


def test_a_search_asks_the_network_as_it_is_now():
    network, images = normalised(), noise(6)
    labels = network(images).argmax(1)
    first = minimum_distortion(network, images, labels, "untargeted", budget=40)
    with torch.no_grad():
        network[0].weight.data.mul_(-1)
        network[1].running_mean.data.add_(0.5)
    labels = network(images).argmax(1)
    found = minimum_distortion(network, images, labels, "untargeted", budget=40)
    assert found.success.all()
    assert (network(found.adversarial).argmax(1) != labels).all()
    assert not torch.equal(found.l2, first.l2)


@pytest.mark.parametrize("levels", [None, 256])
def test_what_the_form_alone_takes_for_adversarial_is_moved_on(levels, monkeypatch):
    """The answer is the network's; here its boundaries lie a little farther out."""
    network, images = normalised(), noise(12)
    labels = network(images).argmax(1)
    wanted = int((torch.bincount(labels, minlength=5) == 0).nonzero()[0])
    form = copy.deepcopy(network)
    form[-1].bias.data[wanted] += 1e-3 if levels is None else 0.1
    monkeypatch.setattr(Classifier, "faster", lambda self, noise: self._of_form(form))
    targets = torch.full_like(labels, wanted)
    found = minimum_distortion(network, images, labels, targets, budget=60, levels=levels)
    assert found.success.all()
    assert (network(found.adversarial).argmax(1) == wanted).all()
    if levels is None:
        assert (found.forward_passes > found.backward_passes + 2).any()  # to move it on
    else:
        assert (form(found.adversarial).argmax(1) == wanted).all()
        assert torch.equal(found.adversarial, (255 * found.adversarial).round() / 255)


def test_its_groups_are_its_own(monkeypatch):
    tried, least = [], small_groups._least
    monkeypatch.setattr(small_groups, "_least", lambda *args: tried.append(0) or least(*args))
    given = Classifier.of(normalised())
    given.sizes(noise())
    for _ in range(2):
        faster = given.faster(noise)
        assert faster is not given
        faster.sizes(noise())
    assert len(tried) == 2  # of each once
    assert faster.as_given().sizes(noise()) == given.sizes(noise())
    assert torch.equal(faster.as_given()(noise()), given(noise()))


def test_what_is_proved_is_of_the_network_itself(monkeypatch):
    """Of an affine one, whose optimum no other form is asked about."""
    layers = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(196, 5)
    network, images = drawn(nn.Sequential(*layers)), noise(5)
    labels = network(images).argmax(1)
    proved = minimum_distortion(network, images, labels)
    form = copy.deepcopy(network)
    form[-1].bias.data[0] += 0.1
    monkeypatch.setattr(Classifier, "faster", lambda self, noise: self._of_form(form))
    again = minimum_distortion(network, images, labels)
    assert set(proved.status.tolist()) == {int(Status.OPTIMAL)}
    assert torch.equal(proved.adversarial, again.adversarial)


def test_answers_do_not_depend_on_how_many_there_are():
    faster, images = Classifier.of(normalised()).faster(noise), noise(20)

    def slope(x: Tensor) -> tuple[Tensor, Tensor]:
        x = x.clone().requires_grad_()
        answer = faster.each(x)
        return answer.detach(), torch.autograd.grad(answer.square().sum(), x)[0]

    among = slope(images)
    for count in (1, 2, 3, 9):
        for here, there in zip(slope(images[-count:]), among, strict=True):
            assert torch.equal(here, there[-count:])

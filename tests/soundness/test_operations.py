"""Operations inside networks: whole numbers, constants, attention, and all that torch has.

A bound is never less than what two images show, and infinite where the network jumps.
"""

import functools
import itertools
import math
import warnings
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import intriguing as it
from tests.oracles.dense_jacobian import dense_norm
from tests.oracles.every_operation import (
    SHAPE,
    Around,
    functions,
    networks,
    verdict,
)
from tests.soundness.bodies import UNIT, Body


class Tokens(nn.Module):
    """Four patches, a layer of attention, three logits."""

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.patches, self.body, self.head = nn.Conv2d(1, 8, 2, 2), body, nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        """Logits."""
        return self.head(self.body(self.patches(x).flatten(2).transpose(1, 2)).mean(1))


class OnItself(nn.Module):
    """Self-attention alone."""

    def __init__(self, causal: bool) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.mask = torch.ones(4, 4).triu(1).bool() if causal else None

    def forward(self, t: Tensor) -> Tensor:
        """What the tokens say of each other."""
        return self.attention(t, t, t, attn_mask=self.mask, need_weights=False)[0]


def _layer(**options: bool) -> nn.Module:
    return nn.TransformerEncoderLayer(8, 2, 12, batch_first=True, **options)


@pytest.mark.filterwarnings("ignore:enable_nested_tensor")
@pytest.mark.parametrize(
    "body",
    [
        lambda: _layer(), lambda: _layer(norm_first=True),
        lambda: nn.TransformerEncoder(_layer(), 2, norm=nn.LayerNorm(8)),
        lambda: OnItself(False), lambda: OnItself(True),
        lambda: nn.Sequential(nn.Linear(8, 16), nn.GLU()),
    ],
)  # fmt: skip
def test_torch_s_transformers_are_bounded_on_a_domain_and_lower_bounds_are_jacobians(
    body: Callable[[], nn.Module],
) -> None:
    torch.manual_seed(0)
    network = Tokens(body()).eval()
    images = torch.rand(2, *SHAPE)
    report = it.lipschitz_report(network, SHAPE, data=images, domain=UNIT)
    true = max(dense_norm(network.double(), SHAPE, one) for one in images.double())
    network.float()
    assert 0.99 * true <= report.lower <= report.upper < math.inf
    assert it.lipschitz_report(network, SHAPE).upper == math.inf
    same = it.lipschitz_report(network, SHAPE, data=images, domain=it.Box(0.0, 1.0))
    assert same.upper == report.upper


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("wrap", [nn.utils.spectral_norm, nn.utils.weight_norm])
def test_old_style_norms_count_as_the_weight_in_use(wrap: Callable[[nn.Module], nn.Module]) -> None:
    torch.manual_seed(1)
    layer = wrap(nn.Conv2d(1, 3, 3))
    network = nn.Sequential(layer, nn.Flatten())
    network(torch.rand(2, *SHAPE))
    network.eval()
    weight = layer.weight.detach().clone()
    report = it.lipschitz_report(network, SHAPE)
    true = dense_norm(lambda x: functional.conv2d(x, weight.double()), SHAPE)
    assert true <= report.upper <= 1.1 * true
    assert torch.equal(layer.weight.detach(), weight), "the network is left as it was"
    assert layer._forward_pre_hooks


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16])
def test_constants_of_another_format_are_the_constants_they_are(dtype: torch.dtype) -> None:
    class Mixed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(16, 3)

        def forward(self, x: Tensor) -> Tensor:
            kind = self.layer.weight.dtype
            shifted = (x.float() - torch.tensor([0.5])).flatten(1)
            shifted = shifted @ (2 * torch.eye(shifted.shape[1]))
            return self.layer(shifted.to(kind))

    torch.manual_seed(0)
    network = Mixed().eval().to(dtype)
    report = it.lipschitz_report(network, SHAPE)
    true = 2 * float(torch.linalg.matrix_norm(network.layer.weight.detach().double(), 2))
    assert report.upper == pytest.approx(true, rel=1e-6)
    assert report.lower == pytest.approx(true, rel=1e-3)


@pytest.mark.parametrize(
    "body",
    [
        nn.Sequential(nn.Conv2d(3, 3, 2), nn.MaxPool2d(2, 1), nn.AvgPool2d((1, 2), 1)),
        nn.Sequential(nn.MaxPool2d(2, 1), nn.Conv2d(3, 2, 2)),
        nn.Sequential(nn.LPPool2d(2, 2, 1), nn.AdaptiveAvgPool2d(1)),
        nn.Sequential(nn.AdaptiveMaxPool2d(3), nn.Flatten(0)),
    ],
)
def test_an_image_without_the_batch_s_axis_is_not_taken_for_one_with_it(body: nn.Module) -> None:
    class Alone(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = body
            self.register_buffer("scale", torch.tensor([0.1, 5.0, 5.0]).view(3, 1, 1))

        def forward(self, x: Tensor) -> Tensor:
            return self.body(x.squeeze(0) * self.scale).reshape(1, -1)

    network = Alone().eval()
    report = it.lipschitz_report(network, (3, 3, 5), semidefinite=True)
    points = torch.rand(8, 3, 3, 5, generator=torch.Generator().manual_seed(0))
    true = max(dense_norm(network.double(), (3, 3, 5), one) for one in points.double())
    network.float()
    assert true <= report.upper < math.inf


@pytest.mark.parametrize(
    "moved",
    [
        lambda h: h.transpose(2, 3), lambda h: h.flip(3), lambda h: h.roll(1, 2),
        lambda h: h.permute(0, 1, 3, 2).contiguous(), lambda h: h.rot90(1, (2, 3)),
    ],
)  # fmt: skip
def test_numbers_that_change_places_do_not_cancel(
    moved: Callable[[Tensor], Tensor],
) -> None:
    class Apart(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            h = 2 * x
            return (moved(h) - 2 * x).flatten(1)

    report = it.lipschitz_report(Apart().eval(), SHAPE, semidefinite=False)
    true = dense_norm(lambda x: Apart()(x), SHAPE)
    assert 0 < true <= report.upper <= 1.1 * true


@pytest.mark.parametrize("extra", [0, 1])
@pytest.mark.parametrize("padding", [0, 1])
def test_the_output_that_a_transposed_convolution_pads_counts(extra: int, padding: int) -> None:
    for seed in range(12):
        torch.manual_seed(seed)
        layer = nn.ConvTranspose2d(1, 1, 3, 2, padding, output_padding=extra)
        network = nn.Sequential(layer, nn.Flatten()).eval()
        report = it.lipschitz_report(network, (1, 2, 2), semidefinite=False)
        true = dense_norm(network.double(), (1, 2, 2))
        assert true <= report.upper * (1 + 1e-9) <= 1.05 * true


def test_a_scaled_difference_the_other_way_round_is_scaled_on_the_right_side() -> None:
    report = it.lipschitz_report(Body(lambda h: torch.rsub(torch.ones(16), h, alpha=0.5)), SHAPE)
    plain = it.lipschitz_report(Body(lambda h: h - torch.ones(16)), SHAPE)
    assert report.upper == pytest.approx(plain.upper, rel=1e-6)


def test_what_takes_part_without_a_gradient_counts() -> None:
    class Stopped(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            h = x.flatten(1)
            return torch.nn.functional.avg_pool1d((h + h.detach() * 2).unsqueeze(1), 2).squeeze(1)

    report = it.lipschitz_report(Stopped().eval(), SHAPE)
    assert report.upper == pytest.approx(3 / math.sqrt(2), rel=1e-6)
    assert report.lower == pytest.approx(3 / math.sqrt(2), rel=1e-3)


NAMED = (
    ("torch.rsub", "h, 1, 2"), ("torch.max_pool1d", "h, 2, 1"), ("torch.lerp", "h, h, c"),
    ("torch.cummax", "h, 1"),
    ("torch.logcumsumexp", "h, 1"), ("torch.std", "h, 1"), ("torch.var", "h, 1"),
    ("torch.topk", "h, 2, 1"), ("torch.kthvalue", "h, 2, 1"),
    ("torch.clamp", "h, -0.3, 0.4"), ("torch.atan2", "h, tanh h"), ("torch.nn.functional.glu", "h"),
    ("torch.bucketize", "h, c"), ("torch.nn.functional.lp_pool2d",
    "image, 2, 2, 2"), ("torch.nn.functional.scaled_dot_product_attention",
    "tokens, tokens, tokens"), ("torch.scatter_add", "h, 1, places of h, h"),
    ("torch.index_fill", "h, 1, places, 0.5"), ("torch.bitwise_and", "h > 0, h < 0.3"),
)  # fmt: skip


def test_every_operation_is_bounded_infinite_or_refused() -> None:
    warnings.simplefilter("ignore")
    known = functions()
    chosen = [(f"{n}({c})", functools.partial(Around, known[n], c)) for n, c in NAMED]
    wrong = {}
    for number, (name, make) in enumerate([*chosen, *itertools.islice(networks(5), 16)]):
        became = verdict(make, it.Box(0.0, 1.0) if number % 2 else None)
        if became not in ("bounded", "unbounded", "refused"):
            wrong[name] = became
    assert not wrong


class _InBatch(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return functional.batch_norm(x, None, None, training=True)


OF_BATCHES = {
    "without statistics": nn.BatchNorm2d(3, track_running_stats=False),
    "synchronised": nn.SyncBatchNorm(3, track_running_stats=False),
    "a function": _InBatch(),
}


@pytest.mark.parametrize("kind", OF_BATCHES)
def test_statistics_of_the_batch_are_named_as_what_mixes_images(kind: str) -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(1, 3, 2), OF_BATCHES[kind], nn.Flatten(), nn.Linear(27, 2))
    report = it.lipschitz_report(network.eval(), (1, 4, 4))
    assert report.upper == math.inf
    assert not report.guaranteed
    (note,) = (layer.note for layer in report.layers if math.isinf(layer.upper))
    assert note.startswith("1")
    assert "mixes the images of a batch" in note
    assert "running statistics" in note
    with pytest.raises(it.InputError, match="mixes the images of a batch at"):
        it.certify(network, torch.rand(2, 1, 4, 4), torch.zeros(2, dtype=torch.int64))


def test_instance_norm_by_statistics_of_training_is_bounded_as_a_function_too() -> None:
    class Norm(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            mean, variance = x.new_zeros(3), x.new_full((3,), 0.0625)
            return functional.instance_norm(x, mean, variance, use_input_stats=False, eps=0.0)

    report = it.lipschitz_report(nn.Sequential(Norm()).eval(), (3, 4, 4))
    assert 4.0 <= report.upper < 4.0001
    assert report.lower == pytest.approx(4.0, rel=1e-6)

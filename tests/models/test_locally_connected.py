"""The untied layer against convolutions, `unfold` + `einsum`, and numerical gradients."""

import math

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.autograd import forward_ad, gradcheck, gradgradcheck
from torch.nn.functional import conv2d, conv_transpose2d, unfold

from intriguing.errors import InputError
from intriguing.models import tiles
from intriguing.models.locally_connected import (
    LocallyConnected2d,
    locally_connected2d,
    locally_connected_transpose2d,
)


def unfolded(x: Tensor, weight: Tensor, stride: tuple[int, int]) -> Tensor:
    """The usual recipe: every field as a column, then one product a place."""
    rows, columns, maps, height, width, _ = weight.shape
    size = (rows - 1) * stride[0] + height, (columns - 1) * stride[1] + width
    fields = unfold(x[:, :, : size[0], : size[1]], (height, width), stride=stride)
    filters = weight.permute(0, 1, 2, 5, 3, 4).reshape(rows * columns, maps, -1)
    return torch.einsum("bkp,pmk->bmp", fields, filters).view(len(x), maps, rows, columns)


sizes = st.integers(1, 4)


@settings(max_examples=40, deadline=None)
@example(2, 2, 2, (3, 3), (1, 1), (11, 11), (1, 1), 1 << 20, 0)  # 3×8 tiles after 8×3
@given(
    batch=st.integers(1, 3), channels=st.integers(1, 3), maps=st.integers(1, 3),
    field=st.tuples(sizes, sizes), stride=st.tuples(sizes, sizes),
    outputs=st.tuples(st.integers(1, 11), st.integers(1, 11)), more=st.tuples(sizes, sizes),
    work=st.sampled_from([1, 4000, 1 << 20]), seed=st.integers(0, 99),
)  # fmt: skip
def test_equals_unfold_and_einsum_with_gradients(
    batch: int, channels: int, maps: int, field: tuple[int, int], stride: tuple[int, int],
    outputs: tuple[int, int], more: tuple[int, int], work: int, seed: int,
) -> None:  # fmt: skip
    """Any size, tile and work memory, the input larger than what is seen included."""
    generator = torch.Generator().manual_seed(seed)
    size = [(outputs[i] - 1) * stride[i] + field[i] + more[i] - 1 for i in (0, 1)]
    x = torch.randn(batch, channels, *size, generator=generator, dtype=torch.float64)
    weight = torch.randn(*outputs, maps, *field, channels, generator=generator, dtype=torch.float64)
    found, true = [], []
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(tiles.WORK, "cpu", work)
        for function, kept in ((locally_connected2d, found), (unfolded, true)):
            leaves = x.clone().requires_grad_(), weight.clone().requires_grad_()
            y = function(*leaves, stride)
            kept += [y, *torch.autograd.grad(y.square().sum(), leaves)]
    for ours, theirs in zip(found, true, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("field", "stride"), [(5, 1), (4, 2), (3, 3), ((2, 5), (3, 1))])
def test_equals_a_convolution_when_weights_are_tied(field: object, stride: object) -> None:
    generator = torch.Generator().manual_seed(0)
    layer = LocallyConnected2d(3, 4, (17, 14), field, stride, dtype=torch.float64)  # type: ignore[arg-type]
    kernel = torch.randn(4, 3, *layer.field, generator=generator, dtype=torch.float64)
    with torch.no_grad():
        layer.weight.copy_(kernel.permute(0, 2, 3, 1).expand_as(layer.weight))
    x = torch.randn(2, 3, 17, 14, generator=generator, dtype=torch.float64)
    y = layer(x)
    torch.testing.assert_close(y, conv2d(x, kernel, stride=layer.stride), rtol=1e-12, atol=1e-12)
    back = locally_connected_transpose2d(y, layer.weight, (17, 14), layer.stride)
    true = conv_transpose2d(y, kernel, stride=layer.stride)
    torch.testing.assert_close(
        back[:, :, : true.shape[2], : true.shape[3]], true, rtol=1e-12, atol=1e-12
    )
    assert not back[:, :, true.shape[2] :].any()


def test_derivatives_of_first_and_second_order_both_ways() -> None:
    generator = torch.Generator().manual_seed(0)

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64, requires_grad=True)

    x, y, weight = draw(2, 2, 7, 6), draw(2, 3, 3, 2), draw(3, 2, 3, 2, 3, 2)

    def filtered(x: Tensor, w: Tensor) -> Tensor:
        return locally_connected2d(x, w, (2, 3))

    def transposed(y: Tensor, w: Tensor) -> Tensor:
        return locally_connected_transpose2d(y, w, (7, 6), (2, 3))

    for function, inputs in ((filtered, (x, weight)), (transposed, (y, weight))):
        assert gradcheck(function, inputs, check_forward_ad=True)
        assert gradgradcheck(function, inputs)


def test_the_transpose_is_the_adjoint() -> None:
    """⟨F(x), y⟩ = ⟨x, A(y)⟩."""
    generator = torch.Generator().manual_seed(0)
    layer = LocallyConnected2d(2, 3, (23, 19), 6, dtype=torch.float64)
    x = torch.randn(3, 2, 23, 19, generator=generator, dtype=torch.float64)
    y = torch.randn(3, 3, *layer.outputs, generator=generator, dtype=torch.float64)
    one = (layer(x) * y).sum()
    other = (x * locally_connected_transpose2d(y, layer.weight, (23, 19))).sum()
    torch.testing.assert_close(one, other, rtol=1e-12, atol=0)


def test_forward_mode_reaches_through_it() -> None:
    layer = LocallyConnected2d(1, 2, (8, 8), 3, dtype=torch.float64)
    x, direction = torch.rand(2, 2, 1, 8, 8, dtype=torch.float64)
    with forward_ad.dual_level():
        pushed = forward_ad.unpack_dual(layer(forward_ad.make_dual(x, direction))).tangent
    assert pushed is not None
    torch.testing.assert_close(pushed, layer(direction))


def test_work_memory_keeps_within_its_plan() -> None:
    """200×200 pixels of three channels, 18×18 fields: an im2col would be 125 MiB an image."""
    layout = tiles.Layout((183, 183), (18, 18), (1, 1), 8, 3)
    for batch in (1, 16, 256):
        assert layout.work_bytes(batch) <= tiles.WORK["cpu"]
    covered = torch.zeros(183, 183)
    for chunk in layout.chunks(16, 4, tiles.WORK["cpu"]):
        covered[chunk.outputs] += 1
    assert bool((covered == 1).all())


def test_a_seed_draws_the_same_weights_by_rows() -> None:
    """A band of rows drawn alone, as a device does that owns it, is the whole layer's band."""
    whole = LocallyConnected2d(1, 2, (9, 8), 3)
    whole.reset_parameters(torch.Generator().manual_seed(3))
    generator = torch.Generator().manual_seed(3)
    band = LocallyConnected2d(1, 2, (5, 8), 3)
    band.reset_parameters(generator)
    assert torch.equal(whole.weight[:3], band.weight)
    assert abs(float(whole.weight.detach().var()) * 9 - 1) < 0.2


def test_bias_is_untied_too() -> None:
    layer = LocallyConnected2d(1, 2, (4, 4), 3, bias=True)
    with torch.no_grad():
        assert layer.bias is not None
        layer.bias.copy_(torch.arange(8.0).view(2, 2, 2))
    zero = layer(torch.zeros(1, 1, 4, 4))
    assert torch.equal(zero[0].permute(1, 2, 0), torch.arange(8.0).view(2, 2, 2))


@pytest.mark.parametrize(
    ("action", "text"),
    [
        (lambda: LocallyConnected2d(1, 1, (4, 4), 5), "do not fit"),
        (lambda: LocallyConnected2d(1, 0, (4, 4), 2), "at least 1"),
        (lambda: LocallyConnected2d(1, 1, (4, 4), 2)(torch.zeros(1, 1, 5, 5)), "resize or crop"),
        (lambda: locally_connected2d(torch.zeros(1, 2, 9, 9), torch.zeros(2, 2, 1, 3, 3, 1)),
         "needs 1 channels"),
        (lambda: locally_connected2d(torch.zeros(1, 1, 3, 3), torch.zeros(2, 2, 1, 3, 3, 1)),
         "need inputs of 4×4"),
        (lambda: locally_connected2d(torch.zeros(1, 1, 9, 9).double(),
                                     torch.zeros(2, 2, 1, 3, 3, 1)), "x.to"),
        (lambda: locally_connected_transpose2d(torch.zeros(1, 1, 2, 2),
                                               torch.zeros(2, 2, 1, 3, 3, 1), (3, 3)), "beyond"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_named(action: object, text: str) -> None:
    with pytest.raises(InputError, match=text):
        action()  # type: ignore[operator]


def test_nothing_is_allocated_on_the_meta_device() -> None:
    layer = LocallyConnected2d(3, 8, (200, 200), 18, device="meta")
    assert layer.weight.numel() == 183 * 183 * 8 * math.prod((18, 18, 3))

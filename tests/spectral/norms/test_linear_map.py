"""Compositions, sums and stacks of linear maps, against the same written out in float64."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from intriguing.errors import InputError
from intriguing.spectral.norms.convolution_layer import Convolution, read_convolution
from intriguing.spectral.norms.linear_map import (
    Diagonal,
    Matrix,
    composed,
    negative,
    norm_of,
    stacked,
    summed,
)
from tests.oracles.dense_jacobian import dense_norm


def drawn(generator: torch.Generator, size: int, stride: int) -> Convolution:
    def draw(choices: int) -> int:
        return int(torch.randint(choices, (), generator=generator))

    kernel, dilation = 1 + draw(4), 1 + draw(2)
    padding: tuple[int, int] | str = (draw(4),) * 2
    if stride == 1 and draw(3) == 0:
        padding = "same"
    groups = 2 if draw(3) == 0 else 1
    weight = torch.randn(2, 4 // groups, kernel, kernel, generator=generator, dtype=torch.float64)
    return read_convolution(
        weight, stride=stride, padding=padding, dilation=dilation, groups=groups,
        input_size=(size, size),
    )  # fmt: skip


def applied(layer: Convolution, x: Tensor) -> Tensor:
    pads = [side for pair in reversed(layer.padding) for side in pair]
    return functional.conv2d(
        functional.pad(x, pads), layer.weight, stride=layer.stride, dilation=layer.dilation,
        groups=layer.groups,
    )  # fmt: skip


@pytest.mark.filterwarnings("ignore:Using padding='same'")
def test_kernels_laid_over_each_other_lose_no_output() -> None:
    generator = torch.Generator().manual_seed(0)
    compared = 0
    for _ in range(300):
        size = 4 + int(torch.randint(5, (), generator=generator))
        stride = 1 + int(torch.randint(2, (), generator=generator))
        x = torch.zeros(1, 4, size, size, dtype=torch.float64)
        try:
            first, second = drawn(generator, size, stride), drawn(generator, size, stride)
            fits = applied(first, x).shape == applied(second, x).shape
        except InputError:  # the kernel is larger than the image
            continue
        if not fits:
            continue
        compared += 1
        both, total, less = (
            stacked((first, second)),
            summed(first, second, x.shape),
            summed(first, negative(second), x.shape),
        )
        assert both is not None
        assert total is not None
        assert less is not None
        one, two = (lambda v, c=c: applied(c, v) for c in (first, second))
        shape = (4, size, size)
        for map, function in (
            (both, lambda v: torch.cat([one(v), two(v)], 1)),  # noqa: B023
            (total, lambda v: one(v) + two(v)),  # noqa: B023
            (less, lambda v: one(v) - two(v)),  # noqa: B023
        ):
            true = dense_norm(function, shape)
            assert true <= norm_of(map) <= 1.3 * true
    assert compared > 40


def test_scales_are_composed_with_their_layers() -> None:
    torch.manual_seed(0)
    for layer in (
        nn.Conv2d(4, 6, 3, groups=2, padding=1), nn.ConvTranspose2d(4, 6, 3, groups=2, stride=2),
    ):  # fmt: skip
        layer = layer.double()
        map = read_convolution(
            layer.weight.detach(), stride=layer.stride, padding=layer.padding, groups=2,
            input_size=(5, 5), transposed=isinstance(layer, nn.ConvTranspose2d),
        )  # fmt: skip
        into = torch.randn(1, 4, 1, 1, dtype=torch.float64)
        out = torch.randn(1, 6, 1, 1, dtype=torch.float64)
        between = torch.Size((1, 4, 5, 5))
        before = composed(map, Diagonal(into), between)
        assert before is not None
        true = dense_norm(lambda v, layer=layer, into=into: layer(v * into), (4, 5, 5))
        assert true <= norm_of(before) <= 1.2 * true
        after = composed(Diagonal(out), map, layer(torch.zeros(between).double()).shape)
        assert after is not None
        true = dense_norm(lambda v, layer=layer, out=out: layer(v) * out, (4, 5, 5))
        assert true <= norm_of(after) <= 1.2 * true


def test_matrices_and_diagonals() -> None:
    torch.manual_seed(0)
    weight, other = torch.randn(3, 5).double(), torch.randn(4, 3).double()
    scale = torch.randn(1, 5).double()
    whole = composed(Matrix(other), Matrix(weight), torch.Size((1, 3)))
    assert isinstance(whole, Matrix)
    torch.testing.assert_close(whole.weight, other @ weight)
    scaled = composed(Matrix(weight), Diagonal(scale), torch.Size((1, 5)))
    assert isinstance(scaled, Matrix)
    torch.testing.assert_close(scaled.weight, weight * scale)
    square = Matrix(torch.randn(5, 5).double())
    plus = summed(square, Diagonal(scale), torch.Size((1, 5)))
    assert isinstance(plus, Matrix)
    torch.testing.assert_close(plus.weight, square.weight + torch.diag(scale[0]))

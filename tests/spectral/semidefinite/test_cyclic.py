import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional

from intriguing.spectral.norms.explicit_matrix import explicit_matrix
from intriguing.spectral.semidefinite.chain import (
    ChainBound,
    Convolution,
    Dense,
    Flatten,
    Layer,
    Pool,
    SemidefiniteConfig,
    Slope,
    chain_bound,
)
from intriguing.spectral.semidefinite.cyclic import kept_frequencies, lattices, rows, symbol
from intriguing.spectral.semidefinite.ellipsoid import Linear

RELU = Slope(0.0, 1.0)
BY_FREQUENCY = SemidefiniteConfig(dense_units=0)
BY_UNIT = SemidefiniteConfig(dense_units=10**6)


def dense(convolution: Convolution) -> Tensor:
    return explicit_matrix(convolution.ungrouped())[0]


@st.composite
def convolutions(draw: st.DrawFn, axes: int = 1) -> Convolution:
    groups = draw(st.sampled_from([1, 1, 2]))
    kernel = [draw(st.integers(1, 4)) for _ in range(axes)]
    dilation = tuple(draw(st.integers(1, 2)) for _ in range(axes))
    padding = tuple((draw(st.integers(0, 3)), draw(st.integers(0, 3))) for _ in range(axes))
    size = tuple(
        max(draw(st.integers(1, 7)), d * (k - 1) + 1 - sum(pad))
        for k, d, pad in zip(kernel, dilation, padding, strict=True)
    )
    generator = torch.Generator().manual_seed(draw(st.integers(0, 999)))
    weight = torch.randn(2 * groups, 2, *kernel, generator=generator, dtype=torch.float64)
    stride = tuple(draw(st.integers(1, 3)) for _ in range(axes))
    return Convolution(weight, stride, padding, dilation, groups, size)


def frequencies(lattice: tuple[int, ...]) -> Tensor:
    """The kept frequencies in their order: the first of each conjugate pair."""
    every = torch.cartesian_prod(*(torch.arange(size) for size in lattice))
    every = every.reshape(-1, len(lattice))
    seen, kept = set(), []
    for frequency in every.tolist():
        mirrored = tuple(-f % n for f, n in zip(frequency, lattice, strict=True))
        if mirrored not in seen:
            seen.add(tuple(frequency))
            kept.append(frequency)
    return torch.tensor(kept)


def transform(images: Tensor, lattice: tuple[int, ...]) -> Tensor:
    """The unitary transform of (batch, channels, *size), placed on a lattice, where it is kept."""
    axes = tuple(range(2, 2 + len(lattice)))
    pads = [
        side
        for size, whole in reversed(list(zip(images.shape[2:], lattice, strict=True)))
        for side in (0, whole - size)
    ]
    whole = torch.fft.fftn(functional.pad(images, pads), dim=axes, norm="ortho")
    return whole[(slice(None), slice(None), *frequencies(lattice).unbind(1))]


def applied(step: Linear, spectrum: Tensor) -> Tensor:
    """The step on a spectrum (batch, channels, frequencies)."""
    assert step.source is not None
    gathered = spectrum[:, :, step.source]
    if step.flipped is not None:
        gathered = torch.where(step.flipped, gathered.conj(), gathered)
    return torch.einsum("faoi,bifa->bof", step.weight, gathered)


@settings(max_examples=40, deadline=None)
@given(convolutions())
def test_symbols_are_the_zero_padded_convolution_on_its_own_positions(
    convolution: Convolution,
) -> None:
    entering, leaving = lattices([convolution])
    draw = torch.Generator().manual_seed(0)
    shape = (3, convolution.in_channels, *convolution.input_size)
    images = torch.randn(shape, generator=draw, dtype=torch.float64)
    step = symbol(convolution, entering, leaving)
    output = applied(step, transform(images, entering))
    # Back from the kept frequencies: a conjugate for each that is not, then one real inverse.
    whole = torch.zeros(*output.shape[:2], leaving[0], dtype=torch.complex128)
    kept = frequencies(leaving)[:, 0]
    whole[:, :, -kept % leaving[0]] = output.conj()
    whole[:, :, kept] = output
    size = convolution.output_size[0]
    cyclic = torch.fft.ifft(whole, norm="ortho").real[:, :, :size]
    (before, after), matrix = convolution.padding[0], dense(convolution)
    exact = (images.flatten(1) @ matrix.T).reshape(cyclic.shape)
    torch.testing.assert_close(cyclic, exact, rtol=1e-11, atol=1e-11)
    padded = functional.conv1d(
        functional.pad(images, (before, after)),
        convolution.weight,
        stride=convolution.stride,
        dilation=convolution.dilation,
        groups=convolution.groups,
    )
    torch.testing.assert_close(exact, padded, rtol=1e-11, atol=1e-11)
    assert bool((step.weight.abs() <= step.magnitude * (1 + 1e-12)).all())


def test_rows_read_an_image_through_its_spectrum() -> None:
    draw = torch.Generator().manual_seed(1)
    weight = torch.randn(5, 2 * 3 * 4, generator=draw, dtype=torch.float64)
    images = torch.randn(6, 2, 3, 4, generator=draw, dtype=torch.float64)
    lattice = (5, 6)
    step = rows(weight, 2, (3, 4), lattice)
    assert kept_frequencies(lattice) == len(frequencies(lattice)) == step.weight.shape[1]
    assert step.source is not None
    spectrum = transform(images, lattice)[:, :, step.source[0]]
    # A frequency that stands for two is weighted by √2 here, and by another √2 in its spectrum.
    alone = (2 * frequencies(lattice) % torch.tensor(lattice) == 0).all(1)
    doubled = torch.where(alone, 1.0, torch.tensor(2.0, dtype=torch.float64).sqrt())
    found = torch.einsum("aoi,bia->bo", step.weight[0], spectrum * doubled).real
    torch.testing.assert_close(found, images.flatten(1) @ weight.T, rtol=1e-11, atol=1e-11)


@settings(max_examples=40, deadline=None)
@given(convolutions(axes=2))
def test_one_convolution_is_at_least_its_dense_norm(convolution: Convolution) -> None:
    exact = float(torch.linalg.matrix_norm(dense(convolution), 2))
    assert chain_bound([convolution], config=BY_FREQUENCY).upper >= exact
    by_unit = chain_bound([convolution], config=BY_UNIT).upper
    assert exact <= by_unit <= exact * (1 + 1e-8)


@settings(max_examples=15, deadline=None)
@given(st.data())
def test_chains_of_convolutions_bound_every_activation_pattern(data: st.DataObject) -> None:
    first = data.draw(convolutions())
    kernel, stride = data.draw(st.integers(1, 3)), data.draw(st.integers(1, 2))
    pad = data.draw(st.integers(0, 2))
    size = first.output_size
    if size[0] + 2 * pad < kernel:
        kernel = 1
    draw = torch.Generator().manual_seed(data.draw(st.integers(0, 999)))
    weight = torch.randn(3, len(first.weight), kernel, generator=draw, dtype=torch.float64)
    second = Convolution(weight, (stride,), ((pad, pad),), (1,), 1, size)
    low, high = data.draw(st.sampled_from([(0.0, 1.0), (0.2, 1.0), (-0.13, 1.13), (0.5, 0.5)]))
    units = 3 * second.output_size[0]
    last = torch.randn(2, units, generator=draw, dtype=torch.float64)
    slope = Slope(low, high)
    layers: list[Layer] = [first, slope, second, slope, Flatten(), Dense(last)]
    bound = chain_bound(layers, torch.eye(2), config=BY_FREQUENCY)
    finer = chain_bound(layers, config=BY_UNIT)
    matrices = dense(first), dense(second)
    for _ in range(30):
        slopes = [
            low + (high - low) * torch.randint(2, (len(m),), generator=draw) for m in matrices
        ]
        product = last @ (slopes[1][:, None] * matrices[1]) @ (slopes[0][:, None] * matrices[0])
        reached = float(torch.linalg.matrix_norm(product, 2))
        assert reached <= bound.upper
        assert reached <= finer.upper
        assert bound.pairs is not None
        assert bool((product.norm(dim=1) <= bound.pairs).all())
    assert bound.upper <= bound.product


def images_network(pool: nn.Module) -> nn.Sequential:
    torch.manual_seed(3)
    return nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1), nn.ReLU(), pool,
        nn.Conv2d(4, 6, 3, padding=1, stride=2), nn.LeakyReLU(0.1),
        nn.Flatten(), nn.Linear(24, 8), nn.ReLU(), nn.Linear(8, 3),
    ).double().eval()  # fmt: skip


def as_layers(network: nn.Sequential, pool: Layer) -> list[Layer]:
    def plane(layer: nn.Module, stride: int, size: int) -> Convolution:
        pads = ((1, 1), (1, 1))
        weight = layer.weight.detach()
        assert isinstance(weight, Tensor)
        return Convolution(weight, (stride, stride), pads, (1, 1), 1, (size, size))

    matrices = [layer.weight.detach() for layer in network if isinstance(layer, nn.Linear)]
    return [
        plane(network[0], 1, 8), RELU, pool, plane(network[3], 2, 4), Slope(0.1, 1.0),
        Flatten(), Dense(matrices[0]), RELU, Dense(matrices[1]),
    ]  # fmt: skip


POOLS = [
    (nn.MaxPool2d(2), Pool(1.0, (4, 4))),
    (nn.MaxPool2d(3, stride=2, padding=1), Pool(2.0, (4, 4))),
    (
        nn.AvgPool2d(2),
        Convolution(
            torch.full((4, 1, 2, 2), 0.25), (2, 2), ((0, 0), (0, 0)), (1, 1), 4, (8, 8)
        ),
    ),
    (
        nn.AvgPool2d(3, stride=2, padding=1),
        Convolution(
            torch.full((4, 1, 3, 3), 1 / 9, dtype=torch.float64),
            (2, 2), ((1, 1), (1, 1)), (1, 1), 4, (8, 8),
        ),
    ),
]  # fmt: skip


@pytest.mark.parametrize(("pool", "layer"), POOLS)
@pytest.mark.parametrize("config", [BY_FREQUENCY, BY_UNIT], ids=["frequency", "unit"])
def test_bounds_the_jacobians_of_torch_networks(
    pool: nn.Module, layer: Layer, config: SemidefiniteConfig
) -> None:
    network = images_network(pool)
    layers = as_layers(network, layer)
    differences = torch.tensor([[1.0, -1.0, 0.0], [0.0, 1.0, -1.0]])
    bound = chain_bound(layers, differences, config=config)
    assert bound.upper < 0.9 * bound.product
    assert_bounds(network, bound, differences)


def assert_bounds(network: nn.Sequential, bound: ChainBound, differences: Tensor) -> None:
    draw = torch.Generator().manual_seed(4)
    for scale in (0.1, 1.0, 10.0) * 5:
        image = scale * torch.randn(1, 2, 8, 8, generator=draw, dtype=torch.float64)
        jacobian = torch.autograd.functional.jacobian(network, image).reshape(3, -1)
        assert float(torch.linalg.matrix_norm(jacobian, 2)) <= bound.upper
        assert bound.pairs is not None
        assert bool(((differences.double() @ jacobian).norm(dim=1) <= bound.pairs).all())


def test_an_all_convolutional_network_ends_in_its_channels() -> None:
    draw = torch.Generator().manual_seed(5)
    first = torch.randn(4, 2, 3, 3, generator=draw, dtype=torch.float64)
    second = torch.randn(3, 4, 3, 3, generator=draw, dtype=torch.float64)
    ones = ((1, 1), (1, 1))
    average = torch.full((3, 1, 8, 8), 1 / 64, dtype=torch.float64)
    layers: list[Layer] = [
        Convolution(first, (1, 1), ones, (1, 1), 1, (8, 8)), RELU,
        Convolution(second, (1, 1), ones, (1, 1), 1, (8, 8)), RELU,
        Convolution(average, (1, 1), ((0, 0), (0, 0)), (1, 1), 3, (8, 8)), Flatten(),
    ]  # fmt: skip
    bound = chain_bound(layers, torch.eye(3), config=BY_FREQUENCY)
    assert bound.refined == 3
    image = torch.randn(1, 2, 8, 8, generator=draw, dtype=torch.float64)
    network = nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1, bias=False), nn.ReLU(),
        nn.Conv2d(4, 3, 3, padding=1, bias=False), nn.ReLU(), nn.AvgPool2d(8), nn.Flatten(),
    ).double()  # fmt: skip
    with torch.no_grad():
        network[0].weight.copy_(first)
        network[2].weight.copy_(second)
    jacobian = torch.autograd.functional.jacobian(network, image).reshape(3, -1)
    assert float(torch.linalg.matrix_norm(jacobian, 2)) <= bound.upper < bound.product
    assert bound.pairs is not None
    assert bool((jacobian.norm(dim=1) <= bound.pairs).all())


def test_wide_rows_fall_back_to_one_number_a_channel(monkeypatch: pytest.MonkeyPatch) -> None:
    network = images_network(nn.MaxPool2d(2))
    layers = as_layers(network, Pool(1.0, (4, 4)))
    monkeypatch.setattr("intriguing.spectral.semidefinite.steps.ROW_ENTRIES", 0)
    differences = torch.tensor([[1.0, -1.0, 0.0]])
    bound = chain_bound(layers, differences, config=BY_FREQUENCY)
    assert bound.upper < bound.product
    assert_bounds(network, bound, differences)


@pytest.mark.parametrize("axes", [1, 3])
def test_any_number_of_axes(axes: int) -> None:
    draw = torch.Generator().manual_seed(6)
    kernel, size = (3,) * axes, (4,) * axes
    first = torch.randn(2, 1, *kernel, generator=draw, dtype=torch.float64)
    second = torch.randn(2, 2, *kernel, generator=draw, dtype=torch.float64)
    pads = ((1, 1),) * axes
    ones = (1,) * axes
    planes = [Convolution(weight, ones, pads, ones, 1, size) for weight in (first, second)]
    last = torch.randn(3, 2 * math.prod(size), generator=draw, dtype=torch.float64)
    bound = chain_bound(
        [planes[0], RELU, planes[1], RELU, Flatten(), Dense(last)], config=BY_FREQUENCY
    )
    everything_on = float(torch.linalg.matrix_norm(last @ dense(planes[1]) @ dense(planes[0]), 2))
    assert everything_on <= bound.upper < bound.product

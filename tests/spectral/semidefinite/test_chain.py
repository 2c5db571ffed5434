import itertools

import numpy as np
import pytest
import torch
from torch import Tensor

from intriguing.errors import InputError
from intriguing.measures import Progress
from intriguing.spectral.semidefinite.chain import (
    Convolution,
    Dense,
    Flatten,
    Layer,
    Pool,
    SemidefiniteConfig,
    Slope,
    chain_bound,
    chain_product,
)
from intriguing.spectral.semidefinite.multiplier_search import Search
from tests.oracles.lipsdp import best_bound, patterns_bound

RELU = (0.0, 1.0)
SLOPES = [RELU, (0.1, 1.0), (-0.13, 1.13), (0.0, 0.25), (-1.0, 1.0), (0.3, 0.9), (-2.0, 0.5)]


def weights(sizes: tuple[int, ...], seed: int) -> list[Tensor]:
    draw = torch.Generator().manual_seed(seed)
    return [
        torch.randn(out, into, generator=draw, dtype=torch.float64) * (2.0 / into) ** 0.5
        for into, out in itertools.pairwise(sizes)
    ]


def network(matrices: list[Tensor], slope: tuple[float, float] = RELU) -> list[Layer]:
    layers: list[Layer] = []
    for matrix in matrices:
        layers += [Dense(matrix), Slope(*slope)]
    return layers[:-1]


def all_pairs(classes: int) -> Tensor:
    unit = torch.eye(classes, dtype=torch.float64)
    return torch.stack([unit[i] - unit[j] for i, j in itertools.combinations(range(classes), 2)])


@pytest.mark.parametrize("slope", SLOPES)
@pytest.mark.parametrize(
    ("sizes", "seed"), [((5, 8, 3), 0), ((6, 7, 9, 3), 1), ((3, 9, 2, 8, 4), 2)]
)
def test_is_between_what_patterns_reach_and_the_product(
    sizes: tuple[int, ...], seed: int, slope: tuple[float, float]
) -> None:
    matrices = weights(sizes, seed)
    pairs = all_pairs(sizes[-1])
    bound = chain_bound(network(matrices, slope), pairs)
    arrays = [matrix.numpy() for matrix in matrices]
    draw = np.random.default_rng(seed)
    reached = patterns_bound(arrays[:-1], arrays[-1], *slope, draw)
    assert reached <= bound.upper <= bound.product
    assert bound.product <= chain_product(network(matrices, slope))
    assert bound.pairs is not None
    assert bound.refined == len(pairs)
    for difference, upper in zip(pairs, bound.pairs.tolist(), strict=True):
        row = difference.numpy()[None] @ arrays[-1]
        assert patterns_bound(arrays[:-1], row, *slope, draw) <= upper
        assert upper <= 2**0.5 * bound.upper * (1 + 1e-8)


@pytest.mark.parametrize("slope", [RELU, (0.1, 1.0), (-0.13, 1.13)])
@pytest.mark.parametrize(("sizes", "seed"), [((3, 3, 2), 3), ((2, 4, 1), 4), ((3, 2, 2, 2), 5)])
def test_reaches_the_optimum_of_the_semidefinite_program(
    sizes: tuple[int, ...], seed: int, slope: tuple[float, float]
) -> None:
    matrices = weights(sizes, seed)
    arrays = [matrix.numpy() for matrix in matrices]
    bound = chain_bound(network(matrices, slope))
    start = np.full(sum(sizes[1:-1]), 0.3 * bound.product**2)
    optimum = min(
        best_bound(arrays[:-1], arrays[-1], *slope, start * factor) for factor in (0.1, 1.0, 10.0)
    )
    assert bound.upper >= optimum * (1 - 1e-5)
    assert bound.upper <= optimum * 1.003


def test_linear_chains_are_exact() -> None:
    first, second, third = weights((6, 7, 5, 4), 6)
    whole = 0.5 * third @ second @ first
    exact = float(torch.linalg.matrix_norm(whole, 2))
    layers = [Dense(first), Dense(second), Slope(0.5, 0.5), Dense(third)]
    bound = chain_bound(layers, all_pairs(4))
    assert exact <= bound.upper <= exact * (1 + 1e-8)
    lengths = (all_pairs(4) @ whole).norm(dim=1)
    assert bound.pairs is not None
    torch.testing.assert_close(bound.pairs, lengths, rtol=1e-8, atol=0)


def test_a_pair_of_one_hidden_unit_is_exact() -> None:
    inner, outer = weights((5, 1, 3), 7)
    bound = chain_bound(network([inner, outer]), all_pairs(3))
    exact = (all_pairs(3) @ outer).abs()[:, 0] * inner.norm()
    assert bound.pairs is not None
    torch.testing.assert_close(bound.pairs, exact, rtol=1e-6, atol=0)
    assert bool((bound.pairs >= exact).all())


def test_units_that_do_nothing_cost_nothing() -> None:
    first, second = weights((4, 6, 3), 8)
    plain = chain_bound(network([first, second])).upper
    dead = torch.cat([first, torch.zeros(3, 4, dtype=torch.float64), 1e3 * first])
    unread = torch.cat([second, torch.ones(3, 3), torch.zeros_like(second)], 1)
    wider = chain_bound(network([dead, unread])).upper
    assert wider == pytest.approx(plain, rel=3e-3)


def test_a_network_of_zeros_is_constant() -> None:
    zero = torch.zeros(3, 4)
    bound = chain_bound([Dense(torch.ones(4, 2)), Slope(*RELU), Dense(zero)], torch.eye(3))
    assert bound.upper == 0.0
    assert bound.pairs is not None
    assert bound.pairs.tolist() == [0.0, 0.0, 0.0]


def test_scaling_a_layer_scales_the_bound() -> None:
    first, second, third = weights((6, 8, 8, 3), 9)
    plain = chain_bound(network([first, second, third])).upper
    scaled = chain_bound(network([1e4 * first, 1e-7 * second, third])).upper
    assert scaled == pytest.approx(1e-3 * plain, rel=1e-3)


def test_a_smaller_budget_gives_fewer_refined_pairs_and_in_the_end_the_product() -> None:
    layers, pairs = network(weights((6, 16, 16, 5), 10)), all_pairs(5)
    full = chain_bound(layers, pairs)
    some = chain_bound(layers, pairs, config=SemidefiniteConfig(operations=1.5e7))
    none = chain_bound(layers, pairs, config=SemidefiniteConfig(operations=0.0))
    assert full.pairs is not None
    assert some.pairs is not None
    assert none.pairs is not None
    assert full.refined == len(pairs) > some.refined > 0 == none.refined
    assert none.upper == none.product
    assert bool((full.pairs <= some.pairs * 1.01).all())
    assert bool((some.pairs <= none.pairs).all())


def test_a_chain_that_holds_too_much_gets_its_product_before_anything_is_made() -> None:
    layers = network(weights((6, 16, 16, 5), 10))
    bound = chain_bound(layers, torch.eye(5), config=SemidefiniteConfig(numbers=100))
    assert bound.upper == bound.product
    assert bound.refined == 0
    # Matrices of 10^10 numbers are refused from their shapes: nothing here could hold them.
    wide = torch.ones(1, 1).expand(100_000, 3)
    vast = [Dense(wide), Slope(*RELU), Dense(torch.ones(1, 1).expand(3, 100_000))]
    assert not Search(vast, SemidefiniteConfig(), None).affordable


def test_pairs_in_parts_are_the_pairs_at_once() -> None:
    layers, pairs = network(weights((6, 10, 10, 4), 11)), all_pairs(4)
    at_once = chain_bound(layers, pairs).pairs
    in_parts = chain_bound(layers, pairs, config=SemidefiniteConfig(numbers=700)).pairs
    torch.testing.assert_close(at_once, in_parts, rtol=1e-3, atol=0)


def test_tells_how_far_it_is() -> None:
    told: list[Progress] = []
    chain_bound(network(weights((4, 5, 3), 12)), all_pairs(3), progress=told.append)
    assert {report.stage for report in told} == {
        "semidefinite bound",
        "semidefinite bound of pairs",
    }
    assert all(0 < report.done <= report.total for report in told)


def plane(weight: Tensor, **changes: object) -> Convolution:
    options: dict[str, object] = {
        "stride": (1, 1),
        "padding": ((0, 0), (0, 0)),
        "dilation": (1, 1),
        "groups": 1,
        "input_size": (6, 6),
    }
    return Convolution(weight, **(options | changes))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ([], "no layers"),
        ([Dense(torch.ones(3))], "takes a matrix"),
        ([Dense(torch.ones(3, 2)), Dense(torch.ones(2, 4))], "takes \\(4,\\)"),
        ([Slope(1.0, 0.0)], "low ≤ high"),
        ([Slope(0.0, float("inf"))], "finite"),
        ([plane(torch.ones(2, 1, 3, 3)), Dense(torch.ones(2, 32))], "Flatten"),
        ([plane(torch.ones(2, 1, 9, 9))], "does not fit"),
        ([plane(torch.ones(2, 1, 3, 3), stride=(1,))], "one entry an axis"),
        ([plane(torch.ones(3, 1, 3, 3), groups=2)], "groups"),
        ([plane(torch.ones(2, 1, 3, 3)), Pool(1.0, (2,))], "takes \\(channels"),
        ([plane(torch.ones(2, 1, 3, 3)), Pool(float("nan"), (2, 2))], "finite one"),
        ([Dense(torch.full((2, 2), float("nan")))], "not finite"),
    ],
)
def test_refuses_what_is_no_chain(layers: list[Layer], message: str) -> None:
    with pytest.raises(InputError, match=message):
        chain_bound(layers)


def test_refuses_differences_that_do_not_fit_and_impossible_settings() -> None:
    with pytest.raises(InputError, match="do not fit an output of size 3"):
        chain_bound([Dense(torch.ones(3, 2))], torch.eye(2))
    with pytest.raises(InputError, match="falling"):
        SemidefiniteConfig(barriers=(1e-3, 1e-2))
    with pytest.raises(InputError, match="at least 1"):
        SemidefiniteConfig(iterations=0)
    with pytest.raises(InputError, match="at least 0"):
        SemidefiniteConfig(operations=-1.0)


def test_a_large_flattened_image_has_its_pairs_bounded_by_lengths() -> None:
    draw = torch.Generator().manual_seed(14)
    weight = torch.randn(2, 1, 3, 3, generator=draw, dtype=torch.float64)
    size = {"padding": ((1, 1), (1, 1)), "input_size": (32, 32)}
    layers = [plane(weight, **size), Slope(*RELU), Flatten()]
    differences = torch.zeros(1, 2048)
    differences[0, 100], differences[0, 1300] = 1.0, -1.0
    bound = chain_bound(layers, differences)
    assert bound.pairs is not None
    assert bound.pairs.tolist() == pytest.approx([2**0.5 * bound.upper], rel=1e-6)


def test_flatten_may_come_before_the_slopes() -> None:
    draw = torch.Generator().manual_seed(13)
    convolution = plane(torch.randn(3, 1, 3, 3, generator=draw, dtype=torch.float64))
    matrix = Dense(torch.randn(4, 48, generator=draw, dtype=torch.float64))
    relu = Slope(*RELU)
    after = chain_bound([convolution, relu, Flatten(), matrix]).upper
    before = chain_bound([convolution, Flatten(), relu, matrix]).upper
    assert after == before

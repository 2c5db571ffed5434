"""Affine forms against what they enclose: functions of points that the δ and ε make."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from intriguing.graph.affine_form import (
    AffineForm,
    largest_eigenvalue,
    matrix_product,
    product,
)
from intriguing.graph.form_functions import curved, normalised, softmax
from intriguing.graph.interval import Interval

PIXELS, SYMBOLS, POINTS = 5, 4, 200


def form(seed: int, *shape: int, size: float = 0.3, above: float | None = None) -> AffineForm:
    """Of random parts; its numbers stay above one."""
    generator = torch.Generator().manual_seed(seed)

    def random(*sizes: int) -> torch.Tensor:
        return torch.randn(*sizes, generator=generator, dtype=torch.float64)

    made = AffineForm(
        random(*shape), size * random(PIXELS, *shape), size * random(SYMBOLS, *shape) / 2,
        size * random(*shape).abs() / 4,
    )  # fmt: skip
    if above is None:
        return made
    return made.shifted((above - made.centre + made.spread) * (1 + 1e-6) + 1e-3)


def draws(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """δ on the sphere and in it, ε at corners and between."""
    generator = torch.Generator().manual_seed(seed)
    ball = functional.normalize(torch.randn(POINTS, PIXELS, generator=generator).double())
    ball[::3] *= torch.rand(len(ball[::3]), 1, generator=generator).double()
    free = (2 * torch.rand(POINTS, SYMBOLS, generator=generator) - 1).double()
    free[::2] = free[::2].sign()
    return ball, free


def points(one: AffineForm, ball: torch.Tensor, free: torch.Tensor, seed: int) -> torch.Tensor:
    """What the form is for these; of the rest anything."""
    generator = torch.Generator().manual_seed(seed)
    rest = (2 * torch.rand(len(ball), *one.rest.shape, generator=generator) - 1).double().sign()
    moved = torch.einsum("np,p...->n...", ball, one.ball)
    return one.centre + moved + torch.einsum("nk,k...->n...", free, one.free) + rest * one.rest


def missed(made: AffineForm, ball: torch.Tensor, free: torch.Tensor, true: torch.Tensor) -> float:
    """How far the true values are outside at most, where the first ε are known; below 0 inside."""
    known = made.centre + torch.einsum("np,p...->n...", ball, made.ball)
    known = known + torch.einsum("nk,k...->n...", free, made.free[:SYMBOLS])
    return float(((true - known).abs() - made.free[SYMBOLS:].abs().sum(0) - made.rest).max())


FUNCTIONS = {
    "softmax": lambda f: softmax(f, -1),
    "softmax of columns": lambda f: softmax(f, -2),
    "layer norm": lambda f: normalised(f, 1e-5, centred=True),
    "rms norm": lambda f: normalised(f, 0.1, centred=False),
}
TRUE = {
    "softmax": lambda t: t.softmax(-1),
    "softmax of columns": lambda t: t.softmax(-2),
    "layer norm": lambda t: functional.layer_norm(t, t.shape[-1:], eps=1e-5),
    "rms norm": lambda t: t / (t.square().mean(-1, keepdim=True) + 0.1).sqrt(),
}


@pytest.mark.parametrize("name", sorted(FUNCTIONS))
@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([1e-3, 0.03, 0.3, 1.0]), st.integers(2, 6))
def test_rows_lie_in_what_is_made_of_them(name: str, seed: int, size: float, width: int) -> None:
    start = form(seed, 3, width, size=size)
    ball, free = draws(seed)
    made = FUNCTIONS[name](start)
    assert missed(made, ball, free, TRUE[name](points(start, ball, free, seed))) <= 0


def circle(seed: int, *shape: int, size: float) -> tuple[AffineForm, torch.Tensor]:
    """A form of two δ and nothing else, and points all around its ball."""
    start = form(seed, *shape, size=size)
    start = AffineForm(start.centre, start.ball[:2], 0 * start.free[:1], 0 * start.rest)
    turns = torch.linspace(0, 2 * torch.pi, 721, dtype=torch.float64)
    return start, torch.stack([turns.cos(), turns.sin()], 1)


@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_what_is_left_open_of_rows_is_nearly_needed(name: str) -> None:
    """All around, nothing is missed; and of some forms much of the room is taken."""
    used = []
    for seed in range(60):
        start, ball = circle(seed, 3, 3, size=(0.03, 0.1, 0.3, 0.8)[seed % 4])
        made = FUNCTIONS[name](start)
        true = TRUE[name](start.centre + torch.einsum("np,p...->n...", ball, start.ball))
        apart = (true - made.centre - torch.einsum("np,p...->n...", ball, made.ball)).abs()
        assert bool((apart <= made.beyond).all())
        used.append(float((apart.amax(0) / made.beyond).max()))
    assert max(used) > 0.6


def test_what_is_left_open_of_a_matrix_product_is_nearly_needed() -> None:
    used = []
    for seed in range(60):
        (first, ball), (second, _) = circle(seed, 1, 3, size=0.3), circle(seed + 99, 3, 1, size=0.3)
        if seed % 2:
            second = AffineForm(second.centre, first.ball.mT, second.free, second.rest)
        made = matrix_product(first, second)
        factors = (f.centre + torch.einsum("np,p...->n...", ball, f.ball) for f in (first, second))
        true = torch.matmul(*factors)
        apart = (true - made.centre - torch.einsum("np,p...->n...", ball, made.ball)).abs()
        assert bool((apart <= made.beyond).all())
        used.append(float((apart.amax(0) / made.beyond).max()))
    assert max(used) > 0.6


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([1e-3, 0.1, 1.0]))
def test_products_lie_in_what_is_made_of_their_factors(seed: int, size: float) -> None:
    ball, free = draws(seed)
    for one, two in (((2, 3, 4), (2, 4, 5)), ((3, 4), (4, 2))):
        first, second = form(seed, *one, size=size), form(seed + 1, *two, size=size)
        true = points(first, ball, free, 1) @ points(second, ball, free, 2)
        assert missed(matrix_product(first, second), ball, free, true) <= 0
        assert missed(product(first, second, torch.matmul, 4), ball, free, true) <= 0
    first, second = form(seed, 6, size=size), form(seed + 1, 6, size=size)
    true = points(first, ball, free, 1) * points(second, ball, free, 2)
    assert missed(product(first, second, torch.mul), ball, free, true) <= 0
    square = points(first, ball, free, 1).square()
    assert missed(product(first, first, torch.mul), ball, free, square) <= 0


def test_a_matrix_product_is_narrower_than_its_terms_one_by_one() -> None:
    first, second = form(1, 3, 12), form(2, 12, 3)
    first, second = (AffineForm(f.centre, f.ball, 0 * f.free, 0 * f.rest) for f in (first, second))
    together = matrix_product(first, second).beyond
    assert bool((together < product(first, second, torch.matmul, 12).beyond).all())


CURVES = {
    "exp": (torch.exp, lambda x: (x.exp(), x.exp()), None),
    "reciprocal": (torch.reciprocal, lambda x: (-1 / x**2, -1 / x**2), 0.1),
    "square root": (torch.sqrt, lambda x: (0.5 / x.sqrt(), 0.5 / x.sqrt()), 0.01),
}


@pytest.mark.parametrize("name", sorted(CURVES))
@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([1e-3, 0.1, 0.5]))
def test_numbers_lie_between_the_lines_of_a_curve(name: str, seed: int, size: float) -> None:
    value, slope, above = CURVES[name]
    start = form(seed, 2, 5, size=size, above=above)
    ball, free = draws(seed)

    def slopes(x: Interval) -> Interval:
        ends = torch.stack([slope(x.low)[0], slope(x.high)[0]])
        return x.through((value(x.low), value(x.high)), (ends.amin(0), ends.amax(0)))

    made = curved(start, value, slopes)
    assert made is not None
    assert missed(made, ball, free, value(points(start, ball, free, seed))) <= 0


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 12), st.sampled_from([1e-20, 1.0, 1e20]))
def test_the_largest_eigenvalue_is_bounded_and_nearly_met(seed: int, n: int, size: float) -> None:
    rows = size * torch.randn(3, n, 4, generator=torch.Generator().manual_seed(seed)).double()
    gram = rows @ rows.mT
    true = torch.linalg.eigvalsh(gram)[..., -1]
    bound = largest_eigenvalue(gram)
    assert bool((bound >= true * (1 - 1e-12)).all())
    assert bool((bound <= true * n ** (1 / 16) * (1 + 1e-6)).all())


def test_what_is_no_number_is_never_left_out() -> None:
    """∞·0 is none: its row would be dropped as one that is 0."""
    endless = form(1, 3)
    endless = AffineForm(endless.centre, endless.ball, endless.free * torch.inf, endless.rest)
    nothing = torch.zeros(3, dtype=torch.float64)
    still = AffineForm(nothing, 0 * form(1, 3).ball, 0 * form(1, 3).free, nothing)
    for made in (lambda: product(endless, still, torch.mul), lambda: softmax(endless, -1)):
        with pytest.raises(ValueError, match="not finite"):
            made()

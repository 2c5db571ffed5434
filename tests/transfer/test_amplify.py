import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from intriguing.errors import InputError
from intriguing.measures import UNIT_BOX
from intriguing.transfer.amplify import amplify


@given(
    stddev=st.floats(0.001, 2.0),
    shape=st.sampled_from([(5, 7), (3, 1, 4, 4), (2, 3, 5, 5)]),
    seed=st.integers(0, 99),
)
def test_every_change_has_the_wanted_size_and_its_own_direction(
    stddev: float, shape: tuple[int, ...], seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    x = torch.rand(shape, generator=generator, dtype=torch.float64)
    r = torch.randn(shape, generator=generator, dtype=torch.float64) * 0.05
    amplified = amplify(x, x + r, stddev)
    for before, after, change in zip(x, amplified, r, strict=True):
        moved = (after - before).flatten()
        assert math.sqrt(float((moved**2).mean())) == pytest.approx(stddev, rel=1e-9)
        cosine = float(moved @ change.flatten()) / float(moved.norm() * change.norm())
        assert cosine == pytest.approx(1.0, abs=1e-9)


def test_an_image_that_did_not_change_stays() -> None:
    x = torch.rand(2, 1, 3, 3)
    changed = x.clone()
    changed[1] += 0.1
    assert torch.equal(amplify(x, changed, 0.1)[0], x[0])


def test_the_printed_formula_would_shrink_the_change() -> None:
    """Why the text is followed: §4.2's formula makes a change of .06 one of .0036."""
    x = torch.zeros(1, 784)
    r = torch.full((1, 784), 0.06)
    printed = x + 0.1 * r / r.norm()
    assert math.sqrt(float((printed**2).mean())) == pytest.approx(0.1 / 28)
    assert float(amplify(x, x + r, 0.1).mean()) == pytest.approx(0.1)


def test_clipping_is_asked_for() -> None:
    x = torch.ones(1, 4)
    assert amplify(x, x + 0.01, 0.1).max() > 1
    assert UNIT_BOX.contains(amplify(x, x + 0.01, 0.1, UNIT_BOX))


def test_wrong_input_is_named() -> None:
    with pytest.raises(InputError, match="shape"):
        amplify(torch.zeros(2, 3), torch.zeros(3, 3), 0.1)
    with pytest.raises(InputError, match="stddev=-1"):
        amplify(torch.zeros(2, 3), torch.zeros(2, 3), -1.0)

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from intriguing.errors import InputError
from intriguing.training.decay import Convention, weight_decay


@given(
    lambdas=st.tuples(st.floats(0, 10), st.floats(0, 10)),
    convention=st.sampled_from(["sum", "half", "units"]),
    seed=st.integers(0, 100),
)
def test_the_gradient_is_twice_lambda_over_k_times_the_weights(
    lambdas: tuple[float, float], convention: Convention, seed: int
) -> None:
    torch.manual_seed(seed)
    layers = [nn.Linear(4, 3).double(), nn.Linear(3, 5).double()]
    penalty = weight_decay(layers, lambdas, convention)
    penalty.backward()
    expected = 0.0
    for layer, lam, units in zip(layers, lambdas, (3, 5), strict=True):
        k = {"sum": 1, "half": 2, "units": units}[convention]
        torch.testing.assert_close(layer.weight.grad, 2 * lam / k * layer.weight.detach())
        assert layer.bias.grad is None
        expected += lam / k * float((layer.weight.detach() ** 2).sum())
    assert penalty.item() == pytest.approx(expected)


def test_a_decay_that_does_not_fit_is_refused() -> None:
    with pytest.raises(InputError, match="1 weight decays for 2 layers"):
        weight_decay([nn.Linear(2, 2), nn.Linear(2, 2)], [0.1])
    with pytest.raises(InputError, match="not ≥ 0"):
        weight_decay([nn.Linear(2, 2)], [-0.1])
    with pytest.raises(InputError, match="sum, half, units"):
        weight_decay([nn.Linear(2, 2)], [0.1], "third")  # type: ignore[arg-type]

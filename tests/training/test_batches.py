import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from intriguing.errors import InputError
from intriguing.models.schedule import Schedule
from intriguing.training.batches import shifted
from intriguing.training.dropout import dropped, dropping


def test_shifts_are_all_moves_of_the_window() -> None:
    image = torch.arange(1.0, 2 * 5 * 4 + 1).view(2, 5, 4)
    moved = shifted(image.expand(400, -1, -1, -1), 2, torch.Generator().manual_seed(0))
    wide = torch.zeros(2, 9, 8)
    wide[:, 2:7, 2:6] = image
    windows = {wide[:, i : i + 5, j : j + 4].numpy().tobytes() for i in range(5) for j in range(5)}
    assert {one.contiguous().numpy().tobytes() for one in moved} == windows


def test_dropped_entries_are_zero_and_the_mean_stays() -> None:
    values = torch.rand(200, 300)
    out = dropped(values, 0.3, torch.Generator().manual_seed(0))
    assert (out == 0).double().mean().item() == pytest.approx(0.3, abs=0.01)
    torch.testing.assert_close(out[out != 0], values[out != 0] / 0.7)
    assert out.mean().item() == pytest.approx(values.mean().item(), rel=0.02)


def test_dropout_reaches_images_and_hidden_units_in_training_only() -> None:
    model = nn.Sequential(nn.Linear(50, 40), nn.Identity(), nn.Linear(40, 3))
    seen: dict[int, torch.Tensor] = {}
    for i in (0, 2):
        model[i].register_forward_hook(lambda m, a, out, i=i: seen.update({i: a[0]}))
    layers, images = [model[0], model[2]], torch.ones(100, 50)
    with dropping(model, layers, torch.Generator().manual_seed(0), images=0.2, hidden=0.5):
        model.train()(images)
        assert [(seen[i] == 0).double().mean().item() for i in (0, 2)] == pytest.approx(
            [0.2, 0.5], abs=0.03
        )
        model.eval()(images)
        assert not any((seen[i] == 0).any() for i in (0, 2))
    model.train()(images)
    assert not any((seen[i] == 0).any() for i in (0, 2))


@given(
    st.integers(1, 40), st.floats(1e-6, 10), st.floats(0, 1), st.integers(1, 700),
)  # fmt: skip
def test_the_rate_rises_to_its_peak_and_falls_towards_zero(
    epochs: int, rate: float, share: float, steps: int
) -> None:
    schedule = Schedule(epochs, rate, warmup=share * epochs)
    rates = [schedule.rate_at(step, steps) for step in range(epochs * steps)]
    assert min(rates) > 0
    assert max(rates) <= rate
    peak = min(round(share * epochs * steps), len(rates) - 1)
    assert rates[: peak + 1] == sorted(rates[: peak + 1])
    assert rates[peak:] == sorted(rates[peak:], reverse=True)


@pytest.mark.parametrize(
    ("words", "wrong"),
    [
        ("at least 1", {"epochs": 0}),
        ("at least 1", {"batch_size": 0}),
        ("learning rate", {"rate": float("nan")}),
        ("one of nesterov, adam", {"optimizer": "lbfgs"}),
        ("warm-up of 3", {"warmup": 3}),
        (r"in \[0, 1\)", {"dropout": 1.0}),
    ],
)
def test_schedules_that_make_no_sense_are_refused(words: str, wrong: dict[str, object]) -> None:
    with pytest.raises(InputError, match=words):
        Schedule(**({"epochs": 2, "rate": 0.1} | wrong))

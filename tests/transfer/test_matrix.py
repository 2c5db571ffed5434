import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from intriguing.errors import InputError
from intriguing.transfer.matrix import ErrorCount, count_errors, error_matrix


def linear(seed: int) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Flatten(), nn.Linear(6, 4)).eval()


def wrong_one_by_one(model: nn.Module, images: Tensor, labels: Tensor) -> int:
    return sum(int(model(x[None])[0].argmax() != y) for x, y in zip(images, labels, strict=True))


@given(pieces=st.lists(st.integers(0, 9), min_size=1, max_size=4), batch_size=st.integers(1, 12))
def test_counts_are_those_of_single_images(pieces: list[int], batch_size: int) -> None:
    generator = torch.Generator().manual_seed(sum(pieces))
    images = torch.rand(sum(pieces), 1, 2, 3, generator=generator)
    labels = torch.randint(4, (len(images),), generator=generator)
    models = {"a": linear(0), "b": linear(1)}
    batches = zip(images.split(pieces), labels.split(pieces), strict=True)
    counts = count_errors(models, batches, batch_size)
    for name, model in models.items():
        assert counts[name] == ErrorCount(wrong_one_by_one(model, images, labels), len(images))


def test_every_model_meets_every_set() -> None:
    models = {"first": linear(0), "second": linear(1)}
    images = torch.rand(20, 1, 2, 3)
    own = {name: model(images).argmax(1) for name, model in models.items()}
    sets = {name: [(images, labels)] for name, labels in own.items()}
    matrix = error_matrix(models, sets)
    differing = int((own["first"] != own["second"]).sum())
    assert {place: count.count for place, count in matrix.items()} == {
        ("first", "first"): 0,
        ("first", "second"): differing,
        ("second", "first"): differing,
        ("second", "second"): 0,
    }


def test_a_place_is_the_set_and_then_the_model() -> None:
    models, images = {"model": linear(0)}, torch.rand(20, 1, 2, 3)
    right = models["model"](images).argmax(1)
    sets = {"right": [(images, right)], ("wrong", 1): [(images, (right + 1) % 4)]}
    assert error_matrix(models, sets) == {
        ("right", "model"): ErrorCount(0, 20),
        (("wrong", 1), "model"): ErrorCount(20, 20),
    }


def test_a_model_keeps_its_dtype() -> None:
    images = torch.rand(5, 1, 2, 3)
    model = linear(0).double()
    labels = model(images.double()).argmax(1)
    assert count_errors({"m": model}, [(images, labels)])["m"] == ErrorCount(0, 5)


def test_an_iterable_is_read_once_and_piece_by_piece() -> None:
    alive = []

    def pieces():
        for start in range(3):
            alive.append(start)
            yield torch.rand(2, 1, 2, 3), torch.zeros(2, dtype=torch.int64)

    assert count_errors({"m": linear(0), "n": linear(1)}, pieces())["n"].total == 6
    assert alive == [0, 1, 2]


def test_nothing_counted_is_no_rate() -> None:
    empty = ErrorCount(0, 0)
    assert empty.rate != empty.rate
    assert empty.interval == (0.0, 1.0)


def test_wrong_input_is_named() -> None:
    with pytest.raises(InputError, match=r"m: the model is in training mode; call model\.eval"):
        error_matrix({"m": linear(0).train()}, {})
    with pytest.raises(InputError, match=r"labels have shape \(3,\) for 2 images"):
        count_errors({"m": linear(0)}, [(torch.rand(2, 6), torch.zeros(3, dtype=torch.int64))])

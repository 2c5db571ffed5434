import pytest
import torch
from torch import Tensor, nn

from intriguing.errors import InputError
from intriguing.models.families.fully_connected import FullyConnected
from intriguing.models.normalized import Normalized
from intriguing.models.requirements import check_classifier

IMAGES = torch.rand(20, 1, 2, 2, generator=torch.Generator().manual_seed(0))


class _Answers(nn.Module):
    """Gives a fixed answer, cut to the number of images asked about."""

    def __init__(self, answer: Tensor) -> None:
        super().__init__()
        self.register_buffer("answer", answer)
        self.eval()

    def forward(self, images: Tensor) -> Tensor:
        return self.answer[: len(images)]


def test_a_good_classifier_tells_its_classes() -> None:
    model = FullyConnected((4, 7)).eval()
    assert check_classifier(model, IMAGES) == 7
    assert check_classifier(model, IMAGES, torch.tensor([0, 6])) == 7


def test_training_mode_is_refused() -> None:
    with pytest.raises(InputError, match=r"model\.eval\(\)"):
        check_classifier(FullyConnected((4, 3)), IMAGES)


@pytest.mark.parametrize("batch", [2, 20])
def test_probabilities_are_refused(batch: int) -> None:
    model = nn.Sequential(FullyConnected((4, 3)), nn.Softmax(dim=1)).eval()
    with pytest.raises(InputError, match="remove its final softmax"):
        check_classifier(model, IMAGES[:batch])


def test_logits_that_happen_to_look_like_probabilities_pass() -> None:
    lucky = torch.tensor([[0.25, 0.75]])
    assert check_classifier(_Answers(lucky), IMAGES[:1]) == 2
    rows = torch.cat((lucky, torch.tensor([[0.3, 0.3]])))
    assert check_classifier(_Answers(rows), IMAGES[:2]) == 2
    negative = torch.tensor([[1.5, -0.5], [0.5, 0.5]])
    assert check_classifier(_Answers(negative), IMAGES[:2]) == 2


def test_log_probabilities_pass() -> None:
    model = nn.Sequential(FullyConnected((4, 3)), nn.LogSoftmax(dim=1)).eval()
    assert check_classifier(model, IMAGES) == 3


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_logits_that_are_not_finite_are_refused(bad: float) -> None:
    with pytest.raises(InputError, match="NaN or infinite"):
        check_classifier(_Answers(torch.full((20, 3), bad)), IMAGES)


@pytest.mark.parametrize("shape", [(20,), (20, 3, 1), (3, 3)])
def test_other_shapes_than_batch_by_classes_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match=r"\(16, 1, 2, 2\) to .*\(16, classes\)"):
        check_classifier(_Answers(torch.rand(shape)), IMAGES)


def test_images_of_the_wrong_size_show_both_shapes() -> None:
    with pytest.raises(InputError, match=r"\(16, 1, 2, 2\).*\(3, 784\)"):
        check_classifier(FullyConnected((784, 3)).eval(), IMAGES)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_images_of_another_dtype_are_brought_to_the_network(dtype: torch.dtype) -> None:
    assert check_classifier(FullyConnected((4, 3)).eval(), IMAGES.to(dtype)) == 3
    assert check_classifier(FullyConnected((4, 3)).eval().to(dtype), IMAGES) == 3


@pytest.mark.parametrize("labels", [[0, 3], [-1, 0]])
def test_labels_beyond_the_classes_are_refused(labels: list[int]) -> None:
    with pytest.raises(InputError, match=r"labels run from .* classes 0 … 2"):
        check_classifier(FullyConnected((4, 3)).eval(), IMAGES, torch.tensor(labels))


def test_no_images_are_refused() -> None:
    with pytest.raises(InputError, match="at least one"):
        check_classifier(FullyConnected((4, 3)).eval(), IMAGES[:0])


def test_normalized_gives_each_channel_its_own_mean_and_std() -> None:
    model = Normalized(nn.Identity(), mean=[0.5, 0.0], std=[0.5, 2.0]).eval()
    images = torch.rand(3, 2, 2, 2)
    expected = torch.stack(((images[:, 0] - 0.5) / 0.5, images[:, 1] / 2), dim=1)
    torch.testing.assert_close(model(images), expected)
    assert not model.training
    assert not list(model.state_dict())
    with pytest.raises(InputError, match="std above 0"):
        Normalized(nn.Identity(), [0.0], [0.0])

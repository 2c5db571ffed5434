"""The guard names what is wrong, from the accuracies it measures, and is silent otherwise."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from intriguing.data.dataset import ImageSet
from intriguing.data.embedded import load_digits
from intriguing.data.preprocessing import Preprocessing
from intriguing.models.clean_accuracy import USUAL, USUAL_GRAY, clean_accuracy
from intriguing.models.normalized import Normalized, with_preprocessing


def colours(classes: int = 6, each: int = 30, channels: int = 3) -> tuple[ImageSet, Tensor]:
    """Noisy images of one colour a class, and the colours."""
    generator = torch.Generator().manual_seed(0)
    shades = 0.35 + 0.3 * torch.rand(classes, channels, generator=generator)
    if channels == 1:
        shades = torch.linspace(0.2, 0.8, classes)[:, None]
    labels = torch.arange(classes).repeat(each)
    noise = 0.05 * torch.randn(len(labels), channels, 4, 4, generator=generator)
    images = (shades[labels][:, :, None, None] + noise).clamp(0, 1)
    ids, names = map(str, range(len(labels))), map(str, range(classes))
    return ImageSet("colours", images, labels, tuple(ids), tuple(names)), shades


class Nearest(nn.Module):
    """The class whose colour, normalised in its way, is nearest."""

    def __init__(self, shades: Tensor, how: Preprocessing) -> None:
        super().__init__()
        flat = with_preprocessing(nn.Flatten(), how)
        self.wanted = nn.Parameter(flat(shades[:, :, None, None]))

    def forward(self, x: Tensor) -> Tensor:
        return -torch.cdist(x.mean((2, 3)), self.wanted)


def made(wanted: dict[str, Any], shades: Tensor) -> tuple[nn.Module, Preprocessing]:
    order = "L" if shades.shape[1] == 1 else "RGB"
    how = Preprocessing((1, 1), **({"channels": order} | wanted))
    return Nearest(shades, how).eval(), how


@pytest.mark.parametrize(
    ("channels", "name"),
    [(3, name) for name in list(USUAL)[1:]] + [(1, name) for name in list(USUAL_GRAY)[1:]],
)
def test_a_wrong_normalisation_is_named(channels: int, name: str) -> None:
    images, shades = colours(4, channels=channels)
    model, how = made({1: USUAL_GRAY, 3: USUAL}[channels][name], shades)
    right = clean_accuracy(with_preprocessing(model, how).eval(), images)
    assert right.findings == ()
    assert right.accuracy > 0.9
    wrong = clean_accuracy(model, images)
    assert wrong.accuracy < 0.5
    (found,) = [f for f in wrong.findings if f.name == "wrong normalisation"]
    best = int(found.measured.rpartition(" ")[2])
    assert best == right.correct or name not in found.measured
    assert best >= right.correct


def test_normalising_twice_is_found() -> None:
    images, shades = colours()
    model, _ = made({}, shades)
    twice = Normalized(model, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)).eval()
    names = {f.name: f for f in clean_accuracy(twice, images).findings}
    assert "none, pixels in [0, 1]" in names["wrong normalisation"].measured
    assert "its own normalisation" in names["wrong normalisation"].measured


def relabelled(images: ImageSet, order: Tensor, names: tuple[str, ...] | None = None) -> ImageSet:
    names = names or tuple(map(str, range(int(order.max()) + 1)))
    return ImageSet(images.name, images.images, order[images.labels], images.ids, names)


ORDERS = {
    "1 is taken off": torch.arange(12) + 1,
    "if the numbers are sorted": torch.tensor(sorted(range(12), key=str)).argsort(),
    "network's numbers are sorted": torch.tensor(sorted(range(12), key=str)),
    "another order, found on": torch.randperm(12, generator=torch.Generator().manual_seed(4)),
}


@pytest.mark.parametrize("words", ORDERS)
def test_another_order_of_labels_is_named(words: str) -> None:
    images, shades = colours(12)
    model, _ = made({}, shades)
    assert clean_accuracy(model, images).findings == ()
    found = clean_accuracy(model, relabelled(images, ORDERS[words]), sample=360).findings
    assert "order of labels" in [finding.name for finding in found]
    assert any(words in finding.measured for finding in found), found


def test_a_class_for_the_background_is_found_with_one_image_a_class() -> None:
    images, shades = colours(40, each=1)
    model, _ = made({}, torch.cat((torch.full((1, 3), -1.0), shades)))
    found = clean_accuracy(model, images).findings
    assert [finding.name for finding in found] == ["more classes than labels", "order of labels"]
    assert "1 is added to every label" in found[1].measured


def test_names_tell_the_order() -> None:
    images, shades = colours(6, each=2)
    order = torch.tensor([3, 1, 0, 5, 4, 2])
    names = ("ape", "bear", "cat", "dog", "elk", "fox")
    model, how = made({}, shades)
    network = with_preprocessing(model, how, [names[i].upper() for i in order.tolist()]).eval()
    found = clean_accuracy(network, relabelled(images, order, names)).findings
    assert "by the network's own names" in found[0].measured
    assert f"{len(images)} if" in found[0].measured


def test_too_few_classes_and_one_answer_are_said() -> None:
    images, shades = colours(6)
    model, _ = made({}, shades[:3])
    assert clean_accuracy(model, images).findings[0].name == "too few classes"
    constant = nn.Sequential(nn.Flatten(), nn.Linear(48, 6)).eval()
    nn.init.zeros_(constant[1].weight)
    nn.init.eye_(constant[1].bias[None])
    names = [finding.name for finding in clean_accuracy(constant, images).findings]
    assert names == ["one class for nearly all"]


def test_a_network_of_chance_is_said_to_be_one() -> None:
    images, _ = colours(10, each=40)
    noise = torch.rand(images.images.shape, generator=torch.Generator().manual_seed(9))
    images = ImageSet("noise", noise, images.labels, images.ids, images.class_names)
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(48, 10, bias=False)).eval()
    found = clean_accuracy(model, images, sample=400)
    assert [finding.name for finding in found.findings] == ["low accuracy"]


def test_a_sample_is_drawn_by_the_seed_and_measured_with_its_interval() -> None:
    train, test = load_digits()
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    rows = torch.cat((train.images.flatten(1), torch.ones(len(train), 1)), 1)
    solved = torch.linalg.pinv(rows) @ torch.nn.functional.one_hot(train.labels).float()
    with torch.no_grad():
        model[1].weight.copy_(solved[:-1].T)
        model[1].bias.copy_(solved[-1])
    steps: list[int] = []
    one = clean_accuracy(model.eval(), test, sample=100, progress=lambda p: steps.append(p.done))
    assert one == clean_accuracy(model, test, sample=100, batch_size=7)
    assert one != clean_accuracy(model, test, sample=100, seed=1)
    assert (one.count, one.classes, one.findings) == (100, 10, ())
    assert one.low < one.accuracy < one.high
    assert steps[-1] == 100
    everything = clean_accuracy(model, test, sample=10**6)
    assert everything.correct == int((model(test.images).argmax(1) == test.labels).sum())

"""Which class looks nearer than the one found first: distances of a linear network are known."""

import torch
from torch import nn

from intriguing.distortion import start
from intriguing.distortion.batch import Batch
from intriguing.distortion.closest_config import ClosestConfig
from intriguing.distortion.nearer_class import TRUSTED, nearer_class, rank_classes
from intriguing.distortion.problem import Goal, Network
from intriguing.measures import Box

ROWS, PIXELS, CLASSES = 16, 6, 5


def searched() -> tuple[Batch, torch.Tensor]:
    """A batch of a linear network, and how far from its images each class's boundary is."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(PIXELS, CLASSES)).eval()
    images = torch.rand(ROWS, PIXELS, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        logits = model(images)
    labels = logits.argmax(1)
    weight = model[1].weight.detach()
    gaps = logits.gather(1, labels[:, None]) - logits
    apart = (weight[labels][:, None] - weight[None]).norm(dim=2)
    network = Network(model, (PIXELS,))
    batch = Batch(
        network, images, Goal(labels, targeted=False), Box(0.0, 1.0), ClosestConfig(budget=100), 0
    )
    batch.look()
    return batch, (gaps / apart).scatter(1, labels[:, None], torch.inf)


def answered(batch: Batch, classes: torch.Tensor) -> None:
    """Let the shortest r be one that leads to these classes."""
    weight = batch.network.model[1].weight.detach()
    points = batch.x + 1e3 * weight[classes]
    assert torch.equal(batch.network.logits(points).argmax(1), classes)
    batch.best.points, batch.best.l2 = points, (points - batch.x).norm(dim=1)


def farthest(distance: torch.Tensor) -> torch.Tensor:
    """The class whose boundary is the farthest."""
    return torch.where(distance.isinf(), -torch.inf, distance).argmax(1)


def test_classes_are_ranked_by_the_distance_of_their_boundaries():
    batch, distance = searched()
    rows, before = torch.arange(ROWS), batch.best.spent.clone()
    rank_classes(batch, rows)
    known, order = distance.sort(1)
    torch.testing.assert_close(batch.away, known[:, : CLASSES - 1], rtol=1e-4, atol=1e-5)
    assert torch.equal(batch.nearest, order[:, : CLASSES - 1])
    rank_classes(batch, rows)
    assert (batch.best.spent - before == 1 + CLASSES - 1).all()


def test_the_nearest_class_is_turned_to_first_and_each_but_once():
    batch, distance = searched()
    answered(batch, farthest(distance))
    order, rows = distance.argsort(1), torch.arange(ROWS)
    for rank in range(CLASSES - 2):
        going, classes = nearer_class(batch, rows)
        assert torch.equal(going, rows)
        assert torch.equal(classes, order[:, rank])
    assert not len(nearer_class(batch, rows)[0])


def test_where_the_nearest_was_found_only_those_about_as_near_are_turned_to():
    batch, distance = searched()
    least, wanted = distance.min(1)
    answered(batch, wanted)
    second = distance.sort(1).values[:, 1]
    expected = (second < 1.1 * least).nonzero()[:, 0]
    assert 0 < len(expected) < ROWS
    assert set(nearer_class(batch, torch.arange(ROWS))[0].tolist()) == set(expected.tolist())


def test_tangents_that_promised_too_much_are_not_asked():
    batch, distance = searched()
    answered(batch, farthest(distance))
    batch.promised = batch.best.l2 / TRUSTED * torch.where(torch.arange(ROWS) < 4, 1.01, 0.99)
    before, everyone = batch.best.spent.clone(), torch.ones(ROWS, dtype=torch.bool)
    with torch.no_grad():
        logits = batch.network.logits(batch.x)
    turned = start._close_on_class(batch, torch.arange(ROWS), logits, everyone)
    assert torch.equal(turned, torch.arange(ROWS) >= 4)
    assert (batch.best.spent[:4] == before[:4]).all()
    assert (batch.best.l2[4:] < 1.3 * distance.amin(1)[4:]).sum() > 9

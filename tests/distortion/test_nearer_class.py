"""Which class looks nearer than the one found first: distances of a linear network are known."""

from dataclasses import replace

import torch
from torch import nn

from intriguing.distortion.batch import Batch
from intriguing.distortion.closest_config import ClosestConfig
from intriguing.distortion.closing import SECOND, close_in
from intriguing.distortion.nearer_class import rank_classes, turn
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
        network, images, Goal(labels, targeted=False), Box(-99.0, 99.0), ClosestConfig(budget=99), 0
    )
    batch.look()
    batch.promised.zero_()
    return batch, (gaps / apart).scatter(1, labels[:, None], torch.inf)


def answered(batch: Batch, classes: torch.Tensor) -> None:
    """Let the shortest r be one that leads to these classes."""
    weight = batch.network.model[1].weight.detach()
    points = batch.x + 30 * weight[classes]
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


def turned(batch: Batch) -> dict[int, int]:
    """The class that each row turns to; only rows that do."""
    everyone = torch.ones(ROWS, dtype=torch.bool)
    with torch.no_grad():
        logits = batch.network.logits(batch.x)
        straight = batch.goal, batch.goal.secure_margin(logits)
        goal, at_x = turn(batch, torch.arange(ROWS), everyone, straight, logits)
    assert torch.equal(at_x, goal.secure_margin(logits))
    assert torch.equal(goal.classes[~goal.toward], batch.goal.classes[~goal.toward])
    rows = goal.toward.nonzero()[:, 0].tolist()
    return dict(zip(rows, goal.classes[rows].tolist(), strict=True))


def test_the_nearest_class_is_turned_to_first_and_each_but_once():
    batch, distance = searched()
    answered(batch, farthest(distance))
    order = distance.argsort(1)
    for rank in range(CLASSES - 2):
        assert turned(batch) == dict(enumerate(order[:, rank].tolist()))
    assert not turned(batch)


def test_where_the_nearest_was_found_only_those_about_as_near_are_turned_to():
    batch, distance = searched()
    least, wanted = distance.min(1)
    answered(batch, wanted)
    near, classes = (each[:, 1] for each in distance.sort(1))
    expected = {row: int(classes[row]) for row in range(ROWS) if near[row] < 1.1 * least[row]}
    assert 0 < len(expected) < ROWS
    assert turned(batch) == expected


def test_tangents_that_promised_too_much_are_not_asked():
    batch, distance = searched()
    answered(batch, farthest(distance))
    few = torch.arange(ROWS) < 4
    batch.promised = batch.best.l2 / torch.where(few, 0.59, 0.61)
    before = batch.best.spent.clone()
    assert set(turned(batch)) == set(range(4, ROWS))
    assert (batch.best.spent[few] == before[few]).all()


def test_rows_toward_a_class_end_there_and_others_as_without_them():
    """In one batch with rows that flee their label: each as by itself."""
    batch, distance = searched()
    goal, best, x = batch.goal, batch.best, batch.x
    classes = distance.argsort(1)[:, 1]
    answered(batch, farthest(distance))
    toward = torch.arange(ROWS) % 2 == 0
    mixed = replace(goal, classes=torch.where(toward, classes, goal.classes), toward=toward)
    ends, begun = {}, {}
    asked: list[torch.Tensor] = []
    batch.network.model.register_forward_pre_hook(lambda _, given: asked.append(given[0].detach()))
    for name, each in (
        ("mixed", mixed),
        ("free", goal),
        ("toward", replace(goal, classes=classes, toward=torch.ones_like(toward))),
    ):
        part = best.take(torch.arange(ROWS))
        at_x = each.secure_margin(batch.network.logits(x)).detach()
        asked.clear()
        close_in(batch.network, each, part, at_x, batch.box, SECOND, 20)
        ends[name], begun[name] = part.points, asked[0][:ROWS]
    assert torch.equal(ends["mixed"], torch.where(toward[:, None], ends["toward"], ends["free"]))
    assert torch.equal(begun["toward"], x)
    assert torch.equal(begun["free"], best.points)
    with torch.no_grad():
        assert torch.equal(batch.network.logits(ends["toward"]).argmax(1), classes)

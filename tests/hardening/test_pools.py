"""Pools: what they hold against closed forms, and what they may never hold."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from intriguing import InputError, train_with_pools
from intriguing.hardening.config import PoolConfig
from intriguing.hardening.examples import noisy
from intriguing.hardening.extras import pools_extra
from intriguing.hardening.places import Place
from intriguing.hardening.pool import Pool
from intriguing.measures import UNIT_BOX, Box
from intriguing.models.families.convolutional import Convolutional
from intriguing.models.families.fully_connected import FullyConnected
from intriguing.models.schedule import Schedule
from intriguing.models.weights import read_tensors
from intriguing.training.batches import Batch
from intriguing.units.activations import activations


def _softmax_step(
    weight: np.ndarray, bias: np.ndarray, x: np.ndarray, labels: np.ndarray, radius: float
) -> np.ndarray:
    """x + radius · unit gradient of the cross-entropy of a linear network, clamped to [0, 1]."""
    logits = x @ weight.T + bias
    share = np.exp(logits - logits.max(1, keepdims=True))
    share /= share.sum(1, keepdims=True)
    gradient = (share - np.eye(len(weight))[labels]) @ weight
    longest = np.linalg.norm(gradient, axis=1, keepdims=True)
    return np.clip(x + radius * gradient / longest, 0, 1)


def test_refresh_1_and_one_step_on_a_linear_network_is_the_closed_form(tmp_path: Path) -> None:
    chance = np.random.default_rng(0)
    x, labels = chance.random((40, 7)), chance.integers(0, 4, 40)
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(7, 4)).double()
    weight, bias = (p.detach().numpy().copy() for p in model.parameters())
    config = PoolConfig(refresh=1, start=0, steps=1)
    kept = tmp_path / "state.safetensors"

    def train(epochs: int) -> Tensor:
        train_with_pools(
            model, torch.from_numpy(x), torch.from_numpy(labels), [Place("input", 0.3)],
            config=config, schedule=Schedule(epochs, 0.5, batch_size=10), checkpoint=kept,
        )  # fmt: skip
        return read_tensors(kept)[0]["memory.input.slots"]

    expected = _softmax_step(weight, bias, x, labels, 0.3)
    np.testing.assert_allclose(train(1).numpy(), expected, rtol=1e-12)
    # In the second epoch all are replaced by those of the network after the first.
    kept.unlink()
    weight, bias = (p.detach().numpy().copy() for p in model.parameters())
    assert not np.allclose(_softmax_step(weight, bias, x, labels, 0.3), expected)
    np.testing.assert_allclose(
        train(1).numpy(), _softmax_step(weight, bias, x, labels, 0.3), rtol=1e-12
    )


def _network(kind: str, seed: int) -> tuple[nn.Module, tuple[int, ...]]:
    torch.manual_seed(seed)
    if kind == "conv":
        return Convolutional((2, 3), 5, 3, (1, 8, 8)), (1, 8, 8)
    if kind == "linear":
        return nn.Sequential(nn.Linear(6, 5), nn.Linear(5, 4), nn.Linear(4, 3)), (6,)
    return FullyConnected((6, 5, 4, 3), kind), (6,)


RANGES = {"sigmoid": (0.0, 1.0), "tanh": (-1.0, 1.0), "relu": (0.0, None), "conv": (0.0, None)}


@settings(max_examples=40, deadline=None)
@given(
    kind=st.sampled_from(["sigmoid", "tanh", "relu", "conv", "linear"]),
    layer=st.sampled_from(["input", "1", "2"]),
    search=st.sampled_from(["steps", "gaussian", "ddn", "deepfool"]),
    radius=st.one_of(st.none(), st.floats(1e-3, 20)),
    seed=st.integers(0, 2**30),
)
def test_no_example_leaves_its_images_radius_or_the_layers_range(
    kind: str, layer: str, search: str, radius: float | None, seed: int
) -> None:
    model, shape = _network(kind, seed)
    images = torch.rand(12, *shape)
    budget = 5 if search in ("ddn", "deepfool") else None
    config = PoolConfig(search=search, budget=budget)
    pool = Pool(model.eval(), Place(layer, radius), images, torch.arange(12) % 3, UNIT_BOX, config)
    phi = images
    if layer != "input":
        (part,) = activations(model, pool.name, images)
        phi = part[pool.name]
    generator = torch.Generator().manual_seed(seed)
    if radius is None and float((phi - phi[0]).abs().max()) <= 1e-7 * float(phi.abs().max()):
        # Random rectified weights can give a layer that is dead on all images: no radius follows.
        with pytest.raises(InputError, match="the same for all images"):
            pool.replace(1.0, generator)
        return
    pool.replace(1.0, generator)
    away = (pool.slots - phi).flatten(1).double().norm(dim=1)
    assert (away <= pool.summary.radius * (1 + 1e-5) + 1e-6).all()
    if radius is not None:
        assert pool.summary.radius == radius
    lower, upper = (0.0, 1.0) if layer == "input" else RANGES.get(kind, (None, None))
    assert pool.slots.min() >= (phi.min() if lower is None else lower)
    assert pool.slots.max() <= (phi.max() if upper is None else upper)
    assert pool.slots.isfinite().all()


def test_a_search_for_the_nearest_stops_where_the_class_changes() -> None:
    model, shape = _network("tanh", 1)
    for layer in model.layers:
        torch.nn.init.normal_(layer.weight, std=2.0)
    images = torch.rand(30, *shape)
    labels = model.eval()(images).argmax(1)
    for layer in ("input", "1"):
        pool = Pool(
            model, Place(layer, 50.0), images, labels, UNIT_BOX, PoolConfig(search="closest")
        )
        pool.replace(1.0, torch.Generator())
        logits = pool.logits(torch.arange(30)).detach()
        gap = logits.gather(1, labels[:, None])[:, 0] - logits.topk(2).values[:, 0]
        fooled = logits.argmax(1) != labels
        assert fooled.float().mean() == pytest.approx(pool.summary.misclassified)
        assert fooled.any()
        assert (gap[fooled].abs() < 0.01).all()


def test_every_example_is_shown_once_an_epoch_with_the_label_of_its_image() -> None:
    model, shape = _network("relu", 0)
    images, labels = torch.rand(23, *shape), torch.randint(3, (23,))
    config = PoolConfig(start=0, scheme="joint")
    places = [Place("input", 0.2, weight=0.5), Place("2", 0.1)]
    pools = [Pool(model, place, images, labels, UNIT_BOX, config) for place in places]
    extra = pools_extra(pools)
    generator = torch.Generator().manual_seed(0)
    extra.before_epoch(model, 0, generator)
    model.train()
    shown: list[list[int]] = [[], []]
    for first in range(0, 23, 10):
        rows = torch.arange(first, min(first + 10, 23))
        batch = Batch(images[rows], labels[rows], rows, 0, first // 10, generator)
        orders = [order[first : first + 10] for order in extra.loss.__self__.orders]
        by_hand = 0.5 * cross_entropy(model(pools[0].slots[orders[0]]), labels[orders[0]])
        hidden = pools[1].slots[orders[1]]
        by_hand = by_hand + cross_entropy(model.layers[2](hidden), labels[orders[1]])
        torch.testing.assert_close(extra.loss(model, batch), by_hand)
        for seen, order in zip(shown, orders, strict=True):
            seen.extend(order.tolist())
    assert [sorted(seen) for seen in shown] == [list(range(23))] * 2
    assert shown[0] != shown[1]


def test_the_alternating_scheme_takes_the_places_in_turn_and_trains_what_is_above() -> None:
    model, shape = _network("sigmoid", 1)
    images, labels = torch.rand(20, *shape), torch.randint(3, (20,))
    config = PoolConfig(start=0, scheme="alternating")
    pools = [Pool(model, Place(p, 0.2), images, labels, UNIT_BOX, config) for p in ("input", "2")]
    extra = pools_extra(pools)
    extra.before_epoch(model, 0, torch.Generator())
    trained = []
    for step in range(4):
        model.zero_grad()
        rows = torch.arange(5)
        extra.loss(
            model, Batch(images[rows], labels[rows], rows, 0, step, torch.Generator())
        ).backward()
        trained.append([layer.weight.grad is not None for layer in model.layers])
    assert trained == [[True] * 3, [False, False, True]] * 2


def test_the_share_asked_for_is_replaced_before_each_epoch_after_the_start() -> None:
    model, shape = _network("sigmoid", 2)
    images, labels = torch.rand(50, *shape), torch.randint(3, (50,))
    config = PoolConfig(start=2, refresh=0.3)
    pool = Pool(model, Place("1", 0.5), images, labels, UNIT_BOX, config)
    extra, generator = pools_extra([pool]), torch.Generator().manual_seed(5)
    batch = Batch(images, labels, torch.arange(50), 0, 0, generator)
    for epoch in (0, 1):
        extra.before_epoch(model, epoch, generator)
        assert not pool.slots.any()
        assert extra.loss(model, batch) == 0
    changed: list[Tensor] = []
    for epoch in (2, 3, 4):
        before = pool.slots.clone()
        torch.nn.init.normal_(model.layers[2].weight)
        extra.before_epoch(model, epoch, generator)
        changed.append((pool.slots != before).any(1))
    assert [int(rows.sum()) for rows in changed] == [50, 15, 15]
    assert not torch.equal(changed[1], changed[2])


def test_noise_is_as_long_as_the_radius_also_where_it_is_clamped() -> None:
    images = (torch.rand(40, 784) > 0.2).float()  # all at the border of the box
    noise = noisy(images, 3.0, UNIT_BOX, torch.Generator().manual_seed(0))
    length = (noise - images).norm(dim=1)
    torch.testing.assert_close(length, torch.full((40,), 3.0), rtol=1e-3, atol=0)
    assert UNIT_BOX.contains(noise)
    near = noisy(images, 100.0, Box(0.0, 1.0), torch.Generator().manual_seed(0))
    assert UNIT_BOX.contains(near)


def test_what_makes_no_sense_is_refused() -> None:
    model, shape = _network("sigmoid", 0)
    images, labels = torch.rand(8, *shape), torch.arange(8) % 3
    schedule = Schedule(1, 0.1)
    with pytest.raises(InputError, match="two pools are at one place"):
        train_with_pools(model, images, labels, [1, "layers.1:input"], schedule=schedule)
    with pytest.raises(InputError, match="no hidden layer 7"):
        train_with_pools(model, images, labels, [7], schedule=schedule)
    with pytest.raises(InputError, match="divide the images by 255"):
        train_with_pools(model, 255 * images, labels, schedule=schedule)
    with pytest.raises(InputError, match="labels run from"):
        train_with_pools(model, images, labels + 2, schedule=schedule)
    config, same = PoolConfig(start=0), images[:1].repeat(8, 1)
    with pytest.raises(InputError, match="gives the same for all images"):
        train_with_pools(model, same, labels, [1], config=config, schedule=schedule)
    for wrong in (
        {"refresh": 0}, {"scheme": "both"}, {"search": "lbfgs"}, {"steps": 0}, {"share": 0},
        {"search": "steps", "budget": 5}, {"search": "ddn", "budget": 0}, {"start": -1},
    ):  # fmt: skip
        with pytest.raises(InputError):
            PoolConfig(**wrong)
    for wrong in ({"radius": 0.0}, {"radius": float("nan")}, {"weight": -1.0}):
        with pytest.raises(InputError):
            Place("input", **wrong)

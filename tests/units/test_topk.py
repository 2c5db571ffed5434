"""Streaming top images against all activations in memory, to the last tie."""

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from intriguing.errors import InputError
from intriguing.units.activations import activations
from intriguing.units.directions import Basis, haar
from intriguing.units.topk import merge_top_images, top_images
from tests.oracles.brute_force import top_k
from tests.units.networks import (
    conv_network,
    exact_images,
    exact_network,
    image_set,
    integer_directions,
)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 999),
    count=st.integers(1, 60),
    k=st.integers(1, 12),
    batch_size=st.integers(1, 70),
    columns=st.lists(st.integers(1, 40), min_size=0, max_size=3),
)
def test_top_images_are_those_of_brute_force(seed, count, k, batch_size, columns):
    model, images = exact_network(seed), exact_images(count, seed)
    layers = {"0": 4, "1": 4, "2": 4, "4": 6}
    bases = {
        layer: ["natural"]
        + [Basis(f"b{i}", integer_directions(u, n, seed + i)) for i, n in enumerate(columns)]
        for layer, u in layers.items()
    }
    found = top_images(model, list(layers), images, bases, k=k, batch_size=batch_size)
    phi = {layer: next(activations(model, layer, images))[layer].numpy() for layer in layers}
    assert len(found) == 4 * (1 + len(columns))
    for (layer, _), top in found.items():
        matrix = top.directions.numpy()
        for ranking, sign in ((top.ranking, 1), (top.opposite, -1)):
            indices, values, positions = top_k(phi[layer], matrix, k, range(count), sign)
            assert ranking.indices.shape == (matrix.shape[1], k)
            assert (ranking.indices[:, :count].numpy() == indices).all()
            assert (ranking.values[:, :count].numpy() == values).all()
            assert (ranking.positions[:, :count].numpy() == positions).all()
            assert (ranking.indices[:, count:] == -1).all()


def test_results_do_not_depend_on_the_batch_size_nor_on_other_bases():
    model, images = conv_network(3), torch.rand(150, 1, 16, 16)
    alone = {
        layer: top_images(model, layer, images, "random", k=5, batch_size=150)
        for layer in ("1", "4", "7")
    }
    for size in (1, 16, 33, 128):
        found = top_images(
            model,
            ["1", "4", "7"],
            images,
            ["natural", "gaussian", "random"],
            k=5,
            batch_size=size,
        )
        for layer, top in alone.items():
            other = found[layer, "random"]
            assert torch.equal(other.indices, top.indices)
            assert torch.equal(other.values, top.values)
            assert torch.equal(other.positions, top.positions)
            assert torch.equal(other.opposite.values, top.opposite.values)
            assert torch.equal(other.histogram.counts, top.histogram.counts)


def test_ties_go_to_the_smaller_id_whatever_the_order():
    model, images = exact_network(5), image_set(exact_images(80, 5))
    order = torch.randperm(80, generator=torch.Generator().manual_seed(0))
    shuffled = images.subset(order)
    a = top_images(model, "4", images, k=7, batch_size=9)
    b = top_images(model, "4", shuffled, k=7, batch_size=11)
    assert a.ranking.ids == b.ranking.ids
    assert a.opposite.ids == b.opposite.ids
    assert torch.equal(a.indices, order[b.indices])
    assert a.ranking.ids[0][0] == images.ids[int(a.indices[0, 0])]


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 99), cuts=st.lists(st.integers(1, 59), min_size=1, max_size=4))
def test_parts_merge_to_the_whole(seed, cuts):
    model, images = exact_network(seed), image_set(exact_images(60, seed))
    directions = integer_directions(4, 5, seed)
    for source in (images, images.images):
        whole = top_images(model, "2", source, directions, k=8)
        bounds = [0, *sorted(set(cuts)), 60]
        parts = []
        for start, stop in itertools.pairwise(bounds):
            some = torch.arange(start, stop)
            part = images.subset(some) if source is images else source[some]
            parts.append(top_images(model, "2", part, directions, k=8, first_index=start))
        merged = parts[-1]
        for part in parts[:-1]:
            merged = merge_top_images(merged, part)
        for a, b in ((merged.ranking, whole.ranking), (merged.opposite, whole.opposite)):
            assert torch.equal(a.indices, b.indices)
            assert torch.equal(a.values, b.values)
            assert torch.equal(a.positions, b.positions)
            assert a.ids == b.ids
        assert merged.images == 60
        for name in ("width", "first", "counts", "lowest", "highest"):
            assert torch.equal(getattr(merged.histogram, name), getattr(whole.histogram, name))


def test_float_results_agree_with_brute_force_in_float64():
    model, images = conv_network(1), torch.rand(200, 1, 16, 16)
    top = top_images(model, "4", images, haar(12, torch.Generator().manual_seed(2)), k=9)
    phi = next(activations(model, "4", images))["4"].double().numpy()
    indices, values, positions = top_k(phi, top.directions.numpy(), 9, range(200))
    np.testing.assert_allclose(top.values.numpy(), values, rtol=1e-5, atol=1e-6)
    assert (top.indices.numpy() == indices).mean() > 0.99
    assert (top.positions.numpy() == positions).mean() > 0.99


def test_the_negative_sign_is_the_positive_one_of_minus_v():
    model, images = conv_network(1), torch.rand(100, 1, 16, 16)
    v = torch.randn(12, 20, generator=torch.Generator().manual_seed(0))
    negative = top_images(model, "4", images, v, k=4, sign="negative")
    mirrored = top_images(model, "4", images, -v, k=4, sign="positive")
    assert torch.equal(negative.indices, mirrored.indices)
    assert torch.equal(negative.values, mirrored.values)
    assert torch.equal(negative.histogram.counts, mirrored.histogram.counts)
    assert mirrored.opposite is None
    both = top_images(model, "4", images, v, k=4)
    assert torch.equal(both.opposite.indices, negative.indices)


def test_one_direction_is_one_row_and_histograms_count_every_image():
    model, images = conv_network(1), torch.rand(90, 1, 16, 16)
    top = top_images(model, "8", images, torch.ones(10), k=3, bins=16)
    scores = next(activations(model, "8", images))["8"].double().sum(1)
    assert top.indices.shape == (1, 3)
    counts, edges = top.histogram.counts[0], top.histogram.edges(0)
    expected, _ = np.histogram(scores.numpy(), edges.numpy())
    assert (counts.numpy() == expected).sum() >= 14  # float32 sums may stand across an edge
    assert counts.sum() == 90
    assert (counts.cumsum(0) > 0).sum() >= 8
    torch.testing.assert_close(top.histogram.lowest[0], scores.min(), rtol=1e-4, atol=1e-5)


def test_images_with_broken_activations_are_counted_and_not_ranked():
    class Breaks(nn.Module):
        def forward(self, x):
            return torch.where(x.flatten(1) > 0.5, x.flatten(1), torch.nan)

    images = torch.full((5, 1, 1, 2), 0.6)
    images[2] = 0.1
    images[4] = 0.9
    model = nn.Sequential(Breaks()).eval()
    top = top_images(model, "0", images, ["natural", "random"], k=5)["0", "natural"]
    assert top.invalid == 1
    assert top.indices.tolist() == [[4, 0, 1, 3, -1]] * 2
    assert top.values[0, -1] == -math.inf
    assert top.histogram.counts.sum(1).tolist() == [4, 4]


def test_what_does_not_fit_is_refused():
    model, images = conv_network(), torch.rand(4, 1, 16, 16)
    cases = {
        "12 units": {"directions": torch.eye(5)},
        "transpose": {"directions": torch.ones(3, 12)},
        "no basis 'nature'": {"directions": "nature"},
        "its own name": {"directions": ["natural", "natural"]},
        "k=0": {"k": 0},
        "sign=": {"sign": "up"},
        "no images": {"images": torch.rand(0, 1, 16, 16)},
        "each once": {"layer": ["4", "4"]},
    }
    for match, wrong in cases.items():
        arguments = {"layer": "4", "images": images, **wrong}
        with pytest.raises(InputError, match=match):
            top_images(model, **arguments)
    a = top_images(model, "4", images, k=2)
    with pytest.raises(InputError, match="do not merge"):
        merge_top_images(a, replace(a, layer="other"))

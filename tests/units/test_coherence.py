"""Coherence and its chance levels, against enumeration of every possible row."""

from collections import Counter
from itertools import combinations
from math import log2

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from intriguing.errors import InputError
from intriguing.units import coherence as coherence_module
from intriguing.units.activations import layer_features
from intriguing.units.coherence import (
    all_cosines,
    chance_cosine,
    chance_entropy,
    chance_purity,
    coherence,
    draw_rows,
    label_entropy,
    label_purity,
    mean_cosine,
    mean_of_pairs,
    purity_range,
    unit_vectors,
)
from intriguing.units.topk import top_images
from tests.units.networks import conv_network, image_set


def entropy(row):
    return -sum(c / len(row) * log2(c / len(row)) for c in Counter(row).values())


def purity(row):
    return max(Counter(row).values()) / len(row)


@settings(max_examples=60, deadline=None)
@given(counts=st.lists(st.integers(0, 4), min_size=1, max_size=4), k=st.integers(1, 6))
def test_chance_is_the_mean_over_every_row(counts, k):
    labels = [label for label, count in enumerate(counts) for _ in range(count)]
    if k > len(labels):
        with pytest.raises(InputError):
            chance_purity(counts, k)
        return
    rows = list(combinations(labels, k))
    purities = [purity(row) for row in rows]
    assert chance_purity(counts, k) == pytest.approx(np.mean(purities))
    assert chance_entropy(counts, k) == pytest.approx(np.mean([entropy(row) for row in rows]))
    low, high = purity_range(counts, k)
    assert np.mean(np.array(purities) < low - 1e-9) <= 0.025
    assert np.mean(np.array(purities) > high + 1e-9) <= 0.025 + 1e-9


def test_chance_purity_of_the_digits_is_about_three_tenths():
    # units.md: a shuffle of the labels gives a top-8 purity of about .30
    assert chance_purity([1000] * 10, 8) == pytest.approx(0.30, abs=0.015)
    assert chance_purity([50] * 1000, 9) < 0.12


@settings(max_examples=40, deadline=None)
@given(st.lists(st.lists(st.integers(0, 5), min_size=5, max_size=5), min_size=1, max_size=6))
def test_purity_and_entropy_count_labels(rows):
    labels = torch.tensor(rows)
    assert label_purity(labels).tolist() == pytest.approx([purity(row) for row in rows])
    assert label_entropy(labels).tolist() == pytest.approx([entropy(row) for row in rows])


def test_mean_cosine_is_over_all_pairs():
    vectors = torch.randn(30, 6, generator=torch.Generator().manual_seed(0)) + 2
    unit = unit_vectors(vectors)
    centred = (vectors - vectors.mean(0)).double().numpy()
    cosine = centred @ centred.T / np.outer(*[np.linalg.norm(centred, axis=1)] * 2)
    rows = draw_rows(30, 4, 10, torch.Generator().manual_seed(1))
    expected = [np.mean([cosine[i, j] for i, j in combinations(r, 2)]) for r in rows.tolist()]
    assert mean_cosine(unit, rows).tolist() == pytest.approx(expected, abs=1e-6)
    every = [cosine[i, j] for i, j in combinations(range(30), 2)]
    assert chance_cosine(unit) == pytest.approx(np.mean(every), abs=1e-6)


def test_cosines_of_all_pairs_give_the_same_rows(monkeypatch: pytest.MonkeyPatch):
    generator = torch.Generator().manual_seed(3)
    unit = unit_vectors(torch.randn(40, 1, 6, 6, generator=generator))
    rows = torch.randint(40, (200, 9), generator=generator)
    cosines = all_cosines(unit)
    assert cosines is not None
    tabled = mean_of_pairs(cosines, rows)
    assert torch.equal(mean_cosine(unit, rows), tabled)
    monkeypatch.setattr(coherence_module, "_TABLED", 10)
    assert all_cosines(unit) is None
    torch.testing.assert_close(mean_cosine(unit, rows), tabled, rtol=1e-5, atol=1e-6)


def test_own_space_leaves_the_direction_out():
    model, images = conv_network(), image_set(torch.rand(40, 1, 16, 16))
    own = layer_features(model, "7", images)
    top = top_images(model, "7", images, "random", k=4)
    found = coherence(top, images, own=own, features={"other": own})["own"]
    phi = (own.double() - own.double().mean(0)).numpy()
    for d in (0, 7, 19):
        v = top.directions[:, d].numpy()
        rest = phi - np.outer(phi @ v, v)
        rest /= np.linalg.norm(rest, axis=1, keepdims=True)
        cosine = rest @ rest.T
        pairs = [cosine[i, j] for i, j in combinations(top.indices[d].tolist(), 2)]
        assert float(found.values[d]) == pytest.approx(np.mean(pairs), abs=1e-6)
        every = [cosine[i, j] for i, j in combinations(range(40), 2)]
        assert float(found.chance[d]) == pytest.approx(np.mean(every), abs=1e-6)


def test_random_rows_are_as_coherent_as_chance_says():
    generator = torch.Generator().manual_seed(3)
    images = image_set(torch.rand(200, 1, 4, 4, generator=generator))
    model = torch.nn.Sequential(torch.nn.Flatten()).eval()
    found = coherence(
        top_images(model, "0", images, k=5), images, features={"f": torch.rand(200, 3)}
    )
    assert list(found) == ["purity", "entropy", "pixels", "f"]
    rows = draw_rows(200, 5, 4000, generator)
    measured = {
        "purity": label_purity(images.labels[rows]),
        "entropy": label_entropy(images.labels[rows]),
        "pixels": mean_cosine(unit_vectors(images.images), rows),
    }
    for name, values in measured.items():
        level = found[name]
        assert float(values.mean()) == pytest.approx(float(level.chance[0]), abs=0.02)
        inside = ((values >= level.low) & (values <= level.high)).double().mean()
        assert 0.92 <= inside <= 1.0


def test_rows_of_random_images_are_different_images():
    for count in (6, 30, 500):
        rows = draw_rows(count, 5, 300, torch.Generator().manual_seed(0))
        assert all(len(set(row)) == 5 for row in rows.tolist())
        assert rows.max() < count


def test_rows_that_do_not_fit_are_refused():
    model, images = conv_network(), image_set(torch.rand(5, 1, 16, 16))
    with pytest.raises(InputError, match="k=2 or more"):
        coherence(top_images(model, "4", images, k=1), images)
    with pytest.raises(InputError, match="at least k images"):
        coherence(top_images(model, "4", images, k=9), images)
    with pytest.raises(InputError, match="layer_features"):
        coherence(top_images(model, "4", images, k=3), images, own=torch.rand(5, 3))

"""The test of the claim: right about networks that are known, calibrated on those that are null."""

from dataclasses import replace

import pytest
import torch
from scipy import stats
from torch import nn

import intriguing
from intriguing.errors import InputError
from intriguing.units.activations import activations
from intriguing.units.claim import compare_bases
from intriguing.units.measured import reinitialised
from tests.units.networks import conv_network, image_set
from tests.units.planted import network, noisy_images

REPEATS = 100
# Of 100 repeats at 5 %, more than 10 have a probability of 1 %.
MOST = 10
IMAGES = noisy_images()


def claims(make, layer, **settings):
    return [
        compare_bases(make(i), layer, IMAGES, rotations=39, untrained=4, seed=i, **settings).layers[
            0
        ]
        for i in range(REPEATS)
    ]


def false_positives(found):
    return sum("more coherent" in claim.verdict for claim in found)


def test_untrained_networks_are_called_different_no_more_often_than_the_level():
    assert false_positives(claims(network, "2")) <= MOST


def test_a_rotation_after_selective_units_hides_them_and_p_is_uniform():
    found = claims(lambda i: network(i, selective=True, rotated=True), "3")
    assert false_positives(found) <= MOST
    # two-sided: twice the smaller of two ranks among 40
    p = [claim.p_rotation for claim in found]
    assert stats.kstest(p, "uniform").statistic < 0.14 + 2 / 40
    assert sum(x <= 0.5 for x in p) >= 35


def test_planted_selective_units_are_found():
    for i in range(5):
        claim = compare_bases(network(i, selective=True), ["1", "2"], IMAGES, untrained=6, seed=i)
        for layer in claim.layers:
            assert layer.verdict == "natural more coherent"
            assert 0 < layer.interval[0] < layer.difference < layer.interval[1]
            assert layer.natural > layer.random
    assert "natural more coherent" in claim.sentence(claim.layers[0])


def test_the_rotation_leaves_the_function_and_takes_the_selectivity():
    plain, turned = network(3, selective=True), network(3, selective=True, rotated=True)
    turned[-1].load_state_dict(plain[-1].state_dict())
    torch.testing.assert_close(plain(IMAGES.images), turned(IMAGES.images), rtol=1e-4, atol=1e-4)
    a = compare_bases(plain, "2", IMAGES, untrained=6).layers[0]
    b = compare_bases(turned, "3", IMAGES, untrained=6).layers[0]
    assert (a.verdict, b.verdict) == ("natural more coherent", "not decided")
    assert a.random == pytest.approx(b.random, abs=0.03)


def test_seeds_sharpen_the_answer_and_wide_bounds_let_it_be_no_distinction():
    models = [network(i, selective=True, rotated=True) for i in range(6)]
    claim = compare_bases(models, "3", IMAGES, untrained=6, delta=0.2)
    assert claim.layers[0].verdict == "no distinction"
    assert "no distinction within ±0.2" in claim.sentence(claim.layers[0])
    assert (claim.networks, claim.rotations, claim.untrained) == (6, 19, 6)
    assert len(claim.layers[0].measured) == 6
    assert len(claim.layers[0].measured[0].random) == 19


def test_measures_and_settings():
    model, images = conv_network(), image_set(torch.rand(60, 1, 16, 16))
    seen = []
    claim = compare_bases(
        model,
        ["4", "6"],
        images,
        measure="pixels",
        k=4,
        rotations=9,
        untrained=2,
        progress=seen.append,
    )
    assert [p.done for p in seen] == [1, 2, 3]
    assert [layer.units for layer in claim.layers] == [12, 20]
    assert claim.unit == "cosine"
    again = compare_bases(
        model, ["4", "6"], images, measure="pixels", k=4, rotations=9, untrained=2, batch_size=17
    )
    for a, b in zip(claim.layers, again.layers, strict=True):
        assert replace(a, measured=()) == replace(b, measured=())
    entropy = compare_bases(model, "4", images, measure="entropy", rotations=9, untrained=0)
    assert entropy.layers[0].natural < 0
    assert entropy.layers[0].p == entropy.layers[0].p_rotation
    assert "no training" not in entropy.null
    features = compare_bases(
        model, "4", images, measure="features", features=torch.rand(60, 3), rotations=9, untrained=0
    )
    assert -1 <= features.layers[0].random <= 1


def test_silent_units_are_left_out():
    model = network(0)
    with torch.no_grad():
        model[1].bias[:3] = -100
    layer = compare_bases(model, "2", IMAGES, rotations=19, untrained=0).layers[0]
    phi = next(activations(model, "2", IMAGES))["2"]
    selects = phi.topk(9, dim=0).values[-1] > phi.amin(0)
    assert 3 <= layer.silent == int((~selects).sum()) < 20
    assert torch.equal(layer.measured[0].natural.isnan(), ~selects)
    with torch.no_grad():
        model[1].bias[:] = -100
    assert compare_bases(model, "2", IMAGES, rotations=19, untrained=3).layers[0].p == 1


def test_untrained_copies_are_new_and_leave_the_global_generator():
    model = network(0, selective=True)
    before = torch.random.get_rng_state()
    a, b, c = (reinitialised(model, seed) for seed in (1, 1, 2))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert torch.equal(a[1].weight, b[1].weight)
    assert not torch.equal(a[1].weight, c[1].weight)
    assert not torch.equal(a[1].weight, model[1].weight)
    bare = nn.Sequential(nn.Flatten())
    bare.weight = nn.Parameter(torch.zeros(3))
    with pytest.raises(InputError, match="reset_parameters"):
        reinitialised(bare, 0)


def test_what_cannot_be_compared_is_refused():
    model = network(0)
    for match, wrong in {
        "one network": {"models": []},
        "measure=": {"measure": "beauty"},
        "features go with": {"features": torch.rand(300, 2)},
        "as many": {"measure": "features", "features": torch.rand(3, 2)},
        "k=1 of": {"k": 1},
        "k=400 of": {"k": 400},
        "delta=0": {"delta": 0.0},
        "rotations=1": {"rotations": 1},
        "no layer": {"layers": "nope"},
    }.items():
        with pytest.raises(InputError, match=match):
            compare_bases(**{"models": model, "layers": "2", "images": IMAGES, **wrong})


def test_public_names():
    assert intriguing.compare_bases is compare_bases
    assert {"top_images", "compare_bases", "list_layers"} <= set(intriguing.__all__)

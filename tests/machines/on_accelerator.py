"""Every analysis on an accelerator: as on the CPU, and sparing with launches and waits."""

import copy
from dataclasses import replace
from functools import cache

import pytest
import torch
from torch import nn

import intriguing as it
from intriguing.distortion.methods import METHODS
from intriguing.models.classifier import Classifier
from intriguing.models.schedule import Schedule
from intriguing.results.measured import Measurement
from intriguing.results.parquet import read_rows
from intriguing.spectral.certificates.relaxation import search, tightening
from intriguing.spectral.certificates.relaxation.ranges import surroundings
from intriguing.spectral.certificates.relaxation.segments import inner_maps
from intriguing.spectral.certificates.relaxation.tightening import Tightening
from intriguing.training.lbfgs import LBFGSConfig
from tests.machines.accelerator import DEVICE, accelerator
from tests.spectral.certificates.test_tightening import Case

CLOSE = {"rtol": 1e-4, "atol": 1e-5}


@pytest.fixture
def device():
    with accelerator() as counts:
        yield counts


@pytest.fixture(scope="module")
def digits():
    return it.load_data("digits").test.first(24)


@cache
def trained(seed):
    """Convolutions, normalisation, kinks and a smooth layer; most digits are recognised."""
    generator = torch.Generator().manual_seed(seed)
    layers = (
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
        nn.Linear(36, 12), nn.Sigmoid(), nn.Linear(12, 10),
    )  # fmt: skip
    model, train = nn.Sequential(*layers).train(), it.load_data("digits").train
    for weights in model.parameters():
        if weights.ndim > 1:
            drawn = torch.randn(weights.shape, generator=generator)
            weights.data = drawn / weights[0].numel() ** 0.5
    optimizer = torch.optim.Adam(model.parameters(), 0.02)
    for _ in range(80):
        batch = torch.randint(len(train), (100,), generator=generator)
        loss = nn.functional.cross_entropy(model(train.images[batch]), train.labels[batch])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model.eval()


def network(seed=0):
    return copy.deepcopy(trained(seed))


def there(model):
    return copy.deepcopy(model).to(DEVICE)


def test_it_refuses_what_an_accelerator_refuses(device):
    far, near = torch.ones(3).to(DEVICE), torch.ones(3)
    with pytest.raises(RuntimeError, match="same device"):
        far + near
    with pytest.raises(RuntimeError, match="numpy"):
        far.numpy()
    with pytest.raises(RuntimeError, match="generator"):
        torch.rand(3, generator=torch.Generator(), device=DEVICE)
    with pytest.raises(RuntimeError, match="indices"):
        near[far.long()]
    assert (far + 1).device == DEVICE
    assert (device.launches, device.waits) == (3, 0)
    assert float((far * 2)[far > 0].sum()) == 6
    assert device.waits == 2


# What 8 bits need begins where a search has ended, whichever it was.
@pytest.mark.parametrize(
    ("method", "levels"), [*((method, None) for method in METHODS), ("closest", 256), ("fmn", 256)]
)
def test_minimum_distortion(method, levels, device, digits, monkeypatch):
    # Their faster forms round otherwise on either (`test_a_faster_form`).
    monkeypatch.setattr(Classifier, "faster", lambda self, noise: self)
    model = network()
    budgets = {"closest": 30, "paper": None, "cw": 18, "noise": 36, "deepfool": 60}
    config = it.PaperConfig(max_solves=3) if method == "paper" else None
    targeted = method in ("paper", "ddn")
    targets = (digits.labels + 1) % 10 if targeted else "untargeted"

    def search(network):
        return it.minimum_distortion(
            network, digits.images[:6], digits.labels[:6], targets[:6] if targeted else targets,
            method, budget=budgets.get(method, 12), levels=levels, config=config,
        )  # fmt: skip

    near, far = search(model), search(there(model))
    assert torch.equal(far.status, near.status)
    assert near.success.any()
    torch.testing.assert_close(far.l2, near.l2, **CLOSE)
    torch.testing.assert_close(far.adversarial, near.adversarial, equal_nan=True, **CLOSE)
    assert far.adversarial.device.type == "cpu"


def test_a_faster_form(device, digits):
    """Fewer kernels a pass, and answers that the network itself calls adversarial."""
    model = there(network())
    given = Classifier.of(model)
    faster = given.faster(lambda: digits.images[:4].to(DEVICE))
    launched = []
    for form in (given, faster):
        before = device.launches
        form.each(digits.images[:16].to(DEVICE))
        launched.append(device.launches - before)
    assert launched[1] < launched[0]
    found = it.minimum_distortion(model, digits.images, digits.labels, "untargeted", budget=30)
    assert found.success.float().mean() > 0.9
    wrong = network()(found.adversarial[found.success]).argmax(1) != digits.labels[found.success]
    assert wrong.all()


def test_transfer(device, digits):
    models = {"one": network(), "other": network(1)}
    pushed = it.amplify(digits.images, digits.images.flip(0), 0.1)
    sets = {"clean": [(digits.images, digits.labels)], "pushed": [(pushed, digits.labels)]}
    near = it.error_matrix(models, sets)
    far = it.error_matrix({name: there(model) for name, model in models.items()}, sets)
    assert far == near
    there_too = it.amplify(digits.images.to(DEVICE), digits.images.flip(0).to(DEVICE), 0.1)
    torch.testing.assert_close(there_too.cpu(), pushed)


def test_certificates_and_bounds(device, digits):
    model = network()
    near, far = (
        it.certify(m, digits.images, digits.labels, semidefinite=False)
        for m in (model, there(model))
    )
    torch.testing.assert_close(far.radius, near.radius, **CLOSE)
    near, far = (
        it.lipschitz_report(m, (1, 8, 8), semidefinite=False, data=digits.images[:8])
        for m in (model, there(model))
    )
    assert far.upper == pytest.approx(near.upper, rel=1e-5)
    assert far.lower == pytest.approx(near.lower, rel=1e-3)
    assert far.lower <= far.upper


def test_tighter_ranges_around_an_image(device, monkeypatch):
    """By cones; by passes of the whole it takes a minute here."""
    monkeypatch.setattr(tightening, "_FEW", 0)
    near, far = Case("pool"), Case("pool", torch.device(DEVICE))
    ranges = [
        surroundings(c.here, c.segments, 0.4, None, Tightening(c.program, c.segments))
        for c in (near, far)
    ]
    for at in near.program.curves:
        torch.testing.assert_close(ranges[1].low[at].cpu(), ranges[0].low[at], **CLOSE)
        torch.testing.assert_close(ranges[1].high[at].cpu(), ranges[0].high[at], **CLOSE)


def test_long_searches_whose_rows_end_one_by_one(device):
    """The first has enough at once, the second goes on."""
    found = []
    for case in (Case("relu"), Case("relu", torch.device(DEVICE))):
        inner = inner_maps(case.program, case.segments, 4096)
        around = surroundings(replace(case.here, inner=inner), case.segments, 0.05)
        rows = case.image.new_tensor([[1.0, -1.0, 0.0], [1.0, 0.0, -1.0]])
        start = search.apart(around, search.started(around, rows))
        enough = torch.tensor([-1e9, 1e9])
        steps = search.Pace(21, 0.02, 0.1, 0.99)
        after = search.improved(around, rows, start, steps, enough=enough)
        found.append([search.proved(around, rows, c)[0].cpu() for c in (start, after)])
    (before, near), (_, far) = found
    assert float(near[1]) > float(before[1])
    torch.testing.assert_close(far, near, rtol=1e-3, atol=1e-3)


def test_units(device, digits):
    model = network()
    assert it.list_layers(there(model), (1, 8, 8)) == it.list_layers(model, (1, 8, 8))
    near, far = (
        it.top_images(m, "6", digits, ["natural", "random"]) for m in (model, there(model))
    )
    for key in near:
        assert torch.equal(far[key].indices.cpu(), near[key].indices)
        torch.testing.assert_close(far[key].values.cpu(), near[key].values, **CLOSE)
    images = it.load_data("digits").test.first(120)
    near, far = (
        it.compare_bases(m, "6", images, rotations=19, untrained=0) for m in (model, there(model))
    )
    assert str(far) == str(near)


def test_preflight_and_accuracy(device, digits):
    model = network()
    assert it.preflight(there(model), digits.images) == it.preflight(model, digits.images)
    assert it.clean_accuracy(there(model), digits) == it.clean_accuracy(model, digits)


def same_weights(far, near):
    assert all(w.device == DEVICE for w in far.parameters())
    for name, weight in near.state_dict().items():
        torch.testing.assert_close(far.state_dict()[name].cpu(), weight, rtol=1e-3, atol=1e-4)


def test_training(device):
    data = it.load_data("digits").train
    stop = LBFGSConfig(max_iterations=12, chunk=5)
    recipe = it.Recipe("FC20-15-10", "fc", "fc20-15-10", (1e-5, 1e-5, 1e-6), stop=stop)
    (near, before), (far, after) = (
        it.train_network(recipe, data, device=place) for place in ("cpu", DEVICE)
    )
    same_weights(far, near)
    assert after.iterations == before.iterations


def test_training_with_pools(device):
    data = it.load_data("digits").train.first(300)
    schedule = Schedule(
        epochs=2, rate=0.05, batch_size=100, optimizer="nesterov", momentum=0.9, warmup=1.0,
        input_dropout=0.0, dropout=0.0, shift=0,
    )  # fmt: skip
    near, far = network(), there(network())
    for model, place in ((near, "cpu"), (far, DEVICE)):
        it.train_with_pools(
            model, data.images.to(place), data.labels.to(place), ("input", 1),
            config=it.PoolConfig(start=1, refresh=0.4), schedule=schedule, penalty=1e-3,
        )  # fmt: skip
    same_weights(far, near)


def test_the_spectral_penalty(device):
    near, far = network(), there(network())
    values = [it.SpectralPenalty(model, (1, 8, 8)) for model in (near, far)]
    for penalty in values:
        penalty().backward()
    for ours, theirs in zip(far.parameters(), near.parameters(), strict=True):
        if theirs.grad is not None:
            torch.testing.assert_close(ours.grad.cpu(), theirs.grad, **CLOSE)


def test_an_audit(device, tmp_path):
    config = it.AuditConfig(
        images=3, budget=6, units_on=60, rotations=9, untrained=0, skip=("spectrum", "certify")
    )
    images = it.load_data("digits").test.first(70)
    near = it.run_audit({"it": network()}, images, tmp_path / "near", config)
    far = it.run_audit({"it": there(network())}, images, tmp_path / "far", config)
    states = {(r.stage, r.network): r.status for r in near.records}
    assert {(r.stage, r.network): r.status for r in far.records} == states
    assert states["units", "it"] == states["noise", "it"] == "done"
    ours, theirs = (read_rows(audit.folder, Measurement) for audit in (near, far))
    assert len(ours) >= 5
    for one, other in zip(ours, theirs, strict=True):
        assert replace(one, value=0, low=0, high=0, size=0) == replace(
            other, value=0, low=0, high=0, size=0
        )
        assert other.value == pytest.approx(one.value, rel=1e-3, nan_ok=True)

"""A network is never asked about no images, whatever was found; and no images are refused alike."""

import pytest
import torch
from torch import nn

import intriguing as it
from intriguing.adapter import MinimumDistortion
from intriguing.distortion.methods import METHODS
from intriguing.distortion.within import strongest_within


class Classic(nn.Module):
    """As in PyTorch's tutorials: `x.view(x.size(0), -1)` raises for a batch of no images."""

    def __init__(self, lead=0.0):
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.layers = nn.Sequential(nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 4))
        with torch.no_grad():
            self.layers[2].bias[2] += lead
        self.smallest = 1

    def forward(self, x):
        self.smallest = min(self.smallest, len(x))
        return self.layers(x.view(x.size(0), -1))


def asked(model, x, method, targets, **settings):
    labels = model(x).argmax(1)
    return it.minimum_distortion(model, x, labels, targets, method, **settings)


@pytest.mark.parametrize("lead", [0.0, 30.0], ids=["found", "one class everywhere"])
@pytest.mark.parametrize("targets", ["untargeted", "random", "all"])
@pytest.mark.parametrize("method", METHODS)
def test_no_search_asks_about_no_images(method, targets, lead):
    if (method, targets) == ("paper", "untargeted"):
        return  # it aims at one class
    x = torch.rand(4, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    model = Classic(lead).eval()
    short = {"config": it.PaperConfig(max_solves=2)} if method == "paper" else {"budget": 24}
    for count, levels, size in ((4, None, None), (1, None, None), (4, 256, 3)):
        answer = asked(model, x[:count], method, targets, levels=levels, batch_size=size, **short)
        assert len(answer.status) == count
        assert model.smallest == 1
        if lead:
            assert not answer.success.any()


def test_images_that_are_finished_at_once_leave_nothing_to_ask_about():
    x = torch.rand(4, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    model = Classic().eval()
    labels = model(x).argmax(1)
    for method in METHODS:
        if method != "paper":
            answer = it.minimum_distortion(
                model, x, (labels + 1) % 4, "untargeted", method, budget=24
            )
            assert (answer.l2 == 0).all()
    reached = it.minimum_distortion(model, x, (labels + 1) % 4, labels, "paper")
    assert (reached.l2 == 0).all()
    assert model.smallest == 1


@pytest.fixture
def nothing():
    return it.load_data("mnist-5k").test.first(0)


def wide():
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 12), nn.ReLU(), nn.Linear(12, 10)).eval()


REFUSED = {
    "minimum_distortion": lambda m, e, _: it.minimum_distortion(m, e.images, e.labels),
    "untargeted noise": lambda m, e, _: it.minimum_distortion(
        m, e.images, e.labels, "untargeted", "noise"
    ),
    "certify": lambda m, e, _: it.certify(m, e.images, e.labels),
    "sandwich": lambda m, e, _: it.sandwich(m, e.images, e.labels),
    "preflight": lambda m, e, _: it.preflight(m, e.images),
    "clean_accuracy": lambda m, e, _: it.clean_accuracy(m, e),
    "attack_in_shards": lambda m, e, folder: it.attack_in_shards(m, e, "untargeted", folder),
    "top_images": lambda m, e, _: it.top_images(m, "1", e),
    "compare_bases": lambda m, e, _: it.compare_bases(m, "1", e),
    "run_audit": lambda m, e, folder: it.run_audit({"a": m}, e, folder, it.AuditConfig()),
    "train_with_pools": lambda m, e, _: it.train_with_pools(m, e.images, e.labels, ["input"]),
    "as foolbox": lambda m, e, _: MinimumDistortion()(m, e.images, e.labels),
}


@pytest.mark.parametrize("what", REFUSED)
def test_no_images_are_refused(what, nothing, tmp_path):
    with pytest.raises(it.InputError):
        REFUSED[what](wide(), nothing, tmp_path / "out")


def test_what_has_an_answer_for_no_images_gives_it(nothing):
    x, y, model = nothing.images, nothing.labels, Classic().eval()
    assert it.amplify(x, x, 0.1).shape == x.shape
    assert it.gaussian_noise(x, 0.1, torch.Generator()).shape == x.shape
    assert len(it.choose_targets(y, 10, torch.Generator())) == 0
    assert strongest_within(model, x, y, 1.0).shape == x.shape
    counts = it.error_matrix({"net": model}, {"none": [(x, y)], "nothing": []})
    assert {count.total for count in counts.values()} == {0}
    assert model.smallest == 1

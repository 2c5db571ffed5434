"""One set of settings, the same for a tensor of images and for shards on disk."""

import pytest
import torch
from torch import nn

import intriguing as it


@pytest.fixture(scope="module")
def asked():
    torch.manual_seed(1)
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 12), nn.Sigmoid(), nn.Linear(12, 10)).eval()
    return model, it.load_data("digits").test.first(6)


SEARCHES = [
    it.Search(),
    it.Search("fmn", budget=15, seed=2),
    it.Search("closest", levels=16, batch_size=2, config=it.ClosestConfig(budget=40, classes=1)),
    it.Search("paper", config=it.PaperConfig(max_solves=3)),
]


@pytest.mark.parametrize("search", SEARCHES, ids=lambda search: search.method)
def test_a_search_is_its_single_settings(search, asked, tmp_path):
    model, images = asked
    goals = (images.labels + 1) % 10
    single = {name: getattr(search, name) for name in search.__dataclass_fields__}
    one = it.minimum_distortion(model, images.images, images.labels, goals, search)
    other = it.minimum_distortion(model, images.images, images.labels, goals, **single)
    kept = it.attack_in_shards(model, images, goals, tmp_path, method=search)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.safetensors")}
    it.attack_in_shards(model, images, goals, tmp_path, **single)
    for name in ("adversarial", "l2", "status", "forward_passes"):
        column = getattr(one, name)
        torch.testing.assert_close(column, getattr(other, name), rtol=0, atol=0, equal_nan=True)
        torch.testing.assert_close(column, kept.shards.column(name), rtol=0, atol=0, equal_nan=True)
    after = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.safetensors")}
    assert before == after


def test_the_methods_own_settings_are_in_the_key_of_shards(asked, tmp_path):
    model, images = asked
    it.attack_in_shards(model, images, "untargeted", tmp_path, method=it.Search())
    files = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.safetensors")}
    own = it.Search(config=it.ClosestConfig())
    it.attack_in_shards(model, images, "untargeted", tmp_path, method=own)
    assert files == {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.safetensors")}
    other = it.Search(config=it.ClosestConfig(cuts=3))
    it.attack_in_shards(model, images, "untargeted", tmp_path, method=other)
    assert files != {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.safetensors")}


def test_what_does_not_fit_is_refused(asked):
    model, images = asked
    both = {"budget": 10}, {"levels": 256}, {"seed": 1}, {"batch_size": 2}
    for more in (*both, {"config": it.ClosestConfig()}):
        with pytest.raises(it.InputError, match="not both"):
            it.minimum_distortion(model, images.images, images.labels, 3, it.Search(), **more)
    for wrong, words in (
        ({"method": "pgd"}, "choose one of closest, paper"),
        ({"method": "ddn", "config": it.ClosestConfig()}, "leave it out"),
        ({"config": it.PaperConfig()}, "give a ClosestConfig"),
        ({"budget": 0}, "allows no pass"),
        ({"levels": 1}, "256"),
        ({"batch_size": 0}, "give 1 or more"),
    ):
        with pytest.raises(it.InputError, match=words):
            it.Search(**wrong)

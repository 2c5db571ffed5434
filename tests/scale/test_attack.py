from pathlib import Path

import pytest
import torch
from torch import nn

from intriguing.data.dataset import ImageSet
from intriguing.data.named import load_data
from intriguing.distortion.minimum import minimum_distortion
from intriguing.distortion.targets import choose_targets
from intriguing.errors import InputError
from intriguing.scale import attack
from intriguing.scale.attack import Attacked, attack_in_shards


@pytest.fixture(scope="module")
def digits() -> ImageSet:
    return load_data("digits").test.first(30)


@pytest.fixture(scope="module")
def targets(digits: ImageSet) -> torch.Tensor:
    return choose_targets(digits.labels, 10, torch.Generator().manual_seed(0))


def network(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 20), nn.Tanh(), nn.Linear(20, 10)).eval()


def attacked(
    digits: ImageSet, targets: torch.Tensor, folder: Path, model: nn.Module | None = None
) -> Attacked:
    return attack_in_shards(
        model or network(), digits, targets, folder, shard_size=13, method="paper"
    )


def test_shards_hold_what_one_call_returns(
    digits: ImageSet, targets: torch.Tensor, tmp_path: Path
) -> None:
    whole = minimum_distortion(network(), digits.images, digits.labels, targets, "paper")
    parts = attacked(digits, targets, tmp_path)
    assert torch.equal(parts.success, whole.success)
    assert parts.distortion == pytest.approx(whole.distortion, rel=1e-4)
    assert parts.mean == pytest.approx(whole.mean, rel=1e-4)
    assert torch.equal(parts.shards.column("targets"), targets)
    ids = [image_id for images, _ in parts.parts() for image_id in images.ids]
    assert tuple(ids) == digits.ids


def test_found_images_fool_the_model(
    digits: ImageSet, targets: torch.Tensor, tmp_path: Path
) -> None:
    parts = attacked(digits, targets, tmp_path)
    x, adversarial, labels = (torch.cat(column) for column in zip(*parts.found(), strict=True))
    assert len(x) == int(parts.success.sum()) > 0
    assert (network()(adversarial).argmax(1) != labels).all()
    assert adversarial.dtype == torch.float32


def test_nothing_is_computed_twice_and_nothing_of_another_model_is_used(
    digits: ImageSet,
    targets: torch.Tensor,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first = attacked(digits, targets, tmp_path)
    before = first.distortion
    calls = []

    def counted(*args, **more):
        calls.append(len(args[1]))
        return minimum_distortion(*args, **more)

    monkeypatch.setattr(attack, "minimum_distortion", counted)
    assert torch.equal(attacked(digits, targets, tmp_path).distortion, before)
    assert calls == []
    other = attacked(digits, targets, tmp_path, network(1))
    assert calls == [13, 13, 4]
    assert not torch.equal(other.distortion, before)
    others = choose_targets(digits.labels, 10, torch.Generator().manual_seed(1))
    attacked(digits, others, tmp_path, network(1))
    assert len(calls) == 6


def test_every_class_by_itself_is_cut_into_shards_of_images(
    digits: ImageSet, tmp_path: Path
) -> None:
    whole = minimum_distortion(network(), digits.images, digits.labels, "all", "paper")
    parts = attack_in_shards(network(), digits, "all", tmp_path, shard_size=11, method="paper")
    assert parts.distortion == pytest.approx(whole.distortion, rel=1e-4)
    assert torch.equal(parts.shards.column("targets"), whole.targets)
    assert parts.shards.column("curve").shape == whole.curve.shape


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"method": "pgd"}, "method='pgd' is unknown"),
        ({"method": "paper", "budget": 100}, "no budget"),
        ({"method": "paper", "targets": "untargeted"}, 'targets="all"'),
        ({"method": "paper", "levels": 1}, "levels=1"),
    ],
)
def test_settings_that_do_not_fit_are_refused_before_any_work(
    digits: ImageSet, targets: torch.Tensor, tmp_path: Path, settings: dict, words: str
) -> None:
    with pytest.raises(InputError, match=words):
        attack_in_shards(
            network(), digits, folder=tmp_path / "shards", **{"targets": targets} | settings
        )
    assert not (tmp_path / "shards").exists()


@pytest.mark.parametrize("change", [{"levels": 256}, {"batch_size": 7}, {"targets": "all"}])
def test_shards_of_other_settings_are_not_used(
    digits: ImageSet,
    targets: torch.Tensor,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    change: dict,
) -> None:
    few, settings = digits.first(4), {"targets": targets[:4], "method": "paper"}
    attack_in_shards(network(), few, folder=tmp_path, **settings)
    calls = []

    def counted(*args, **more):
        calls.append(len(args[1]))
        return minimum_distortion(*args, **more)

    monkeypatch.setattr(attack, "minimum_distortion", counted)
    attack_in_shards(network(), few, folder=tmp_path, **settings)
    assert calls == []
    attack_in_shards(network(), few, folder=tmp_path, **settings | change)
    assert calls == [4]


def test_wrong_input_leaves_no_shard(
    digits: ImageSet, targets: torch.Tensor, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="target equals label"):
        attacked(digits, digits.labels, tmp_path / "shards")
    with pytest.raises(InputError, match="training mode"):
        attacked(digits, targets, tmp_path / "shards", network().train())
    assert not (tmp_path / "shards").exists()

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
    return attack_in_shards(model or network(), digits, targets, folder, shard_size=13)


def test_shards_hold_what_one_call_returns(
    digits: ImageSet, targets: torch.Tensor, tmp_path: Path
) -> None:
    whole = minimum_distortion(network(), digits.images, digits.labels, targets)
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


def test_wrong_input_leaves_no_shard(
    digits: ImageSet, targets: torch.Tensor, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="target equals label"):
        attacked(digits, digits.labels, tmp_path / "shards")
    with pytest.raises(InputError, match="training mode"):
        attacked(digits, targets, tmp_path / "shards", network().train())
    assert not (tmp_path / "shards").exists()

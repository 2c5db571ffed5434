"""Audits of what is no picture: clips, rows of numbers, sequences."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from intriguing.audit.config import AuditConfig
from intriguing.audit.run import run_audit
from intriguing.data.dataset import ImageSet


class Clips(nn.Module):
    """Frames, channels, rows, columns."""

    def __init__(self) -> None:
        super().__init__()
        self.seen, self.last = nn.Conv3d(3, 4, (2, 3, 3)), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(torch.relu(self.seen(x.transpose(1, 2))).mean((2, 3, 4)))


def flat(size: int) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(size, 6), nn.ReLU(), nn.Linear(6, 3))


KINDS = {
    "clips": (Clips, (3, 3, 6, 6)),
    "two channels": (lambda: flat(32), (2, 4, 4)),
    "sequences": (lambda: flat(24), (2, 12)),
    "rows of numbers": (lambda: flat(7), (7,)),
}


@pytest.mark.parametrize("kind", KINDS)
def test_an_audit_of_any_shape_ends_well(kind: str, tmp_path: Path) -> None:
    make, shape = KINDS[kind]
    torch.manual_seed(0)
    model = make().eval()
    images = torch.rand(16, *shape)
    labels = model(images).argmax(1)
    labels[0] = (labels[0] + 1) % 3  # one that becomes the target is enough
    target = int((labels[1] + 1) % 3)
    names = tuple(f"i{i}" for i in range(16))
    given = ImageSet(kind, images, labels, names, tuple("abc"))
    config = AuditConfig(
        images=2, budget=20, units_on=16, rotations=19, untrained=0, target=target,
        target_budget=20, skip=("certify", "spectrum"),
    )  # fmt: skip
    audit = run_audit(model, given, tmp_path / "out", config)
    failed = [(r.stage, r.words) for r in audit.records if r.status == "failed"]
    assert [(s, w) for s, w in failed if "of class" not in w[0]] == []
    assert audit.page.is_file()
    assert (tmp_path / "out" / "report" / "units.html").is_file()

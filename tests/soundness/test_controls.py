"""The controls that make a number mean something: equal noise, and searches that are not believed.

Each test here is there because the package could be changed for the worse in one line and no other
test saw it; `benchmarks/mutations.toml` has the lines.
"""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from intriguing import AuditConfig, ImageSet, gaussian_noise, load_data, run_audit
from intriguing.distortion import minimum
from intriguing.distortion.minimum import minimum_distortion
from intriguing.distortion.result import Found, Status
from intriguing.errors import UnsoundBound
from intriguing.report.contents import read_contents
from intriguing.report.findings import findings
from intriguing.results.parquet import read_columns
from intriguing.results.rows import CertificateRow
from intriguing.runs import certifying
from intriguing.spectral.certificates.certificate import Certificates, Certifier
from intriguing.spectral.certificates.sandwich import Sandwich
from tests.shown import laid_out
from tests.soundness.controls import means

# Noise and searches.


def test_noise_is_clipped_where_a_box_is_given_and_nowhere_else():
    x = torch.full((4, 1, 8, 8), 0.9)
    for box in (None, (0.0, 1.0), (0.8, 0.95)):
        noisy = gaussian_noise(x, 0.5, torch.Generator().manual_seed(0), box)
        free = gaussian_noise(x, 0.5, torch.Generator().manual_seed(0))
        assert torch.equal(noisy, free if box is None else free.clamp(*box))
    assert float(free.max()) > 1


@pytest.mark.parametrize(
    ("point", "levels", "stands"),
    [(0.5, None, True), (1.5, None, False), (0.95, None, False), (0.5, 2, False), (0.5, 3, True)],
)
def test_a_search_that_lies_is_not_believed(point, levels, stands, monkeypatch):
    """A pixel near 0.5, or beyond 1, is of class 1: no level of two, and no pixel."""
    net = nn.Sequential(nn.Flatten(), nn.Linear(1, 3), nn.ReLU(), nn.Linear(3, 2)).eval()
    net[1].weight.data.copy_(torch.tensor([[1.0], [-1.0], [9.0]]))
    net[1].bias.data.copy_(torch.tensor([-0.5, 0.5, -9.5]))
    net[3].weight.data.copy_(torch.tensor([[1.0, 1.0, -1.0], [0.0, 0.0, 0.0]]))
    net[3].bias.data.copy_(torch.tensor([0.0, 0.2]))

    def search(*_: object, **__: object) -> Found:
        one = torch.ones(1, dtype=torch.long)
        curve = torch.full((1, 27), torch.inf)
        return Found(torch.tensor([[point]]), one > 0, one == 0, one > 0, one, one, curve)

    monkeypatch.setattr(minimum, "search_with", search)
    x, label = torch.tensor([[[[0.9]]]]), torch.tensor([0])
    found = minimum_distortion(net, x, label, "untargeted", "ddn", levels=levels)
    assert bool(found.success) == stands
    if levels == 2:
        assert Status(int(found.status)) is Status.LOST_ON_LATTICE


# Certificates and what is found.


def test_certificates_that_are_wrong_are_counted_everywhere():
    certified, found = torch.tensor([0.5, 0.1, 0.0, 2.0]), torch.tensor([0.4, 0.4, 0.0, 1.0])
    given = Certificates(
        certified, certified, torch.ones(4).long(), torch.zeros(4).long(), torch.ones(2, 2), "",
        True,
    )  # fmt: skip
    both = Sandwich(certified, found, given, None)  # type: ignore[arg-type]
    assert both.violations == 2
    assert both.median_ratio == pytest.approx(1.25)
    columns = {
        "certified": certified.double().numpy(), "found": found.double().numpy(),
        "predicted": np.array([0, 0, 1, 0]), "label": np.zeros(4, int), "pixels": 4,
        "seed": 0,
    }  # fmt: skip
    table = {
        (c.analysis, c.column): c
        for c in laid_out(certifying.certified_rows("net", columns, (0.3,)))
    }
    assert (table["certify", "Violations"].count, table["certify", "Violations"].total) == (2, 4)
    assert table["certify", "Clean accuracy"].count == 3
    for column, share in (("Certified", 50.0), ("Under the attack", 75.0)):
        cell = table["robust", column]
        assert (cell.value, cell.total, cell.size) == (share, 4, 0.3)


def test_an_audit_never_passes_over_a_certificate_that_is_wrong(tmp_path, monkeypatch):
    true = Certifier.certificates

    def wrong(*arguments: object, **settings: object) -> Certificates:
        made = true(*arguments, **settings)  # type: ignore[arg-type]
        return replace(made, radius=made.radius + 9)

    monkeypatch.setattr(Certifier, "certificates", wrong)
    skip = ("preflight", "noise", "spectrum", "units")
    config = AuditConfig(images=5, budget=40, semidefinite=False, skip=skip)
    with pytest.raises(UnsoundBound, match="an adversarial example lies at"):
        run_audit(means(), load_data("digits").test.first(40), tmp_path, config, report=False)


def test_an_audit_says_how_often_rounding_leads_inside_a_certificate(tmp_path):
    """Where a network rounds, an example closer than is certified of exact arithmetic is said."""

    class Rounds(nn.Module):
        """The pixels, one rounded to halves and one to quarters."""

        def __init__(self) -> None:
            super().__init__()
            self.far = nn.Parameter(torch.tensor([64.0, 32.0]).bfloat16())

        def forward(self, x: Tensor) -> Tensor:
            """Two logits."""
            return (x.flatten(1) + self.far) - self.far

    pixels = torch.tensor([[[[1.0, 0.5]]]]).repeat(8, 1, 1, 1)
    images = ImageSet("two pixels", pixels, torch.zeros(8).long(), tuple("abcdefgh"), ("0", "1"))
    skip = ("preflight", "noise", "spectrum", "units")
    config = AuditConfig(images=8, budget=2000, method="noise", skip=skip)
    audit = run_audit({"net": Rounds().eval()}, images, tmp_path, config, report=False)
    assert {r.stage: r.status for r in audit.records}["certify"] == "done"
    columns = read_columns(tmp_path, CertificateRow)
    inside = int((columns["certified"] > columns["found"]).sum())
    assert inside > 0
    (alarm,) = findings(read_contents(tmp_path)).alarms
    assert alarm.startswith(f"net: {inside} images have an example closer than certified.")

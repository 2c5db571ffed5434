"""A bound that is refuted stops the run, in the library, the verbs and the audit."""

import pytest
import torch
from torch import Tensor, nn

from intriguing import (
    ImageSet,
    UnsoundBound,
    certify,
    lipschitz_report,
    register_bound,
    run_audit,
    sandwich,
)
from intriguing.audit.config import AuditConfig
from intriguing.cli.main import main

NETWORK = """
import torch
from torch import nn
from intriguing import register_bound
class Triple(nn.Module):
    def forward(self, x):
        return 3 * x
register_bound(Triple, 1.0)
def build():
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 10, bias=False), Triple()).eval()
"""


class Boasting(nn.Module):
    """Its registered bound is a third of the truth."""

    def forward(self, x: Tensor) -> Tensor:
        return 3 * x


register_bound(Boasting, 1.0)


def network() -> nn.Sequential:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(nn.Flatten(), nn.Linear(64, 10, bias=False), Boasting()).eval()


def images(count: int = 12) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    pixels = torch.rand(count, 1, 8, 8, generator=generator)
    with torch.no_grad():
        return pixels, network()(pixels).argmax(1)


def test_a_lower_bound_above_the_upper_one_names_the_layer_and_both() -> None:
    with pytest.raises(UnsoundBound, match=r"^2: some change becomes 3 times as long, .* most 1"):
        lipschitz_report(network(), (1, 8, 8))
    silent = lipschitz_report(network(), (1, 8, 8), lower=False)
    assert silent.upper == pytest.approx(torch.linalg.matrix_norm(network()[1].weight, 2).item())


def test_an_example_inside_a_certificate_names_the_image_and_both() -> None:
    pixels, labels = images()
    made = certify(network(), pixels, labels)
    with pytest.raises(UnsoundBound, match=r"image \d+: certified [\d.]+, but an adver.* [\d.]+"):
        sandwich(network(), pixels, labels, certificates=made, budget=100)


def test_examples_as_far_as_certified_are_no_contradiction() -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        affine = nn.Sequential(nn.Flatten(), nn.Linear(64, 10)).eval()
    pixels = images(40)[0]
    held = sandwich(affine, pixels, affine(pixels).argmax(1), budget=100)
    assert held.violations == 0
    assert 0.999 < float((held.certified / held.found).max()) <= 1


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16])
def test_a_network_in_16_bits_is_no_excuse_for_a_wrong_bound(kind, tmp_path) -> None:
    """The examples fool its weights in exact arithmetic, too, which the certificates are of."""
    pixels = images(20)[0]
    model = network().to(kind)
    labels = model(pixels.to(kind)).argmax(1)
    with pytest.raises(UnsoundBound, match=r"image \d+: certified [\d.]+, but an adver.* [\d.]+"):
        sandwich(model, pixels, labels, budget=100)
    asked = ImageSet("noise", pixels, labels, tuple(map(str, range(20))), tuple("0123456789"))
    config = AuditConfig(images=8, skip=("units", "noise", "spectrum"))
    with pytest.raises(UnsoundBound, match=r"certified [\d.]+, but"):
        run_audit(model, asked, tmp_path / "audit", config)


def test_rounding_to_16_bits_refutes_no_bound_of_exact_arithmetic() -> None:
    """What fools the network only because it rounds is counted, not called a wrong bound."""

    class Rounds(nn.Module):
        """The pixels, one rounded to halves and one to quarters."""

        def __init__(self) -> None:
            super().__init__()
            self.far = nn.Parameter(torch.tensor([64.0, 32.0]).bfloat16())

        def forward(self, x: Tensor) -> Tensor:
            return (x.flatten(1) + self.far) - self.far

    pixels, labels = torch.tensor([[[[1.0, 0.5]]]]).repeat(8, 1, 1, 1), torch.zeros(8).long()
    held = sandwich(Rounds().eval(), pixels, labels, method="noise", budget=2000)
    assert not held.certificates.as_run
    assert held.certified[0] == pytest.approx(0.125**0.5, rel=1e-3)
    assert held.violations > 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["spectrum", "boasting.py:build", "--input", "1,8,8"], "2: some change becomes 3 times"),
        (["certify", "boasting.py:build", "digits", "--input", "1,8,8", "--limit", "20"], "image"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_the_verbs_stop_in_one_line(arguments, words, tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "boasting.py").write_text(NETWORK)
    assert main([*arguments, "--out", "out"]) == 1
    captured = capsys.readouterr()
    (said,) = [line for line in captured.err.splitlines() if line.startswith("intriguing:")]
    assert "UnsoundBound" in said
    assert words in said
    assert "This is proved" not in captured.out + captured.err
    assert "This is proved" not in "".join(
        path.read_text() for path in (tmp_path / "out").rglob("*.html")
    )


def test_an_audit_stops(tmp_path) -> None:
    pixels, labels = images(20)
    asked = ImageSet("noise", pixels, labels, tuple(map(str, range(20))), tuple("0123456789"))
    config = AuditConfig(images=8, skip=("units", "noise", "spectrum"))
    with pytest.raises(UnsoundBound, match=r"certified [\d.]+, but"):
        run_audit(network(), asked, tmp_path / "audit", config)

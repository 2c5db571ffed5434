"""Stated Lipschitz constants: refuted by two images, proved by a bound, or neither."""

import pytest
import torch
from torch import nn

from intriguing import InputError, check_constant
from intriguing.cli.main import main


def test_of_a_matrix_every_claim_is_decided() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(6, 4)).eval()
    norm = float(torch.linalg.matrix_norm(net[1].weight.detach().double(), 2))
    refuted = check_constant(net, (6,), norm * (1 - 1e-6))
    assert refuted.verdict == "refuted"
    x, y = refuted.witness
    with torch.no_grad():
        apart = torch.linalg.vector_norm(net.double()(x[None]) - net(y[None]))
    assert float(apart / torch.linalg.vector_norm(x - y)) >= refuted.reached
    assert refuted.reached <= norm
    assert check_constant(net.float(), (6,), norm * (1 + 1e-3)).verdict == "proved"


def test_between_what_is_reached_and_what_is_proved_nothing_is_decided() -> None:
    """Both numbers are said where neither decides."""
    net = nn.Sequential(nn.Flatten(), nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 2)).eval()
    torch.manual_seed(1)
    for parameter in net.parameters():
        nn.init.normal_(parameter)
    found = check_constant(net, (3,), 1e-3, domain=(0.0, 1.0))
    assert found.verdict == "refuted"
    assert ((found.witness >= 0) & (found.witness <= 1)).all()
    middle = (found.reached + found.upper) / 2
    undecided = check_constant(net, (3,), middle, domain=(0.0, 1.0))
    assert undecided.verdict == "undecided"
    assert f"{undecided.upper:.6g}" in str(undecided)
    assert undecided.reached < middle < undecided.upper


def test_no_claim() -> None:
    with pytest.raises(InputError, match="above 0"):
        check_constant(nn.Sequential(nn.Flatten(), nn.Linear(2, 2)).eval(), (2,), -1.0)


def test_on_the_command_line(tmp_path, monkeypatch, capsys) -> None:
    (tmp_path / "net.py").write_text(
        "import torch\nfrom torch import nn\n\ndef build():\n"
        "    torch.manual_seed(0)\n"
        "    return nn.Sequential(nn.Flatten(), nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2)).eval()"
    )
    monkeypatch.chdir(tmp_path)
    words = ["spectrum", "net.py:build", "--input", "4", "--claims-lipschitz"]
    assert main([*words, "1e3", "--out", "proved"]) == 0
    assert "is proved" in " ".join(capsys.readouterr().out.split())
    with pytest.raises(SystemExit, match="1"):
        main([*words, "1e-3", "--out", "refuted"])
    assert "is refuted" in " ".join(capsys.readouterr().out.split())
    assert main([*words, "0"]) == 2
    assert "--claims-lipschitz" in capsys.readouterr().err

"""Wrong input to quocnet commands is refused before any image is read."""

from pathlib import Path

import pytest

from intriguing.cli.main import main


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (["reproduce", "figure6", "--network", "nowhere.safetensors"], "there is no file nowhere"),
        (["train", "quocnet-tiny", "cifar10", "--steps", "0"], "at least 1"),
        (["train", "quocnet-tiny", "cifar10", "--fresh"], "delete results/"),
        (["train", "quocnet-tiny", "cifar10", "--rate", "0"], "must be above 0"),
    ],
)
def test_wrong_input(
    command: list[str],
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("INTRIGUING_DATA", raising=False)
    assert main(command) == 2
    assert said in capsys.readouterr().err
    assert not list(tmp_path.iterdir())

"""Anybody's network on anybody's pictures: what is refused, what is left out, what is warned of."""

import json
from pathlib import Path

import pytest
import torch
from PIL import Image

from intriguing.cli.main import main
from intriguing.cli.opening import Opened, open_all
from intriguing.cli.options import Reading
from intriguing.errors import InputError

COLOURS = {"blue": (40, 60, 200), "green": (50, 180, 40), "red": (210, 50, 60)}

NETWORKS = '''
import torch
from torch import nn
from torch.nn import functional
from intriguing import Preprocessing

COLOURS = torch.tensor({colours}) / 255


class Nearest(nn.Module):
    """The nearest colour of an image that was scaled to 0 … 255."""

    def __init__(self, shape=None, drop=0.0, classes=3):
        super().__init__()
        self.colours = nn.Parameter(255 * COLOURS[:classes])
        self.drop = drop
        if shape:
            self.shape = shape

    def forward(self, x):
        logits = -torch.cdist(x.mean((2, 3)), self.colours) / 50
        return functional.dropout(logits, self.drop, training=True)


def right():
    return Nearest(), Preprocessing((12, 16), scale=255)

def wrong():
    return Nearest((3, 12, 16))

def small():
    return Nearest(), Preprocessing((6, 8), scale=255)

def dropping():
    return Nearest(drop=0.5), Preprocessing((12, 16), scale=255)

def two():
    return Nearest(classes=2), Preprocessing((12, 16), scale=255)

def shapeless():
    return Nearest()
'''

CPU = torch.device("cpu")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file of networks, and nine pictures of three classes."""
    (tmp_path / "nets.py").write_text(NETWORKS.replace("{colours}", str(list(COLOURS.values()))))
    for name, colour in COLOURS.items():
        for number in range(3):
            path = tmp_path / "photos" / name / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (20 + number, 18), colour).save(path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def opened(*networks: str, data: str = "photos", size: str | None = None) -> Opened:
    return open_all([f"nets.py:{n}" for n in networks], data, CPU, Reading(input=size))


def test_pictures_come_as_the_network_takes_them(place: Path) -> None:
    found = opened("right")
    assert found.images.images.shape == (9, 3, 12, 16)
    assert found.images.class_names == ("blue", "green", "red")
    assert found.only.name == "nets:right"
    assert torch.equal(found.only.model(found.images.images).argmax(1), found.images.labels)
    assert found.notes == ()


def test_networks_of_several_sizes_judge_the_same_pixels(place: Path) -> None:
    found = opened("right", "small")
    for network in found.networks:
        assert torch.equal(network.model(found.images.images).argmax(1), found.images.labels)


def test_a_wrong_normalisation_is_warned_of(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = opened("wrong")
    assert any("pixels from 0 to 255 on 9" in note for note in found.notes)
    assert "wrong normalisation" in capsys.readouterr().err


def test_dropout_that_stays_on_is_warned_of(place: Path) -> None:
    torch.manual_seed(0)
    notes = opened("dropping").notes
    assert any("Warning: nets:dropping: randomised outputs" in note for note in notes)


def test_labels_that_the_network_has_not_are_refused(place: Path) -> None:
    with pytest.raises(InputError, match=r"labels run from 0 to 2; the model has classes 0 … 1"):
        opened("two")


def test_without_labels_the_networks_own_are_taken_and_that_is_said(place: Path) -> None:
    Path("loose").mkdir()
    for number, file in enumerate(sorted(Path("photos").rglob("*.png"))):
        file.rename(Path("loose") / f"{number}.png")
    found = opened("right", data="folder:loose")
    assert found.images.labels.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert "have no labels: the class that nets:right gives" in found.notes[0]


def test_gray_pictures_serve_networks_for_colours(place: Path) -> None:
    Image.new("L", (20, 20), 90).save("photos/blue/gray.png")
    images = opened("right").images
    gray = images.images[images.ids.index("blue/gray.png")]
    assert torch.equal(gray[0], gray[2])


def test_what_holds_no_pictures_or_has_no_size_is_refused(place: Path) -> None:
    Path("empty").mkdir()
    with pytest.raises(InputError, match="has no pictures"):
        opened("right", data="folder:empty")
    with pytest.raises(InputError, match=r"nets\.py:shapeless: .* --input 3,224,224"):
        opened("shapeless")
    assert opened("shapeless", size="3,5,7").images.images.shape == (9, 3, 5, 7)


def test_an_attack_leaves_a_corrupt_file_out_and_says_so_in_the_report(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (place / "photos" / "red" / "broken.png").write_bytes(b"\x89PNG no more")
    command = "attack nets.py:right photos --targets untargeted --method deepfool --out out"
    assert main(command.split()) == 0
    record = json.loads((place / "out" / "run.json").read_text())
    assert any("1 file was left out: red/broken.png (not a picture)" in n for n in record["notes"])
    assert "red/broken.png" in capsys.readouterr().err
    assert "red/broken.png" in (place / "out" / "report" / "index.html").read_text()
    assert record["data"][0]["images"] == 9


def test_weights_that_would_execute_code_are_refused(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.save({"state_dict": torch.nn.Linear(2, 2)}, place / "evil.pth")
    assert main(["attack", "squeezenet:evil.pth", "photos"]) != 0
    assert "could execute code: refused" in capsys.readouterr().err

"""Figure 5 on a small network: what is chosen, what is saved, what is printed beside the paper."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from intriguing.data.dataset import ImageSet
from intriguing.data.png import read_png, write_png
from intriguing.distortion.search import Search
from intriguing.errors import InputError
from intriguing.paper.config import ReproduceConfig
from intriguing.paper.reproduce import reproduce
from intriguing.results.store import read_tensors
from intriguing.runs.pairs import Words, write_pairs
from intriguing.runs.predicting import first_correct, predict
from intriguing.runs.targeted import make_target, target_rows
from tests.shown import laid_out, shown

NET = """
import torch
from torch import nn

def build():
    net = nn.Sequential(nn.Flatten(), nn.Linear(48, 12)).eval()
    net[1].weight.data = 4 * torch.eye(12).repeat_interleave(4, 1)
    net[1].bias.data.zero_()
    net.shape = (3, 4, 4)
    return net
"""


def block(classes: int = 12) -> nn.Module:
    """Class k is the brightest of blocks of 4 numbers."""
    net = nn.Sequential(nn.Flatten(), nn.Linear(48, classes)).eval()
    net[1].weight.data = 4 * torch.eye(classes).repeat_interleave(4, 1)[:, :48]
    net[1].bias.data.zero_()
    return net


def pictures(count: int = 24, wrong: int = 4) -> ImageSet:
    """8-bit images of every class; the first few are labelled wrongly."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(count) % 12
    x = torch.randint(0, 120, (count, 48), generator=generator)
    for row, label in enumerate(labels.tolist()):
        x[row, 4 * label : 4 * label + 4] += 100
    told = labels.clone()
    told[:wrong] = (labels[:wrong] + 1) % 12
    ids = tuple(f"c/{i}.png" for i in range(count))
    images = (x.view(count, 3, 4, 4) / 255).float()
    return ImageSet("blocks", images, told, ids, tuple(f"n{i:08}_class{i}" for i in range(12)))


def test_the_first_correct_ones_in_a_drawn_order_and_no_others():
    images, net = pictures(), block()
    right = (predict(net, images.images)[0] == images.labels) & (images.labels != 9)
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(3)).tolist()
    expected = [i for i in order if right[i]]
    assert first_correct([net], images, 5, 3, without=9).tolist() == expected[:5]
    assert first_correct([net], images, 500, 3, without=9).tolist() == expected
    never = block()
    never[1].weight.data.neg_()
    assert len(first_correct([net, never], images, 5, 3)) == 0


def test_every_image_becomes_the_class_and_stays_it_as_a_file(tmp_path: Path):
    images, net = pictures(), block()
    chosen = images.subset(first_correct([net], images, 6, 0, without=9))
    made = make_target(net, chosen, tmp_path, search=Search(budget=60))
    assert bool(made.attacked.success.all())
    assert bool(made.again.all())
    files = sorted((tmp_path / "pictures" / "figure5").glob("*.png"))
    assert len(files) == 6
    # Read by numpy alone: the product with the weights says 9.
    for file in files:
        pixels = np.moveaxis(np.asarray(Image.open(file), dtype=np.float64), -1, 0).reshape(12, 4)
        assert pixels.sum(1).argmax() == 9
    cells = {cell.column: cell for cell in laid_out(target_rows("net", made))}
    assert cells["Still so as PNG files"].value == 100
    assert cells["Mean distortion"].paper is None  # no ImageNet, so nothing to compare with


def test_pngs_lose_nothing(tmp_path: Path):
    x = torch.arange(48).view(3, 4, 4) * 5 / 255
    write_png(tmp_path / "x.png", x)
    torch.testing.assert_close(read_png(tmp_path / "x.png"), x, rtol=0, atol=1e-7)
    write_png(tmp_path / "gray.png", x[:1])
    assert torch.equal(read_png(tmp_path / "gray.png"), read_png(tmp_path / "x.png")[:1])
    (tmp_path / "no.png").write_bytes(b"no")
    with pytest.raises(InputError, match="cannot be read as a picture"):
        read_png(tmp_path / "no.png")


@pytest.mark.parametrize("lattice", [True, False])
def test_pairs_give_the_adversarial_image_back(tmp_path: Path, lattice: bool):
    generator = torch.Generator().manual_seed(1)
    x = torch.randint(20, 230, (2, 3, 4, 4), generator=generator) / 255
    r = torch.randint(-9, 9, x.shape, generator=generator) / 255
    r = r if lattice else 0.013 * r
    words = [Words(str(i), "a", "b", 0.1) for i in range(2)]
    write_pairs(tmp_path, "p", "t", x, x + r, words)
    tensors, _ = read_tensors(tmp_path, "p")
    scale = torch.from_numpy(tensors["scale"]).view(-1, 1, 1, 1)
    back = torch.from_numpy(tensors["original"]) / 255 + torch.from_numpy(tensors["change"]) / scale
    atol = 1e-6 if lattice else float(r.abs().max()) / 250
    torch.testing.assert_close(back, x + r, rtol=0, atol=atol)


def test_reproduce_figure5_from_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.py").write_text(NET)
    images = pictures(24, 0)
    for name, label, x in zip(images.ids, images.labels.tolist(), images.images, strict=True):
        write_png(tmp_path / "photos" / f"{label:02}" / name.replace("/", "-"), x)
    config = ReproduceConfig(items=("figure5",), network="net.py:build", images="photos", budget=60)
    record = reproduce(config, tmp_path / "out")
    assert record.status == "complete"
    cells = {c.column: c for c in shown(tmp_path / "out") if c.analysis == "target"}
    assert cells["Still so as PNG files"].count == cells["Still so as PNG files"].total == 22
    assert any("none was left out" in note for note in record.notes)


def test_figure5_needs_classes_and_an_ostrich(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    six = NET.replace("48, 12", "48, 6").replace(
        "eye(12).repeat_interleave(4", "eye(6).repeat_interleave(8"
    )
    (tmp_path / "net.py").write_text(six)
    write_png(tmp_path / "flat" / "x.png", torch.zeros(3, 4, 4))
    write_png(tmp_path / "deep" / "a" / "x.png", torch.zeros(3, 4, 4))
    write_png(tmp_path / "deep" / "b" / "y.png", torch.zeros(3, 4, 4))
    for images, words in (("flat", "does not say what its pictures show"), ("deep", "the ostrich")):
        config = ReproduceConfig(items=("figure5",), network="net.py:build", images=images)
        with pytest.raises(InputError, match=words):
            reproduce(config, tmp_path / "out")
    with pytest.raises(InputError, match="figure5"):
        ReproduceConfig(items=("figure5",))

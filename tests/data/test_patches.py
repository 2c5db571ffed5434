"""Unlabelled patches: where they are cut, the file they are kept in, and the sources."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from intriguing.data.patches import (
    cut,
    frames,
    of_images,
    open_patches,
    photographs,
    read_pictures,
    write_patches,
)
from intriguing.errors import InputError


def picture(height: int, width: int) -> np.ndarray:
    """Every pixel says where it is."""
    rows, columns = np.mgrid[:height, :width].astype(np.uint8)
    return np.stack([rows, columns, rows + columns], 2)


def test_patches_are_windows_anywhere_in_the_pictures() -> None:
    patches = cut([picture(20, 30)], 5, 400, torch.Generator().manual_seed(0))
    tops, lefts = patches.pixels[:, 0, 0, 0], patches.pixels[:, 1, 0, 0]
    for i in (0, 17, 399):
        top, left = int(tops[i]), int(lefts[i])
        window = picture(20, 30)[top : top + 5, left : left + 5]
        assert np.array_equal(patches.pixels[i].numpy(), window.transpose(2, 0, 1))
    assert (int(tops.min()), int(tops.max())) == (0, 15)
    assert (int(lefts.min()), int(lefts.max())) == (0, 25)


def test_a_file_of_patches_is_numpys_and_read_in_place(tmp_path: Path) -> None:
    pictures = [picture(9, 9), picture(3, 3), picture(12, 10)]
    generator = torch.Generator().manual_seed(0)
    assert write_patches(tmp_path / "p.npy", iter(pictures), 8, 3, generator) == 6
    patches = open_patches(tmp_path / "p.npy")
    assert isinstance(patches.pixels, np.memmap)
    assert patches.shape == (3, 8, 8)
    again = cut([pictures[0]], 8, 3, torch.Generator().manual_seed(0))
    assert torch.equal(patches.take(torch.tensor([2, 0])), again.take(torch.tensor([2, 0])))
    assert sum(len(batch) for batch in patches.batches(4)) == 6
    with pytest.raises(InputError, match="larger"):
        write_patches(tmp_path / "q.npy", iter(pictures), 50, 3, generator)
    assert not (tmp_path / "q.npy").exists()


def test_bytes_come_back_as_they_were() -> None:
    images = torch.arange(256).float().div(255).view(1, 1, 16, 16)
    assert torch.equal(of_images("all", images).take(torch.tensor([0])), images)


def test_photographs_of_packages_are_natural_and_large() -> None:
    found = photographs()
    assert len(found) >= 2
    for one in found:
        assert min(one.shape[:2]) >= 200
        assert one.shape[2] == 3
        assert one.std() > 20


def test_folders_leave_out_what_is_no_picture(tmp_path: Path) -> None:
    Image.fromarray(picture(9, 8)).save(tmp_path / "a.png")
    (tmp_path / "b.jpg").write_text("no picture")
    found = read_pictures(tmp_path)
    assert len(found) == 1
    assert np.array_equal(found[0], picture(9, 8))
    with pytest.raises(InputError, match="no picture"):
        read_pictures(tmp_path / "nowhere")


def test_frames_of_a_video(tmp_path: Path) -> None:
    av = pytest.importorskip("av")
    with av.open(str(tmp_path / "v.mkv"), "w") as container:
        stream = container.add_stream("ffv1", rate=10)
        stream.width, stream.height, stream.pix_fmt = 16, 16, "bgr0"
        for i in range(7):
            still = np.full((16, 16, 3), 30 * i, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(still, format="rgb24")))
        container.mux(stream.encode())
    found = list(frames(tmp_path / "v.mkv", every=3))
    assert [int(frame.mean()) for frame in found] == [0, 90, 180]
    assert len(list(frames(tmp_path / "v.mkv", every=1, limit=2))) == 2
    (tmp_path / "w.mkv").write_text("no video")
    with pytest.raises(InputError, match="as video"):
        list(frames(tmp_path / "w.mkv"))

"""python examples/cifar10/train.py DATA [plain | residual]: train net.py, pack the test images.

DATA has cifar10_train_jpeg.npz and cifar10_test_jpeg.npz, each with the arrays blob, offsets and
labels: image i is the JPEG file blob[offsets[i]:offsets[i + 1]].  Writes results/cifar10/: the
weights, and test.zip, whose folders are the classes.  About ten minutes a network on one core.
"""

import io
import sys
import time
import zipfile
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from net import WEIGHTS, Plain, Residual
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor, nn

CLASSES = (
    "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
)  # fmt: skip
EPOCHS, BATCH, RATE = 4, 125, 2e-3


def main(data: Path, only: str = "") -> None:
    """Train the networks of which there are no weights yet."""
    WEIGHTS.mkdir(parents=True, exist_ok=True)
    if not (WEIGHTS / "test.zip").exists():
        pack(data / "cifar10_test_jpeg.npz", WEIGHTS / "test.zip")
    images, labels = read(data / "cifar10_train_jpeg.npz")
    held_out = read(data / "cifar10_test_jpeg.npz")
    for name, model in (("plain", Plain()), ("residual", Residual())):
        if only in ("", name) and not (WEIGHTS / f"{name}.safetensors").exists():
            train(model, images, labels)
            accuracy = right(model.eval(), *held_out)
            print(f"{name}: {100 * accuracy:.2f} % of the test images are classified correctly")
            weights = {key: value.contiguous() for key, value in model.state_dict().items()}
            save_file(weights, WEIGHTS / f"{name}.safetensors")


def read(path: Path) -> tuple[Tensor, Tensor]:
    """Images (n, 3, 32, 32) in [0, 1] and labels."""
    arrays = np.load(path)
    pictures = [np.asarray(Image.open(io.BytesIO(file))) for file in files(arrays)]
    images = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float() / 255
    return images, torch.from_numpy(arrays["labels"]).long()


def files(arrays: "np.lib.npyio.NpzFile") -> list[bytes]:
    """The JPEG files in their order."""
    blob, offsets = arrays["blob"].tobytes(), arrays["offsets"]
    return [blob[a:b] for a, b in pairwise(offsets)]


def pack(path: Path, to: Path) -> None:
    """The same files as they are, in a zip with a folder a class."""
    arrays = np.load(path)
    with zipfile.ZipFile(to, "w") as archive:
        for i, (file, label) in enumerate(zip(files(arrays), arrays["labels"], strict=True)):
            archive.writestr(f"{label}_{CLASSES[label]}/{i:05}.jpg", file)


def train(model: nn.Module, images: Tensor, labels: Tensor, seed: int = 0) -> None:
    """Adam with one cycle of the learning rate; half of the images mirrored."""
    generator = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)
    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu", generator=generator)
            module.weight.data *= 0.5 if isinstance(module, nn.Linear) else 0.8
    model.to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=0.01)
    steps = EPOCHS * (len(images) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=steps)
    for epoch in range(EPOCHS):
        start, total = time.perf_counter(), 0.0
        model.train()
        order = torch.randperm(len(images), generator=generator)
        for rows in order[: len(order) // BATCH * BATCH].split(BATCH):
            x = images[rows]
            mirrored = torch.rand(len(x), generator=generator) < 0.5
            x = torch.where(mirrored[:, None, None, None], x.flip(-1), x)
            x = x.contiguous(memory_format=torch.channels_last)
            loss = nn.functional.cross_entropy(model(x), labels[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.item() * len(rows) / len(images)
        print(
            f"epoch {epoch + 1}: loss {total:.3f}, {time.perf_counter() - start:.0f} s", flush=True
        )


@torch.no_grad()
def right(model: nn.Module, images: Tensor, labels: Tensor) -> float:
    """The share that is classified correctly."""
    said = torch.cat([model(batch).argmax(1) for batch in images.split(500)])
    return float((said == labels).double().mean())


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])

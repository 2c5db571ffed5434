"""A small vision transformer of handwritten digits: trained here, searched and certified.

    python examples/digit_vit.py digits        # 8×8 pixels, half a minute on one core
    intriguing attack examples/digit_vit.py:digits digits --limit 20
    intriguing certify examples/digit_vit.py:digits digits --limit 20

Or `mnist` three times: 28×28 pixels, some minutes. Attention and normalisation are nowhere near
linear, and have no useful Lipschitz constant on all images; `certify` bounds them in the ball
around each image (docs/spectral.md). Weights go to results/digit_vit/.
"""

import sys
import time
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional

WEIGHTS = Path("results/digit_vit")
STEPS = {"digits": 1400, "mnist": 12000}
BATCH, RATE, DECAY, NOISE = 100, 2e-3, 0.5, 0.3


class Block(nn.Module):
    """Attention over the patches and a hidden layer for each, both beside the way straight on."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.before, self.between = nn.LayerNorm(width), nn.LayerNorm(width)
        self.reads, self.writes = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.hidden = nn.Sequential(
            nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width)
        )

    def forward(self, patches: Tensor) -> Tensor:
        """Of (n, patches, width)."""
        read = self.reads(self.before(patches)).unflatten(2, (3, self.heads, -1))
        query, key, value = read.permute(2, 0, 3, 1, 4).unbind(0)
        mixed = functional.scaled_dot_product_attention(query, key, value)
        patches = patches + self.writes(mixed.transpose(1, 2).flatten(2))
        return patches + self.hidden(self.between(patches))


class DigitViT(nn.Module):
    """Square patches, blocks, and the mean of all patches read by one linear layer."""

    def __init__(self, pixels: int, side: int, width: int = 16, heads: int = 2, depth: int = 1):
        super().__init__()
        self.patches = nn.Conv2d(1, width, side, stride=side)
        self.places = nn.Parameter(0.02 * torch.randn((pixels // side) ** 2, width))
        self.blocks = nn.Sequential(*(Block(width, heads) for _ in range(depth)))
        self.last, self.answer = nn.LayerNorm(width), nn.Linear(width, 10)

    def forward(self, images: Tensor) -> Tensor:
        """Logits of grey images in [0, 1]."""
        patches = self.patches(images - 0.5).flatten(2).transpose(1, 2) + self.places
        return self.answer(self.last(self.blocks(patches)).mean(1))


def untrained(data: str) -> DigitViT:
    """Four patches of 4×4 pixels, or sixteen of 7×7."""
    return DigitViT(8, 4) if data == "digits" else DigitViT(28, 7)


def digits() -> nn.Module:
    """The trained network of 8×8 pixels."""
    return _trained("digits")


def mnist() -> nn.Module:
    """The trained network of 28×28 pixels."""
    return _trained("mnist")


def _trained(data: str) -> nn.Module:
    file = WEIGHTS / f"{data}.safetensors"
    if not file.is_file():
        raise FileNotFoundError(f"{file} is not there; run python examples/digit_vit.py {data}")
    model = untrained(data)
    model.load_state_dict(load_file(file))
    return model.eval()


def train(model: nn.Module, images: Tensor, labels: Tensor, steps: int) -> None:
    """AdamW with one cycle of the learning rate, on images with noise."""
    generator = torch.Generator().manual_seed(0)
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=steps)
    start, total = time.perf_counter(), 0.0
    for step in range(1, steps + 1):
        rows = torch.randint(len(images), (BATCH,), generator=generator)
        x = images[rows]
        x = x + NOISE * torch.randn(x.shape, generator=generator)
        loss = functional.cross_entropy(model(x), labels[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        total += loss.item()
        if step % 200 == 0:
            print(f"step {step}: loss {total / 200:.3f}, {time.perf_counter() - start:.0f} s")
            total = 0.0


def main(data: str = "digits") -> None:
    """Train it, and say what it reads of images that it has not seen."""
    import intriguing

    pair = intriguing.load_data(data)
    torch.manual_seed(0)
    model = untrained(data)
    train(model, pair.train.images, pair.train.labels, STEPS[data])
    with torch.no_grad():
        right = (model.eval()(pair.test.images).argmax(1) == pair.test.labels).double().mean()
    print(f"{100 * float(right):.2f} % of the test images are classified correctly")
    WEIGHTS.mkdir(parents=True, exist_ok=True)
    weights = {name: value.contiguous() for name, value in model.state_dict().items()}
    save_file(weights, WEIGHTS / f"{data}.safetensors")


if __name__ == "__main__":
    main(*sys.argv[1:])

"""The paper's search, one pass after another, as an animation: `docs/pictures/search.gif`.

    intriguing train fc100-100-10 mnist-5k --out fc.safetensors
    python docs/site/animation.py fc.safetensors

What is shown is what the network was asked in a real run of `minimum_distortion(method="paper")`.
"""

import io
import sys
from pathlib import Path

import matplotlib
import torch
from matplotlib import pyplot
from PIL import Image
from torch import Tensor, nn

import intriguing as it

WRITTEN = Path(__file__).parents[1] / "pictures" / "search.gif"
DIGIT, TARGET = 3, 0
MILLISECONDS, HOLD = 250, 3000
LONGEST = 25
"""Passes on the axis."""
COLOURS = 24
"""Of the palette: digits are gray, and every colour more costs a fifth of the file."""


class Watched(nn.Module):
    """A network that keeps what it is asked."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model, self.asked = model, []

    def forward(self, x: Tensor) -> Tensor:
        self.asked.append(x[:1].detach().clone())
        return self.model(x)


def main() -> None:
    """Search for the image of one digit, and draw every point that was looked at."""
    matplotlib.use("Agg")
    model = it.load_model(sys.argv[1])
    test = it.load_data("mnist-5k").test
    right = model(test.images).argmax(1) == test.labels
    place = int((right & (test.labels == DIGIT)).nonzero()[0])
    image, label = test.images[place : place + 1], test.labels[place : place + 1]
    watched = Watched(model).eval()
    found = it.minimum_distortion(
        watched, image, label, targets=torch.tensor([TARGET]), method="paper"
    )
    moved = [x for x in watched.asked if x.shape == image.shape and not x.equal(image)]
    passes = [image, *moved]
    frames = [draw(image, x, model, passes[: k + 1]) for k, x in enumerate(passes)]
    frames.append(draw(image, found.adversarial, model, passes))
    colours = frames[-1].quantize(COLOURS)
    first, *others = [frame.quantize(COLOURS, palette=colours) for frame in frames]
    WRITTEN.parent.mkdir(exist_ok=True)
    durations = [MILLISECONDS] * len(others) + [HOLD]
    first.save(
        WRITTEN, save_all=True, append_images=others, duration=durations, loop=0, optimize=True
    )
    print(f"{WRITTEN}: {len(frames)} frames, {WRITTEN.stat().st_size / 1000:.0f} kB")
    print(
        f"{DIGIT} as {TARGET}: distortion {found.distortion[0]:.4f}, {found.passes[0]:.0f} passes"
    )


def draw(image: Tensor, x: Tensor, model: nn.Module, passes: list[Tensor]) -> Image.Image:
    """One frame: the image, the change, the probabilities, and the distance so far."""
    chances = model(x).softmax(1)[0].detach()
    taken = int(chances.argmax())
    figure, axes = pyplot.subplots(
        1, 4, figsize=(8.4, 2.3), dpi=80, width_ratios=(1, 1, 1.2, 1.4), layout="constrained"
    )
    axes[0].imshow(x[0, 0], cmap="gray", vmin=0, vmax=1)
    axes[0].set_title(f"read as {taken}")
    axes[1].imshow((x - image)[0, 0], cmap="gray", vmin=-0.5, vmax=0.5)
    axes[1].set_title("the change")
    for axis in axes[:2]:
        axis.axis("off")
    colours = ["black" if one == TARGET else "silver" for one in range(len(chances))]
    axes[2].bar(range(len(chances)), chances, color=colours)
    axes[2].set_ylim(0, 1)
    axes[2].set_xticks(range(len(chances)))
    axes[2].set_title("probability")
    lengths = [float((one - image).square().mean().sqrt()) for one in passes]
    axes[3].plot(range(1, len(lengths) + 1), lengths, color="black")
    axes[3].set_xlim(0, LONGEST)
    axes[3].set_ylim(0, 0.3)
    axes[3].set_title(f"distance {float((x - image).square().mean().sqrt()):.3f}, by pass")
    for axis in axes[2:]:
        axis.spines[["top", "right"]].set_visible(False)
        axis.tick_params(labelsize=8)
    kept = io.BytesIO()
    figure.savefig(kept, format="png")
    pyplot.close(figure)
    return Image.open(kept).convert("RGB")


if __name__ == "__main__":
    main()

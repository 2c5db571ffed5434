"""Our time for a pass against the bare forward and backward pass of the same network.

    python benchmarks/per_pass.py [--images 64] [--batch 16] [--budget 30] [--device cpu]

A SqueezeNet 1.0 of ten classes with random weights on 3×224×224 images, so that the network's cost
is that of real ones; what it says of the images does not matter. A pass is half a forward and a
backward one, each of one image. The bare pass is the cross-entropy's gradient with respect to the
pixels in the same batch, measured before and after ours in the same run.
"""

import argparse
import platform
import statistics
import sys
import time

import torch
from torch import Tensor, nn

from intriguing.distortion.minimum import minimum_distortion

ALLOWED = 1.3
REPEATS = 5


class Fire(nn.Module):
    """Squeeze to few channels, expand by 1×1 and 3×3 convolutions side by side."""

    def __init__(self, channels: int, squeezed: int, expanded: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(channels, squeezed, 1)
        self.narrow = nn.Conv2d(squeezed, expanded, 1)
        self.wide = nn.Conv2d(squeezed, expanded, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.squeeze(x).relu()
        return torch.cat((self.narrow(x), self.wide(x)), 1).relu()


def squeezenet(classes: int, seed: int) -> nn.Module:
    """SqueezeNet 1.0 (Iandola et al. 2016, Table 1) with He's random weights."""
    torch.manual_seed(seed)
    fires = [(96, 16, 64), (128, 16, 64), (128, 32, 128), "pool", (256, 32, 128), (256, 48, 192)]
    fires += [(384, 48, 192), (384, 64, 256), "pool", (512, 64, 256)]
    model = nn.Sequential(
        nn.Conv2d(3, 96, 7, stride=2),
        nn.ReLU(),
        nn.MaxPool2d(3, 2, ceil_mode=True),
        *(nn.MaxPool2d(3, 2, ceil_mode=True) if f == "pool" else Fire(*f) for f in fires),
        nn.Conv2d(512, classes, 1),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
    )
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            nn.init.zeros_(module.bias)
    return model.eval().requires_grad_(False)


def clock(device: torch.device) -> float:
    """Seconds, when the device has done what it was given; of the processor where it has no other.

    Wall time on a CPU shared with other jobs says more about them.
    """
    if device.type != "cuda":
        return time.process_time()
    torch.cuda.synchronize(device)
    return time.perf_counter()


def bare(model: nn.Module, images: Tensor, labels: Tensor) -> tuple[float, float]:
    """Seconds of one image's forward and one image's backward pass in this batch: medians."""
    times = []
    for _ in range(REPEATS):
        x = images.clone().requires_grad_()
        start = clock(x.device)
        loss = nn.functional.cross_entropy(model(x), labels, reduction="sum")
        middle = clock(x.device)
        torch.autograd.grad(loss, x)
        times.append(((middle - start) / len(x), (clock(x.device) - middle) / len(x)))
    forward, backward = zip(*times, strict=True)
    return statistics.median(forward), statistics.median(backward)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=64)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--budget", type=int, default=30)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--method", default="closest")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    device = torch.device(args.device)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.platform()
    print(f"{name}, {args.threads} threads, torch {torch.__version__}, seed 0")
    model = squeezenet(10, seed=0).to(device)
    noise = torch.rand(args.images, 3, 28, 28, generator=torch.Generator().manual_seed(0))
    images = nn.functional.interpolate(noise, (224, 224), mode="bilinear").to(device)
    with torch.no_grad():
        labels = torch.cat([model(batch).argmax(1) for batch in images.split(args.batch)])
    bare(model, images[: args.batch], labels[: args.batch])
    budget = None if args.method == "paper" else args.budget
    rows = 0

    def count(_: nn.Module, inputs: tuple[Tensor, ...], __: object) -> None:
        nonlocal rows
        rows += len(inputs[0])

    ratios, shares = [], []
    for x, y in zip(images.split(args.batch), labels.split(args.batch), strict=True):
        times = [bare(model, x, y)]
        counter = model.register_forward_hook(count)
        rows = 0
        start = clock(device)
        found = minimum_distortion(model, x, y.cpu(), "random", args.method, budget=budget)
        seconds = clock(device) - start
        counter.remove()
        times.append(bare(model, x, y))
        forward, backward = (statistics.mean(column) for column in zip(*times, strict=True))
        forwards, backwards = float(found.forward_passes.sum()), float(found.backward_passes.sum())
        ratios.append(seconds / float(found.passes.sum()) / (forward + backward))
        shares.append(seconds / (forwards * forward + backwards * backward))
        before, after = (1e3 * (f + b) for f, b in times)
        spent = f"{forwards / len(x):.1f} forward and {backwards / len(x):.1f} backward passes"
        print(
            f"{len(x)} images: bare pass {before:.0f} ms before and {after:.0f} ms after, backward "
            f"part {backward / forward:.2f} of forward part\n   ours: {spent} an image, success "
            f"{found.success.double().mean():.0%}, {seconds:.1f} s, ratio {ratios[-1]:.3f}; "
            f"{rows / forwards:.3f} rows through the network for each forward pass counted",
            flush=True,
        )
    print(f"over the same numbers of forward and backward passes: {statistics.median(shares):.3f}")
    ratio = statistics.median(ratios)
    print(f"over the same numbers of forward and backward passes: {statistics.median(shares):.3f}")
    print(f"time for a pass over the bare one, median of batches: {ratio:.3f}, allowed {ALLOWED}")
    return 0 if ratio <= ALLOWED else 1


if __name__ == "__main__":
    sys.exit(main())

"""Layers' bounds: never below a dense Jacobian, how tight, and how fast beside a named peer.

    python benchmarks/spectral_layers.py soundness [--layers 2000]
    python benchmarks/spectral_layers.py tightness [--steps 100]
    python benchmarks/spectral_layers.py speed --peer FOLDER [--iterations 3] [--threads 2]

`soundness`: random convolutions (kernel, stride, padding and its mode, dilation, groups, channels,
1 to 3 axes, transposed, images smaller than the kernel) in every way of bounding them, and pools,
against the largest singular value of the Jacobian that autograd writes out in float64. Circular
norms against the same for exactness.

`tightness`: the 20 convolutions of ResNet-18 (He et al. 2016, Table 1) at 3×224×224, torch's random
weights of seed 0, over the norm of the zero-padded operator itself by Lanczos steps in float64.
That estimate is from below, so that the ratio is if anything too large.

`speed`: the same convolutions one after another; and the first one beside `compute_delattre2024` of
github.com/blaisedelattre/lip4conv (Delattre et al. 2024, Spectral norm of convolutional layers with
circular and zero paddings), whose folder is given. Its own default is 4 Gram iterations; each takes
some 50 times as long as the one before.

Rows go to spectral_soundness.csv, spectral_tightness.csv, spectral_speed.csv and spectral_time.csv
of benchmarks/figures in place of earlier ones.
"""

import argparse
import platform
import statistics
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.oracles.convolution_norms import bound_of
from tests.oracles.dense_jacobian import dense_norm
from tests.oracles.random_layers import random_convolutions, random_pools
from tests.spectral.norms.test_pooling import bound_of as pool_bound

from intriguing.spectral.norms.convolution import circular_norm, convolution_norm
from intriguing.spectral.norms.matrix import matrix_norm
from tables import keep

FIGURES = Path(__file__).parent / "figures"


def resnet18() -> Iterator[tuple[str, nn.Conv2d, int]]:
    """Name, convolution and input pixels an axis of each of its convolutions, weights of seed 0."""
    torch.manual_seed(0)
    yield "conv1", nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False), 224
    channels, pixels = 64, 56
    for stage, width in enumerate((64, 128, 256, 512), 1):
        for block in (1, 2):
            stride = 2 if stage > 1 and block == 1 else 1
            name = f"layer{stage}.{block}"
            first = nn.Conv2d(channels, width, 3, stride=stride, padding=1, bias=False)
            yield f"{name}.conv1", first, pixels
            if stride == 2:
                yield f"{name}.shortcut", nn.Conv2d(channels, width, 1, 2, bias=False), pixels
            pixels //= stride
            yield f"{name}.conv2", nn.Conv2d(width, width, 3, padding=1, bias=False), pixels
            channels = width


def soundness(layers: int) -> None:
    """Violations over random layers, and how far above the bounds are."""
    ways = {"written out": None, "grid 1": 1, "grid 5": 5, "grid 24": 24}
    ratios: dict[str, list[float]] = {way: [] for way in (*ways, "any size", "pools")}
    violations = 0
    for layer in random_convolutions(layers, seed=1):
        true = dense_norm(layer.module, layer.shape, vectorize=True)
        bounds = {way: bound_of(layer.module, layer.size, grid) for way, grid in ways.items()}
        bounds["any size"] = bound_of(layer.module, None)
        for way, bound in bounds.items():
            if bound < true:
                violations += 1
                print(f"VIOLATION {way}: {bound} < {true}: {layer.text}")
            if true > 0.0:
                ratios[way].append(bound / true)
    for pool in random_pools(layers // 4, seed=2):
        point = torch.rand(pool.shape, dtype=torch.float64)
        true, bound = dense_norm(pool.module, pool.shape, point), pool_bound(pool)
        if bound < true * (1 - 1e-14):
            violations += 1
            print(f"VIOLATION: {bound} < {true}: {pool.text}")
        ratios["pools"].append(bound / true)
    print(f"{layers} convolutions in {len(ways) + 1} ways, {layers // 4} pools")
    for way, found in ratios.items():
        row = {
            "way": way,
            "layers": layers // 4 if way == "pools" else layers,
            "median": f"{statistics.median(found):.6f}",
            "worst": f"{max(found):.3f}",
        }
        print(" ", row)
        keep(FIGURES / "spectral_soundness.csv", row, ["way", "layers"])
    print(f"violations: {violations}")
    print(f"circular norms, worst relative error of 200: {_worst_circular(200):.1e}")


def tightness(steps: int) -> None:
    """Upper over true norm of every convolution of ResNet-18."""
    ratios = []
    for name, layer, pixels in resnet18():
        upper = _bound(layer, pixels)
        true = _true_norm(layer, pixels, steps)
        ratios.append(upper / true)
        print(f"{name:16} {upper:.5f} / {true:.5f} = {upper / true:.4f}", flush=True)
    row = {
        "convolutions": len(ratios), "steps": steps, "median": f"{statistics.median(ratios):.4f}",
        "worst": f"{max(ratios):.4f}",
    }  # fmt: skip
    print(row)
    keep(FIGURES / "spectral_tightness.csv", row, ["convolutions", "steps"])


def speed(peer: Path | None, iterations: int, repeats: int) -> None:
    """Seconds for all convolutions of ResNet-18, and for the first beside the peer."""
    layers = list(resnet18())
    _bound(layers[0][1], 224)
    wall, work = time.perf_counter(), time.process_time()
    for name, layer, pixels in layers:
        start = time.perf_counter()
        _bound(layer, pixels)
        print(f"{name:16} {time.perf_counter() - start:.3f} s", flush=True)
    wall, work = time.perf_counter() - wall, time.process_time() - work
    print(f"all 20 convolutions: {wall:.2f} s, {work:.2f} s of processor time")
    _took("20 convolutions", work)
    matrix = torch.randn(4096, 9216, generator=torch.Generator().manual_seed(0))
    ours = _seconds(lambda: matrix_norm(matrix), 1)
    print(f"9216×4096 matrix: {ours[0]:.2f} s, {ours[1]:.2f} s of processor time")
    _took("9216×4096 matrix", ours[1])
    _, first, pixels = layers[0]
    weight = first.weight.detach()
    ours = _seconds(lambda: _bound(first, pixels), repeats)
    print(
        f"first convolution, ours: {_bound(first, pixels):.4f} in {ours[0]:.4f} s ({ours[1]:.4f})"
    )
    _note("ours", _bound(first, pixels), ours[1])
    if peer is None:
        return
    sys.path.insert(0, str(peer))
    from bounds import compute_delattre2024  # type: ignore[import-not-found]

    for count in range(1, iterations + 1):
        with torch.no_grad():
            found = float(compute_delattre2024(weight, n_iter=count, return_time=False))
            theirs = _seconds(
                lambda n=count: compute_delattre2024(weight, n_iter=n, return_time=False), 1
            )
        print(
            f"first convolution, peer with {count} iterations: {found:.4f} in {theirs[0]:.4f} s "
            f"({theirs[1]:.4f}); ours is {theirs[0] / ours[0]:.0f} times as fast "
            f"({theirs[1] / ours[1]:.0f} by processor time)",
            flush=True,
        )
        _note(f"compute_delattre2024, {count} iterations", found, theirs[1])


def _took(what: str, seconds: float) -> None:
    """Processor time of our bounds, in place of an earlier one."""
    keep(FIGURES / "spectral_time.csv", {"what": what, "seconds": f"{seconds:.2g}"}, ["what"])


def _note(by: str, bound: float, seconds: float) -> None:
    """A bound of the first convolution, in place of an earlier one, by processor time."""
    row = {"by": by, "bound": f"{bound:.4f}", "seconds": f"{seconds:.3g}"}
    keep(FIGURES / "spectral_speed.csv", row, ["by"])


def _bound(layer: nn.Conv2d, pixels: int) -> float:
    return convolution_norm(
        layer.weight, stride=layer.stride, padding=layer.padding, input_size=(pixels, pixels)
    )


def _true_norm(layer: nn.Conv2d, pixels: int, steps: int) -> float:
    """The square root of the largest Ritz value of AᵀA over a Krylov space: from below."""
    weight, options = layer.weight.detach().double(), {"stride": layer.stride}
    shape = (1, layer.in_channels, pixels, pixels)
    vector = torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    basis = vector.new_zeros(min(steps, vector.numel()), vector.numel())
    projected = vector.new_zeros(len(basis), len(basis))
    vector = vector / vector.norm()
    for step in range(len(basis)):
        basis[step] = vector.flatten()
        output = functional.conv2d(vector, weight, padding=layer.padding, **options)
        image = torch.nn.grad.conv2d_input(
            shape, weight, output, padding=layer.padding, **options
        ).flatten()
        projected[step, step] = basis[step] @ image
        for _ in range(2):
            image = image - basis[: step + 1].T @ (basis[: step + 1] @ image)
        length = image.norm()
        if step + 1 < len(basis):
            projected[step, step + 1] = projected[step + 1, step] = length
        vector = (image / length).reshape(shape)
    return float(torch.linalg.eigvalsh(projected)[-1]) ** 0.5


def _worst_circular(count: int) -> float:
    """The largest relative error of `circular_norm` against a dense Jacobian."""
    draw, worst = torch.Generator().manual_seed(3), 0.0
    for index in range(count):
        kernel, stride = 1 + index % 5, 1 + index % 3
        size = (kernel + index % 4, kernel + 1 + index % 3)
        weight = torch.randn(3, 2, kernel, kernel, generator=draw, dtype=torch.float64)

        def circular(x: Tensor, weight: Tensor = weight, stride: int = stride) -> Tensor:
            pad = weight.shape[-1] - 1
            padded = functional.pad(x, (0, pad, 0, pad), mode="circular")
            return functional.conv2d(padded, weight, stride=stride)

        true = dense_norm(circular, (2, *size), vectorize=True)
        worst = max(worst, abs(circular_norm(weight, size, stride=stride) / true - 1))
    return worst


def _seconds(call, repeats: int) -> tuple[float, float]:  # type: ignore[no-untyped-def]
    """The median of the wall time and of the processor time of a call."""
    wall, work = [], []
    for _ in range(repeats):
        started, worked = time.perf_counter(), time.process_time()
        call()
        wall.append(time.perf_counter() - started)
        work.append(time.process_time() - worked)
    return statistics.median(wall), statistics.median(work)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("soundness", "tightness", "speed"))
    parser.add_argument("--layers", type=int, default=2000)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--peer", type=Path)
    parser.add_argument("--iterations", type=int, default=3)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print(f"{platform.processor() or platform.machine()}, torch {torch.__version__}, ", end="")
    print(f"{options.threads} threads")
    if options.what == "soundness":
        soundness(options.layers)
    elif options.what == "tightness":
        tightness(options.steps)
    else:
        speed(options.peer, options.iterations, options.repeats)


if __name__ == "__main__":
    main()

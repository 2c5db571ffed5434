"""The locally connected layer beside `unfold` + `einsum`: time and peak memory.

    python benchmarks/locally_connected.py [--threads 1] [--rounds 5] [--layers 0 1 2 3 4 5]

Layers with QuocNet's 18×18 fields and 8 maps, and quocnet-tiny's, each a forward pass and one
forward and backward pass to inputs and weights, float32, the ways taking turns.  The recipe is
timed in two layouts: as it is mostly written (fields as `unfold` gives them), and with places
first, so that `einsum` is one batched product without a transposition; ratios are theirs over ours.
Peak memory is how far the resident set of a process of its own (Linux) rises over what it was with
inputs, weights and their gradients made and torch warm. A row a layer and a pass goes to
benchmarks/figures/locally_connected.csv in place of an earlier one.
"""

import argparse
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import unfold

from intriguing.models import tiles
from intriguing.models.locally_connected import locally_connected2d
from tables import keep

TABLE = Path(__file__).parent / "figures" / "locally_connected.csv"
# channels, maps, input side, field, batch
LAYERS = [
    (3, 8, 32, 8, 64),
    (8, 8, 24, 6, 64),
    (3, 8, 64, 18, 16),
    (8, 8, 48, 18, 16),
    (3, 8, 100, 18, 8),
    (3, 8, 200, 18, 2),
]
Way = Callable[[Tensor, Tensor], Tensor]


def ours(x: Tensor, weight: Tensor) -> Tensor:
    return locally_connected2d(x, weight)


def recipe(x: Tensor, weight: Tensor) -> Tensor:
    """Weights (places, maps, fields), as `unfold` orders fields."""
    fields = unfold(x, side_of(x, weight))
    return torch.einsum("bkp,pmk->bmp", fields, weight)


def places_first(x: Tensor, weight: Tensor) -> Tensor:
    fields = unfold(x, side_of(x, weight)).permute(2, 0, 1)
    return torch.einsum("pbk,pmk->pbm", fields, weight)


WAYS: dict[str, Way] = {"ours": ours, "recipe": recipe, "places first": places_first}


def side_of(x: Tensor, weight: Tensor) -> int:
    return round((weight.shape[2] / x.shape[1]) ** 0.5)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--work", type=int, default=tiles.WORK["cpu"] >> 20)
    parser.add_argument("--layers", type=int, nargs="+", default=range(len(LAYERS)))
    parser.add_argument("--child", nargs=3)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    tiles.WORK["cpu"] = args.work << 20
    if args.child:
        way, line, backward = args.child
        print(rise(way, LAYERS[int(line)], backward == "True"))
        return
    print(f"torch {torch.__version__}, {platform.machine()}, {args.threads} thread(s)")
    for i in args.layers:
        layer = LAYERS[i]
        for backward in (False, True):
            times = timed(layer, backward, args.rounds)
            command = [sys.executable, __file__, f"--threads={args.threads}", "--child"]
            peaks = {
                way: float(subprocess.check_output([*command, way, str(i), str(backward)]))
                for way in WAYS
            }
            note(layer, backward, args.rounds, times, peaks)


def note(
    layer: tuple[int, ...], backward: bool, rounds: int, times: dict[str, float],
    peaks: dict[str, float],
) -> None:  # fmt: skip
    channels, maps, side, field, batch = layer
    row = {
        "layer": f"{batch}×{channels}×{side}×{side}, {field}×{field} fields, {maps} maps",
        "pass": "forward, backward" if backward else "forward",
        "rounds": rounds,
        "seconds": f"{times['ours']:.4f}",
        **{way: f"{times[way] / times['ours']:.1f}" for way in WAYS if way != "ours"},
        "mib": f"{peaks['ours']:.0f}",
        **{f"{way} mib": f"{peaks[way] / peaks['ours']:.1f}" for way in WAYS if way != "ours"},
    }
    print(row, flush=True)
    keep(TABLE, row, ["layer", "pass"])


def made(way: str, layer: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """Inputs and weights in the layout of the way; the same numbers."""
    channels, maps, side, field, batch = layer
    generator = torch.Generator().manual_seed(0)
    places = side - field + 1
    x = torch.randn(batch, channels, side, side, generator=generator)
    shape = (places, places, maps, field, field, channels)
    weight = torch.randn(shape, generator=generator)
    if way != "ours":
        weight = weight.permute(0, 1, 2, 5, 3, 4).reshape(places**2, maps, -1).contiguous()
    return x.requires_grad_(), weight.requires_grad_()


def step(way: str, x: Tensor, weight: Tensor, backward: bool) -> Tensor:
    """Gradients are written where they were before, as a training without `zero_grad` does."""
    with torch.set_grad_enabled(backward):
        y = WAYS[way](x, weight)
    if backward:
        y.backward(torch.ones_like(y))
    return y.detach()


def timed(layer: tuple[int, ...], backward: bool, rounds: int) -> dict[str, float]:
    """Median seconds, the ways taking turns; the answers have to agree."""
    inputs = {way: made(way, layer) for way in WAYS}
    answers = {way: step(way, *inputs[way], backward) for way in WAYS}
    batch, places = layer[4], layer[2] - layer[3] + 1
    first = answers["ours"].flatten(2)
    torch.testing.assert_close(first, answers["recipe"], rtol=1e-3, atol=1e-3)
    other = answers["places first"].permute(1, 2, 0)
    torch.testing.assert_close(first, other, rtol=1e-3, atol=1e-3)
    assert first.shape == (batch, layer[1], places**2)
    spent: dict[str, list[float]] = {way: [] for way in WAYS}
    for _ in range(rounds):
        for way, pair in inputs.items():
            start = time.perf_counter()
            step(way, *pair, backward)
            spent[way].append(time.perf_counter() - start)
    return {way: statistics.median(seconds) for way, seconds in spent.items()}


def rise(way: str, layer: tuple[int, ...], backward: bool) -> float:
    """MiB by which the process's peak rises in one step."""
    small = made(way, (layer[0], 1, layer[3] + 1, layer[3], 1))
    step(way, *small, backward)
    x, weight = made(way, layer)
    if backward:
        x.grad, weight.grad = torch.zeros_like(x), torch.zeros_like(weight)
    Path("/proc/self/clear_refs").write_text("5")  # begin the peak anew: `made` had copies
    before = peak()
    step(way, x, weight, backward)
    return max(peak() - before, 1.0)


def peak() -> float:
    """MiB of the largest resident set of this process (a child's `ru_maxrss` has its parent's)."""
    status = Path("/proc/self/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


if __name__ == "__main__":
    main()

"""One real training step of one stage of the full-size network: time and peak memory.

    python benchmarks/quocnet_stage.py [--stage 1] [--batch 2] [--network quocnet-1b] [--device cpu]

The stage alone is made, with random weights and inputs; its objective is computed forward and
backward, tied weights, without an optimiser.  Beside the measured peak stands what
`models.quocnet_cost` says of the same. A row goes to benchmarks/figures/quocnet_stage.csv in place
of an earlier one.
"""

import argparse
import time
from pathlib import Path

import torch

from intriguing.models.families.quocnet import CONFIGS, QuocNetConfig, Stage, sizes
from intriguing.models.quocnet_cost import device_cost
from tables import keep

TABLE = Path(__file__).parent / "figures" / "quocnet_stage.csv"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--network", default="quocnet-1b")
    parser.add_argument("--stage", type=int, default=1)
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    args = parser.parse_args()
    config = CONFIGS[args.network]
    size = sizes(config)[args.stage - 1]
    alone = QuocNetConfig("stage", size.seen, (config.stages[args.stage - 1],))
    cost = device_cost(alone, "copies", 1, args.batch, device_type=args.device)
    before = peak(args.device)
    stage = Stage(config.stages[args.stage - 1], size.seen, device=args.device)
    x = torch.randn(args.batch, *size.seen, device=args.device)
    start = time.perf_counter()
    loss = stage.objective(x, 0.1)
    loss.backward()
    assert stage.filter.weight.grad is not None
    assert bool(stage.filter.weight.grad[0, 0].isfinite().all())
    value = float(loss.detach())
    seconds = time.perf_counter() - start
    used = peak(args.device) - before
    stated = cost.memory - cost.states
    row = {
        "network": args.network, "stage": args.stage, "device": args.device, "images": args.batch,
        "parameters": stage.filter.weight.numel(), "seconds": f"{seconds:.1f}",
        "gflops": f"{cost.operations / seconds / 1e9:.0f}", "peak_gib": f"{used / 2**30:.2f}",
        "stated_gib": f"{stated / 2**30:.2f}",
    }  # fmt: skip
    print(row, f"loss {value:.4g}")
    keep(TABLE, row, ["network", "stage", "device", "images"])


def peak(device: str) -> int:
    """Bytes, of the process (Linux) or of the device."""
    if device != "cpu":
        return torch.cuda.max_memory_allocated(device)
    status = Path("/proc/self/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


if __name__ == "__main__":
    main()

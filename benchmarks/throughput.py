"""Images per second of the batched solver against scipy's L-BFGS-B run image by image.

    python benchmarks/throughput.py [--ours 2000] [--peer 30] [--threads 2]

Both minimise c‖r‖² + loss_f(x + r, l) over the box for FC100-100-10, both walk and bisect c by one
rule from the same first c, warm-starting at the best adversarial minimiser so far; the peer is
`scipy.optimize.minimize(method="L-BFGS-B")` with its default tolerances. All is measured in one run
on one machine. Printed: milliseconds and passes an image, mean distortion on the images both
were given, the ratio, and the share of our time spent outside the model's own passes. A row for
these threads and their way of waiting goes to benchmarks/figures/throughput.csv.
"""

import argparse
import math
import os
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from scipy.optimize import minimize
from torch import nn

from intriguing.data.named import load_data
from intriguing.distortion.minimum import minimum_distortion
from intriguing.distortion.penalty import PaperConfig
from intriguing.distortion.problem import TargetedLoss
from intriguing.distortion.targets import choose_targets
from intriguing.models.families.fully_connected import FullyConnected
from tables import keep

TABLE = Path(__file__).parent / "figures" / "throughput.csv"


def trained_network(seed: int) -> nn.Module:
    """FC100-100-10 fitted to the training images of mnist-5k."""
    data = load_data("mnist-5k").train
    torch.manual_seed(seed)
    network = FullyConnected((784, 100, 100, 10))
    optimiser = torch.optim.LBFGS(
        network.parameters(), max_iter=300, history_size=20, line_search_fn="strong_wolfe"
    )

    def objective() -> torch.Tensor:
        optimiser.zero_grad()
        decay = sum(layer.weight.square().sum() for layer in network.layers)
        loss = nn.functional.cross_entropy(network(data.images), data.labels) + 1e-5 * decay
        loss.backward()
        return loss

    optimiser.step(objective)
    return network.eval()


def by_scipy(
    objective: TargetedLoss, x: torch.Tensor, target: torch.Tensor, config: PaperConfig
) -> tuple[float, int]:
    """One image's distortion by the search of `penalty.search_c` around scipy's L-BFGS-B."""
    image = x.double().numpy()
    passes = 0
    last_margin = 0.0

    def value(z: np.ndarray, c: float) -> tuple[float, np.ndarray]:
        nonlocal passes, last_margin
        passes += 1
        now = objective(torch.from_numpy(z).to(x.dtype)[None], target[None])
        last_margin = float(now.margin)
        r = z - image
        return float(now.loss) + c * float(r @ r), now.gradient[0].double().numpy() + 2 * c * r

    loss, gradient = value(image, 0.0)
    if last_margin > 0:
        return 0.0, passes
    c = float(gradient @ gradient) / loss / 4 * config.start
    low, high, start, best = 0.0, math.inf, image, math.inf
    for _ in range(config.max_solves):
        found = minimize(value, start, (c,), "L-BFGS-B", jac=True, bounds=[(0, 1)] * len(image))
        value(found.x, c)
        if last_margin > 0:
            low, start = c, found.x
            best = float(np.linalg.norm(found.x - image)) / math.sqrt(len(image))
        else:
            high = c
            start = start if low > 0 else found.x
        if high <= low * (1 + config.precision):
            break
        bracketed = low > 0 and high < math.inf
        c = math.sqrt(low * high) if bracketed else c * config.factor ** (1 if low > 0 else -1)
    return best, passes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ours", type=int, default=2000)
    parser.add_argument("--peer", type=int, default=30)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    print(f"{platform.platform()}, {args.threads} threads, torch {torch.__version__}")
    model = trained_network(seed=0)
    data = load_data("mnist-5k").train.first(args.ours)
    targets = choose_targets(data.labels, 10, torch.Generator().manual_seed(0))
    config = PaperConfig()
    objective = TargetedLoss(model, (784,))

    inside = 0.0
    original = TargetedLoss.__call__

    def timed(self: TargetedLoss, *inputs: torch.Tensor) -> object:
        nonlocal inside
        start = time.perf_counter()
        result = original(self, *inputs)
        inside += time.perf_counter() - start
        return result

    runs = []
    for repeat in range(args.repeats):
        share = slice(repeat * args.peer, (repeat + 1) * args.peer)
        start = time.perf_counter()
        flat = data.images.flatten(1)
        peer = [by_scipy(objective, flat[i], targets[i], config) for i in range(len(data))[share]]
        peer_seconds = (time.perf_counter() - start) / len(peer)
        inside = 0.0
        TargetedLoss.__call__ = timed  # type: ignore[method-assign]
        start = time.perf_counter()
        ours = minimum_distortion(model, data.images, data.labels, targets, "paper", config=config)
        seconds = time.perf_counter() - start
        TargetedLoss.__call__ = original  # type: ignore[method-assign]
        run = {
            "ours_ms": 1e3 * seconds / len(data),
            "peer_ms": 1e3 * peer_seconds,
            "ratio": peer_seconds / (seconds / len(data)),
            "passes": float(ours.forward_passes.float().mean()),
            "peer_passes": statistics.mean(p for _, p in peer),
            "distortion": float(ours.distortion[share].mean()),
            "peer_distortion": statistics.mean(d for d, _ in peer),
        }
        print(*(f"{name}={value:.5g}" for name, value in run.items()), flush=True)
        print(
            f"success {ours.success.float().mean():.4f}; outside the model's passes "
            f"{1 - inside / seconds:.0%}"
        )
        runs.append(run)

    def over(name: str, pick: Callable[[list[float]], float]) -> str:
        return f"{pick([run[name] for run in runs]):.3g}"

    apart = max(abs(run["distortion"] - run["peer_distortion"]) for run in runs)
    row = {
        "threads": args.threads,
        "waiting": os.environ.get("OMP_WAIT_POLICY", "default").lower(),
        "runs": len(runs),
        **{
            f"{name}_{word}": over(name, pick)
            for name in ("ours_ms", "peer_ms", "ratio", "passes", "peer_passes")
            for word, pick in (("least", min), ("median", statistics.median), ("most", max))
        },
        "distortion_apart": f"{apart:.5f}",
    }
    keep(TABLE, row, ["threads", "waiting"])
    print(f"median ratio {row['ratio_median']}×")


if __name__ == "__main__":
    main()

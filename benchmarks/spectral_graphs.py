"""Random networks with branches and joins: does any Jacobian exceed its bound?

    python benchmarks/spectral_graphs.py [--graphs 300] [--points 5]

Of each network, Jacobians are written out in float64 at random images of its domain. Prints how
many exceed the network's upper bound (0 expected), how many of its layers have a lower bound above
their upper one (0), and how far the largest Jacobian seen is below the bound. A row goes to
benchmarks/figures/spectral_graphs.csv in place of an earlier one.
"""

import argparse
import statistics
import sys
import time
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parent.parent))
from tests.oracles.dense_jacobian import dense_norm
from tests.oracles.random_graphs import RandomGraph

from intriguing import lipschitz_report
from tables import keep

TABLE = Path(__file__).parent / "figures" / "spectral_graphs.csv"


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--graphs", type=int, default=300)
    parser.add_argument("--points", type=int, default=5)
    options = parser.parse_args()
    start, violations, layers, wrong, unbounded = time.process_time(), 0, 0, 0, 0
    ratios = []
    for seed in range(1000, 1000 + options.graphs):
        network = RandomGraph(seed)
        report = lipschitz_report(network, network.input_shape, domain=network.domain)
        generator = torch.Generator().manual_seed(seed)
        points = torch.rand(
            (options.points, *network.input_shape), generator=generator, dtype=torch.float64
        )
        network.double()
        seen = max(
            dense_norm(lambda x, network=network: network(1.0 * x), network.input_shape, point)
            for point in points
        )
        violations += seen > report.upper
        unbounded += report.upper == float("inf")
        layers += len(report.layers)
        wrong += sum(layer.lower > layer.upper for layer in report.layers)
        if seen > 0:
            ratios.append(report.upper / seen)
    row = {
        "graphs": options.graphs, "points": options.points, "above": violations,
        "infinite": unbounded, "layers": layers, "layers_above": wrong,
        "least": f"{min(ratios):.4f}", "median": f"{statistics.median(ratios):.1f}",
        "seconds": f"{time.process_time() - start:.0f}",
    }  # fmt: skip
    print(row)
    keep(TABLE, row, ["graphs", "points"])


if __name__ == "__main__":
    main()

"""The same attack, or the same audit, here, by processes and by Ray: the same bytes, at what cost.

    python benchmarks/engines/same.py attack [--images 10000] [--workers 2] [--budget 100]
    python benchmarks/engines/same.py audit [--images 10000] [--workers 2] [--budget 10]
    ... [--engines here processes ray] [--ray-address ADDRESS]

The images are MNIST's test images ($INTRIGUING_DATA), the network is FC100-100-10; an audit attacks
all of them that it and another network get right.  What other work leaves of the cores decides wall
time: so CPU time is measured, too, and what the wall time is on free cores: that of the longest of
an engine's processes, or of all divided by the cores.  Starts of workers count.  So does that of
Ray's cluster, except with --ray-address: then it is there already, as clusters are.  A row an
engine goes to `benchmarks/figures/engines.csv` or `audited.csv`.
"""

import argparse
import tempfile
import time
from pathlib import Path

import torch
from measuring import digits, files, keep, network, spent, tensors

import intriguing as it

_RAY = ("ray::", "raylet", "gcs_server")
"""In the command lines of what belongs to a cluster that runs already."""


def attack(folder: Path, engine: it.Engine, count: int, budget: int) -> dict[str, object]:
    """Of so many digits, to any wrong class."""
    it.attack_in_shards(
        network(), digits(count), "untargeted", folder, budget=budget, engine=engine
    )
    return {"digest": f"{tensors(folder)} shards"}


def audit(folder: Path, engine: it.Engine, count: int, budget: int) -> dict[str, object]:
    """Of two networks; all stages, with the bounds that take no seconds an image."""
    networks = {"net": network(), "other": network(1)}
    config = it.AuditConfig(
        images=None, budget=budget, semidefinite=False, rotations=19, untrained=0
    )
    done = it.run_audit(networks, digits(count), folder, config, engine=engine, report=False)
    statuses = [one.status for one in done.records]
    return {
        "done": statuses.count("done"), "failed": statuses.count("failed"),
        "rows": f"{files(folder / 'rows')} files", "tensors": f"{files(folder / 'tensors')} files",
    }  # fmt: skip


def main() -> None:
    """A row an engine."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    kinds = {"attack": (attack, "engines", 100), "audit": (audit, "audited", 10)}
    parser.add_argument("what", choices=tuple(kinds))
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--budget", type=int)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--engines", nargs="*", default=["here", "processes", "ray"])
    parser.add_argument("--ray-address")
    given = parser.parse_args()
    torch.set_num_threads(1)
    what, name, usual = kinds[given.what]
    budget = given.budget or usual
    network(), network(1), digits(given.images)  # read and trained before time is taken
    for called in given.engines:
        workers = 1 if called == "here" else given.workers
        there = called == "ray" and given.ray_address
        more = {"ray_address": given.ray_address} if there else {}
        engine = it.Engine(called, workers=None if called == "here" else workers, **more)
        others = _RAY if there else ()
        with tempfile.TemporaryDirectory() as folder:
            before, start = spent(others), time.perf_counter()
            made = what(Path(folder), engine, given.images, budget)
            wall, after = time.perf_counter() - start, spent(others)
        each = [seconds - before.get(one, 0.0) for one, seconds in after.items()]
        keep(name, {
            "engine": called + (" (running)" if there else ""), "workers": workers,
            "images": given.images, "budget": budget, "wall_seconds": round(wall, 1),
            "cpu_seconds": round(sum(each), 1),
            "on_free_cores": round(max(*each, sum(each) / workers), 1), **made,
        })  # fmt: skip


if __name__ == "__main__":
    main()

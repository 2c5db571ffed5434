"""An attack on a Ray cluster in which workers, nodes and the command itself die at random.

    python benchmarks/engines/deaths.py [--images 4000] [--deaths 20] [--shard 50] [--budget 100]

A head and two more nodes are started on this machine.  While the attack runs, workers are killed by
SIGKILL, nodes are removed and others added, and the command is killed and started again, at random
moments, so many times in all; then rows and tensors are compared with those of an undisturbed run
by this process.  A row of each run goes to `benchmarks/figures/deaths.csv`.
"""

import argparse
import os
import random
import signal
import subprocess
import tempfile
import time
from collections import Counter
from pathlib import Path

import torch
from measuring import begun, digits, files, keep, network, tensors
from ray.cluster_utils import Cluster

import intriguing as it
from intriguing.runs import attacking
from intriguing.runs.examples import Examples, Summary
from intriguing.runs.request import Request, Work
from intriguing.runs.run import run_all
from intriguing.runs.stage import Network

_PAUSE = 4.0
"""Seconds between two deaths at most; workers take as long to start anew."""


def attack(out: str, address: str, count: int, budget: int, shard: int) -> None:
    """What the verb does, on the cluster of that address, if any."""
    torch.set_num_threads(1)
    engine = it.Engine("ray", ray_address=address) if address else it.Engine()
    given, images = Network("net", network()), digits(count)
    plan = attacking.plan(given.model, images, "random", 0)
    found = Examples(given, plan, it.Search("closest", budget), shard_size=shard)
    asked = Request("attack", {}, networks=(given,), images=(images,), tables=("attack",))
    run_all(Work(asked, [found, Summary(given, found)]), Path(out), engine=engine)


def actors() -> list[int]:
    """The processes of workers, on nodes that this process started."""
    found, parents = [], {}
    for path in Path("/proc").glob("[0-9]*"):
        try:
            said = (path / "status").read_text()
            parents[int(path.name)] = int(said.split("PPid:")[1].split()[0])
            if (path / "cmdline").read_bytes().startswith(b"ray::Actor"):
                found.append(int(path.name))
        except OSError:  # it has ended
            continue
    return [one for one in found if parents.get(parents.get(one, 0)) == os.getpid()]


class Disturbed:
    """A run on a cluster, and who kills.

    Attributes:
        died: How often what was killed.
    """

    def __init__(self, folder: Path, given: argparse.Namespace) -> None:
        self.folder, self.given, self.draw = folder, given, random.Random(given.seed)
        self.cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
        self.nodes = [self.cluster.add_node(num_cpus=1) for _ in range(2)]
        self.died: Counter[str] = Counter()
        self.driver = self._driver()

    def until_done(self) -> int:
        """Kill until there were as many deaths as were asked for, and wait; the exit code."""
        seen = 0
        while self.driver.poll() is None:
            time.sleep(self.draw.uniform(0.0, _PAUSE))
            shards = len(self._shards())
            if self.died.total() < self.given.deaths and shards > seen and self._kill():
                seen = shards
                print(f"{time.strftime('%X')}  {dict(self.died)}, {shards} shards", flush=True)
        self.cluster.shutdown()
        return self.driver.returncode

    def _kill(self) -> bool:
        """Whether anybody was there to be killed."""
        what = self.draw.choices(("worker", "node", "driver"), (13, 4, 3))[0]
        if what == "worker":
            if not (victims := actors()):
                return False
            os.kill(self.draw.choice(victims), signal.SIGKILL)
        elif what == "node":
            self.cluster.remove_node(self.nodes.pop(self.draw.randrange(2)), allow_graceful=False)
            self.nodes.append(self.cluster.add_node(num_cpus=1))
        else:
            self.driver.kill()
            self.driver.wait()
            self.driver = self._driver()
        self.died[what] += 1
        return True

    def _shards(self) -> list[Path]:
        return list(self.folder.glob("shards/*/*.safetensors"))

    def _driver(self) -> "subprocess.Popen[bytes]":
        given, place = self.given, (str(self.folder), str(self.cluster.address))
        return begun(attack, *place, given.images, given.budget, given.shard)


def main() -> None:
    """Both runs."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--images", type=int, default=4000)
    parser.add_argument("--budget", type=int, default=100)
    parser.add_argument("--deaths", type=int, default=20)
    parser.add_argument("--shard", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        for run in ("disturbed", "undisturbed"):
            folder, died = Path(place) / run, Counter[str]()
            if run == "disturbed":
                disturbed = Disturbed(folder, given)
                code, died = disturbed.until_done(), disturbed.died
                if code or died.total() < given.deaths:
                    raise SystemExit(f"exit code {code} after {dict(died)}; give more --images")
            else:
                attack(str(folder), "", given.images, given.budget, given.shard)
            (shards,) = (folder / "shards").iterdir()
            keep("deaths", {
                "run": run, "images": given.images, "budget": given.budget,
                "workers_killed": died["worker"], "nodes_lost": died["node"],
                "commands_killed": died["driver"], "shards": f"{tensors(shards)} shards",
                "rows": f"{files(folder / 'rows')} files",
            })  # fmt: skip


if __name__ == "__main__":
    main()

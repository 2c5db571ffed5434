"""A Ray cluster that loses workers and machines while it works: the answers are the same."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

import intriguing as it
from tests.scale.jobs import Touchy

ray = pytest.importorskip("ray", reason="Ray is not installed")


@pytest.fixture
def cluster() -> Iterator[Any]:
    """A head that computes nothing, and two machines of a core."""
    from ray.cluster_utils import Cluster

    ray.shutdown()
    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    for _ in range(2):
        made.add_node(num_cpus=1)
    yield made
    ray.shutdown()
    made.shutdown()


def workers() -> list[int]:
    """Processes of actors on nodes that this process started, by their names."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if path.read_bytes().startswith(b"ray::Actor") and _parent(
                _parent(int(path.parent.name))
            ) == os.getpid():  # fmt: skip
                found.append(int(path.parent.name))
        except OSError:  # it has ended
            continue
    return found


def _parent(process: int) -> int:
    said = Path(f"/proc/{process}/status").read_text()
    return int(said.split("PPid:")[1].split()[0])


@pytest.mark.skipif(not Path("/proc").exists(), reason="processes are found in /proc")
def test_a_cluster_that_loses_workers_and_machines_ends_like_one_that_does_not(
    cluster: Any, tmp_path: Path
) -> None:
    images = it.load_data("digits").test.first(60)
    how = {"shard_size": 3, "method": "ddn", "budget": 20}
    happened: list[str] = []

    def disturb(step: it.Progress) -> None:
        if not happened and step.done >= 6:
            os.kill(workers()[0], signal.SIGKILL)
            happened.append("a worker was killed")
        if len(happened) == 1 and step.done >= 18:
            cluster.remove_node(cluster.worker_nodes.copy().pop(), allow_graceful=False)
            cluster.add_node(num_cpus=1)
            happened.append("a machine was lost, another one joined")

    engine = it.Engine("ray", ray_address=cluster.address)
    model = Touchy()
    there = it.attack_in_shards(
        model, images, "untargeted", tmp_path / "a", engine=engine, progress=disturb, **how
    )
    here = it.attack_in_shards(model, images, "untargeted", tmp_path / "b", **how)
    assert len(happened) == 2
    assert len(list((tmp_path / "a").glob("*.safetensors"))) == 20
    for name in ("adversarial", "distortion", "status", "forward_passes"):
        ours, theirs = there.shards.column(name), here.shards.column(name)
        assert torch.equal(ours.nan_to_num(), theirs.nan_to_num()), name

"""Two gloo processes by every engine against one alone: losses, gradients, kill and resume."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from intriguing.errors import InputError
from intriguing.models.families.quocnet import QuocNet, Stage
from intriguing.training.engines import Reconstruction
from intriguing.training.locations import bands
from intriguing.training.order import Order, share
from intriguing.training.steps import train_steps
from tests import forked
from tests.training import distributed_worker as worker

ENGINES = ("copies", "shards", "locations")


def launch(task: str, out: Path) -> int:
    """Two processes of torchrun's, whose shared store can hang with gloo: they have none."""
    command = [
        sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2",
        worker.__file__, task, str(out),
    ]  # fmt: skip
    root = Path(__file__).parents[2]
    settings = {
        "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1", "OMP_NUM_THREADS": "1",
        "PYTHONPATH": os.pathsep.join([str(root), os.environ.get("PYTHONPATH", "")]),
    }  # fmt: skip
    done = subprocess.run(
        command, env={**os.environ, **settings}, timeout=300, capture_output=True, check=False
    )
    return done.returncode


@pytest.fixture(scope="module")
def together(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("engines")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    for one in [forked.start(_joined, rank, port, out) for rank in (0, 1)]:
        forked.finish(*one)
    return out


def _joined(rank: int, port: int, out: Path, tell: forked.Tell) -> None:
    """One of two processes with the environment that torchrun gives, but for its imports."""
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": "2", "LOCAL_RANK": str(rank)}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    worker.main("engines", out)


@pytest.fixture(scope="module")
def alone() -> tuple[list[float], QuocNet]:
    return worker.train("alone", torch.float64)


@pytest.mark.parametrize("engine", ENGINES)
def test_losses_are_those_of_one_process(
    together: Path, alone: tuple[list[float], QuocNet], engine: str
) -> None:
    """Forty steps of two stages; in float32 the sums' order alone differs."""
    true = torch.tensor(alone[0])
    assert len(true) == 40
    assert true[19] < 0.9 * true[0]
    double = torch.tensor(json.loads((together / f"{engine}-double.json").read_text()))
    torch.testing.assert_close(double, true, rtol=1e-10, atol=0)
    single = torch.tensor(json.loads((together / f"{engine}-float.json").read_text()))
    reference = torch.tensor(worker.train("alone", torch.float32)[0])
    torch.testing.assert_close(single, reference, rtol=1e-6, atol=0)


@pytest.mark.parametrize("engine", ENGINES)
def test_weights_come_back_whole(
    together: Path, alone: tuple[list[float], QuocNet], engine: str
) -> None:
    """Adam divides by gradients, so that equal weights after forty steps mean equal gradients."""
    found = load_file(together / f"{engine}-double.safetensors")
    for name, value in alone[1].state_dict().items():
        torch.testing.assert_close(found[name], value, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("engine", ENGINES)
def test_what_two_processes_saved_one_goes_on_with(
    together: Path, alone: tuple[list[float], QuocNet], engine: str
) -> None:
    """The finished checkpoint of the first stage is loaded by one process and adds nothing."""
    images = worker.pictures(torch.float64)
    network = worker.network(torch.float64)
    work = Reconstruction(network).work(0, lambda places: images[places], sparsity=0.3)
    path = together / f"{engine}.checkpoint" / "stage0"
    assert not list(path.glob("*.pt")) + list(path.glob("*.distcp")) + list(path.glob(".metadata"))
    report = train_steps(work, worker.IMAGES, worker.STEPS, seed=3, checkpoint=path)
    assert report.iterations == 20
    torch.testing.assert_close(
        network.stages[0].get_parameter("filter.weight"),
        alone[1].stages[0].get_parameter("filter.weight"),
        rtol=1e-8, atol=1e-10,
    )  # fmt: skip


def test_a_killed_run_goes_on_in_one_process_with_the_same_losses(
    tmp_path: Path, alone: tuple[list[float], QuocNet]
) -> None:
    assert launch("kill", tmp_path) != 0
    network, images = worker.network(torch.float64), worker.pictures(torch.float64)
    work = Reconstruction(network).work(0, lambda places: images[places], sparsity=0.3)
    seen = []
    report = train_steps(
        work, worker.IMAGES, worker.STEPS, seed=3, checkpoint=tmp_path / "killed",
        progress=lambda told: seen.append(told.done),
    )  # fmt: skip
    assert seen == list(range(11, 21))  # ten steps were kept
    torch.testing.assert_close(
        torch.tensor(report.history), torch.tensor(alone[0][:20]), rtol=1e-10, atol=0
    )
    with pytest.raises(InputError, match="another training"):
        train_steps(work, worker.IMAGES, worker.STEPS, seed=4, checkpoint=tmp_path / "killed")


def test_alexnet_by_copies_and_shards(together: Path) -> None:
    true = torch.tensor(worker.alexnet("alone"))
    for engine in ("copies", "shards"):
        found = torch.tensor(json.loads((together / f"alexnet-{engine}.json").read_text()))
        torch.testing.assert_close(found, true, rtol=1e-5, atol=0)


def test_a_location_gradient_is_the_whole_ones_band(together: Path) -> None:
    """One step's gradient of the sharded layer, by what both processes wrote."""
    found = load_file(together / "gradient.safetensors")
    network, images = worker.network(torch.float64), worker.pictures(torch.float64)
    stage = network.stages[0]
    assert isinstance(stage, Stage)
    stage.objective(network.whitening(images), 0.3).backward()
    for name, parameter in stage.named_parameters():
        assert parameter.grad is not None
        torch.testing.assert_close(found[name], parameter.grad, rtol=1e-10, atol=1e-10)


def test_the_order_is_one_for_any_number_of_processes() -> None:
    order = Order(23, 7, seed=4)
    for size in (1, 2, 3, 7, 9):
        for step in (0, 2, 3, 30):
            parts = [share(order.at(step), rank, size) for rank in range(size)]
            assert torch.equal(torch.cat(parts), order.at(step))
    epoch = torch.cat([order.at(step) for step in range(3)])
    assert len(epoch.unique()) == 21
    assert not torch.equal(order.at(0), order.at(3))
    assert not torch.equal(order.at(0), Order(23, 7, seed=5).at(0))


def test_bands_are_torchs_shards() -> None:
    for rows in (4, 9, 10, 137):
        for size in (1, 2, 3, 4):
            lengths = [last - first for first, last in bands(rows, size)]
            chunks = [len(chunk) for chunk in torch.arange(rows).chunk(size)]
            assert lengths[: len(chunks)] == chunks
            assert sum(lengths) == rows


def test_what_cannot_be_is_named() -> None:
    network = worker.network(torch.float32)
    with pytest.raises(InputError, match="torchrun"):
        Reconstruction(network, "copies")
    with pytest.raises(InputError, match="give 1 … 3"):
        Order(3, 4, 0)

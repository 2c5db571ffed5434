"""A small trained network in a folder, and a comparison in a process of its own to be killed."""

import multiprocessing
import os
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path

import torch

from intriguing.cli import progress
from intriguing.cli.main import main
from intriguing.data.named import load_data
from intriguing.measures import Progress
from intriguing.models.family import build_network
from intriguing.models.weights import save_model
from intriguing.runs import comparing

METHODS = ("closest", "paper", "ddn", "noise")
COMMAND = [
    "compare", "fc10.safetensors", "digits", "--limit", "40", "--budget", "60", "--out", "out",
    "--methods", *METHODS,
]  # fmt: skip

_FORKED = multiprocessing.get_context("forkserver")
_FORKED.set_forkserver_preload(["tests.cli.workshop"])


def furnish(folder: Path) -> None:
    """A softmax classifier of the digits that is mostly right: the mean of each class."""
    train = load_data("digits").train
    model = build_network("fc10", 64)
    with torch.no_grad():
        flat = train.images.flatten(1)
        means = torch.stack([flat[train.labels == label].mean(0) for label in range(10)])
        layer = model.layers[0]
        layer.weight.copy_(3 * means)
        layer.bias.copy_(-1.5 * means.square().sum(1))
    save_model(folder / "fc10.safetensors", model, "fc10", {})


def start(folder: Path) -> tuple[BaseProcess, Connection]:
    """The process, and where each of its steps arrives; the end of the process ends the steps."""
    steps, speaking = _FORKED.Pipe(duplex=False)
    process = _FORKED.Process(target=_compare, args=(folder, speaking))
    process.start()
    speaking.close()
    return process, steps


def _compare(folder: Path, steps: Connection) -> None:
    def tell(step: Progress) -> None:
        steps.send((step.stage, step.done))

    torch.set_num_threads(1)
    os.chdir(folder)
    progress._lines = lambda console: tell
    comparing.shard_size = lambda device: 10
    main(COMMAND)

"""A small trained network in a folder, and a comparison in a process of its own to be killed."""

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
from tests import forked

METHODS = ("closest", "paper", "ddn", "noise")
COMMAND = [
    "compare", "fc10.safetensors", "digits", "--limit", "40", "--budget", "60", "--out", "out",
    "--methods", *METHODS,
]  # fmt: skip


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
    return forked.start(_compare, folder)


def _compare(folder: Path, tell: forked.Tell) -> None:
    def step(one: Progress) -> None:
        tell((one.stage, one.done))

    os.chdir(folder)
    progress._lines = lambda console: step
    comparing.shard_size = lambda device: 10
    main(COMMAND)

"""A smoke-scale reproduction in a process of its own, which can be killed.

The processes are forked from a server that has imported everything, because importing takes as
long as the run itself.
"""

import multiprocessing
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path

import torch

from intriguing.measures import Progress
from intriguing.paper.config import ReproduceConfig
from intriguing.paper.items import DEFAULT, OF_MNIST
from intriguing.paper.reproduce import reproduce

# Table 5 needs none of what is trained and attacked here; test_table5.py has it.
CONFIG = ReproduceConfig(
    items=tuple(item for item in DEFAULT if item not in ("table5", *OF_MNIST)),
    scale="smoke",
    shard_size=20,
)
COMMAND = "the same"

_FORKED = multiprocessing.get_context("forkserver")
_FORKED.set_forkserver_preload(["tests.paper.running"])


def start(folder: Path) -> tuple[BaseProcess, Connection]:
    """The process, and where each of its steps arrives; the end of the process ends the steps."""
    steps, speaking = _FORKED.Pipe(duplex=False)
    process = _FORKED.Process(target=_main, args=(folder, speaking))
    process.start()
    speaking.close()
    return process, steps


def _main(folder: Path, steps: Connection) -> None:
    def report(step: Progress) -> None:
        steps.send((step.stage, step.done))

    torch.set_num_threads(1)
    reproduce(CONFIG, folder, command=COMMAND, progress=report)

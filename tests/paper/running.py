"""A smoke-scale reproduction in a process of its own, which can be killed."""

from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path

from intriguing.paper.config import ReproduceConfig
from intriguing.paper.items import DEFAULT, OF_MNIST
from intriguing.paper.reproduce import reproduce
from tests import forked

# Table 5 needs none of what is trained and attacked here; test_table5.py has it.
CONFIG = ReproduceConfig(
    items=tuple(item for item in DEFAULT if item not in ("table5", *OF_MNIST)),
    scale="smoke",
    shard_size=20,
)
COMMAND = "the same"


def start(folder: Path) -> tuple[BaseProcess, Connection]:
    """The process, and where each of its steps arrives; the end of the process ends the steps."""
    return forked.start(_reproduce, folder)


def _reproduce(folder: Path, tell: forked.Tell) -> None:
    reproduce(CONFIG, folder, command=COMMAND, progress=lambda step: tell((step.stage, step.done)))

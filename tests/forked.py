"""Processes of their own, which can be killed, forked from a server that has imported everything.

Importing takes longer than what most of them do.
"""

import multiprocessing
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any

import torch

_FORKED = multiprocessing.get_context("forkserver")
# The server finds installed packages, wherever it is started; what is in `tests` it may not.
_FORKED.set_forkserver_preload(
    ["pytest", "sklearn.datasets", "torch.distributed.run", "intriguing.cli.compare",
     "intriguing.cli.report", "intriguing.hardening.train", "intriguing.paper.reproduce",
     "intriguing.report.html", "intriguing.training.engines"]
)  # fmt: skip

Tell = Callable[[Any], None]


def start(work: Callable[..., None], *given: Any) -> tuple[BaseProcess, Connection]:
    """A process that does `work(*given, tell)`, and where arrives what it tells, until it ends."""
    heard, speaking = _FORKED.Pipe(duplex=False)
    process = _FORKED.Process(target=_run, args=(work, given, speaking))
    process.start()
    speaking.close()
    return process, heard


def finish(process: BaseProcess, heard: Connection) -> list[Any]:
    """All that it still told, once it has ended well."""
    told = []
    with heard, suppress(EOFError):
        while True:
            told.append(heard.recv())
    process.join()
    assert process.exitcode == 0
    return told


def kill(process: BaseProcess) -> None:
    """At once, as `kill -9` does."""
    process.kill()
    process.join()


def _run(work: Callable[..., None], given: tuple[Any, ...], speaking: Connection) -> None:
    torch.set_num_threads(1)
    work(*given, speaking.send)

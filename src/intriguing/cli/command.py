"""The command line being run, as results folders record it."""

import shlex
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar

_COMMAND: ContextVar[str] = ContextVar("command", default="intriguing")
_STARTED: ContextVar[float | None] = ContextVar("started", default=None)


@contextmanager
def running(arguments: Sequence[str]) -> Iterator[None]:
    """Remember the arguments while the verb runs."""
    token = _COMMAND.set(shlex.join(["intriguing", *arguments]))
    started = _STARTED.set(time.perf_counter())
    try:
        yield
    finally:
        _COMMAND.reset(token)
        _STARTED.reset(started)


def command() -> str:
    """What to type in a shell to run this again."""
    return _COMMAND.get()


def elapsed() -> float:
    """Seconds since the verb began."""
    started = _STARTED.get()
    return 0.0 if started is None else time.perf_counter() - started

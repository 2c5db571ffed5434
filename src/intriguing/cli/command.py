"""The command line being run, as results folders record it."""

import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar

_COMMAND: ContextVar[str] = ContextVar("command", default="intriguing")


@contextmanager
def running(arguments: Sequence[str]) -> Iterator[None]:
    """Remember the arguments while the verb runs."""
    token = _COMMAND.set(shlex.join(["intriguing", *arguments]))
    try:
        yield
    finally:
        _COMMAND.reset(token)


def command() -> str:
    """What to type in a shell to run this again."""
    return _COMMAND.get()

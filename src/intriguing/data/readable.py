"""Names from outside, such as those of files, as text that every file and terminal takes."""

from collections.abc import Iterable

from intriguing.names import visible


def readable(name: str) -> str:
    r"""The name in one line, with what cannot be written or printed behind a backslash.

    >>> import os
    >>> readable(os.fsdecode(b"caf\xe9\n.png")), readable("café.png")
    ('caf\\xe9\\n.png', 'café.png')
    """
    return visible(name).replace("\n", "\\n").replace("\t", "\\t")


def all_readable(names: Iterable[str]) -> tuple[str, ...]:
    """Several names; the same tuple where nothing is to be done."""
    given = tuple(names)
    return given if all(map(str.isprintable, given)) else tuple(map(readable, given))

"""Names from outside, such as those of files, as text that every file and terminal takes."""

import re
from collections.abc import Iterable

# Half surrogate pairs, which stand for bytes that are no UTF-8 in a file's name; what moves a
# terminal's cursor or colours its text; and what turns the direction of writing.
_UNPRINTABLE = re.compile("[\ud800-\udfff\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def readable(name: str) -> str:
    r"""The name with what cannot be written or printed behind a backslash, as Python writes it.

    >>> import os
    >>> readable(os.fsdecode(b"caf\xe9\n.png")), readable("café.png")
    ('caf\\xe9\\n.png', 'café.png')
    """
    return _UNPRINTABLE.sub(lambda found: _escaped(found[0]), name)


def all_readable(names: Iterable[str]) -> tuple[str, ...]:
    """Several names; the same tuple where nothing is to be done."""
    given = tuple(names)
    return tuple(map(readable, given)) if any(map(_UNPRINTABLE.search, given)) else given


def _escaped(character: str) -> str:
    byte = ord(character) - 0xDC00
    if 0x80 <= byte <= 0xFF:
        return f"\\x{byte:02x}"
    return character.encode("unicode_escape", "surrogatepass").decode()

"""Names that others gave to networks, layers, images and classes: as files, and as text."""

import hashlib
import json
import re
import unicodedata

LONGEST = 80
"""Characters of a name in a file's name; a digest and an ending come on top, 255 is the most."""

_PLAIN = re.compile(r"[a-z0-9_](?:[a-z0-9._-]*[a-z0-9_])?")
_DIGEST = re.compile(r".*-[0-9a-f]{16}", re.DOTALL)
_RESERVED = re.compile(r"(?:con|prn|aux|nul|com\d|lpt\d)(?:\..*)?", re.IGNORECASE)
_HALF = re.compile(r"[\ud800-\udfff]")
_UNSEEN = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\uffff]"
)


def file_name(*parts: str) -> str:
    """A name that every file system takes, another one for other parts, also in capitals.

    What such a name can be stays as it is. All else is made readable and gets a digest.

    >>> file_name("judged", "fc100-100-10"), file_name("../Up")
    ('judged-fc100-100-10', 'Up-50155e786e5117d3')
    """
    whole = "-".join(parts)
    apart = not any("-" in part for part in parts[:-1])  # else a-b, c and a, b-c were the same
    plain = bool(parts) and all(map(_PLAIN.fullmatch, parts)) and len(whole) <= LONGEST
    if plain and apart and not _DIGEST.fullmatch(whole) and not _RESERVED.fullmatch(whole):
        return whole
    letters = unicodedata.normalize("NFKD", whole[:LONGEST]).encode("ascii", "ignore").decode()
    readable = re.sub(r"[^A-Za-z0-9._]+", "-", letters)[:LONGEST].strip("-.") or "name"
    digest = hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]
    return f"{'_' if _RESERVED.fullmatch(readable) else ''}{readable}-{digest}"


def storable(text: str) -> str:
    """Text as UTF-8 can hold it: a byte of a file's name that is none is written out.

    >>> storable("r\\udce9seau")
    'r\\\\xe9seau'
    """
    return _HALF.sub(
        lambda found: f"\\x{ord(found[0]) - 0xDC00:02x}" if 0xDC80 <= ord(found[0]) <= 0xDCFF
        else f"\\u{ord(found[0]):04x}",
        text,
    )  # fmt: skip


def visible(text: str, longest: int | None = None) -> str:
    """Text that does to a terminal or a picture nothing but stand there.

    Control characters, those that turn the direction of writing, and those that nobody sees are
    written out; lines and tabulators stay. Of what is longer than `longest` the middle is left out.

    >>> visible("\\x1b[31mred", 6)
    '\\\\x1b[3…ed'
    """
    if longest is not None and len(text) > longest:
        head = longest // 2
        text = f"{text[:head]}…{text[len(text) - (longest - head - 1) :]}"
    shown = _UNSEEN.sub(lambda found: found[0].encode("unicode_escape").decode(), text)
    return storable(shown)


def readable(name: str) -> str:
    r"""A name from outside, such as a file's, in one line of visible text.

    >>> import os
    >>> readable(os.fsdecode(b"caf\xe9\n.png")), readable("café.png")
    ('caf\\xe9\\n.png', 'café.png')
    """
    if name.isascii() and name.isprintable():
        return name
    return visible(name).replace("\n", "\\n").replace("\t", "\\t")

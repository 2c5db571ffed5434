"""Which class each picture of a folder or a zip is of: by subfolder, by a CSV, by WordNet id."""

import csv
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path, PurePosixPath

from intriguing.errors import InputError

_WORDNET = re.compile(r"(n\d{8})_")
_WORDS = 1 << 24
"""Bytes of a file of the synsets' words at most; ImageNet's own has 31,674."""


@dataclass(frozen=True)
class Labelled:
    """Pictures with classes, and those that have none although others do.

    Attributes:
        labels: The number of each picture's class.
        class_names: The names of all classes.
        known: Whether anything says the classes; when not, all labels are 0.
        left_out: Names without a class, and why.
    """

    labels: Mapping[str, int]
    class_names: tuple[str, ...]
    known: bool = True
    left_out: tuple[tuple[str, str], ...] = ()


def by_place(names: Sequence[str]) -> Labelled:
    """The first subfolder is the class; without any, the WordNet id that files begin with.

    Classes are numbered in the order of their names, unless all names are numbers.
    """
    if any("/" in name for name in names):
        classes = {name: name.split("/")[0] for name in names if "/" in name}
        alone = tuple((name, "in no class's folder") for name in names if name not in classes)
        return _numbered(classes, alone)
    matches = {name: _WORDNET.match(name) for name in names}
    if names and all(matches.values()):
        return _numbered({name: _in_words(name) for name in names}, ())
    return Labelled(dict.fromkeys(names, 0), ("unlabelled",), known=False)


def by_csv(names: Sequence[str], content: bytes, file: str) -> Labelled:
    """The class that a CSV with the columns image and label says; numbers are taken as they are.

    Raises:
        InputError: If it is no such CSV.
    """
    try:
        rows = list(csv.DictReader(io.StringIO(content.decode("utf-8-sig"))))
    except (UnicodeDecodeError, csv.Error) as error:  # such as a field without end
        raise InputError(f"{file} is not a CSV in UTF-8 ({error}); give one") from error
    if not rows or not {"image", "label"} <= rows[0].keys():
        columns = ", ".join(map(str, rows[0])) if rows else "none"
        raise InputError(f"{file} needs the columns image and label, and rows; it has {columns}")
    said = {row["image"]: (row["label"] or "").strip() for row in rows if row["image"]}
    present = set(names)
    left_out = [(name, f"named in {file}, but not there") for name in said if name not in present]
    left_out += [(name, f"not named in {file}") for name in names if name not in said]
    left_out += [(n, f"no label in {file}") for n in names if n in said and not said[n]]
    return _numbered({n: said[n] for n in names if said.get(n)}, tuple(left_out))


def by_synset(names: Sequence[str], words: Mapping[str, str]) -> Labelled:
    """ImageNet's 1,000 classes in their order, by the synset's folder or the file's beginning.

    Args:
        names: `n01440764/ILSVRC2012_val_00000293.JPEG`, also deeper, or `n01440764_tench.JPEG`.
        words: What synsets are called, where known.

    Raises:
        InputError: If no picture has a synset of the 1,000.
    """
    numbers = {synset: number for number, synset in enumerate(synsets())}
    labels = {}
    for name in names:
        parts = PurePosixPath(name).parts
        found = next((numbers[part] for part in parts[:-1] if part in numbers), None)
        if found is None and (match := _WORDNET.match(parts[-1])):
            found = numbers.get(match[1])
        if found is not None:
            labels[name] = found
    if not labels:
        raise InputError(
            "no picture lies in a folder of ImageNet's 1,000 synsets, such as n01440764; sort the "
            "validation images into such folders, or give folder:PATH"
        )
    left_out = tuple((n, "in no folder of ImageNet's synsets") for n in names if n not in labels)
    return Labelled(labels, tuple(words.get(s, s) for s in synsets()), left_out=left_out)


@cache
def synsets() -> tuple[str, ...]:
    """WordNet's ids of the 1,000 classes of ILSVRC 2012 in the order networks number them.

    >>> len(synsets()), synsets()[9]
    (1000, 'n01518878')
    """
    return tuple((files("intriguing.data") / "imagenet_synsets.txt").read_text().split())


def synset_words(path: Path) -> dict[str, str]:
    """What synsets are called, if a usual file says it in this folder or the one above."""
    for folder in (path, path.parent):
        for name in ("synset_words.txt", "LOC_synset_mapping.txt"):
            if (folder / name).is_file() and (folder / name).stat().st_size < _WORDS:
                lines = (folder / name).read_text(encoding="utf-8", errors="replace").splitlines()
                pairs = (line.partition(" ") for line in lines)
                return {synset: words.strip() for synset, _, words in pairs if words}
    return {}


def _numbered(classes: Mapping[str, str], left_out: tuple[tuple[str, str], ...]) -> Labelled:
    kinds = set(classes.values())
    if kinds and all(kind.isdecimal() and len(kind) < 7 for kind in kinds):
        last = max(map(int, kinds))
        labels = {name: int(kind) for name, kind in classes.items()}
        return Labelled(labels, tuple(map(str, range(last + 1))), left_out=left_out)
    order = sorted(kinds)
    numbers = {kind: number for number, kind in enumerate(order)}
    labels = {name: numbers[kind] for name, kind in classes.items()}
    return Labelled(labels, tuple(order), left_out=left_out)


def _in_words(name: str) -> str:
    """ImageNet's samples say the class in words after its id: n01440764_tench.JPEG."""
    stem = PurePosixPath(name).stem
    return stem[:9] if stem[10:].isdigit() else stem

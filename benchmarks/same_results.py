"""Whether two versions of the package measure the same: every table of one folder beside another's.

    python benchmarks/same_results.py make SMALL/before     # small runs of every verb, some minutes
    python benchmarks/same_results.py make SMALL/after      # the same by another checkout
    python benchmarks/same_results.py compare SMALL/before SMALL/after

Compares report/tables/*.csv number by number; times, which are not of the package, are left out.
Exit status 1 if anything differs.
"""

import argparse
import csv
import math
import subprocess
import sys
from pathlib import Path

TOLERANCE = 1e-6
"""Of a number, as a share of it: what no table prints."""

TRAIN = {
    "a": "train fc32-16-10 digits",
    "b": "train fc24-10 digits --seed 1",
    "c": "train conv4-8-16-10 digits",
}
RUNS = {
    "attack": "attack {a} digits --limit 60",
    "attack-8-bit": "attack {a} digits --limit 30 --levels 256 --targets untargeted",
    "transfer": "transfer {a} {b} --data digits --limit 60",
    "compare": "compare {a} digits --limit 40 --methods closest ddn paper",
    "certify": "certify {a} digits --limit 60",
    "spectrum": "spectrum {c}",
    "units": "units {c} digits --rotations 19 --untrained 2 --paths 2",
    "audit": "audit {a} {b} --data digits --target 3 --units-on 150 --rotations 19 --untrained 2",
    "reproduce": "reproduce --scale smoke --seeds 2",
    "hardening": "reproduce hardening --scale smoke --seeds 2",
}


def make(folder: Path) -> int:
    """Run every verb; what is finished there is kept, as always."""
    files = {name: str(folder / f"{name}.safetensors") for name in TRAIN}
    for name, words in TRAIN.items():
        if not Path(files[name]).exists():
            _run([*words.split(), "--out", files[name]])
    for name, words in RUNS.items():
        _run([*words.format(**files).split(), "--out", str(folder / name)])
    return 0


def _run(words: list[str]) -> None:
    print("intriguing", *words, flush=True)
    subprocess.run([sys.executable, "-m", "intriguing", *words], check=True, capture_output=True)


def compare(before: Path, after: Path) -> int:
    """Print what differs, and how many tables were compared."""
    tables = sorted(before.glob("*/report/tables/*.csv"))
    wrong = [line for table in tables for line in _different(table, after, before)]
    print(*wrong, sep="\n")
    print(f"{len(tables)} tables, {len(wrong)} differences")
    return int(bool(wrong) or not tables)


def _different(table: Path, after: Path, before: Path) -> list[str]:
    name = table.relative_to(before)
    if not (after / name).exists():
        return [f"{name} is missing"]
    old, new = (list(csv.DictReader(path.open(encoding="utf-8"))) for path in (table, after / name))
    if len(old) != len(new):
        return [f"{name} has {len(new)} lines, and had {len(old)}"]
    return [
        f"{name}, line {place}, {key}: {one[key]} is {other.get(key)}"
        for place, (one, other) in enumerate(zip(old, new, strict=True), 2)
        if not _timed(one)
        for key in one
        if not _same(one[key], other.get(key, ""))
    ]


def _timed(line: dict[str, str]) -> bool:
    return "seconds" in line or any("Time" in value for value in line.values())


def _same(one: str, other: str) -> bool:
    try:
        a, b = float(one), float(other)
    except ValueError:
        return one == other
    return math.isclose(a, b, rel_tol=TOLERANCE, abs_tol=1e-12) or (a != a and b != b)


def main() -> int:
    """The words of the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("make").add_argument("folder", type=Path)
    both = verbs.add_parser("compare")
    both.add_argument("before", type=Path)
    both.add_argument("after", type=Path)
    asked = parser.parse_args()
    if asked.verb == "make":
        asked.folder.mkdir(parents=True, exist_ok=True)
        return make(asked.folder)
    return compare(asked.before, asked.after)


if __name__ == "__main__":
    sys.exit(main())

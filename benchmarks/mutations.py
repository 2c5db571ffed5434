"""Break the package on purpose, one small way at a time, and see the tests notice.

    python benchmarks/mutations.py                 # all of benchmarks/mutations.toml
    python benchmarks/mutations.py --only units    # those whose file or description has the word

Each mutation is a text of one file and another in its place, applied to a copy of `src`, and the
tests that must fail.  They run in a process of its own, without the mutation first; a text that is
not in its file exactly once is an error, as the list is then out of date.  Exit status 1 if any
mutation survives.
"""

import argparse
import contextlib
import multiprocessing
import os
import shutil
import sys
import tempfile
import time
import tomllib
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
LIST = Path(__file__).with_suffix(".toml")
PRELOADED = ["torch", "pytest", "numpy", "scipy.stats", "pyarrow.parquet", "matplotlib.pyplot"]
PASSED, FAILED = 0, 1  # pytest's own codes; others mean that the tests could not be run


@dataclass(frozen=True)
class Mutation:
    """What is done to which file, and the tests that notice."""

    what: str
    file: str
    old: str
    new: str
    tests: str


def main() -> int:
    """Apply every mutation in turn."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", help="a word of the file or the description")
    asked = parser.parse_args()
    every = [Mutation(**one) for one in tomllib.loads(LIST.read_text(encoding="utf-8"))["mutation"]]
    chosen = [one for one in every if asked.only in f"{one.file} {one.what}"]
    texts = {one: mutated(one) for one in chosen}
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    with tempfile.TemporaryDirectory() as folder:
        source = Path(shutil.copytree(ROOT / "src", Path(folder) / "src"))
        for tests in dict.fromkeys(one.tests for one in chosen):
            if run(context, source, tests) != PASSED:
                sys.exit(f"{tests} fails without any mutation")
        survived = []
        for one in chosen:
            path, start = source / "intriguing" / one.file, time.perf_counter()
            before = path.read_text(encoding="utf-8")
            path.write_text(texts[one], encoding="utf-8")
            code = run(context, source, one.tests)
            path.write_text(before, encoding="utf-8")
            if code not in (PASSED, FAILED):
                sys.exit(f"{one.what}: {one.tests} could not be run ({code})")
            survived += [one] if code == PASSED else []
            word = "SURVIVED" if code == PASSED else "killed"
            print(
                f"{word:8} {time.perf_counter() - start:5.1f} s  {one.file}: {one.what}", flush=True
            )
    print(f"{len(chosen) - len(survived)} of {len(chosen)} killed")
    return 1 if survived else 0


def mutated(one: Mutation) -> str:
    """The file with the mutation."""
    text = (ROOT / "src" / "intriguing" / one.file).read_text(encoding="utf-8")
    if (count := text.count(one.old)) != 1 or one.old == one.new:
        sys.exit(f"{one.file} has {one.old!r} {count} times; bring {LIST.name} up to date")
    return text.replace(one.old, one.new)


def run(context: multiprocessing.context.ForkServerContext, source: Path, tests: str) -> int:
    """Pytest's exit code on these tests of the package in `source`."""
    process = context.Process(target=_pytest, args=(str(source), tests.split()))
    process.start()
    process.join()
    return int(process.exitcode if process.exitcode is not None else -1)


def _pytest(source: str, tests: list[str]) -> None:
    import pytest
    import torch

    torch.set_num_threads(1)
    sys.dont_write_bytecode = True  # a mutation may have the time and size of what it replaces
    sys.path.insert(0, source)
    os.chdir(ROOT)
    os.environ |= {"PYTHONPATH": source, "PYTHONDONTWRITEBYTECODE": "1"}
    import intriguing

    if not str(intriguing.__file__).startswith(source):
        os._exit(99)
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
        code = pytest.main(["-x", "-q", "-p", "no:cacheprovider", *tests])
    os._exit(int(code))


if __name__ == "__main__":
    sys.exit(main())

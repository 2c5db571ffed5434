"""Build what is published, look into it, and try it where nothing else is installed.

    make dist            # dist/*.whl and dist/*.tar.gz; minutes, most of them for PyTorch

The wheel is installed into a new environment outside the repository, with the tested versions, and
has to train a network there, find the nearest examples of ten digits, and draw the report.
"""

import email.parser
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import tomllib
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).parents[1]
DIST = ROOT / "dist"
LARGEST = {".whl": 4 << 20, ".gz": 4 << 20}
"""Bytes at most: code and words, no results and no data of tests."""
NEEDED = (
    "py.typed", "results/published.toml", "report/templates/report.html.j2",
    "playground/page/index.html.j2", "playground/page/search.js",
)  # fmt: skip
UNWANTED = ("tests/", "benchmarks/", "docs/results/", "__pycache__/")
SMOKE = (
    ("doctor",),
    ("train", "fc10", "digits", "--out", "net.safetensors"),
    ("attack", "net.safetensors", "digits", "--limit", "10", "--out", "found"),
    ("report", "found"),
    ("playground", "--help"),
)


def main() -> int:
    """Build and check; 1 where something is wrong."""
    wrong = version_faults(ROOT)
    if wrong:
        print(*wrong, sep="\n")
        return 1
    shutil.rmtree(DIST, ignore_errors=True)
    _run([sys.executable, "-m", "build", "--outdir", str(DIST), str(ROOT)])
    (wheel,), (source,) = DIST.glob("*.whl"), DIST.glob("*.tar.gz")
    wrong = [*faults(wheel, names_of(wheel)), *faults(source, names_of(source))]
    wrong += metadata_faults(wheel)
    if wrong:
        print(*wrong, sep="\n")
        return 1
    with tempfile.TemporaryDirectory() as folder:
        try_out(wheel, Path(folder), sys.argv[1:])
    print(f"{wheel.name} and {source.name}: looked into, installed and tried")
    return 0


def version_faults(root: Path) -> list[str]:
    """Files that say another version, or another date, than pyproject.toml and CHANGELOG.md."""
    version = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"][
        "version"
    ]
    changes = (root / "CHANGELOG.md").read_text(encoding="utf-8")
    latest = re.search(r"^## \[(.+)\](?: - (\S+))?$", changes, re.MULTILINE)
    date = latest[2] if latest else None
    patterns = {
        "CHANGELOG.md": rf"^## \[{re.escape(version)}\] - \d{{4}}-\d\d-\d\d$",
        "src/intriguing/__init__.py": rf'^__version__ = "{re.escape(version)}"$',
        "CITATION.cff": rf"^version: {re.escape(version)}\ndate-released: {date}$",
        ".zenodo.json": rf'^  "version": "{re.escape(version)}",\n  "publication_date": "{date}",$',
    }
    wrong = [
        f"{name} does not say version {version}, with the changelog's date"
        for name, pattern in patterns.items()
        if not re.search(pattern, (root / name).read_text(encoding="utf-8"), re.MULTILINE)
    ]
    if latest and latest[1] != version:
        wrong.append(f"CHANGELOG.md begins with {latest[1]}, not with {version}")
    return wrong


def names_of(archive: Path) -> list[str]:
    """Files of a wheel or an sdist."""
    if archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as opened:
            return opened.namelist()
    with tarfile.open(archive) as packed:
        return [member.name for member in packed.getmembers() if member.isfile()]


def faults(archive: Path, names: Sequence[str]) -> Iterator[str]:
    """What is missing, what should not be there, and whether it is too large."""
    inside = "intriguing/" if archive.suffix == ".whl" else "/src/intriguing/"
    for need in NEEDED:
        if not any(f"/{name}".endswith(f"{inside}{need}") for name in names):
            yield f"{archive.name} lacks {need}"
    for name in names:
        if name.endswith(".parquet") or any(f"/{one}" in f"/{name}" for one in UNWANTED):
            yield f"{archive.name} holds {name}"
    size = archive.stat().st_size
    if size > LARGEST[archive.suffix]:
        yield f"{archive.name} has {size / 2**20:.1f} MB, more than a package of code has"


def metadata_faults(wheel: Path) -> list[str]:
    """Where the wheel says something else than pyproject.toml."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    with zipfile.ZipFile(wheel) as opened:
        (place,) = (n for n in opened.namelist() if n.endswith(".dist-info/METADATA"))
        told = email.parser.Parser().parsestr(opened.read(place).decode())
    wanted = {
        "Name": project["name"], "Version": project["version"],
        "Requires-Python": project["requires-python"], "License-Expression": project["license"],
    }  # fmt: skip
    wrong = [
        f"{key} is {told[key]}, not {value}" for key, value in wanted.items() if told[key] != value
    ]
    if not (told.get_payload() or "").startswith("# intriguing"):
        wrong.append("the description is not the README")
    return wrong


def try_out(wheel: Path, folder: Path, pip: Sequence[str]) -> None:
    """Install the wheel where nothing else is, and use it there."""
    _run([sys.executable, "-m", "venv", "--without-pip", str(folder / "env")])
    python = folder / "env" / "bin" / "python"
    install = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", *pip]
    _run([*install, "-c", str(ROOT / "constraints.txt"), str(wheel)])
    clean = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    for words in SMOKE:
        print("intriguing", *words, flush=True)
        _run([str(python.parent / "intriguing"), *words], cwd=folder, env=clean)
    assert (folder / "found" / "report" / "index.html").is_file()


def _run(command: list[str], **where: object) -> None:
    subprocess.run(command, check=True, **where)  # type: ignore[call-overload]


if __name__ == "__main__":
    sys.exit(main())

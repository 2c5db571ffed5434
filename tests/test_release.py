"""What is published is looked into: each kind of fault is found."""

import importlib.util
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def dist():
    spec = importlib.util.spec_from_file_location("dist", ROOT / "release" / "dist.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def wheel(folder: Path, names: list[str], metadata: str = "") -> Path:
    made = folder / "intriguing-0-py3-none-any.whl"
    with zipfile.ZipFile(made, "w") as opened:
        for name in names:
            opened.writestr(name, "")
        opened.writestr("intriguing-0.dist-info/METADATA", metadata)
    return made


def whole(dist) -> list[str]:
    return [f"intriguing/{name}" for name in dist.NEEDED]


def test_what_belongs_into_a_wheel_is_in_the_source_tree(dist) -> None:
    assert all((ROOT / "src" / "intriguing" / name).is_file() for name in dist.NEEDED)


@pytest.mark.parametrize(
    ("more", "fewer", "fault"),
    [
        ([], 0, None),
        ([], 1, "lacks py.typed"),
        (["tests/test_a.py"], 0, "holds tests/test_a.py"),
        (["intriguing/results/rows.parquet"], 0, "rows.parquet"),
    ],
)
def test_files(dist, tmp_path, more, fewer, fault) -> None:
    made = wheel(tmp_path, [*whole(dist)[fewer:], *more])
    found = list(dist.faults(made, dist.names_of(made)))
    assert len(found) == (0 if fault is None else 1)
    assert fault is None or fault in found[0]


def test_metadata(dist, tmp_path) -> None:
    made = wheel(tmp_path, [], "Name: other\n\n# intriguing\n")
    assert "Name is other, not intriguing" in dist.metadata_faults(made)


def test_every_file_says_the_same_version(dist) -> None:
    assert dist.version_faults(ROOT) == []


@pytest.mark.parametrize(
    ("name", "was", "now"),
    [
        ("pyproject.toml", 'version = "', 'version = "9.'),
        ("CHANGELOG.md", "## [", "## [Unreleased]\n\n## ["),
        ("CITATION.cff", "date-released: 20", "date-released: 19"),
        (".zenodo.json", '"version": "', '"version": "9.'),
        ("src/intriguing/__init__.py", '__version__ = "', '__version__ = "9.'),
    ],
)
def test_a_file_that_says_another_version_is_named(dist, tmp_path, name, was, now) -> None:
    for each in (
        "pyproject.toml", "CHANGELOG.md", "CITATION.cff", ".zenodo.json",
        "src/intriguing/__init__.py",
    ):  # fmt: skip
        text = (ROOT / each).read_text(encoding="utf-8")
        (tmp_path / each).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / each).write_text(text.replace(was, now, 1) if each == name else text)
    found = dist.version_faults(tmp_path)
    assert found
    assert name == "pyproject.toml" or any(line.startswith(name) for line in found)

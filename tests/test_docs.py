"""Every example of the README and the docs runs, and every command line is one that verbs take."""

import ast
import doctest
import functools
import importlib
import importlib.util
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import tyro
import yaml

import intriguing
from intriguing.cli.main import VERBS
from intriguing.data.named import DataPair, load_data
from intriguing.models.weights import save_model

ROOT = Path(__file__).parent.parent
PAGES = (
    ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md")),
)  # fmt: skip
ELSEWHERE = re.compile(r"import submitit|processes\(\"cuda\"\)")
"""Examples for a cluster: only what they import is looked at."""


def blocks(text: str) -> Iterator[tuple[str, str, int]]:
    """Fenced blocks of a page: language, content, and the line where it begins."""
    for block in re.finditer(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        yield block[1], block[2], text.count("\n", 0, block.start(2))


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A folder with the files that pages speak of, few images, and the names that they suppose."""

    def few(name: str, *args: Any, **kwargs: Any) -> DataPair:
        pair = load_data(name, *args, **kwargs)
        return DataPair(pair.name, pair.train, pair.test.first(12))

    torch.manual_seed(0)
    model = intriguing.build_network("fc10").eval()
    for name in ("fc100-100-10", "fc"):
        save_model(tmp_path / f"{name}.safetensors", model, "fc10")
    monkeypatch.chdir(tmp_path)
    test = few("mnist-5k").test
    return {"model": model, "images": test.images, "labels": test.labels, "load_data": few}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_examples_run_and_print_what_the_page_says(
    page: Path, place: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    text = page.read_text(encoding="utf-8")
    shared: dict[str, Any] = {}
    few = place.pop("load_data")
    for language, source, line in blocks(text):
        if language != "python":
            continue
        if ELSEWHERE.search(source):
            _import_what_it_imports(source)
        elif ">>>" in source:
            _check(doctest.DocTestParser(), source, shared, page, line)
        else:
            with monkeypatch.context() as patched:
                patched.setattr(intriguing, "load_data", few, raising=False)
                exec(compile(source, f"{page}:{line}", "exec"), place)


def _check(
    parser: doctest.DocTestParser, source: str, shared: dict[str, Any], page: Path, line: int
) -> None:
    """What the page says that the examples print is what they print."""
    parsed = parser.get_doctest(source, shared, f"{page.name}:{line}", page.name, line)
    parsed.globs = shared
    said: list[str] = []
    doctest.DocTestRunner(verbose=False).run(parsed, out=said.append, clear_globs=False)
    assert not said, "".join(said)


def _import_what_it_imports(source: str) -> None:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith("intriguing"):
            module = importlib.import_module(str(node.module))
            assert all(hasattr(module, name.name) for name in node.names)


TUTORIALS = tuple(sorted((ROOT / "docs" / "tutorials").glob("*.py")))
MORE = (ROOT / "benchmarks" / "README.md",)


def lines_of_shells() -> Iterator[tuple[str, str]]:
    """Lines in blocks of pages, and in what is indented on tutorials, with where they stand."""
    for page in (*PAGES, *MORE):
        for language, source, _ in blocks(page.read_text(encoding="utf-8")):
            if language in ("", "sh", "bash"):
                for line in source.replace("\\\n", " ").splitlines():
                    yield page.name, line
    for tutorial in TUTORIALS:
        for line in re.findall(r"^#     (.+)$", tutorial.read_text(encoding="utf-8"), re.M):
            yield tutorial.name, line


def commands() -> Iterator[tuple[str, list[str]]]:
    """Every line of a page that a shell would be given, with where it stands."""
    for page, line in lines_of_shells():
        told = re.match(r"(?:\$ |.*-m )?intriguing (?P<words>[a-z].*)", line)
        if told and not line.startswith("intriguing 0"):
            yield page, shlex.split(told["words"], comments=True)


def test_pages_have_command_lines() -> None:
    assert len(list(commands())) > 60
    assert any(page.startswith("09_gate") for page, _ in commands())
    assert {words[0] for _, words in commands()} == set(VERBS)


@pytest.mark.parametrize(("page", "words"), list(commands()), ids=str)
def test_verbs_take_the_command_lines(page: str, words: list[str]) -> None:
    verb, *rest = words
    function = getattr(importlib.import_module(f"intriguing.cli.{verb}"), verb)

    @functools.wraps(function)
    def unworking(*args: object, **kwargs: object) -> None: ...

    tyro.cli(unworking, args=rest, config=(tyro.conf.FlagCreatePairsOff,))


def test_targets_and_scripts_of_command_lines_are_there() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.M))
    named = {name for _, line in lines_of_shells() for name in re.findall(r"^make ([\w-]+)", line)}
    text = "\n".join(page.read_text(encoding="utf-8") for page in (*PAGES, *MORE))
    scripts = set(re.findall(r"\b((?:benchmarks|docs|examples)/[\w/]+\.py)\b", text))
    assert {"docs", "playground", "reproduce"} <= named
    assert named <= targets, named - targets
    assert len(scripts) > 5
    assert not [script for script in scripts if not (ROOT / script).is_file()]


@pytest.mark.parametrize("page", [*PAGES, *MORE], ids=lambda page: page.parent.name + page.stem)
def test_other_blocks_are_what_they_are_called(page: Path) -> None:
    """YAML that can be read, shell scripts without slips of syntax; no language is unknown."""
    for language, source, line in blocks(page.read_text(encoding="utf-8")):
        where = f"{page.name}:{line}"
        assert language in ("", "python", "sh", "bash", "diff", "yaml", "text"), where
        if language == "yaml":
            assert list(yaml.safe_load_all(source)), where
        if language in ("sh", "bash"):
            done = subprocess.run(["bash", "-n"], input=source, text=True, capture_output=True)
            assert done.returncode == 0, f"{where}: {done.stderr}"


def test_the_architecture_names_every_room_in_the_order_of_the_import_contract() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    config = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    layers = config["tool"]["importlinter"]["contracts"][0]["layers"]
    order = [
        {name.strip().removeprefix("intriguing.") for name in layer.split("|")}
        for layer in reversed(layers)
    ]
    rooms = re.findall(r"^\| `([\w.]+)` \|", page, re.MULTILINE)
    apart = ("results", "report")
    left = [room for room in rooms if room not in apart]
    while left:
        told, layer = {left.pop(0) for _ in order[0]}, order.pop(0)
        assert told == layer
    assert not order
    source = ROOT / "src" / "intriguing"
    there = {path.name for path in source.iterdir() if (path / "__init__.py").exists()}
    assert {room.partition(".")[0] for room in rooms} - {"errors", "measures"} == there
    files = {path.stem for path in source.glob("[a-z]*.py")} - {"errors", "measures"}
    assert all(f"`{name}`" in page for name in files)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_and_the_files_that_are_named_are_there(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    links = [link for link in re.findall(r"\]\(([^)#\s]+)", text) if "://" not in link]
    assert all((page.parent / link).exists() for link in links), links
    if page.stem in ("architecture", "CONTRIBUTING"):
        named = re.findall(r"`((?:[a-z]\w*/)+\w*(?:\.py)?)`", text)
        assert named
        for name in named:
            assert any((ROOT / where / name).exists() for where in ("", "src/intriguing")), name


@pytest.fixture(scope="module")
def site() -> Any:
    """What runs the pages' commands when the site is built."""
    file = ROOT / "docs" / "site" / "commands.py"
    spec = importlib.util.spec_from_file_location("commands_of_pages", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_every_command_is_run_when_the_site_is_built_or_it_is_said_why_not(site: Any) -> None:
    all_of_them = [one for page in site.PAGES for one in site.commands(page)]
    lines = [shlex.join(shlex.split(one.text)) for one in all_of_them]
    told = [shlex.join(words) for page, words in commands() if not page[0].isdigit()]
    assert len(told) > 60
    assert not [one for one in told if not any(line.endswith(one) for line in lines)]
    run = [one for one in all_of_them if not one.elsewhere]
    assert len(run) > 60
    assert all(one.text.startswith("intriguing ") for one in run)
    for rule in site.RULES["elsewhere"]:
        assert any(re.search(rule["line"], one.text) for one in all_of_them), rule
    used = {pattern for one in run for pattern in one.changes()[1]}
    assert used == {rule["from"] for rule in site.RULES["smaller"]}


PAGE = """# Page
```
intriguing layers fc.safetensors     # a network
intriguing layers none.safetensors   # exit code 0
make test
```
"""


def test_a_command_that_ends_otherwise_than_its_page_says_is_found(
    site: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = tmp_path / "page.md"
    page.write_text(PAGE, encoding="utf-8")
    monkeypatch.setattr(site, "ROOT", tmp_path)
    (_, layers), (_, none), (make, apart) = site.run_page(page, {})
    assert layers == apart == ""
    assert none.startswith("intriguing layers none.safetensors ends with 2: intriguing: ")
    assert make.elsewhere

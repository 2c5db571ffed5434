"""What decides is what a row is about: no report looks into a label, or compares one."""

import ast
from pathlib import Path

import pytest

import intriguing.report

MODULES = sorted(Path(intriguing.report.__file__).parent.glob("*.py"))
LABELS = {
    "row", "column", "title", "heading", "corner", "words", "sentence", "label", "caption", "notes",
    "remarks", "name",
}  # fmt: skip
"""Attributes that hold what people read; `name` besides is what others have called something."""
SEARCHES = {
    "partition", "rpartition", "startswith", "endswith", "removeprefix", "removesuffix", "split",
    "rsplit", "find", "rfind", "index", "match", "fullmatch", "search", "count", "isdecimal",
}  # fmt: skip


def asked_of_labels(text: str) -> list[str]:
    """Where a label is compared with a text of the code's own, or searched for one."""
    found = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Compare):
            sides = [node.left, *node.comparators]
            ours = any(isinstance(s, ast.Constant) and isinstance(s.value, str) for s in sides)
            if ours and any(map(is_label, sides)):
                found.append(ast.unparse(node))
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            given = (node.func.value, *node.args)
            if node.func.attr in SEARCHES and any(map(is_label, given)):
                found.append(ast.unparse(node))
    return found


def is_label(node: ast.expr) -> bool:
    """Whether it is a label, a part of one, or one written otherwise."""
    while isinstance(node, ast.Subscript | ast.Call):
        node = node.func if isinstance(node, ast.Call) else node.value
        if isinstance(node, ast.Attribute) and node.attr in ("lower", "upper", "strip", "split"):
            node = node.value
    return isinstance(node, ast.Attribute) and node.attr in LABELS


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.stem)
def test_no_report_looks_into_a_label(module: Path) -> None:
    assert asked_of_labels(module.read_text(encoding="utf-8")) == []


def test_the_search_finds_what_was_once_there() -> None:
    for text in (
        "'noise' in cell.row", "cell.row.removeprefix('Distorted for ')",
        "table.title.split('.')[0]", "table.name.startswith('table5')", "cell.column == 'Found'",
        "file.name[:7] == 'figure5'", "re.fullmatch(form, cell.row)", "'noise' in cell.row.lower()",
        "table.title.split('.')[0] == 'Table 2'",
    ):  # fmt: skip
        assert asked_of_labels(text)

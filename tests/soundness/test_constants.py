"""Every number that a file begins with says what it is."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import intriguing

HOME = Path(intriguing.__file__).parent
ROOMS = (
    "data",
    "models",
    "training",
    "distortion",
    "units",
    "hardening",
    "scale",
    "paper",
    "cli",
    "report",
)


def bare(text: str) -> Iterator[str]:
    """Names of constants with numbers, neither followed by words nor after a comment."""
    lines, body = text.splitlines(), ast.parse(text).body
    for here, after in zip(body, [*body[1:], None], strict=True):
        if not isinstance(here, ast.Assign | ast.AnnAssign) or here.value is None:
            continue
        target = here.targets[0] if isinstance(here, ast.Assign) else here.target
        name = ast.unparse(target)
        numbers = (type(n.value) in (int, float) for n in ast.walk(here.value)
                   if isinstance(n, ast.Constant))  # fmt: skip
        said = isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
        said = said or lines[here.lineno - 2].lstrip().startswith("#")
        if name.isupper() and any(numbers) and not (said or "#" in lines[here.lineno - 1]):
            yield name


@pytest.mark.parametrize("room", ROOMS)
def test_every_constant_says_what_it_is(room: str) -> None:
    assert not [
        f"{path.relative_to(HOME)}: {name}"
        for path in sorted((HOME / room).rglob("*.py"))
        for name in bare(path.read_text(encoding="utf-8"))
    ]


def test_a_bare_number_is_seen() -> None:
    text = 'A = 1\n# why\nB = 2\nC = 3\n"""what"""\nD = (4, "x")\nE = 5  # why\nf = 6\nG = "x"\n'
    assert list(bare(text)) == ["A", "D"]

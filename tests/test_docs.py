"""The examples of the method notes run, and print what stands there."""

import doctest
import re
from pathlib import Path
from typing import Any

import pytest

PAGES = Path(__file__).parent.parent / "docs"


@pytest.mark.parametrize("page", ["hardening.md", "models-and-data.md", "spectral.md", "units.md"])
def test_examples_print_what_the_page_says(page: str) -> None:
    text = (PAGES / page).read_text(encoding="utf-8")
    shared: dict[str, Any] = {}
    examples = 0
    for block in re.finditer(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        line = text.count("\n", 0, block.start(1))
        parsed = doctest.DocTestParser().get_doctest(block[1], shared, f"{page}:{line}", page, line)
        parsed.globs = shared
        said: list[str] = []
        doctest.DocTestRunner().run(parsed, out=said.append, clear_globs=False)
        assert not said, "".join(said)
        examples += len(parsed.examples)
    assert examples > 10

"""Names as files: no two alike, none that leads out or that a file system refuses."""

import re
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from intriguing.cli.main import main
from intriguing.names import file_name, visible
from intriguing.runs.network_names import names_of
from tests.hostile.names import NAMES

ANY = st.text(st.characters(), max_size=300)
CLOSE = st.text("aAbB-. _é/\\0", max_size=6)
"""Names that lose their difference where one is careless."""


def same_file(a: str, b: str) -> bool:
    """Whether some file system takes the two for one."""
    return unicodedata.normalize("NFC", a).casefold() == unicodedata.normalize("NFC", b).casefold()


@given(st.one_of(ANY, CLOSE, st.sampled_from(NAMES)))
def test_every_name_can_be_that_of_a_file(name: str) -> None:
    made = file_name(name)
    assert re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]*[A-Za-z0-9_]|[A-Za-z0-9_]", made)
    assert len(made) < 120
    assert not re.fullmatch(r"(?i)(con|prn|aux|nul|com\d|lpt\d)(\..*)?", made)
    assert file_name(name) == made


@given(st.lists(st.one_of(CLOSE, ANY), min_size=1, max_size=3), st.data())
def test_other_names_are_other_files(parts: list[str], data: st.DataObject) -> None:
    other = data.draw(st.lists(CLOSE, min_size=len(parts), max_size=len(parts)))
    assert (parts == other) == same_file(file_name(*parts), file_name(*other))


@given(CLOSE)
def test_no_name_is_that_of_another_ones_file(name: str) -> None:
    assert file_name(file_name(name)) == file_name(name) or file_name(name) != name
    made = file_name(name)
    assert made == name or not same_file(file_name(made), made)


@pytest.mark.parametrize(
    ("left", "right"),
    [("a b", "a-b"), ("A", "a"), ("é", "e\u0301"), ("x", "x."), ("", "."), ("a/b", "a\\b"),
     ("x" * 300, "x" * 301), ("ß", "SS"), ("\ud800", "\ud801")],
)  # fmt: skip
def test_names_that_look_alike(left: str, right: str) -> None:
    assert not same_file(file_name(left), file_name(right))
    assert not same_file(file_name("directions", left, "x"), file_name("directions", right, "x"))
    assert file_name(left, right) != file_name(right, left)


def test_plain_names_stay() -> None:
    assert file_name("judged", "fc100-100-10") == "judged-fc100-100-10"
    assert file_name("directions", "fire9.relu", "natural") == "directions-fire9.relu-natural"


@given(st.lists(st.sampled_from(["a.safetensors", "b/a.safetensors", "a", "\x1b", "\\x1b", "A"])))
def test_no_two_networks_have_one_name(specs: list[str]) -> None:
    assert len(set(names_of(specs))) == len(specs)


@given(ANY)
def test_what_is_shown_can_be_encoded_and_commands_nothing(name: str) -> None:
    shown = visible(name, 50)
    shown.encode()
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", shown)


@pytest.mark.parametrize("broken", [False, True])
def test_no_name_gives_commands_to_a_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], broken: bool
) -> None:
    (tmp_path / "net.py").write_text(
        "from torch import nn\n"
        "def build():\n"
        "    made = nn.Sequential(nn.Flatten())\n"
        "    made.add_module('\\x1b[31m\\x07\\u202e\\ud800', nn.Linear(64, 10))\n"
        "    return made.eval()\n"
    )
    network = f"{tmp_path}/net.py:" + ("\x1b]0;title\x07\n\udcff" if broken else "build")
    assert main(["layers", network, "--input", "1,8,8"]) == (2 if broken else 0)
    said = capsys.readouterr()
    shown = said.err if broken else said.out
    assert not set(shown) & {"\x1b", "\x07", "\u202e"}
    assert r"\x1b" in shown
    assert shown.count("\n") == 1 if broken else r"\ud800" in shown.replace("\n", "")

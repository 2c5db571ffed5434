"""The public names exist, are what they say, suffice, and cost nothing until they are used."""

import subprocess
import sys
import typing
from collections.abc import Iterator
from typing import Any

import intriguing


def test_every_public_name_loads():
    for name in intriguing.__all__:
        assert getattr(intriguing, name).__name__ == name
    assert set(intriguing.__all__) <= set(dir(intriguing))


def test_importing_the_package_does_not_import_torch():
    code = "import sys, intriguing; print('torch' in sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "False"


def test_every_type_that_a_public_name_takes_or_gives_is_public_too():
    missing = set()
    for name in intriguing.__all__:
        for annotated in _parts(getattr(intriguing, name)):
            for hint in typing.get_type_hints(annotated).values():
                for kind in _own(hint):
                    if getattr(intriguing, kind.__name__, None) is not kind:
                        missing.add(f"{kind.__module__}.{kind.__name__} of {name}")
    assert not missing


def test_the_walk_over_annotations_sees_what_is_hidden_in_them():
    def given(one: dict[str, tuple[intriguing.Status, ...] | None]) -> Iterator["Hidden"]: ...

    class Hidden:
        __module__ = "intriguing.somewhere"

        @property
        def box(self) -> intriguing.Box: ...

        @classmethod
        def of(cls) -> intriguing.Search: ...

    found = {kind for part in _parts(Hidden) for hint in typing.get_type_hints(part).values()
             for kind in _own(hint)}  # fmt: skip
    assert found == {intriguing.Box, intriguing.Search}
    hints = typing.get_type_hints(given, localns={"Hidden": Hidden}).values()
    assert {kind for hint in hints for kind in _own(hint)} == {intriguing.Status, Hidden}


def _parts(public: Any) -> Iterator[Any]:
    """A function, or a class with the functions that are public in it."""
    if not isinstance(public, type):
        yield public
        return
    yield public
    for name, member in vars(public).items():
        for how in ("fget", "func", "__func__"):
            member = getattr(member, how, None) or member
        if callable(member) and (not name.startswith("_") or name in ("__init__", "__call__")):
            yield member


def _own(hint: Any) -> Iterator[type]:
    """The classes of this package in an annotation."""
    if isinstance(hint, type) and hint.__module__.startswith("intriguing."):
        yield hint
    for inner in typing.get_args(hint):
        for one in inner if isinstance(inner, list) else (inner,):
            yield from _own(one)

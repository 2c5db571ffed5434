"""JSON read into frozen dataclasses, every value of the type that its field says."""

import types
from dataclasses import MISSING, fields, is_dataclass
from enum import Enum
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

T = TypeVar("T")


def of_json(kind: type[T], content: Any, place: str = "") -> T:
    """A dataclass made of what `json.loads` gave for its `asdict`.

    Args:
        kind: A dataclass of numbers, text, booleans, literals, enumerations, tuples, dictionaries
            by text, other such dataclasses, and None; `Any` takes anything.
        content: A dictionary; fields with a default may be absent, none may be added.
        place: Where it stands in the file, for the error.

    Raises:
        ValueError: If anything is of another type, absent, or unknown; it says what and where.

    >>> from intriguing.results.schema import Stage
    >>> of_json(Stage, {"name": "attack", "wall_seconds": 2})
    Stage(name='attack', wall_seconds=2, forward_passes=0, backward_passes=0)
    >>> of_json(Stage, {"name": "attack", "wall_seconds": "2"})
    Traceback (most recent call last):
    ValueError: .wall_seconds is '2', not float
    """
    if not isinstance(content, dict):
        raise _wrong(place, content, kind.__name__)
    hints = get_type_hints(kind)
    for name in content.keys() - hints.keys():
        raise ValueError(f"{place}.{name} is unknown")
    for field in fields(kind):  # type: ignore[arg-type]
        has_none = field.default is MISSING and field.default_factory is MISSING
        if field.name not in content and has_none:
            raise ValueError(f"{place}.{field.name} is missing")
    return kind(
        **{name: _value(hints[name], one, f"{place}.{name}") for name, one in content.items()}
    )


def _value(hint: Any, content: Any, place: str) -> Any:
    if hint is Any:
        return content
    if is_dataclass(hint):
        return of_json(hint, content, place)  # type: ignore[arg-type]
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return None if content is None else _value(arguments[0], content, place)
    if origin is Literal:
        if not isinstance(content, str) or content not in arguments:
            raise _wrong(place, content, f"one of {', '.join(arguments)}")
        return content
    if isinstance(hint, type) and issubclass(hint, Enum):
        if content not in [one.value for one in hint]:
            raise _wrong(place, content, f"a {hint.__name__.lower()}")
        return hint(content)
    if origin is tuple:
        if not isinstance(content, list):
            raise _wrong(place, content, "list")
        if arguments[-1] is not Ellipsis and len(arguments) != len(content):
            raise _wrong(place, content, f"list of {len(arguments)}")
        kinds = arguments if arguments[-1] is not Ellipsis else arguments[:1] * len(content)
        pairs = enumerate(zip(kinds, content, strict=True))
        return tuple(_value(kind, one, f"{place}[{i}]") for i, (kind, one) in pairs)
    if origin is dict:
        if not isinstance(content, dict):
            raise _wrong(place, content, "dictionary")
        return {key: _value(arguments[1], one, f"{place}.{key}") for key, one in content.items()}
    numbers = (int, float) if hint is float else hint
    if not isinstance(content, numbers) or (isinstance(content, bool) and hint is not bool):
        raise _wrong(place, content, hint.__name__)
    return content


def _wrong(place: str, content: Any, wanted: str) -> ValueError:
    return ValueError(f"{place or 'it'} is {content!r:.60}, not {wanted}")

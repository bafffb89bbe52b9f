"""Two values beside each other, a line for each field, so that a failed test says what is other."""

from collections.abc import Mapping, Sequence
from difflib import ndiff

from msgspec import Struct

_INDENT = "    "


def difference(expected: Sequence[object], found: Sequence[object]) -> str:
    """Lines of both: `-` stands before what was expected and is not there, `+` before what is there instead."""
    before, after = (
        [line for value in values for line in lines_of(value)] or ["(nothing)"] for values in (expected, found)
    )
    lines = (line.rstrip() for line in ndiff(before, after) if not line.startswith("?"))
    return "\n".join(f"  {line}" for line in lines)


def lines_of(value: object) -> list[str]:
    """The value as Python writes it; what has fields or elements in several lines, unless it is empty."""
    if isinstance(value, Struct):
        fields = {name: getattr(value, name) for name in value.__struct_fields__}
        return _enclosed(f"{type(value).__name__}(", [_named(f"{name}=", each) for name, each in fields.items()], ")")
    if isinstance(value, Mapping) and value:
        return _enclosed("{", [_named(f"{key!r}: ", each) for key, each in value.items()], "}")
    if isinstance(value, list | tuple) and value:
        ends = ("[", "]") if isinstance(value, list) else ("(", ")")
        return _enclosed(ends[0], [lines_of(each) for each in value], ends[1])
    return [repr(value)]


def _named(name: str, value: object) -> list[str]:
    first, *more = lines_of(value)
    return [name + first, *more]


def _enclosed(begin: str, parts: Sequence[Sequence[str]], end: str) -> list[str]:
    if not parts:
        return [begin + end]
    inner = [_INDENT + line for part in parts for line in (*part[:-1], part[-1] + ",")]
    return [begin, *inner, end]

"""Numbers of commands and events: those that are none, or have no end, are neither decided over nor stored."""

from collections.abc import Iterable, Mapping
from decimal import Decimal
from math import isfinite
from typing import Any

import msgspec
from msgspec import Struct

_TYPES = ("DecimalType", "FloatType", "AnyType")


def numbers_of(message: type[Struct]) -> tuple[str, ...]:
    """The names of the fields that are, or hold, a number that can be NaN or infinite."""
    try:
        described: Any = msgspec.inspect.type_info(message)
    except TypeError:  # msgspec can write such a one, and not read it
        return message.__struct_fields__
    return tuple(field.name for field in described.fields if any(each in repr(field.type) for each in _TYPES))


def endless_field(message: Struct, names: tuple[str, ...]) -> str | None:
    """The first of these fields that is, or holds, a number that is none or has no end."""
    for name in names:
        if _is_endless(getattr(message, name)):
            return name
    return None


def _is_endless(value: Any) -> bool:
    if isinstance(value, Decimal):
        return not value.is_finite()
    if isinstance(value, float):
        return not isfinite(value)
    if isinstance(value, str | bytes):
        return False
    if isinstance(value, Struct):
        return any(_is_endless(getattr(value, name)) for name in value.__struct_fields__)
    if isinstance(value, Mapping):
        return any(_is_endless(each) for each in value.values())
    return isinstance(value, Iterable) and any(_is_endless(each) for each in value)

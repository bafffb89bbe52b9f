"""Captured rows in the form of Debezium's MySQL connector with ``decimal.handling.mode=string``.

Source: Debezium's documentation of data change events and of temporal types. A value that is not of its column's
declared kind, which SQLite allows, goes in its own plain form: text as a string, a blob as base64.
"""

import base64
import math
import re
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from mainstem.cdc.triggers import Shape

_DECIMAL = re.compile(r"(?:DECIMAL|DECIMAL_TEXT|NUMERIC)\s*\(\s*\d+\s*(?:,\s*(\d+)\s*)?\)", re.IGNORECASE)
_TIME = re.compile(r"(DATETIME|TIMESTAMP)\s*(?:\(\s*(\d)\s*\))?", re.IGNORECASE)
_EPOCH = date(1970, 1, 1)
_CHANGED = frozenset((bytes, float))
_Converter = Callable[[Any], Any]


class RowImage:
    """Brings stored rows of one shape into their JSON form."""

    def __init__(self, shape: Shape) -> None:
        self._names = tuple(shape.types)
        converters = ((name, _converter(declared)) for name, declared in shape.types.items())
        self._converters = [(name, converter) for name, converter in converters if converter is not None]

    def of(self, values: Sequence[Any] | None) -> dict[str, Any] | None:
        """The row as JSON values by column."""
        if values is None:
            return None
        row = dict(zip(self._names, values, strict=True))
        for name, convert in self._converters:
            if row[name] is not None:
                row[name] = convert(row[name])
        return as_json(row)


def as_json(row: dict[str, Any]) -> dict[str, Any]:
    """The row with what JSON does not have in another form: a blob as base64, an infinity as its name."""
    if _CHANGED.isdisjoint(map(type, row.values())):
        return row
    for name, value in row.items():
        if value.__class__ is bytes:
            row[name] = base64.b64encode(value).decode()
        elif value.__class__ is float and not math.isfinite(value):
            row[name] = str(value)
    return row


def _converter(declared: str) -> _Converter | None:
    if (found := _DECIMAL.match(declared)) is not None:
        places = int(found[1] or 0)
        return lambda value: _decimal(value, places)
    if declared.upper().startswith("BOOL"):
        return lambda value: bool(value) if value in (0, 1) else value
    if (timed := _TIME.match(declared)) is not None:
        kind, precision = timed[1].upper(), int(timed[2] or 0)
        return lambda value: _timed(value, kind, precision)
    return _days if declared.upper() == "DATE" else None


def _decimal(value: Any, places: int) -> Any:
    if value.__class__ is str and places and value[-places - 1 : -places] == "." and value[-places:].isdecimal():
        return value
    try:
        exact = Decimal(repr(value) if isinstance(value, float) else value)
        text = f"{exact:.{places}f}"
        return text if Decimal(text) == exact else f"{exact:f}"
    except (InvalidOperation, ValueError, TypeError):
        return value


def _days(value: Any) -> Any:
    try:
        return (date.fromisoformat(value) - _EPOCH).days
    except (ValueError, TypeError):
        return value


def _timed(value: Any, kind: str, precision: int) -> Any:
    try:
        moment = datetime.fromisoformat(value)
    except (ValueError, TypeError):
        return value
    moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    if kind == "TIMESTAMP":
        return moment.isoformat().replace("+00:00", "Z")
    micros = (moment - datetime(1970, 1, 1, tzinfo=UTC)) // (datetime.resolution)
    return micros if precision > 3 else micros // 1000

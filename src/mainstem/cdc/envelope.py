"""Captured rows in the form of Debezium's MySQL connector with ``decimal.handling.mode=string``.

Source: Debezium's documentation of data change events and of temporal types. A value that is not of its column's
declared kind, which SQLite allows, goes in its own plain form: text as a string, a blob as base64.
"""

import math
import re
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

import msgspec
from msgspec import Struct

_DECIMAL = re.compile(r"(?:DECIMAL|DECIMAL_TEXT|NUMERIC)\s*\(\s*\d+\s*(?:,\s*(\d+)\s*)?\)", re.IGNORECASE)
_TIME = re.compile(r"(DATETIME|TIMESTAMP)\s*(?:\(\s*(\d)\s*\))?", re.IGNORECASE)
_EPOCH = date(1970, 1, 1)
_Converter = Callable[[Any], Any]


class RowImage:
    """Brings stored rows of one shape into what encodes as their JSON form, a blob as base64."""

    def __init__(self, names: Sequence[str], types: Sequence[str | type]) -> None:
        """Each of the columns has a declared type, or one of Python's where its values are such already."""
        fields = [(f"c{n}", Any if isinstance(type_, str) else type_) for n, type_ in enumerate(types)]
        renamed = {f"c{n}": name for n, name in enumerate(names)}
        self._row = msgspec.defstruct("Row", fields, rename=renamed, frozen=True, gc=False)
        converters = ((n, _converter(type_)) for n, type_ in enumerate(types) if isinstance(type_, str))
        self._converters = [(n, converter) for n, converter in converters if converter is not None]

    def of(self, values: Sequence[Any]) -> Struct:
        """The row, its values by column."""
        if self._converters or float in map(type, values):
            values = self._converted(values)
        return self._row(*values)

    def _converted(self, values: Sequence[Any]) -> Sequence[Any]:
        row = list(values)
        for number, convert in self._converters:
            if row[number] is not None:
                row[number] = convert(row[number])
        return [str(v) if v.__class__ is float and not math.isfinite(v) else v for v in row]


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

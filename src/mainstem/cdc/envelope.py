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
_INFINITE = frozenset((math.inf, -math.inf))
_Converter = Callable[[Any], Any]


class RowImage:
    """Brings stored rows of one shape into what encodes as their JSON form, a blob as base64.

    `row` makes it of all its values, of which those of columns with declared types are `values` before.
    """

    def __init__(self, names: Sequence[str], types: Sequence[str]) -> None:
        """The first columns have these declared types; behind them may be others, whose values go as they are."""
        fields = [(f"c{n}", Any) for n in range(len(names))]
        renamed = {f"c{n}": name for n, name in enumerate(names)}
        self.row: Callable[..., Struct] = msgspec.defstruct("Row", fields, rename=renamed, frozen=True, gc=False)
        converters = ((n, _converter(type_)) for n, type_ in enumerate(types))
        self._converters = [(n, converter) for n, converter in converters if converter is not None]

    def values(self, stored: Sequence[Any]) -> Sequence[Any]:
        """Those of columns with declared types, as they are encoded."""
        if self._converters:
            stored = list(stored)
            for number, convert in self._converters:
                if stored[number] is not None:
                    stored[number] = convert(stored[number])
        if _INFINITE.isdisjoint(stored):
            return stored
        return [str(value) if value in _INFINITE else value for value in stored]


def _converter(declared: str) -> _Converter | None:
    if (found := _DECIMAL.match(declared)) is not None:
        return _decimals(int(found[1] or 0))
    if declared.upper().startswith("BOOL"):
        return lambda value: bool(value) if value in (0, 1) else value
    if (timed := _TIME.match(declared)) is not None:
        kind, precision = timed[1].upper(), int(timed[2] or 0)
        return lambda value: _timed(value, kind, precision)
    return _days if declared.upper() == "DATE" else None


def _decimals(places: int) -> _Converter:
    """Most values have that many digits behind the point already, which is found in two looks."""
    point, digits = slice(-places - 1, -places), slice(-places, None)

    def convert(value: Any) -> Any:
        if value.__class__ is str and value[point] == "." and value[digits].isdecimal():
            return value
        return _decimal(value, places)

    return convert


def _decimal(value: Any, places: int) -> Any:
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

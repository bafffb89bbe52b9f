"""What a question to a view asks for, held against the declared table before any SQL is made of it."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

from mainstem.errors import CodecError, InvalidQuery
from mainstem.table import Column, Table, decimal_text

_TYPES: dict[str, type] = {"text": str, "integer": int, "boolean": bool, "real": float, "bytes": bytes}


@dataclass(frozen=True)
class Question:
    """Columns with the values that they shall equal, the columns to order by, and the values to begin behind.

    Values are as a row holds them: decimals as exact text with the column's places.
    """

    where: tuple[tuple[str, Any], ...]
    order: tuple[str, ...]
    after: tuple[Any, ...] | None


def question(
    table: Table[Any], where: Mapping[str, Any], order: Sequence[str], after: Sequence[Any] | None
) -> Question:
    """In key order unless another is asked for. Raises InvalidQuery as `ViewStore.find` does."""
    order = tuple(order) or table.key
    columns = {column.name: column for column in table.columns}
    for name in (*where, *order):
        if name not in columns:
            raise InvalidQuery(f"{table.name} has no column {name!r}")
    if after is not None and len(after) != len(order):
        raise InvalidQuery(f"a page of {table.name} begins behind values of {', '.join(order)}")
    asked = tuple((name, _bound(table, columns[name], value)) for name, value in where.items())
    begin = None if after is None else tuple(_bound(table, columns[n], v) for n, v in zip(order, after, strict=True))
    return Question(asked, order, begin)


def _bound(table: Table[Any], column: Column, value: Any) -> Any:
    try:
        if value is None:
            return None
        if column.kind == "decimal":
            return decimal_text(value if isinstance(value, Decimal) else Decimal(str(value)), column.places)
        if isinstance(value, int) and column.kind == "real":
            value = float(value)
        if value.__class__ is not _TYPES[column.kind]:
            raise CodecError(f"a {value.__class__.__name__} is no {column.kind}")
        _check_range(value)
    except (CodecError, OverflowError, UnicodeEncodeError, InvalidOperation) as error:
        raise InvalidQuery(f"{value!r:.100} does not fit {column.name} of {table.name}") from error
    return value


def _check_range(value: Any) -> None:
    if isinstance(value, str):
        value.encode()
    elif isinstance(value, int):
        value.to_bytes(8, signed=True)
    elif isinstance(value, float) and not math.isfinite(value):
        raise OverflowError

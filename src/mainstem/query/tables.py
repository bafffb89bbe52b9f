"""Answers of the analytical store as JSON, CSV, Arrow and Parquet, and which of these a request takes."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, get_args

import msgspec
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pa_parquet
from litestar import Request

from mainstem.olap.asking import Found
from mainstem.query.problems import InvalidInput

Format = Literal["json", "csv", "arrow", "parquet"]
FORMATS: tuple[Format, ...] = get_args(Format)

MEDIA_TYPES: dict[Format, str] = {
    "json": "application/json",
    "csv": "text/csv",
    "arrow": "application/vnd.apache.arrow.stream",
    "parquet": "application/vnd.apache.parquet",
}

_JSON = msgspec.json.Encoder(decimal_format="number")
_WEIGHT = re.compile(r"(0(\.[0-9]{0,3})?|1(\.0{0,3})?)", re.ASCII)
_TYPES = {
    "text": pa.string(),
    "integer": pa.int64(),
    "decimal": pa.decimal128(19, 2),
    "timestamp": pa.timestamp("ms", "UTC"),
    "number": pa.float64(),
}


@dataclass(frozen=True)
class Rendered:
    """The bytes of an answer and what they are."""

    body: bytes
    media_type: str


def format_of(request: Request[Any, Any, Any], named: Format | None) -> Format:
    """The format that is named, or the one that `Accept` likes best; JSON where it likes all the same.

    Raises InvalidInput (406) where it takes none of them.
    """
    if named is not None:
        return named
    accepted = request.headers.get("accept", "").strip() or "*/*"
    liked = {form: _quality(accepted, media_type) for form, media_type in MEDIA_TYPES.items()}
    best = max(FORMATS, key=lambda form: liked[form])
    if liked[best] > 0:
        return best
    text = f"the answer can be {', '.join(MEDIA_TYPES.values())}; or name a format"
    raise InvalidInput("accept", text, reason="not-acceptable", status=406)


def _quality(accepted: str, media_type: str) -> float:
    """How much a media type is liked, from 0 to 1: what names it most closely counts (RFC 9110, 12.5.1)."""
    closest, found = 0, 0.0
    wanted = (media_type, f"{media_type.partition('/')[0]}/*", "*/*")
    for each in accepted.lower().split(","):
        name, *parameters = (part.strip() for part in each.split(";"))
        close = len(wanted) - wanted.index(name) if name in wanted else 0
        if close > closest:
            weights = [text[2:] for text in parameters if text.startswith("q=")]
            closest, found = close, _weight(weights[0]) if weights else 1.0
    return found


def _weight(text: str) -> float:
    return float(text) if _WEIGHT.fullmatch(text) else 0.0


def rendered(found: Found, form: Format) -> Rendered:
    """The answer in that format.

    JSON: a list of objects, amounts as exact numbers, times in ISO 8601 with their zone, which is UTC. CSV: the same
    under a line of names; texts in quotes, and nothing where there is no value. Arrow (a stream) and Parquet: text,
    int64, decimal128(19, 2), timestamp[ms, UTC] and double.
    """
    if form == "json":
        names = [column.name for column in found.columns]
        rows = [dict(zip(names, map(_shown, row), strict=True)) for row in found.rows]
        return Rendered(_JSON.encode(rows), MEDIA_TYPES[form])
    sink = pa.BufferOutputStream()
    if form == "csv":
        pa_csv.write_csv(table_of(found, times_as_text=True), sink)
    elif form == "parquet":
        pa_parquet.write_table(table_of(found), sink)
    else:
        table = table_of(found)
        with pa.ipc.new_stream(sink, table.schema) as stream:
            stream.write_table(table)
    return Rendered(sink.getvalue().to_pybytes(), MEDIA_TYPES[form])


def table_of(found: Found, *, times_as_text: bool = False) -> Any:
    """The answer as an Arrow table."""
    fields, columns = [], []
    for number, column in enumerate(found.columns):
        values: Sequence[Any] = [row[number] for row in found.rows]
        kind = column.kind
        if kind == "timestamp":
            values = [_shown(value) if times_as_text else _zoned(value) for value in values]
            kind = "text" if times_as_text else kind
        fields.append(pa.field(column.name, _TYPES[kind]))
        columns.append(pa.array(values, _TYPES[kind]))
    return pa.table(columns, schema=pa.schema(fields))


def _zoned(at: datetime | None) -> datetime | None:
    return None if at is None else at.replace(tzinfo=UTC)


def _shown(value: Any) -> Any:
    return f"{value.isoformat(timespec='milliseconds')}Z" if isinstance(value, datetime) else value

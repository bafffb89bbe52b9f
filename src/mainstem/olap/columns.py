"""From a batch of JSON messages to the columns of a datasource, and the messages that do not fit set aside.

A message's object is decoded by msgspec into one Struct of the declared fields, and each field's values become one
Arrow array. One bad message fails the whole batch; the batch is then halved until the bad ones stand alone, so that
there is only one meaning of "fits", and a batch without bad ones pays nothing for it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from decimal import Context, Decimal, Inexact, InvalidOperation
from itertools import repeat
from operator import attrgetter
from typing import Annotated, Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from mainstem.messages import Record
from mainstem.olap.names import check_names
from mainstem.olap.port import Column, Datasource, Dimension

_REASON_MAX = 200
_BIGINT = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
_JSON_TYPES: dict[str, Any] = {"text": str, "integer": _BIGINT, "decimal": Decimal, "timestamp": str}
_SQL_TYPES = {"text": "VARCHAR", "integer": "BIGINT", "decimal": "DECIMAL(18,2)", "timestamp": "TIMESTAMP"}
_MEASURE_TYPES = {"sum": "HUGEINT"}  # what has more than 64 bits is refused where it is asked for, not where it comes
_CENT = Decimal("0.01")
_EXACTLY = Context(prec=18, traps=[Inexact, InvalidOperation])
LATE = "late: "
"""How the reason begins that a late record is kept with."""

_MISFITS = (msgspec.MsgspecError, pa.ArrowException, ValueError, OverflowError, RecursionError)


@dataclass(frozen=True)
class Misfit:
    """A record that does not fit, and why, in at most 200 characters."""

    record: Record
    reason: str


class Columns:
    """The columns of one datasource. Raises ConfigurationError for names that no engine could hold."""

    def __init__(self, datasource: Datasource) -> None:
        check_names(datasource)
        self.definition = _definition(datasource)
        fields = [f"field_{number}" for number in range(len(datasource.dimensions))]
        row = msgspec.defstruct(
            "Row",
            [_field(name, dimension) for name, dimension in zip(fields, datasource.dimensions, strict=True)],
            rename=dict(zip(fields, (d.source for d in datasource.dimensions), strict=True)),
            frozen=True,
            kw_only=True,
            gc=False,
        )
        self._decode = msgspec.json.Decoder(row).decode
        self._names = [dimension.name for dimension in datasource.dimensions]
        self._makers = [(attrgetter(f), _maker(d)) for f, d in zip(fields, datasource.dimensions, strict=True)]
        self._time = datasource.time
        self._late_after_s = datasource.late_after_s

    def sort_out(self, records: Sequence[Record]) -> tuple[Any, list[Misfit]]:
        """An Arrow table of the records that fit and are not late, in their order, and the others."""
        tables: list[Any] = []
        misfits: list[Misfit] = []
        waiting = [records]
        while waiting:
            part = waiting.pop()
            try:
                tables.append(self._in_time(part, self._table(part), misfits))
            except _MISFITS as error:
                if len(part) == 1:
                    misfits.append(Misfit(part[0], _reason(part[0], error)))
                else:
                    half = len(part) // 2
                    waiting += (part[half:], part[:half])
        return pa.concat_tables(tables) if tables else self._table([]), misfits

    def _table(self, records: Sequence[Record]) -> Any:
        decode = self._decode
        rows = [decode(record.value or b"") for record in records]
        return pa.table([make(list(map(get, rows))) for get, make in self._makers], names=self._names)

    def _in_time(self, records: Sequence[Record], table: Any, misfits: list[Misfit]) -> Any:
        """The rows that are not late; records of the others become misfits."""
        if self._late_after_s is None or not records:
            return table
        logged = pa.array([record.timestamp_ms for record in records], pa.int64()).cast(pa.timestamp("ms"))
        oldest = pc.subtract(logged, timedelta(seconds=self._late_after_s)).cast(pa.timestamp("us"))
        timely = pc.greater_equal(table.column(self._time), oldest)
        for record, found in zip(records, timely.to_pylist(), strict=True):
            if not found:
                reason = f"{LATE}its time is more than {self._late_after_s} s before that of its record"
                misfits.append(Misfit(record, reason))
        return table.filter(timely)


def _field(name: str, dimension: Dimension) -> Any:
    kind = _JSON_TYPES[dimension.kind]
    return (name, kind) if dimension.default is None else (name, kind | None, None)


def _maker(dimension: Dimension) -> Callable[[list[Any]], Any]:
    make = _ARRAYS[dimension.kind]
    if dimension.default is None:
        return make
    default = Decimal(dimension.default) if dimension.kind == "decimal" else dimension.default
    return lambda values: make([default if value is None else value for value in values])


def misfit_table(name: str, misfits: Sequence[Misfit]) -> Any:
    """An Arrow table of the misfits: datasource, topic, partition, offset, reason."""
    return pa.table(
        {
            "datasource": pa.array([name] * len(misfits), pa.string()),
            "topic": pa.array([m.record.topic for m in misfits], pa.string()),
            "partition": pa.array([m.record.partition for m in misfits], pa.int32()),
            "offset": pa.array([m.record.offset for m in misfits], pa.int64()),
            "reason": pa.array([m.reason for m in misfits], pa.string()),
        }
    )


def _definition(datasource: Datasource) -> str:
    """The table's columns: dimensions that have values, what is computed of these, and the measures of a rollup."""
    plain = [column for column in datasource.columns if not column.what]
    stored = [f'"{c.dimension.name}" {_SQL_TYPES[c.dimension.kind]} NOT NULL' for c in plain]
    shown = [_generated(column) for column in plain if column.name != column.dimension.name]
    measures = [f'"{c.name}" {_MEASURE_TYPES.get(c.what, "BIGINT")} NOT NULL' for c in datasource.columns if c.what]
    return ", ".join(stored + shown + measures)


def _generated(column: Column) -> str:
    """A column that is computed where it is asked for."""
    name = column.dimension.name
    if column.kind == "timestamp":
        return f'"{column.name}" TIMESTAMP AS ("{name}")'
    if column.dimension.kind == "timestamp":
        return f'"{column.name}" BIGINT AS (epoch_ms("{name}"))'
    cents = cents_of(f'"{name}"')
    return f'"{column.name}" BIGINT AS ({cents})'


def cents_of(name: str) -> str:
    """An SQL expression: the cents of a column of decimals.

    In two halves, since a product of DECIMAL(18) that has more digits is an overflow to DuckDB, and a wider DECIMAL
    takes ten times as long.
    """
    return f"CAST(trunc({name}) AS BIGINT) * 100 + CAST(({name} % 1) * 100 AS BIGINT)"


def _decimals(values: list[Any]) -> Any:
    # Arrow reads beyond its table of powers for exponents below -76: 1E-77 becomes 0.00, 1E-999999999 ends the process.
    try:
        exact = list(map(_EXACTLY.quantize, values, repeat(_CENT)))
    except Inexact:
        raise ValueError("a decimal has more than two digits after the point") from None
    except InvalidOperation:
        raise ValueError("a decimal is out of range: 16 digits before the point are possible") from None
    return pa.array(exact, pa.decimal128(18, 2))


def _times(values: list[Any]) -> Any:
    texts = pa.array(values, pa.string())
    try:
        zoned = texts.cast(pa.timestamp("us", "UTC"))
    except pa.ArrowInvalid:
        # Druid takes a time without a zone for UTC, and one declaration has one meaning.
        zoned = texts.cast(pa.timestamp("us"))
    return pc.floor_temporal(zoned.cast(pa.timestamp("us")), unit="millisecond")


_ARRAYS: dict[str, Callable[[list[Any]], Any]] = {
    "text": lambda values: pa.array(values, pa.string()),
    "integer": lambda values: pa.array(values, pa.int64()),
    "decimal": _decimals,
    "timestamp": _times,
}


def _reason(record: Record, error: Exception) -> str:
    if not record.value:
        return "no value"
    text = " ".join(str(error).split()).encode(errors="replace").decode()
    return (text or type(error).__name__)[:_REASON_MAX]

"""Views made of columns: many events at once become an Arrow table of rows, and rows of one key become one.

Nothing here does I/O, and nothing loads Arrow: `mainstem.view.vectorising` does.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Generic, Literal, TypeVar, get_args

from msgspec import Struct

from mainstem.errors import ConfigurationError
from mainstem.messages import Event
from mainstem.table import Column, Table, columns_of

R = TypeVar("R", bound=Struct)

Merge = Literal["sum", "min", "max", "first", "last"]

ENVELOPE = {
    "stream": Column("stream", "text", nullable=False),
    "aggregate_id": Column("aggregate_id", "text", nullable=False),
    "tenant": Column("tenant", "text", nullable=True),
    "type": Column("type", "text", nullable=False),
    "schema_version": Column("schema_version", "integer", nullable=False),
    "version": Column("version", "integer", nullable=False),
    "part": Column("part", "integer", nullable=False),
    "occurred_at_ms": Column("occurred_at_ms", "integer", nullable=False),
    "recorded_at_ms": Column("recorded_at_ms", "integer", nullable=False),
    "actor": Column("actor", "text", nullable=False),
    "correlation_id": Column("correlation_id", "text", nullable=True),
    "causation_id": Column("causation_id", "text", nullable=True),
}
"""What every event has; `type` is its stored name."""


@dataclass(frozen=True)
class Vectorised(Generic[R]):
    """One row per key, made of events by the thousand: `make(batch)` has in columns what the events alone make.

    `batch` is an Arrow table with a row for each of the `events` in their order, and with the named `columns`: of the
    envelope (see ENVELOPE), else of the payload, null where an event has no such field; decimals are decimal128(18,
    places). `make` returns an Arrow table with the columns of `table`, of each key as many rows as it likes. Rows of
    one key, and the one that stands, become one by `merge`, which has for each column beside the key how: sum (of
    integers and decimals), min, max, first or last, nulls left out.

    A batch is whatever came together, so `make` must say of each event the same, whatever stands beside it. With
    `done`, the name of a column that is merged by max and in which `make` puts the event's version, events come again
    without a change, as `Fold.done` has it. Raises ConfigurationError for what does not fit.
    """

    table: Table[R]
    events: tuple[type[Event], ...]
    columns: tuple[str, ...]
    make: Callable[[Any], Any]
    merge: Mapping[str, Merge]
    done: str | None = None
    places: Mapping[str, int] = field(default_factory=dict)
    read: tuple[Column, ...] = field(init=False, repr=False)
    """The columns of a batch."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "read", tuple(self._column(name) for name in dict.fromkeys(self.columns)))
        if not self.columns:
            raise ConfigurationError(f"{self.table.name} is made of no column")
        name, merged = self.table.name, {c.name for c in self.table.columns} - set(self.table.key)
        if self.merge.keys() != merged:
            raise ConfigurationError(f"merge of {name} must name {sorted(merged)}, not {sorted(self.merge)}")
        kinds = {column.name: column.kind for column in self.table.columns}
        for column, how in self.merge.items():
            if how not in get_args(Merge):
                raise ConfigurationError(f"{column} of {name} is merged by {how!r}; there are {get_args(Merge)}")
            if how == "sum" and kinds[column] not in ("integer", "decimal"):  # of floats it is as batches are cut
                raise ConfigurationError(f"{column} of {name} is {kinds[column]}: integers and decimals have a sum")
        if self.done is not None and self.merge.get(self.done) != "max":
            raise ConfigurationError(f"done of {name} names {self.done!r}, which is no column that is merged by max")

    def _column(self, name: str) -> Column:
        if name in ENVELOPE:
            return ENVELOPE[name]
        found = {replace(c, nullable=True) for event in self.events for c in columns_of(event, self.places, {name})}
        if len(found) != 1:
            why = "no event has" if not found else "events have as different types"
            raise ConfigurationError(f"{self.table.name} is made of a column {name!r}, which {why}")
        return found.pop()

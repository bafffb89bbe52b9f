"""What the house asks of an analytical store: datasources fed from topics, exactly once, and questions about them.

`Olap` is the half that every store has: it answers questions. `IngestingOlap` is fed by this house's own ingestion;
a store that reads the topics by itself, as Druid does by its supervisors, has no such half.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from mainstem.errors import ConfigurationError
from mainstem.messages import Record

Place = tuple[str, int]
Rest = Callable[[Mapping[Place, int]], Iterable[Sequence[Record]]]
"""Pages of records that are missing up to the offsets it is given."""

_KINDS = ("text", "integer", "decimal", "timestamp")


@dataclass(frozen=True)
class Dimension:
    """A column of a datasource and the field of the message that fills it (of the same name unless named).

    Kinds: text; integer; decimal with two places (kept as exact cents); timestamp (ISO 8601 text in the message).
    """

    name: str
    kind: str = "text"
    source: str = ""

    def __post_init__(self) -> None:
        if self.kind not in _KINDS:
            raise ConfigurationError(f"dimension {self.name} is of kind {self.kind!r}; known are {_KINDS}")
        if not self.source:
            object.__setattr__(self, "source", self.name)


@dataclass(frozen=True)
class Column:
    """A column that a question may name, and the dimension that it shows. Kinds: text, integer, timestamp."""

    name: str
    kind: str
    dimension: Dimension


@dataclass(frozen=True)
class Datasource:
    """A table of facts made from a topic of JSON objects; one declaration serves every engine.

    A question that names no other than its `columns`, and quotes them, means the same to every engine.
    """

    name: str
    topic: str
    time: str
    dimensions: tuple[Dimension, ...]

    def __post_init__(self) -> None:
        if self.time not in {d.name for d in self.dimensions if d.kind == "timestamp"}:
            raise ConfigurationError(f"datasource {self.name}: {self.time!r} is not one of its timestamp dimensions")

    @property
    def columns(self) -> tuple[Column, ...]:
        """What every engine has, in the order of the dimensions.

        The time is `__time`; text and integers have their dimension's name; a decimal `price` is `price_cents`, an
        integer; another timestamp `paidAt` is `paidAt_ms`, an integer of milliseconds since the epoch.
        """
        return tuple(_column(dimension, self.time) for dimension in self.dimensions)


def _column(dimension: Dimension, time: str) -> Column:
    if dimension.name == time:
        return Column("__time", "timestamp", dimension)
    suffix = {"decimal": "_cents", "timestamp": "_ms"}.get(dimension.kind, "")
    return Column(dimension.name + suffix, "integer" if suffix else dimension.kind, dimension)


@dataclass(frozen=True)
class Answer:
    """Rows of an analytical answer, with their column names."""

    columns: tuple[str, ...]
    rows: Sequence[tuple[Any, ...]]


class Olap(Protocol):
    """Facts that are only ever added. Anybody in the process may ask, at any time."""

    def ask(
        self, sql: str, parameters: Sequence[Any] = (), *, row_limit: int = 10_000, timeout_s: float = 10.0
    ) -> Answer:
        """The answer to a SELECT with `?` parameters. Raises InvalidQuery; a limit on rows and on time holds.

        Parameters are None, booleans, integers of 64 bits, floats, text and naive datetimes in UTC, and nothing else
        where a question is to be asked of every engine: so money is compared in cents.
        """

    def approx_quantile(self, column: str, percent: int, only: str) -> str:
        """An SQL expression: about the value that so many of 100 values of a numeric column do not exceed.

        The column's name is quoted already; the percentage is from 1 to 99. Behind each aggregate function stands
        `only`, which is nothing or a FILTER.
        """

    def close(self) -> None:
        """Give everything back. Closing twice is allowed."""


class IngestingOlap(Olap, Protocol):
    """A store with one owner that feeds it."""

    def create(self, datasource: Datasource) -> None:
        """Make the datasource, or leave it. Raises ConfigurationError where it stands with other dimensions."""

    def ingest(self, datasource: Datasource, records: Sequence[Record]) -> int:
        """Add the records that are beyond the datasource's offsets, with the offsets, in one transaction; how many.

        A record that does not fit the declaration is counted and kept as rejected, and never stops the others.
        """

    def offsets(self, datasource: Datasource) -> Mapping[Place, int]:
        """Up to where the topic is in the datasource."""

    def rejected(self, datasource: Datasource) -> int:
        """How many records did not fit."""


class RebuildingOlap(IngestingOlap, Protocol):
    """A store whose datasources can be filled anew beside those that are asked."""

    def reached(self, name: str) -> Mapping[Place, int]:
        """Up to where the topic is in a datasource of that name, however it is declared; empty where there is none."""

    def declared(self, name: str) -> str | None:
        """The declaration that the datasource of that name stands by, as text; None where there is none."""

    def drop(self, name: str) -> None:
        """Remove a datasource, if it is there, with all that is kept of it."""

    def swap(
        self, live: Datasource, built: Datasource, keep: str | None, rest: Rest, seen: Callable[[], None] = ...
    ) -> None:
        """Put `built` in the place of `live`, which goes or is kept under the name `keep`.

        In this order, while nobody feeds either: 1. records of `rest` are added to `built`, up to where `live` is;
        2. `seen` is called; 3. both are exchanged in one transaction. Raises StoreBusy where they are not at the same
        offsets then.
        """


@dataclass(frozen=True)
class Feeding:
    """How a store feeds a version: `offsets` says by place from where on it has not read, as it was some seconds ago.

    `trouble` is what keeps it from reading, None where it reads.
    """

    offsets: Mapping[Place, int]
    trouble: str | None


class SelfFedOlap(Protocol):
    """A store that reads topics by itself: each version of a datasource is one of a name of its own to it."""

    def feed(self, version: Datasource) -> None:
        """Have it read the topic from the begin, or go on where it was stopped, as it was declared then."""

    def differs(self, version: Datasource) -> Sequence[str] | None:
        """In what its rows are declared otherwise by now; None where the store does not know it."""

    def feeding(self, version: Datasource) -> Feeding:
        """How it is doing. Raises ConfigurationError where the store does not know it."""

    def rest(self, name: str) -> None:
        """Have it read no more. What it has stays, and is asked."""

    def drop(self, name: str) -> None:
        """Remove it, if it is there."""

    def checksum(self, datasource: Datasource) -> str:
        """An SQL expression: a number that is made of all columns of a row, and is to be added up."""

    def asked(self, live: Callable[[str], str]) -> Olap:
        """Questions to the versions of those names. Not to be closed."""

"""What the house asks of an analytical store: datasources fed from topics, exactly once, and questions about them.

`Olap` is the half that every store has: it answers questions. `IngestingOlap` is fed by this house's own ingestion;
a store that reads the topics by itself, as Druid does by its supervisors, has no such half.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

import msgspec

from mainstem.errors import ConfigurationError
from mainstem.messages import Record
from mainstem.olap.grains import begin_of
from mainstem.olap.options import BY_DAY, Compaction, Partitioning, Rollup, fits_into

Place = tuple[str, int]
Rest = Callable[[Mapping[Place, int]], Iterable[Sequence[Record]]]
"""Pages of records that are missing up to the offsets it is given."""

_KINDS = ("text", "integer", "decimal", "timestamp")
_TWO_PLACES = re.compile(r"-?[0-9]{1,16}\.[0-9]{2}")
_DAYS_MAX = 36_500
_OPTIONS = ("rollup", "partitioning", "compaction", "keep_days", "late_after_s")
_OF_ROWS = ("rollup", "late_after_s")
"""The options that decide which rows are made of a topic."""


def _is_default(kind: str, value: str | int) -> bool:
    if kind == "integer":
        return type(value) is int and -(2**63) <= value < 2**63
    if kind == "decimal":
        return isinstance(value, str) and _TWO_PLACES.fullmatch(value) is not None
    return kind == "text" and isinstance(value, str)


@dataclass(frozen=True)
class Dimension:
    """A column of a datasource and the field of the message that fills it (of the same name unless named).

    Kinds: text; integer; decimal with two places (kept as exact cents); timestamp (ISO 8601 text in the message).
    `default` is taken where the field is missing or null; without one such a record does not fit. It is a text, an
    integer, or of a decimal its text with two places; a timestamp has none.
    """

    name: str
    kind: str = "text"
    source: str = ""
    default: str | int | None = None

    def __post_init__(self) -> None:
        if self.kind not in _KINDS:
            raise ConfigurationError(f"dimension {self.name} is of kind {self.kind!r}; known are {_KINDS}")
        if self.default is not None and not _is_default(self.kind, self.default):
            raise ConfigurationError(
                f"dimension {self.name} has the default {self.default!r}: of a text it is a text, of an integer one of"
                ' 64 bits, of a decimal a text with two places, as "0.00", and a timestamp has none'
            )
        if not self.source:
            object.__setattr__(self, "source", self.name)


@dataclass(frozen=True)
class Column:
    """A column that a question may name, and the dimension that it shows. Kinds: text, integer, timestamp.

    `what` is the measure of a rollup that it holds, and empty where it holds the dimension's values. The number of
    facts, `count`, is of no dimension: of one without a name.
    """

    name: str
    kind: str
    dimension: Dimension
    what: str = ""


FACTS = Column("facts", "integer", Dimension("", "integer"), "count")
"""How many facts are in a row of a rollup."""


@dataclass(frozen=True)
class Datasource:
    """A table of facts made from a topic of JSON objects; one declaration serves every engine.

    A question that names no other than its `columns`, and quotes them, means the same to every engine.

    `keep_days`: facts are forgotten once their whole segment (see `Partitioning`) is older than so many days; None for
    never. `late_after_s`: a fact whose time is more than so many seconds before its record's is turned away; None for
    never. With a `rollup` and with `late_after_s` other rows are made of the topic, so that a change of them needs a
    rebuild; a change of anything else applies from then on.
    """

    name: str
    topic: str
    time: str
    dimensions: tuple[Dimension, ...]
    rollup: Rollup | None = None
    partitioning: Partitioning = BY_DAY
    compaction: Compaction | None = None
    keep_days: int | None = None
    late_after_s: int | None = None

    def __post_init__(self) -> None:
        if self.time not in {d.name for d in self.dimensions if d.kind == "timestamp"}:
            raise ConfigurationError(f"datasource {self.name}: {self.time!r} is not one of its timestamp dimensions")
        if self.rollup is not None:
            _check_rollup(self, self.rollup)
        _check_options(self)

    @property
    def measured(self) -> frozenset[str]:
        """The dimensions of which there are only measures."""
        return frozenset(measure.of for measure in self.rollup.measures) if self.rollup is not None else frozenset()

    @property
    def fact_columns(self) -> tuple[Column, ...]:
        """What a fact has, in the order of the dimensions.

        The time is `__time`; text and integers have their dimension's name; a decimal `price` is `price_cents`, an
        integer; another timestamp `paidAt` is `paidAt_ms`, an integer of milliseconds since the epoch.
        """
        return tuple(_column(dimension, self.time) for dimension in self.dimensions)

    @property
    def columns(self) -> tuple[Column, ...]:
        """What every engine has: those of the facts.

        Of a rollup those that are not measured, the number of `facts`, and the measures: `sum_price_cents`.
        """
        facts = self.fact_columns
        if self.rollup is None:
            return facts
        of = {column.dimension.name: column for column in facts}
        measures = (
            Column(f"{each.what}_{of[each.of].name}", "integer", of[each.of].dimension, each.what)
            for each in self.rollup.measures
        )
        return (*(column for column in facts if column.dimension.name not in self.measured), FACTS, *measures)

    def kept_from(self, now: datetime) -> datetime | None:
        """From which time on facts are kept, of a time now (both naive, in UTC); None where all are."""
        if self.keep_days is None:
            return None
        return begin_of(self.partitioning.segments, now - timedelta(days=self.keep_days))

    def kept_from_now(self) -> datetime | None:
        """The same as of this moment."""
        return self.kept_from(datetime.now(UTC).replace(tzinfo=None))


def declaration_of(datasource: Datasource) -> str:
    """What decides which rows it has, as JSON, in which what is not declared leaves no trace, as in files of before."""
    declared = msgspec.to_builtins(datasource)
    for each in declared["dimensions"]:
        if each.get("default") is None:
            each.pop("default", None)
    left_out = [name for name in _OPTIONS if name not in _OF_ROWS or declared[name] is None]
    return msgspec.json.encode({name: value for name, value in declared.items() if name not in left_out}).decode()


def _check_rollup(datasource: Datasource, rollup: Rollup) -> None:
    known = {each.name: each.kind for each in datasource.dimensions}
    for measure in rollup.measures:
        if known.get(measure.of) not in ("integer", "decimal"):
            raise ConfigurationError(
                f"datasource {datasource.name}: {measure.of!r}, which its rollup measures, is none of its integer or"
                " decimal dimensions"
            )
    if not fits_into(rollup.grain, datasource.partitioning.segments):
        raise ConfigurationError(
            f"datasource {datasource.name}: a {rollup.grain} of its rollup is longer than a segment,"
            f" which is a {datasource.partitioning.segments}"
        )


def _check_options(datasource: Datasource) -> None:
    texts = {each.name for each in datasource.dimensions if each.kind == "text"}
    for name in datasource.partitioning.by:
        if name not in texts:
            raise ConfigurationError(
                f"datasource {datasource.name}: segments are cut by text dimensions, not by {name!r}"
            )
    if datasource.partitioning.by and datasource.compaction is None:
        raise ConfigurationError(
            f"datasource {datasource.name}: segments are cut by dimensions as they are compacted: declare a compaction"
        )
    if datasource.keep_days is not None and not 1 <= datasource.keep_days <= _DAYS_MAX:
        raise ConfigurationError(f"datasource {datasource.name}: facts are kept for 1 to {_DAYS_MAX} days")
    if datasource.late_after_s is not None and not 1 <= datasource.late_after_s <= _DAYS_MAX * 86_400:
        raise ConfigurationError(f"datasource {datasource.name}: a fact is late after 1 s to {_DAYS_MAX} days")


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


@dataclass(frozen=True)
class Rejects:
    """How many records a datasource has turned away; of the first where it is and why, as
    `sale/0 at offset 5: Object missing required field`, empty where there is none.
    """

    count: int = 0
    first: str = ""


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

        A record that does not fit the declaration, or is late by it, is counted and kept as rejected, and never stops
        the others. Facts that are no longer kept are forgotten in the same transaction, so many at once.
        """

    def offsets(self, datasource: Datasource) -> Mapping[Place, int]:
        """Up to where the topic is in the datasource."""

    def rejected(self, datasource: Datasource) -> int:
        """How many records did not fit or were late."""

    def late(self, datasource: Datasource) -> int:
        """How many of these were late."""

    def misfits(self, datasource: Datasource, beyond: int = 0) -> Rejects:
        """The others, which did not fit; the first is told of those that came behind so many."""


class RebuildingOlap(IngestingOlap, Protocol):
    """A store whose datasources can be filled anew beside those that are asked."""

    def reached(self, name: str) -> Mapping[Place, int]:
        """Up to where the topic is in a datasource of that name, however it is declared; empty where there is none."""

    def declared(self, name: str) -> str | None:
        """The declaration that the datasource of that name stands by, as text; None where there is none."""

    def misfits_beside(self, built: str, live: str) -> Rejects:
        """The records that do not fit one datasource and were not turned away by the other."""

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

    def left_out(self, version: Datasource) -> int:
        """How many records it has left out, of those of which the store still knows that: not of all."""

    def rest(self, name: str) -> None:
        """Have it read no more. What it has stays, and is asked."""

    def drop(self, name: str) -> None:
        """Remove it, if it is there."""

    def checksum(self, datasource: Datasource) -> str:
        """An SQL expression: a number that is made of all columns of a row, and is to be added up."""

    def asked(self, live: Callable[[str], str]) -> Olap:
        """Questions to the versions of those names. Not to be closed."""

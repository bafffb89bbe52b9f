"""What a page of records makes of a view: its rows, positions and parked keys. Nothing is emitted and nobody called."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from mainstem.errors import CodecError, ListenerError, StoreError
from mainstem.listener.batch import reached
from mainstem.listener.binding import Binding
from mainstem.listener.settled import Settled
from mainstem.log.port import Log, Place
from mainstem.messages import Position, Record
from mainstem.rebuild.versions import projection_of
from mainstem.table import Table
from mainstem.view.apply import Working, working
from mainstem.view.port import ViewTransaction
from mainstem.view.windowing import FindEach

_FIRST = 10_000
"""The records of the first page; from their size it is known how many come to a page."""

_BYTES = 32 * 1_048_576
"""A page has about so many bytes of values at most, so that what is in memory has a bound."""

Key = tuple[Any, ...]


class Reading(Protocol):
    """Where rows are read from: a view store, or a transaction, which has those that it writes."""

    @property
    def get(self) -> Callable[[Table[Any], Sequence[Key]], dict[Any, Any]]:
        """By their keys."""

    @property
    def find_each(self) -> FindEach:
        """By what their keys begin with."""


@dataclass
class Filled:
    """What a page leads to; `parked` has the keys of which records wait, and since which offset."""

    working: Working[Any]
    positions: list[Position] = field(default_factory=list)
    parked: dict[str, int] = field(default_factory=dict)

    def write(self, transaction: ViewTransaction, name: str, offsets: Mapping[Place, int]) -> None:
        """Rows, and what is kept under the name."""
        self.working.write(transaction)
        transaction.save(name, offsets, self.positions)
        if self.parked:
            transaction.park(name, dict.fromkeys(self.parked, "waits behind a dead letter"), self.parked)


class Filler:
    """Fills `table` as the binding's listener fills the live one, of which alone the projection is used."""

    def __init__(self, binding: Binding[Any], log: Log, table: Table[Any], known: Settled, positions: bool) -> None:
        self._binding = binding
        self._log = log
        self._projection = replace(projection_of(binding), table=table)
        self._settled = known
        self._positions = positions
        self._room = _FIRST

    def read(self, place: Place, begin: int, end: int, limit: int) -> tuple[Sequence[Record], int]:
        """The next records of a partition, and where they end. Raises what reading the log raises."""
        page = self._log.read(*place, begin, min(limit, self._room))
        if page:
            size = sum(len(record.value or b"") for record in page)
            self._room = max(1, _BYTES * len(page) // max(size, 1))
        records = [record for record in page if record.offset < end] if page and page[-1].offset >= end else page
        return records, records[-1].offset + 1 if records and len(records) == len(page) else end

    def fill(
        self, records: Sequence[Record], rows: Reading, waiting: Mapping[str, int], before: Filled | None = None
    ) -> Filled:
        """What they make of the rows that stand, as was settled about dead letters; keys wait from an offset on.

        `before` is what came of the records before them and was not written yet. Raises ListenerError for a record that
        cannot be handled.
        """
        taken, parked = self._taken(records, waiting)
        messages, numbers = self._messages(taken, rows)
        filled = before or Filled(working(self._projection, rows.get, rows.find_each))
        filled.parked |= parked
        try:
            filled.working.handle_all(messages, numbers)
        except StoreError:
            raise
        except Exception as error:
            self.blame(taken, rows, error)
        if self._positions:
            filled.positions += reached(self._binding, [taken[number] for number in numbers], messages)
        return filled

    def blame(self, records: Sequence[Record], rows: Reading, cause: Exception) -> None:
        """Raises ListenerError with the place of the record that cannot be handled."""
        work: Working[Any] = working(self._projection, rows.get, rows.find_each)
        for record in records:
            try:
                work.handle(self._binding.decoder.of([record])[0])
            except StoreError:
                raise
            except Exception as error:
                place = f"{record.topic}/{record.partition}@{record.offset}, key {record.key[:200]!r}"
                text = f"{type(error).__name__}: {error}"
                raise ListenerError(f"the record {place} cannot be handled, and is no dead letter: {text}") from error
        raise ListenerError(f"records cannot be handled together: {type(cause).__name__}: {cause}") from cause

    def _taken(self, records: Sequence[Record], waiting: Mapping[str, int]) -> tuple[Sequence[Record], dict[str, int]]:
        if not waiting:
            return self._settled.of(records), {}
        taken, parked = list[Record](), dict[str, int]()
        for record in records:
            if record.offset >= waiting.get(record.key, record.offset + 1):
                parked[record.key] = waiting[record.key]
            else:
                taken.append(record)
        return self._settled.of(taken), parked

    def _messages(self, records: Sequence[Record], rows: Reading) -> tuple[list[Any], Sequence[int]]:
        try:
            return self._binding.decoder.of(records)
        except CodecError as error:
            self.blame(records, rows, error)
            raise

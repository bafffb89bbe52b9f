"""Putting right what differs from the events: state rows from their streams, view rows from their topics.

Events are believed, so they are to be verified before. A state row is put right by removing it and making it anew: a
capture brings both, so whoever hears of row changes ends with the right row, but there is no change from one amount to
another that could be taken for a withdrawal.

A view is put right from what its listener has done, read again from its topic's begin. Where records are gone from
there, or keys wait behind dead letters, it is left, and said why. A record whose letter was dropped counts as not
there, one that was edited with its new value. What was sent to a topic is never taken back.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from msgspec import Struct

from mainstem.application import Application, Sides
from mainstem.decider import Decider, Stamp
from mainstem.errors import CodecError, Fenced, StateDrift, StoreCorrupt, StoreError
from mainstem.eventstore.port import StoredEvent
from mainstem.eventstore.reader import EventReader
from mainstem.listener.binding import Binding
from mainstem.listener.settled import settled
from mainstem.log.scan import scan
from mainstem.messages import Record
from mainstem.table import Table
from mainstem.tenancy import key_of, read_stream
from mainstem.view.apply import working
from mainstem.view.port import ViewStore

_PAGE = 1_000

Key = tuple[Any, ...]


class Damage(Struct, frozen=True, rename="camel"):
    """A row that is not what it should be: where, its key, what stands and what should (None: no row).

    Or, with `(its columns)` for a key, the columns of a state table.
    """

    table: str
    key: str
    stands: str | None
    should: str | None


class Repaired(Struct, frozen=True, rename="camel"):
    """What was damaged; where not `dry_run`, all of it is put right but for what is left, by table, with the reason."""

    dry_run: bool
    damages: tuple[Damage, ...]
    left: tuple[str, ...]


def repair(application: Application, sides: Sides, *, dry_run: bool) -> Repaired:
    """Find every damaged row of states and views, and unless it is a dry run put it right.

    Holds the rows of one table in memory. Raises StoreCorrupt where an event cannot be read, and StoreError as the
    stores do.
    """
    mending = _Mending(dry_run)
    for decider in application.deciders:
        if decider.state_row is not None:
            mending.states(decider, sides)
    for binding in application.listeners:
        if binding.projection is not None:
            mending.view(binding, sides)
    return Repaired(dry_run, tuple(mending.damages), tuple(mending.left))


class _Mending:
    def __init__(self, dry_run: bool) -> None:
        self._dry_run = dry_run
        self.damages: list[Damage] = []
        self.left: list[str] = []

    def states(self, decider: Decider[Any, Any, Any], sides: Sides) -> None:
        """A row that a command changes meanwhile is a drift, and is left."""
        states = _States(decider, sides)
        for stream, stands, should in states.damaged():
            key = self._tell(states.table, stands, should)
            if not self._dry_run:
                try:
                    states.mend(stream, stands)
                except StateDrift:
                    self.left.append(
                        f"{states.table.name} {key}: it does not stand as it was read; remove it, and repair again"
                    )

    def view(self, binding: Binding[Any], sides: Sides) -> None:
        """All of its rows in one go, or none where its listener goes on meanwhile."""
        view = _View(binding, sides)
        try:
            should = view.should()
        except _UntoldError as reason:
            self.left.append(f"{view.table.name}: {reason}")
            return
        wrong = list(view.damaged(should))
        for stands, right in wrong:
            self._tell(view.table, stands, right)
        if wrong and not self._dry_run:
            try:
                view.mend(wrong)
            except Fenced:
                self.left.append(f"{view.table.name}: its listener runs; stop it, and repair again")

    def _tell(self, table: Table[Any], stands: Any, should: Any) -> str:
        key = " ".join(map(str, table.key_of(should if stands is None else stands)))
        shown = [None if row is None else _shown(table, row) for row in (stands, should)]
        self.damages.append(Damage(table.name, key, *shown))
        return key


class _States:
    """The state rows of one decider."""

    def __init__(self, decider: Decider[Any, Any, Any], sides: Sides) -> None:
        if decider.state_row is None:
            raise TypeError(f"{decider.category} has no state row")
        self._decider = decider
        self._declared = decider.state_row
        self._events = sides.events
        self._reader: EventReader[Any] = EventReader(decider.events)
        self.table: Table[Any] = decider.state_row.table

    def damaged(self) -> Iterator[tuple[str | None, Any, Any]]:
        """Of each damaged row its stream (None where no stream has one), what stands and what should."""
        # before the streams: what a command changes behind this is not what stood, and so a drift
        stands: dict[Key, Any] = {self.table.key_of(row): row for row in self._events.states(self.table)}
        streams = {each.stream: None for batch in self._events.read_all(_PAGE) for each in batch}
        for stream in streams:
            if read_stream(stream).category == self._decider.category:
                should = self._of(stream, self._whole(stream))
                found = None if should is None else stands.pop(self.table.key_of(should), None)
                if found != should:
                    yield stream, found, should
        yield from ((None, row, None) for row in stands.values())

    def mend(self, stream: str | None, stands: Any) -> None:
        """Folded again in the transaction that writes. Raises StateDrift where the row is another by now."""
        with self._events.transaction() as transaction:
            should = None if stream is None else self._of(stream, transaction.load(stream, 0) or ())
            if stands != should:
                transaction.put_state(self.table, stands, None)
                transaction.put_state(self.table, None, should)

    def _whole(self, stream: str) -> list[StoredEvent]:
        found: list[StoredEvent] = []
        while page := self._events.read(stream, found[-1].version if found else 0, _PAGE):
            found.extend(page)
        return found

    def _of(self, stream: str, stored: Sequence[StoredEvent]) -> Any:
        try:
            state = self._decider.fold(self._decider.initial, self._reader.of_stream(stored))
        except CodecError as error:
            raise StoreCorrupt(str(error)) from error
        last = stored[-1]
        return self._declared.row(state, Stamp(key_of(stream), last.version, last.occurred_at_ms))


class _UntoldError(Exception):
    """Nothing says what should be in a view."""


class _View:
    """One listener's view."""

    def __init__(self, binding: Binding[Any], sides: Sides) -> None:
        if binding.projection is None:
            raise TypeError(f"{binding.group} keeps no view")
        self._binding = binding
        self._projection = binding.projection
        self._log, self._views = sides.log, sides.views
        self.table: Table[Any] = binding.projection.table
        self._offsets = dict(sides.views.offsets(binding.group))

    def should(self) -> "_Memory":
        """What the records make that the listener has done. Raises _UntoldError where these do not tell."""
        if self._views.parked(self._binding.group):
            raise _UntoldError("keys wait behind dead letters")
        rows = _Memory(self.table, self._views)
        known = settled(self._binding, self._log)
        for page in self._done():
            records = [record for record in known.of(page) if record.value is not None]
            batch = working(self._projection, rows.get, rows.find_each)
            try:
                batch.handle_all(*self._binding.decoder.of(records))
            except StoreError:
                raise
            except Exception as error:
                place = f"{page[0].topic}/{page[0].partition}, offsets {page[0].offset} to {page[-1].offset}"
                raise _UntoldError(f"a record of {place} cannot be handled: {error}") from error
            batch.write(rows)
        return rows

    def _done(self) -> Iterator[Sequence[Record]]:
        topic = self._binding.topic
        ends = {partition: offset for (name, partition), offset in self._offsets.items() if name == topic}
        for partition, held in self._log.ranges(topic).items():
            if held.begin and ends.get(partition):
                raise _UntoldError(f"records are gone from {topic}/{partition}, which begins at {held.begin}")
        return scan(self._log, topic, ends)

    def damaged(self, should: "_Memory") -> Iterator[tuple[Any, Any]]:
        """What stands and what should, where these differ."""
        left = dict(should.rows)
        for row in self._views.scan(self.table):
            right = left.pop(self.table.key_of(row), None)
            if right != row:
                yield row, right
        yield from ((None, row) for row in left.values())

    def mend(self, wrong: Sequence[tuple[Any, Any]]) -> None:
        """In one transaction. Raises Fenced where the listener has gone on."""
        gone = iter([self.table.key_of(stands) for stands, right in wrong if right is None])
        made = iter([right for _, right in wrong if right is not None])
        with self._views.transaction() as transaction:
            transaction.check(self._binding.group, self._offsets)
            while keys := list(islice(gone, _PAGE)):
                transaction.remove(self.table, keys)
            while rows := list(islice(made, _PAGE)):
                transaction.put(self.table, rows)


class _Memory:
    """A view's rows in memory, as far as a projection asks for and writes them."""

    def __init__(self, table: Table[Any], others: ViewStore) -> None:
        self._table = table
        self._others = others
        self._of: dict[Key, dict[Key, None]] = {}
        self.rows: dict[Key, Any] = {}

    def find_each(
        self,
        table: Table[Any],  # noqa: ARG002 - of one table
        keys: Sequence[Key],
        *,
        descending: bool = False,
        after: Any = None,
        limit: int = 1,
    ) -> dict[Key, list[Any]]:
        """As a store does."""
        found = {}
        for key in keys:
            own = sorted(self._of.get(key, ()), reverse=descending)
            if after is not None:
                own = [each for each in own if (each[-1] < after if descending else each[-1] > after)]
            found[key] = [self.rows[each] for each in own[:limit]]
        return found

    def get(self, table: Table[Any], keys: Sequence[Key]) -> dict[Key, Any]:
        """The rows that stand under those keys: of a view that is joined, in the store."""
        if table is not self._table:
            return self._others.get(table, keys)
        return {key: self.rows[key] for key in keys if key in self.rows}

    def add(self, table: Table[Any], rows: Sequence[Any]) -> int:
        """Those alone whose key does not stand yet."""
        before = len(self.rows)
        for row in rows:
            self._put(table.key_of(row), self.rows.get(table.key_of(row), row))
        return len(self.rows) - before

    def put(self, table: Table[Any], rows: Sequence[Any]) -> None:
        """In the place of what stands."""
        for row in rows:
            self._put(table.key_of(row), row)

    def _put(self, key: Key, row: Any) -> None:
        self.rows[key] = row
        self._of.setdefault(key[:-1], {})[key] = None

    def remove(self, table: Table[Any], keys: Sequence[Key]) -> None:  # noqa: ARG002 - of one table
        """Those that stand."""
        for key in keys:
            self.rows.pop(key, None)
            self._of.get(key[:-1], {}).pop(key, None)


def _shown(table: Table[Any], row: Any) -> str:
    values: Mapping[str, Any] = dict(zip((c.name for c in table.columns), table.values(row), strict=True))
    return ", ".join(f"{name} {value}" for name, value in values.items() if name not in table.key)

"""Archiving at random between appends, seals and snapshots, against a model that is two lists."""

import tempfile
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from mainstem.eventstore.archiving import Asked, move
from mainstem.eventstore.port import NewEvent, Snapshot, StoredEvent, Wanted
from mainstem.eventstore.sqlite import SqliteEventStore
from mainstem.eventstore.sqlite_archive import SqliteEventRows
from mainstem.eventstore.sqlite_integrity import SqliteIntegrity
from mainstem.eventstore.verifying import verify
from mainstem.messages import Origin

_CODE = "today"
_STREAMS = st.sampled_from(["a-1", "a-2", "b-1"])
_TAGS = ("odd", "even")


class Archiving(RuleBasedStateMachine):
    """A store, another that stands for another process, and what must be read: (stream, version, number) of all."""

    def __init__(self) -> None:
        super().__init__()
        self._folder = tempfile.TemporaryDirectory()
        self._path = Path(self._folder.name) / "events.db"
        self._all: list[tuple[str, int, int]] = []

    @initialize()
    def begin(self) -> None:
        self._store, self._other = self._opened(), self._opened()

    def _opened(self) -> SqliteEventStore:
        return SqliteEventStore(self._path, clock_ms=lambda: 1_000)

    def _integrity(self) -> SqliteIntegrity:
        return SqliteIntegrity(self._path, clock_ms=lambda: 1_000)

    def _of(self, stream: str) -> list[tuple[str, int, int]]:
        return [each for each in self._all if each[0] == stream]

    @rule(stream=_STREAMS, count=st.integers(1, 4), remembered=st.integers(0, 30))
    def append(self, stream: str, count: int, remembered: int) -> None:
        """By a writer that remembers the stream as of some version."""
        own = self._of(stream)
        after = min(remembered, len(own))
        with self._store.transaction() as transaction:
            transaction.expect([Wanted(stream, after, "")], [])
            loaded = transaction.load(stream, after)
            assert loaded is not None
            assert [_seen(each) for each in loaded] == own[after:]
            numbers = range(len(self._all), len(self._all) + count)
            events = [NewEvent("Counted", b'{"n":%d}' % n, tags=(_TAGS[n % 2],)) for n in numbers]
            transaction.append(stream, len(own), events, occurred_at_ms=1, origin=Origin())
        self._all += [(stream, version, n) for version, n in enumerate(numbers, len(own) + 1)]

    @rule(limit=st.integers(1, 9))
    def seal(self, limit: int) -> None:
        with closing(self._integrity()) as integrity:
            integrity.seal(limit)

    @rule(stream=_STREAMS, back=st.integers(0, 5))
    def snapshot(self, stream: str, back: int) -> None:
        version = len(self._of(stream)) - back
        if version > 0:
            self._store.keep_snapshots([(stream, Snapshot(version, 1, _CODE, 1, b"{}", b"digest"))])

    @rule(
        stream=st.none() | _STREAMS,
        keep_last=st.none() | st.integers(1, 6),
        events_max=st.integers(1, 7),
        dry_run=st.booleans(),
    )
    def archive(self, stream: str | None, keep_last: int | None, events_max: int, dry_run: bool) -> None:
        asked = Asked(fingerprints=(_CODE,), stream=stream, keep_last=keep_last)
        with closing(SqliteEventRows(self._path)) as rows, closing(self._integrity()) as integrity:
            folder = self._path.parent / "archive"
            move(rows, integrity, folder, asked, clock_ms=int, dry_run=dry_run, events_max=events_max)

    @rule()
    def drop_snapshots(self) -> None:
        self._store.drop_snapshots()

    @rule()
    def open_again(self) -> None:
        self._store.close()
        self._store = self._opened()

    @rule()
    def verify(self) -> None:
        found = verify(self._integrity)
        assert (found.events, found.findings) == (len(self._all), ())

    @rule(stream=_STREAMS, after=st.integers(0, 30), limit=st.integers(1, 8))
    def read(self, stream: str, after: int, limit: int) -> None:
        for store in (self._store, self._other):
            assert _all(store.read(stream, after, limit)) == self._of(stream)[after : after + limit]

    @invariant()
    def all_is_there(self) -> None:
        if hasattr(self, "_store"):
            assert [_seen(each) for batch in self._other.read_all(4) for each in batch] == self._all
            for tag in _TAGS:
                tagged = [_seen(each.event) for each in self._store.read_tagged(tag)]
                assert tagged == [each for each in self._all if _TAGS[each[2] % 2] == tag]

    def teardown(self) -> None:
        if hasattr(self, "_store"):
            self.verify()
            self._store.close()
            self._other.close()
        self._folder.cleanup()


def _seen(event: StoredEvent) -> tuple[str, int, int]:
    return event.stream, event.version, int(event.payload[5:-1])


def _all(events: Sequence[StoredEvent]) -> list[tuple[str, int, int]]:
    return list(map(_seen, events))


TestArchiving = Archiving.TestCase
TestArchiving.settings = settings(max_examples=30, stateful_step_count=25, deadline=None)

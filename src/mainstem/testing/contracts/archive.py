"""What every event store keeps to that archives: whatever was moved, every answer is the one of before.

Bind an adapter by subclassing `ArchiveContract` and implementing `open`, `integrity`, `rows`, `captured` and `run_sql`.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from mainstem.errors import StoreBusy, StoreCorrupt, StoreUnavailable
from mainstem.eventstore.archive import Archive
from mainstem.eventstore.archiving import Asked, EventRows, Moved, move
from mainstem.eventstore.chain import HIGHEST
from mainstem.eventstore.check import StoredEvents
from mainstem.eventstore.integrity import Integrity
from mainstem.eventstore.port import EventStore, NewEvent, Snapshot, StoredEvent, TaggedEvent, Wanted
from mainstem.eventstore.verifying import Verified, verify, work_of
from mainstem.folder import Folder
from mainstem.messages import Origin

ORIGIN = Origin(actor="teller", correlation_id="c-1", causation_id="order-7:3")
CODE = "today"
"""The fingerprint of the code that the snapshots are of."""

_STREAMS = ("a-0", "a-1", "b-1", "Ä-9", "c-alone")
_EVENTS = 12


class ArchiveContract(ABC):
    """The suite. Five streams of twelve events stand side by side; a snapshot is of the tenth of each but the last."""

    @abstractmethod
    def open(self, folder: Path) -> EventStore:
        """The store of that folder; opened a second time it stands for another process."""

    @abstractmethod
    def reader(self, folder: Path) -> StoredEvents:
        """The same, read only."""

    @abstractmethod
    def integrity(self, folder: Path) -> Integrity:
        """Its chain and seals."""

    @abstractmethod
    def rows(self, folder: Path) -> EventRows:
        """Its rows, to be moved."""

    @abstractmethod
    def run_sql(self, folder: Path, *statements: str) -> None:
        """As any client of the database would."""

    def files(self, folder: Path) -> Path:
        """Where the archive's files are."""
        return folder / "archive"

    @pytest.fixture
    def store(self, tmp_path: Path) -> Iterator[EventStore]:
        """Filled, and sealed but for the last two events."""
        with closing(self.open(tmp_path)) as store:
            for version in range(_EVENTS):
                for stream in _STREAMS:
                    append(store, stream, version)
            keep(store, dict.fromkeys(_STREAMS[:-1], 10))
            self.seal(tmp_path)
            for version in range(_EVENTS, _EVENTS + 2):
                append(store, "a-1", version)
            yield store

    def seal(self, folder: Path) -> None:
        """All that is not sealed yet, in intervals."""
        with closing(self.integrity(folder)) as integrity:
            while integrity.seal(7):
                pass

    def move(self, folder: Path, *, dry_run: bool = False, events_max: int = 10, **asked: Any) -> Moved:
        """As `mainstem archive` does."""
        with closing(self.rows(folder)) as rows, closing(self.integrity(folder)) as integrity:
            wanted = Asked(**{"fingerprints": (CODE,), **asked})
            into = self.files(folder)
            return move(rows, integrity, into, wanted, clock_ms=lambda: 9_000, dry_run=dry_run, events_max=events_max)

    def verified(self, folder: Path) -> Verified:
        """What verifying finds."""
        return verify(partial(self.integrity, folder))

    def rows_of(self, folder: Path, stream: str) -> list[int]:
        """The versions of a stream that are rows."""
        with closing(self.rows(folder)) as rows:
            return [version for (version,) in rows.ask(_VERSIONS, (stream,))]

    def test_every_answer_stays_the_same(self, store: EventStore, tmp_path: Path) -> None:
        """Of the store that had it open before, of a reader, page by page, by tags, in a transaction; and verified."""
        with closing(self.reader(tmp_path)) as reader:
            was, seen = answers(store), answers(reader)
            found = self.verified(tmp_path)
            assert found.clean
            moved = self.move(tmp_path)
            assert (moved.events, moved.streams, moved.files) == (36, 4, 4)
            assert self.rows_of(tmp_path, "a-1") == [10, 11, 12, 13, 14]
            assert self.rows_of(tmp_path, "c-alone") == list(range(1, _EVENTS + 1))
            assert answers(store) == was
            assert answers(reader) == seen
            assert self.verified(tmp_path) == found
        with closing(self.open(tmp_path)) as other, closing(self.reader(tmp_path)) as reader:
            assert (answers(other), answers(reader)) == (was, seen)

    def test_loading_begins_anywhere(self, store: EventStore, tmp_path: Path) -> None:
        """At the first event, within the archive, at its end, behind it; and beyond the stream it is nowhere."""
        was = list(store.read("a-1"))
        self.move(tmp_path)
        for after in range(len(was) + 2):
            for expecting in (True, False):
                with store.transaction() as transaction:
                    if expecting:
                        transaction.expect([Wanted("a-1", after, "")], [])
                    found = transaction.load("a-1", after)
                assert found == (was[after:] if after <= len(was) else None)
        with store.transaction() as transaction:
            assert transaction.load("nobody-1", 0) == []

    def test_a_stream_goes_on(self, store: EventStore, tmp_path: Path) -> None:
        """With its versions and its chain; and more of it is archived then, into files of their own."""
        self.move(tmp_path)
        append(store, "a-1", 14)
        append(store, "Ä-9", _EVENTS)
        was = answers(store)
        keep(store, {"a-1": 15})
        self.seal(tmp_path)
        assert self.move(tmp_path, events_max=3).events == 5
        assert self.rows_of(tmp_path, "a-1") == [15]
        assert answers(store) == was
        assert self.verified(tmp_path).clean

    def test_what_is_asked_for_is_moved(self, store: EventStore, tmp_path: Path) -> None:
        """One stream; events that are old enough; all but the last of each. A look changes nothing."""
        was = answers(store)
        assert self.move(tmp_path, dry_run=True).events == 36
        assert not self.files(tmp_path).exists()
        assert self.move(tmp_path, stream="b-1", keep_last=8).events == 4
        assert self.move(tmp_path, stream="b-1", keep_last=8).events == 0
        assert self.move(tmp_path, before_ms=0).events == 0
        assert self.move(tmp_path, stream="c-alone").events == 0
        assert self.move(tmp_path, fingerprints=("another",)).events == 0
        assert self.move(tmp_path, fingerprints=()).events == 0
        assert self.move(tmp_path, captured_to=20).events == 12
        assert answers(store) == was

    def test_what_no_seal_holds_stays(self, store: EventStore, tmp_path: Path) -> None:
        """Nor is the last event of a stream moved, whatever snapshots say."""
        keep(store, {"a-1": 14})
        assert self.move(tmp_path, stream="a-1").events == 12
        self.seal(tmp_path)
        keep(store, {"a-1": 900})
        assert self.move(tmp_path, stream="a-1").events == 1
        assert self.rows_of(tmp_path, "a-1") == [14]
        assert len(store.read("a-1")) == 14

    def test_snapshots_are_speed_only(self, store: EventStore, tmp_path: Path) -> None:
        """Without any of them everything is still there."""
        was = answers(store)
        self.move(tmp_path)
        assert store.drop_snapshots() == 4
        assert answers(store) == was

    def test_a_damaged_event_is_not_moved(self, store: EventStore, tmp_path: Path) -> None:
        """It is told, and nothing of its file goes."""
        self.run_sql(tmp_path, "UPDATE event SET actor = 'nobody' WHERE stream = 'b-1' AND version = 2")
        with pytest.raises(StoreCorrupt, match="b-1 2 is not as it was appended"):
            self.move(tmp_path, stream="b-1")
        assert len(self.rows_of(tmp_path, "b-1")) == _EVENTS
        assert len(store.read("b-1")) == _EVENTS

    def test_one_moves_at_a_time(self, store: EventStore, tmp_path: Path) -> None:
        """Another is told to come later."""
        owner = Folder(self.files(tmp_path))
        owner.acquire()
        with pytest.raises(StoreBusy):
            self.move(tmp_path)
        owner.release()
        assert self.move(tmp_path).events == 36
        assert len(store.read("a-0")) == _EVENTS

    def test_what_was_half_written_is_removed(self, store: EventStore, tmp_path: Path) -> None:
        """By a run that died; whole files are left alone, which may be another store's."""
        self.move(tmp_path, stream="a-0")
        kept = set(self.files(tmp_path).iterdir())
        (self.files(tmp_path) / "events-1-2-aa.parquet.part").write_bytes(b"left")
        (self.files(tmp_path) / "events-1-2-aa.parquet").write_bytes(b"another's")
        self.move(tmp_path, stream="c-alone")
        assert set(self.files(tmp_path).iterdir()) == kept | {self.files(tmp_path) / "events-1-2-aa.parquet"}
        assert len(store.read("a-0")) == _EVENTS

    @pytest.mark.parametrize("how", ["missing", "changed", "cut"])
    def test_a_damaged_file_is_told(self, store: EventStore, tmp_path: Path, how: str) -> None:
        """By who reads it and by verifying; and what is not in it is served, and damage elsewhere told."""
        self.move(tmp_path, stream="a-0", events_max=100)
        self.move(tmp_path, stream="b-1", events_max=100)
        before = self.verified(tmp_path)
        (path,) = (each for each in self.files(tmp_path).glob("*.parquet") if b"b-1" in each.read_bytes())
        content = path.read_bytes()
        if how == "missing":
            path.unlink()
        else:
            path.write_bytes(content[:-1] if how == "cut" else content[:90] + bytes([content[90] ^ 1]) + content[91:])
        expected = StoreUnavailable if how == "missing" else StoreCorrupt
        for ask in (lambda: store.read("b-1"), lambda: list(store.read_all()), lambda: store.read_tagged("even")):
            with pytest.raises(expected, match=path.name):
                ask()
        assert len(store.read("a-0")) == _EVENTS
        assert [event.version for event in store.read("b-1", after=9)] == [10, 11, 12]
        found = self.verified(tmp_path)
        assert [(each.kind, each.stream) for each in found.findings] == [("archive", path.name)]
        assert found.events == before.events - 9
        self.run_sql(tmp_path, "UPDATE event SET actor = 'nobody' WHERE stream = 'b-1' AND version = 11")
        told = self.verified(tmp_path).findings
        assert [(each.kind, each.version) for each in told] == [("archive", 0), ("changed", 11)]
        path.write_bytes(content)
        assert len(store.read("b-1")) == _EVENTS

    def test_what_the_store_says_of_a_file_is_held(self, store: EventStore, tmp_path: Path) -> None:
        """Its streams, its places; and a file that it no longer names."""
        self.move(tmp_path, stream="b-1", events_max=100)
        self.run_sql(tmp_path, "UPDATE archived_stream SET first_version = 2")
        assert [each.kind for each in self.verified(tmp_path).findings] == ["archive"]
        self.run_sql(tmp_path, "UPDATE archived_stream SET first_version = 1", "UPDATE event_archive SET events = 8")
        assert [each.kind for each in self.verified(tmp_path).findings] == ["archive"]
        self.run_sql(tmp_path, "DELETE FROM event_archive")
        assert [each.kind for each in self.verified(tmp_path).findings] == ["archive"]
        with pytest.raises(StoreCorrupt, match="does not list"):
            store.read("b-1")

    def test_verifying_looks_at_each_archived_event(self, store: EventStore, tmp_path: Path) -> None:
        """`progress` comes to what there was to be done."""
        self.move(tmp_path)
        done: list[int] = []
        with closing(self.integrity(tmp_path)) as integrity:
            work = work_of(integrity)
        verify(partial(self.integrity, tmp_path), progress=done.append)
        assert sum(done) <= work <= sum(done) + 14
        assert len(list(store.read_all(1_000))) > 0

    def test_tags_of_archived_events_are_held(self, store: EventStore, tmp_path: Path) -> None:
        """Each row against the event in the file, and each event's tags against the rows."""
        (event, *_) = store.read_tagged("odd")
        self.move(tmp_path)
        assert event.event.version not in self.rows_of(tmp_path, event.event.stream)
        assert self.verified(tmp_path).clean
        self.run_sql(tmp_path, "UPDATE event_tag SET version = version + 1 WHERE tag = 'odd' AND number = 1")
        assert [(each.kind, each.version) for each in self.verified(tmp_path).findings] == [("tag", 1)]
        self.run_sql(tmp_path, "DELETE FROM event_tag WHERE tag = 'odd' AND number = 1")
        assert [(each.kind, each.version) for each in self.verified(tmp_path).findings] == [("tag", 1)]

    def test_a_reader_that_is_in_the_middle(self, store: EventStore, tmp_path: Path) -> None:
        """Reads each event once, whatever is moved meanwhile."""
        was = [event for batch in store.read_all() for event in batch]
        with closing(self.reader(tmp_path)) as reader:
            for reading in (store.read_all(5), reader.read_all(5)):
                found = list(next(reading))
                self.move(tmp_path, events_max=6)
                for batch in reading:
                    found += batch
                    assert len(batch) <= 5
                assert found == was

    def test_a_file_leads_to_a_stream_by_its_row_groups(
        self, store: EventStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Those of other streams are not read."""
        monkeypatch.setattr("mainstem.eventstore.archive._ROW_GROUP", 9)
        self.move(tmp_path, events_max=100)
        read: list[int] = []
        from pyarrow import parquet

        original = parquet.ParquetFile.read_row_groups

        def counted(opened: Any, groups: Sequence[int], *rest: Any, **named: Any) -> Any:
            read.append(len(groups))
            return original(opened, groups, *rest, **named)

        monkeypatch.setattr(parquet.ParquetFile, "read_row_groups", counted)
        assert len(store.read("b-1")) == _EVENTS
        assert len(store.read("Ä-9")) == _EVENTS
        assert read == [1, 1]

    def test_where_no_folder_is_named_it_is_said(self, store: EventStore, tmp_path: Path) -> None:
        """Not taken for a stream without events."""
        self.move(tmp_path, stream="a-0")
        with closing(self.rows(tmp_path)) as rows, pytest.raises(StoreUnavailable, match="no folder"):
            Archive(rows.ask, None).of_stream("a-0", 1, HIGHEST)
        assert len(store.read("a-0")) == _EVENTS

    def test_events_without_a_hash_are_archived_as_they_are(self, tmp_path: Path) -> None:
        """Those of before there was a chain, which their seals hold."""
        with closing(self.open(tmp_path)) as store:
            for version in range(4):
                append(store, "a-1", version)
            self.run_sql(tmp_path, "UPDATE event SET hash = NULL")
            for version in range(4, 8):
                append(store, "a-1", version)
            keep(store, {"a-1": 7})
            self.seal(tmp_path)
            was = answers(store)
            assert self.move(tmp_path, events_max=3).events == 6
            assert answers(store) == was
            found = self.verified(tmp_path)
            assert (found.clean, found.unchained) == (True, 4)


_VERSIONS = "SELECT version FROM event WHERE stream = ? ORDER BY version"
Answers = tuple[list[StoredEvent], list[list[StoredEvent]], list[list[TaggedEvent]]]


def append(store: EventStore, stream: str, version: int) -> None:
    """One event, with tags by its number."""
    with store.transaction() as transaction:
        payload = b'{"type":"Counted","n":%d,"text":"h\xc3\xa4"}' % (version + 1)
        event = NewEvent("Counted", payload, tags=("odd" if version % 2 == 0 else "even", "all"))
        transaction.append(stream, version, [event], occurred_at_ms=500 + version, origin=ORIGIN)


def keep(store: EventStore, versions: dict[str, int]) -> None:
    """Snapshots of streams at these versions, by today's code."""
    store.keep_snapshots(
        [(stream, Snapshot(version, 1, CODE, 1, b"{}", b"digest")) for stream, version in versions.items()]
    )


def answers(store: EventStore | StoredEvents) -> Answers:
    """All that can be read: of all, of each stream from several places, by tags."""
    everything = [event for batch in store.read_all(7) for event in batch]
    streams = [
        list(store.read(stream, after, limit))
        for stream in dict.fromkeys(event.stream for event in everything)
        for after in (0, 3, 8, 9, 10, 40)
        for limit in (1, 4, 1_000)
    ]
    tags = [list(store.read_tagged(tag, after, limit)) for tag in ("odd", "even", "all") for after, limit in _PAGES]
    return everything, streams, tags


_PAGES = ((0, 1_000), (0, 5), (4, 7), (30, 1_000))

"""A single byte of a stored file is another: it is found, or what is stored reads as it was appended."""

import random
import shutil
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from mainstem.errors import MainstemError, StoreCorrupt
from mainstem.eventstore.archiving import Asked, move
from mainstem.eventstore.port import NewEvent, Snapshot, StoredEvent, TaggedEvent
from mainstem.eventstore.seal import Seal
from mainstem.eventstore.sqlite import SqliteEventReader, SqliteEventStore
from mainstem.eventstore.sqlite_archive import SqliteEventRows
from mainstem.eventstore.sqlite_integrity import SqliteIntegrity
from mainstem.eventstore.verifying import verify
from mainstem.messages import Origin

_BYTES = 200
_TAGS = ("customer:c-1", "red")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Four streams of events, most of them sealed, in a file that nobody has open."""
    path = tmp_path / "events.db"
    with closing(SqliteEventStore(path, clock_ms=lambda: 1_000)) as store:
        for number in range(40):
            with store.transaction() as transaction:
                event = NewEvent("Counted", b'{"type":"Counted","n":%d}' % number)
                transaction.append(f"a-{number % 4}", number // 4, [event], occurred_at_ms=number, origin=Origin())
    with closing(SqliteIntegrity(path, clock_ms=lambda: 1_000)) as integrity:
        for _ in range(3):
            integrity.seal(10)
    assert not path.with_name("events.db-wal").exists()
    return path


def stored(path: Path) -> tuple[list[StoredEvent], list[Seal], list[TaggedEvent]]:
    with (
        closing(SqliteEventReader(path)) as reader,
        closing(SqliteIntegrity(path, clock_ms=lambda: 1_000)) as integrity,
    ):
        tagged = [each for tag in _TAGS for each in reader.read_tagged(tag)]
        return [event for batch in reader.read_all() for event in batch], list(integrity.seals()), tagged


def spoil(whole: bytes, place: int, bit: int, folder: Path) -> Path:
    """The file with one bit turned over, in a folder of its own."""
    path = folder / "spoilt" / "events.db"
    shutil.rmtree(path.parent, ignore_errors=True)
    path.parent.mkdir()
    path.write_bytes(whole[:place] + bytes([whole[place] ^ bit]) + whole[place + 1 :])
    return path


def is_told(path: Path, was: object) -> bool:
    """Whether verifying tells of it; where it does not, what is stored must read as it was."""
    try:
        if not verify(partial(SqliteIntegrity, path, clock_ms=lambda: 1_000)).clean:
            return True
        assert stored(path) == was, "it is not seen"
    except MainstemError:
        return True
    return False


@pytest.mark.slow
def test_no_byte_of_an_event_changes_unseen(path: Path, tmp_path: Path) -> None:
    whole, was = path.read_bytes(), stored(path)
    choice = random.SystemRandom()
    outcomes = set()
    for _ in range(_BYTES):
        place, bit = choice.randrange(len(whole)), 1 << choice.randrange(8)
        try:
            outcomes.add(is_told(spoil(whole, place, bit, tmp_path), was))
        except Exception as error:
            pytest.fail(f"bit {bit} of byte {place}: {error!r}")
    assert outcomes == {True, False}


def test_no_byte_of_a_tag_changes_unseen(tmp_path: Path) -> None:
    """In the rows by which events are found, and in what events keep of them."""
    path = tmp_path / "events.db"
    with closing(SqliteEventStore(path, clock_ms=lambda: 1_000)) as store:
        for number in range(4):
            with store.transaction() as transaction:
                event = NewEvent("Counted", b"{}", tags=_TAGS)
                transaction.append(f"stream-{number}", 0, [event], occurred_at_ms=number, origin=Origin())
    whole, was = path.read_bytes(), stored(path)
    for found in (b'[["customer:c-1",3],["red",3]]', b"red\x03stream-2"):
        assert whole.count(found) == 1
        begin = whole.index(found)
        for place in range(begin, begin + len(found)):
            assert is_told(spoil(whole, place, 1 << place % 8, tmp_path), was), place - begin


@pytest.fixture
def archived(path: Path) -> Path:
    """The same, most of its sealed events in two files of the archive."""
    with closing(SqliteEventStore(path, clock_ms=lambda: 1_000)) as store:
        store.keep_snapshots([(f"a-{n}", Snapshot(8, 1, "today", 1, b"{}", b"digest")) for n in range(4)])
    with closing(SqliteEventRows(path)) as rows, closing(SqliteIntegrity(path, clock_ms=lambda: 1_000)) as integrity:
        asked = Asked(fingerprints=("today",))
        assert move(rows, integrity, path.parent / "archive", asked, clock_ms=int, events_max=20).events == 28
    return path


def test_no_byte_of_an_archived_event_changes_unseen(archived: Path) -> None:
    """Wherever in its file: it is told, and nothing of it is read."""
    with closing(SqliteEventReader(archived)) as reader:
        for file in sorted(archived.parent.glob("archive/*.parquet")):
            whole = file.read_bytes()
            for place in range(0, len(whole), 101):
                file.write_bytes(whole[:place] + bytes([whole[place] ^ 1 << place % 8]) + whole[place + 1 :])
                found = verify(partial(SqliteIntegrity, archived, clock_ms=lambda: 1_000))
                assert [(each.kind, each.stream) for each in found.findings] == [("archive", file.name)], place
                with pytest.raises(StoreCorrupt, match=file.name):
                    list(reader.read_all())
            file.write_bytes(whole)
        assert len([event for batch in reader.read_all() for event in batch]) == 40


@pytest.mark.slow
def test_no_byte_of_what_is_said_of_an_archive_changes_unseen(archived: Path, tmp_path: Path) -> None:
    """In the file that lists it, between the events that are left."""
    whole, was = archived.read_bytes(), stored(archived)
    choice = random.SystemRandom()
    for _ in range(_BYTES // 2):
        place, bit = choice.randrange(len(whole)), 1 << choice.randrange(8)
        path = spoil(whole, place, bit, tmp_path)
        shutil.copytree(archived.parent / "archive", path.parent / "archive")
        try:
            is_told(path, was)
        except Exception as error:
            pytest.fail(f"bit {bit} of byte {place}: {error!r}")


@pytest.mark.parametrize("number", [1, -1])
@pytest.mark.parametrize(("row", "before", "width"), [("seal", 19, 12), ("event", 27, 14)])
def test_every_bit_before_a_rows_values_counts(
    path: Path, tmp_path: Path, row: str, before: int, width: int, number: int
) -> None:
    """Number, lengths and types of a row in the middle and of the last one.

    A single bit may be otherwise: the type of the column that stands for the row's number, where SQLite stores nothing
    and reads nothing. With that bit it says 0 (type 8), not NULL (type 0); either has no bytes.
    """
    whole, was = path.read_bytes(), stored(path)
    place = whole.index(was[1][number].root if row == "seal" else was[0][10 * number].payload)
    places = [(at, 1 << bit) for at in range(place - before, place) for bit in range(8)]
    unseen = [(at, bit) for at, bit in places if not is_told(spoil(whole, at, bit, tmp_path), was)]
    assert [(whole[at], bit) for at, bit in unseen] == [(0, 8)]
    assert whole[unseen[0][0] - 1] == width, "it is the first type, behind the length of the row's head"

"""A single byte of a stored file is another: it is found, or what is stored reads as it was appended."""

import random
import shutil
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from mainstem.errors import MainstemError
from mainstem.eventstore.port import NewEvent, StoredEvent
from mainstem.eventstore.seal import Seal
from mainstem.eventstore.sqlite import SqliteEventReader, SqliteEventStore
from mainstem.eventstore.sqlite_integrity import SqliteIntegrity
from mainstem.eventstore.verifying import verify
from mainstem.messages import Origin

_BYTES = 200


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


def stored(path: Path) -> tuple[list[StoredEvent], list[Seal]]:
    with (
        closing(SqliteEventReader(path)) as reader,
        closing(SqliteIntegrity(path, clock_ms=lambda: 1_000)) as integrity,
    ):
        return [event for batch in reader.read_all() for event in batch], list(integrity.seals())


@pytest.mark.slow
def test_no_byte_of_an_event_changes_unseen(path: Path, tmp_path: Path) -> None:
    whole, was = path.read_bytes(), stored(path)
    seed = random.SystemRandom().randrange(1_000_000)
    choice = random.Random(seed)
    outcomes = {"told": 0, "harmless": 0}
    spoilt = tmp_path / "spoilt" / "events.db"
    for _ in range(_BYTES):
        place, bit = choice.randrange(len(whole)), 1 << choice.randrange(8)
        shutil.rmtree(spoilt.parent, ignore_errors=True)
        spoilt.parent.mkdir()
        spoilt.write_bytes(whole[:place] + bytes([whole[place] ^ bit]) + whole[place + 1 :])
        try:
            found = verify(partial(SqliteIntegrity, spoilt, clock_ms=lambda: 1_000))
            if found.clean:
                assert stored(spoilt) == was, f"seed {seed}: bit {bit} of byte {place} is not seen"
                outcomes["harmless"] += 1
            else:
                outcomes["told"] += 1
        except MainstemError:
            outcomes["told"] += 1
    assert min(outcomes.values()) > 0

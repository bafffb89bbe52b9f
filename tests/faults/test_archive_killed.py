"""`kill -9` at each step of archiving: every event is in one readable place, and the next run goes on from there."""

import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from mainstem.eventstore.mysql import MysqlEventStore
from mainstem.eventstore.port import EventStore
from mainstem.eventstore.sqlite import SqliteEventStore
from mainstem.eventstore.verifying import verify
from mainstem.testing.contracts.archive import answers, append, keep
from tests.faults.archiver import STEPS, parts
from tests.stack import Databases

_STREAMS = ("a-1", "a-2", "b-1")
_EVENTS = 12


@pytest.mark.parametrize("step", STEPS)
def test_killed_while_events_are_archived(tmp_path: Path, step: str) -> None:
    path = tmp_path / "events.db"
    _kill(step, [str(path)], lambda: SqliteEventStore(path, clock_ms=lambda: 1), tmp_path / "archive")


@pytest.mark.stack
@pytest.mark.parametrize("step", STEPS)
def test_killed_while_events_of_mysql_are_archived(tmp_path: Path, databases: Databases, step: str) -> None:
    server, folder = databases(tmp_path), tmp_path / "archive"
    words = [server.host, str(server.port), server.user, server.password, server.database, str(folder)]
    _kill(step, words, lambda: MysqlEventStore(server, clock_ms=lambda: 1, archive=folder), folder)


def _kill(step: str, words: list[str], open_: Callable[[], EventStore], folder: Path) -> None:
    with closing(open_()) as store:
        for version in range(_EVENTS):
            for stream in _STREAMS:
                append(store, stream, version)
        keep(store, dict.fromkeys(_STREAMS, _EVENTS))
        was = answers(store)
        _, integrity = parts(words)
        with closing(integrity):
            while integrity.seal(5):
                pass
        assert _run(step, words) == -signal.SIGKILL
        _check(words, 14 if step == "committed" else 7)
        assert answers(store) == was
        assert len(list(folder.glob("events-*"))) == 2, "the second is listed, or left over"
        assert _left_over(words) == (0 if step in ("written", "flushed", "committed") else 1)
        assert _run("never", words) == 0
        assert _left_over(words) == 0
        _check(words, len(_STREAMS) * (_EVENTS - 1))
        assert answers(store) == was
        assert len(list(folder.glob("events-*"))) == 5
        with closing(open_()) as other:
            assert answers(other) == was


def _run(step: str, words: list[str]) -> int:
    program = [sys.executable, "-m", "tests.faults.archiver", step, *words]
    return subprocess.run(program, timeout=60, check=False).returncode


def _left_over(words: list[str]) -> int:
    """Files that nobody reads, as verifying tells; all else is well."""
    found = verify(lambda: parts(words)[1])
    assert found.clean
    return len(found.left_over)


def _check(words: list[str], archived: int) -> None:
    """Each event is a row or archived, and none is both."""
    rows, integrity = parts(words)
    with closing(rows), closing(integrity):
        listed = rows.ask("SELECT coalesce(sum(events), 0) FROM event_archive")[0][0]
        stand = rows.ask("SELECT count(*) FROM event")[0][0]
        assert (int(listed), int(stand)) == (archived, len(_STREAMS) * _EVENTS - archived)
    assert verify(lambda: parts(words)[1]).clean

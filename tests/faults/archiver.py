"""Archives all that it may, and is killed at a step that it is told."""

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mainstem.eventstore import archiving
from mainstem.eventstore.archiving import Asked, EventRows, move
from mainstem.eventstore.integrity import Integrity
from mainstem.eventstore.mysql_archive import MysqlEventRows
from mainstem.eventstore.mysql_integrity import MysqlIntegrity
from mainstem.eventstore.sqlite_archive import SqliteEventRows
from mainstem.eventstore.sqlite_integrity import SqliteIntegrity
from mainstem.mysql import MysqlServer

CODE = "today"
STEPS = ("written", "flushed", "renamed", "compared", "removed", "listed", "committed")


def parts(words: list[str]) -> tuple[EventRows, Integrity]:
    """Of a file, or of host, port, user, password, database and archive."""
    if len(words) == 1:
        path = Path(words[0])
        return SqliteEventRows(path), SqliteIntegrity(path, clock_ms=lambda: 1)
    host, port, user, password, database, folder = words
    server = MysqlServer(host, int(port), user, password, database)
    return MysqlEventRows(server), MysqlIntegrity(server, clock_ms=lambda: 1, archive=Path(folder))


def killed(call: Callable[..., Any], *, before: bool) -> Callable[..., Any]:
    """The call, and the end before it or behind it."""

    def ended(*words: Any, **named: Any) -> None:
        if not before:
            call(*words, **named)
        os.kill(os.getpid(), signal.SIGKILL)

    return ended


def main(step: str, words: list[str]) -> None:
    """Ends at that step of the second file."""
    rows, integrity = parts(words)
    folder = Path(words[-1]) if len(words) > 1 else Path(words[0]).parent / "archive"
    asked = Asked(fingerprints=(CODE,))
    move(rows, integrity, folder, asked, clock_ms=lambda: 1, events_max=7, progress=lambda _: prepare(step, rows))


def prepare(step: str, rows: EventRows) -> None:
    """Of the first file that is written after this."""
    if step == "never":
        return
    adapter = sys.modules[type(rows).__module__]
    place, name, before = {
        "written": (os, "fsync", True),
        "flushed": (os, "fsync", False),
        "renamed": (Path, "rename", False),
        "compared": (archiving, "_compare", False),
        "removed": (adapter, "insert_many", True),
        "listed": (adapter, "insert_many", False),
        "committed": (rows, "move", False),
    }[step]
    setattr(place, name, killed(getattr(place, name), before=before))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])

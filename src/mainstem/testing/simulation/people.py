"""People are forgotten in the middle of everything: from then on nobody can read what was theirs, and others' stays."""

from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from random import Random
from typing import Any

import apsw
from msgspec import Struct

from mainstem.assembly.embedded import Embedded
from mainstem.assembly.places import key_files
from mainstem.eventstore.reader import EventReader
from mainstem.privacy.marks import marks_of
from mainstem.privacy.port import FORGOTTEN, UNREADABLE
from mainstem.tenancy import read_stream

_SELDOM = 0.3


class People:
    """Those of one run who may be forgotten, through all of its lives."""

    def __init__(self, subjects: Sequence[str]) -> None:
        self._subjects = subjects
        self._asked: set[str] = set()
        self._keys: dict[str, bytes] = {}
        self.forgotten: set[str] = set()
        """Those of whom it was answered that they are."""

    def step(self, running: Embedded, choice: Random) -> int:
        """Now and then somebody is forgotten, or is so once more."""
        if not self._subjects or choice.random() > _SELDOM:
            return 0
        subject = choice.choice(self._subjects)
        self._asked.add(subject)
        if (key := _kept(key_files(running.settings)[0], subject)) is not None:
            self._keys[subject] = key
        running.forgetter.forget(subject, actor="simulation", why="asked for")
        self.forgotten.add(subject)
        return 1

    def complaints(self, running: Embedded) -> Iterator[str]:
        """What can still be read of somebody who is forgotten, and what cannot of others."""
        for subject in sorted(self.forgotten):
            key = running.vault.key_of(subject)
            if key is None or key.key is not None or key.tombstone is None:
                yield f"{subject} is forgotten, and has {'no tombstone' if key is None else 'a key'}"
        path = key_files(running.settings)[0]
        for file in (path, path.with_name(f"{path.name}-wal")):
            content = file.read_bytes() if file.is_file() else b""
            for subject in sorted(self.forgotten & self._keys.keys()):
                if self._keys[subject] in content:
                    yield f"{file.name} still holds the key of {subject}"
        for stream, struct in _structs(running):
            yield from self._readable(running, struct, stream)

    def _readable(self, running: Embedded, struct: Struct, stream: str) -> Iterator[str]:
        opened = running.vault.open(struct, stream)
        for mark in marks_of(type(struct)):
            subject, text = mark.subject(struct, stream), getattr(opened, mark.field)
            if not text or subject is None:
                continue
            if subject in self.forgotten and text != FORGOTTEN:
                yield f"{subject} is forgotten, and {mark.field} of {struct!r} is {text!r}"
            if subject not in self._asked and text in (FORGOTTEN, UNREADABLE):
                yield f"nobody has forgotten {subject}, and {mark.field} of {struct!r} is {text!r}"


def _kept(path: Path, subject: str) -> bytes | None:
    """The key as its file has it."""
    if not path.is_file():
        return None
    with closing(apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)) as connection:
        rows: Any = connection.execute("SELECT wrapped FROM personal_key WHERE subject = ?", (subject,)).fetchall()
    return None if not rows else rows[0][0]


def _structs(running: Embedded) -> Iterator[tuple[str, Struct]]:
    """All that has personal data: events with their streams, wherever they are kept now, and rows of views."""
    readers = {each.category: EventReader(each.events) for each in running.application.all_deciders()}
    for batch in running.events.read_all():
        for stored in batch:
            for _, event in readers[read_stream(stored.stream).category].each([stored]):
                if marks_of(type(event)):
                    yield stored.stream, event
    for table in running.application.views():
        if marks_of(table.row):
            for row in running.views.scan(table):
                yield "", row

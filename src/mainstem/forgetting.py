"""Forgetting a subject: its key is destroyed, and it is told where its tokens stand, which nobody can open any more.

The key goes first: whatever happens to this process while it looks for the tokens, the subject is forgotten, and asking
again tells the rest.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import structlog

from mainstem.application import Application, Sides
from mainstem.errors import InvalidQuery, MainstemError
from mainstem.layers.archive import read_raw
from mainstem.log.scan import scan
from mainstem.privacy.port import SUBJECT_MAX, Forgetting, Found, Tombstone
from mainstem.privacy.tokens import in_bytes, marker_of
from mainstem.privacy.vault import Vault
from mainstem.table import Table
from mainstem.tenancy import qualified

_log = structlog.get_logger(__name__)

_WHY_MAX = 500
_NAMES_MAX = 1_000
"""So many streams are named; the rest is counted together."""

_OTHERS = ("…", "")

Told = Callable[[str, int], None]
"""Told what is being looked at, and how much of that is done."""


class Forgetter:
    """Forgets subjects of an application, wherever their data have come to."""

    def __init__(
        self, application: Application, sides: Sides, vault: Vault, *, clock_ms: Callable[[], int], raw: Path
    ) -> None:
        """`raw` is the folder of RAW's files, if there is one."""
        self._raw = raw
        self._application = application
        self._sides = sides
        self._vault = vault
        self._clock_ms = clock_ms

    def forget(
        self,
        subject: str,
        *,
        tenant: str | None = None,
        actor: str,
        why: str,
        dry_run: bool = False,
        told: Told = lambda *_: None,
    ) -> Forgetting:
        """Destroy the key, then look where its tokens stand; only look with `dry_run`. The subject is the tenant's.

        Raises InvalidQuery for what is no subject of this application, StoreError where the keys cannot be had.
        """
        self._check(subject, why, dry_run=dry_run)
        own = qualified(tenant, subject)
        if dry_run:
            key = self._vault.key_of(own)
        else:
            key = self._vault.forget(own, Tombstone(forgotten_at_ms=self._clock_ms(), actor=actor, why=why))
            _log.info("a subject is forgotten", subject=own, actor=actor)
        if key is None:
            return Forgetting(subject, None, (), ())
        places, missed = list[Found](), list[str]()
        for name, look in self._looks().items():
            try:
                places += look(marker_of(key.key_id), told)
            except MainstemError as error:
                _log.warning("a place cannot be looked at", place=name, cause=str(error))
                missed.append(f"{name}: {error}")
        return Forgetting(subject, key.tombstone, tuple(places), tuple(missed))

    def _check(self, subject: str, why: str, *, dry_run: bool) -> None:
        kinds = self._application.personal_kinds()
        kind, colon, name = subject.partition(":")
        if not (colon and name and kind in kinds and len(subject) <= SUBJECT_MAX and subject.isprintable()):
            known = f"KIND:ID with one of the kinds {', '.join(sorted(kinds))}" if kinds else "no field is marked"
            raise InvalidQuery(f"{subject[:60]!r} is no subject of {self._application.name}: {known}")
        if not dry_run and not (0 < len(why) <= _WHY_MAX and why.isprintable() and why.strip()):
            raise InvalidQuery(f"why must be 1 to {_WHY_MAX} printable characters, not blanks alone")

    def _looks(self) -> dict[str, Callable[[str, Told], Iterator[Found]]]:
        return {
            "events": self._events,
            "state": self._states,
            "write side": self._kept,
            "views": self._views,
            "topics": self._topics,
            "raw files": self._raw_files,
            "analytics": self._analytics,
        }

    def _events(self, marker: str, told: Told) -> Iterator[Found]:
        """By stream and type."""
        found, done, text = Counter[tuple[str, str]](), 0, marker.encode()
        for batch in self._sides.events.read_all():
            for stored in batch:
                if text in stored.payload:
                    place = (stored.stream, stored.type)
                    found[place if place in found or len(found) < _NAMES_MAX else _OTHERS] += 1
            done += len(batch)
            told("events", done)
        for (stream, kind), count in sorted(found.items()):
            yield Found("events", f"{stream} {kind}".rstrip(), count)

    def _states(self, marker: str, told: Told) -> Iterator[Found]:
        for table in self._application.state_tables():
            if _may_hold(table):
                yield from _in_rows("state", table, self._sides.events.states(table), marker, told)

    def _kept(self, marker: str, told: Told) -> Iterator[Found]:
        told("snapshots, refused commands and kept answers", 0)
        for name, count in self._sides.events.holding(marker).items():
            if count:
                yield Found(name, "", count)

    def _views(self, marker: str, told: Told) -> Iterator[Found]:
        for table in self._application.views():
            if _may_hold(table):
                yield from _in_rows("view", table, self._sides.views.scan(table), marker, told)

    def _topics(self, marker: str, told: Told) -> Iterator[Found]:
        """Those of the application, with the dead letters of its listeners."""
        standing, forms = self._sides.log.topics(), in_bytes(marker)
        own = [topic.name for topic in self._application.all_topics(1)]
        dead = [binding.dead_letter_topic for binding in self._application.all_listeners()]
        for name in dict.fromkeys((*own, *dead)):
            count = done = 0
            for page in scan(self._sides.log, name) if name in standing else ():
                count += sum(_holds(record.value, forms) for record in page)
                done += len(page)
                told(f"topic {name}", done)
            if count:
                yield Found("topic", name, count)

    def _raw_files(self, marker: str, told: Told) -> Iterator[Found]:
        """By topic, also where the layers are kept no more."""
        forms = in_bytes(marker)
        for topic in sorted(path.name for path in self._raw.iterdir() if path.is_dir()) if self._raw.is_dir() else ():
            told(f"raw files {topic}", 0)
            count = sum(_holds(record.value, forms) for record in read_raw(self._raw, topic))
            if count:
                yield Found("raw files", topic, count)

    def _analytics(self, marker: str, told: Told) -> Iterator[Found]:
        for datasource in self._application.datasources:
            told(f"analytics {datasource.name}", 0)
            texts = [column.name for column in datasource.columns if column.kind == "text"]
            # a marker has letters, digits and points alone
            holds = " OR ".join(f"\"{name}\" LIKE '%{marker}%'" for name in texts)
            if texts:
                ((count,),) = self._sides.olap.ask(
                    f'SELECT count(*) FROM "{datasource.name}" WHERE {holds}', timeout_s=600
                ).rows
                if count:
                    yield Found("analytics", datasource.name, int(count))


def _may_hold(table: Table[Any]) -> Sequence[str]:
    """The columns that a token may be in."""
    return [column.name for column in table.columns if column.kind in ("text", "bytes")]


def _holds(value: str | bytes | None, forms: Sequence[bytes]) -> bool:
    content = value.encode() if isinstance(value, str) else value
    return content is not None and any(form in content for form in forms)


def _in_rows(place: str, table: Table[Any], rows: Iterator[Any], marker: str, told: Told) -> Iterator[Found]:
    names = _may_hold(table)
    count, done, forms = 0, 0, in_bytes(marker)
    for done, row in enumerate(rows, 1):
        count += any(_holds(getattr(row, name), forms) for name in names)
        if not done % 1_000:
            told(f"{place} {table.name}", done)
    told(f"{place} {table.name}", done)
    if count:
        yield Found(place, table.name, count)

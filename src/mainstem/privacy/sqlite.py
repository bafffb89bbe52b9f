"""Keys of subjects in a SQLite file of their own, which is made when the first of them is.

The file and the master key are readable for their owner alone. What is deleted is overwritten, and the write-ahead log
cut off behind it.
"""

import os
import threading
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import apsw
import structlog

from mainstem.errors import StoreUnavailable
from mainstem.privacy import stored_keys
from mainstem.privacy.master import Masters, make_master_key, read_master_key
from mainstem.privacy.port import SubjectKey, Tombstone
from mainstem.privacy.stored_keys import COLUMNS, WRAPPED, Row, check_same
from mainstem.sqlite import connect, insert_many, mapped_errors, prepare, transaction

_log = structlog.get_logger(__name__)

_MIGRATIONS = (
    """
    CREATE TABLE personal_key (
        subject TEXT PRIMARY KEY,
        key_id TEXT NOT NULL UNIQUE,
        wrapped BLOB,
        forgotten_at_ms INTEGER,
        actor TEXT,
        why TEXT,
        CHECK ((wrapped IS NULL) = (forgotten_at_ms IS NOT NULL))
    ) STRICT;
    CREATE TABLE master_key (id INTEGER PRIMARY KEY CHECK (id = 1), fingerprint BLOB NOT NULL) STRICT;
    """,
)
_BURY = f"""
    INSERT INTO personal_key ({COLUMNS}) VALUES (?, ?, ?, ?, ?, ?)
    ON CONFLICT (subject) DO UPDATE SET wrapped = NULL, forgotten_at_ms = coalesce(forgotten_at_ms,
        excluded.forgotten_at_ms), actor = coalesce(actor, excluded.actor), why = coalesce(why, excluded.why)
"""


class SqliteKeys:
    """Keys in one file. Where `makes_master`, a master key is made together with the file."""

    def __init__(self, path: Path, master: Path, *, makes_master: bool = True) -> None:
        self._path = path
        self._master_path = master
        self._makes_master = makes_master
        self._using = threading.Lock()
        self._connection: apsw.Connection | None = None
        self._masters = Masters(master, path.name)
        self._closed = False

    def of_subjects(self, subjects: Collection[str], *, make: bool) -> Mapping[str, SubjectKey]:
        """In one transaction for all that are made."""
        with self._open(make=make) as opened:
            return {} if opened is None else stored_keys.of_subjects(*opened, subjects, make=make)

    def of_ids(self, key_ids: Collection[str]) -> Mapping[str, SubjectKey]:
        """By a unique index."""
        with self._open(make=False) as opened:
            return {} if opened is None else stored_keys.of_ids(*opened, key_ids)

    def forget(self, subject: str, tombstone: Tombstone) -> SubjectKey:
        """Then the write-ahead log, which may still hold the key, is brought home and cut off."""
        with self._open(make=True) as opened:
            assert opened is not None  # noqa: S101 - it was made
            key = stored_keys.forget(*opened, subject, tombstone)
            opened[0].cut_off()
            return key

    def rotate(self) -> int:
        """What the keys were wrapped by is overwritten in the file, and cut off with the log."""
        with self._open(make=False) as opened:
            if opened is None:
                return 0
            count = stored_keys.rotate(*opened, self._master_path)
            opened[0].cut_off()
            return count

    def close(self) -> None:
        """The last connection that closes removes the write-ahead log."""
        with self._using:
            self._closed = True
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    @contextmanager
    def _open(self, *, make: bool) -> Iterator["tuple[_Rows, Masters] | None"]:
        with self._using:
            if self._closed:
                raise StoreUnavailable(f"{self._path.name}: the store is closed")
            if self._connection is None and (make or self._path.is_file()):
                self._begin()
            if self._connection is None:
                yield None
            else:
                yield _Rows(self._connection, self._path), self._masters

    def _begin(self) -> None:
        if not self._path.is_file():
            if self._makes_master and not self._master_path.is_file():
                make_master_key(self._master_path)
            read_master_key(self._master_path)
            _make_private(self._path)
        prepare(self._path, "keys", _MIGRATIONS)
        connection = connect(self._path)
        try:
            with transaction(connection, self._path):
                if not connection.execute("SELECT 1 FROM master_key").fetchall():
                    master = read_master_key(self._master_path)
                    connection.execute("INSERT INTO master_key VALUES (1, ?)", (master.fingerprint,))
            self._masters.of(_Rows(connection, self._path).fingerprint())
            connection.pragma("secure_delete", 1)
        except BaseException:
            connection.close()
            raise
        self._connection = connection


def _make_private(path: Path) -> None:
    """An empty file for its owner alone: SQLite gives the files beside it the same rights."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    except OSError as error:
        raise StoreUnavailable(f"{path.name} cannot be made: {error.strerror}") from error


class _Rows:
    def __init__(self, connection: apsw.Connection, path: Path) -> None:
        self._connection = connection
        self._path = path

    def find(self, column: str, values: Sequence[str]) -> Sequence[Row]:
        sql = f"SELECT {COLUMNS} FROM personal_key WHERE {column} IN ({', '.join('?' * len(values))})"
        with mapped_errors(self._path):
            return self._connection.execute(sql, values).fetchall()

    def fingerprint(self) -> bytes:
        with mapped_errors(self._path):
            rows: Any = self._connection.execute("SELECT fingerprint FROM master_key").fetchall()
        return bytes(rows[0][0])

    def add(self, rows: Sequence[Row], fingerprint: bytes) -> None:
        with transaction(self._connection, self._path):
            check_same(self.fingerprint(), fingerprint)
            insert_many(self._connection, f"personal_key ({COLUMNS})", rows, "(subject) DO NOTHING")

    def bury(self, row: Row) -> None:
        with transaction(self._connection, self._path):
            self._connection.execute(_BURY, row)

    @contextmanager
    def alone(self) -> Iterator[bytes]:
        with transaction(self._connection, self._path):
            yield self.fingerprint()

    def wrapped(self, after: str, limit: int) -> Sequence[tuple[str, str, bytes]]:
        rows: Any = self._connection.execute(WRAPPED.format("?"), (after, limit)).fetchall()
        return list(rows)

    def rewrap(self, keys: Sequence[tuple[bytes, str]]) -> None:
        self._connection.executemany("UPDATE personal_key SET wrapped = ? WHERE subject = ?", keys)

    def name(self, fingerprint: bytes) -> None:
        self._connection.execute("UPDATE master_key SET fingerprint = ?", (fingerprint,))

    def cut_off(self) -> None:
        with mapped_errors(self._path):
            found: Any = self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        if found[0][0]:
            _log.warning("the write-ahead log of the keys is in use and holds what was deleted", file=str(self._path))

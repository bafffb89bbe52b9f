"""SQLite as every embedded adapter opens it: WAL, full durability, versioned schema, its errors in mainstem's names.

APSW carries its own SQLite, so that a machine's older library (and the WAL-reset fault mended in SQLite 3.51.3) never
matters.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Any

import apsw
import structlog

from mainstem.errors import (
    CodecError,
    ConfigurationError,
    StoreBusy,
    StoreCorrupt,
    StoreError,
    StoreFull,
    StoreUnavailable,
)
from mainstem.table import Column, Table, declared, described, quoted

_log = structlog.get_logger(__name__)

_APPLICATION_ID = 0x6D_73_74_6D  # "mstm": what `file` and PRAGMA application_id show
_BUSY_TIMEOUT_MS = 5_000
ROWS_MAX = 32
"""Rows to a statement; each smaller number has a statement of its own, which stays prepared."""
_TYPES = {"text": "TEXT", "integer": "INTEGER", "boolean": "BOOLEAN", "real": "REAL", "bytes": "BLOB"}


def connect(path: Path, *, durable: bool = True, read_only: bool = False) -> apsw.Connection:
    """A connection to a file that `prepare` has made. One thread uses it at a time.

    `durable`: a commit is on the disk when it returns (synchronous=FULL); otherwise a power cut may take the last
    commits, never the file's consistency. Raises StoreUnavailable or StoreCorrupt.
    """
    flags = apsw.SQLITE_OPEN_READONLY if read_only else apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE
    with mapped_errors(path):
        connection = apsw.Connection(str(path), flags=flags, statementcachesize=200)
        try:
            connection.set_busy_timeout(_BUSY_TIMEOUT_MS)
            connection.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
            connection.execute("PRAGMA foreign_keys = ON")
        except apsw.Error:
            connection.close()
            raise
    return connection


def prepare(path: Path, kind: str, migrations: Sequence[str]) -> None:
    """Make the file, or check it and bring it forward: `migrations[n]` leads from schema version n to n + 1.

    Raises StoreCorrupt where the file is damaged or of another kind, ConfigurationError where a newer release made it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with mapped_errors(path):
        connection = apsw.Connection(str(path))
        try:
            connection.set_busy_timeout(_BUSY_TIMEOUT_MS)
            _check(connection, path)
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("BEGIN IMMEDIATE")
            _migrate(connection, path, kind, migrations)
            connection.execute("COMMIT")
        finally:
            connection.close()


@contextmanager
def mapped_errors(path: Path) -> Iterator[None]:
    """Turn the driver's errors into mainstem's, naming the file."""
    try:
        yield
    except (apsw.BusyError, apsw.LockedError) as error:
        raise StoreBusy(f"{path.name} is locked by another for too long: {error}") from error
    except apsw.FullError as error:
        raise StoreFull(f"no space left for {path.name}: {error}") from error
    except (apsw.CorruptError, apsw.NotADBError, apsw.FormatError) as error:
        raise StoreCorrupt(f"{path.name} is damaged and is not served: {error}") from error
    except UnicodeDecodeError as error:
        raise StoreCorrupt(f"{path.name} has a text that is none, and is damaged: {error}") from error
    except (
        apsw.CantOpenError,
        apsw.IOError,
        apsw.PermissionsError,
        apsw.ReadOnlyError,
        apsw.AuthError,
    ) as error:
        raise StoreUnavailable(f"{path.name} cannot be used: {error}") from error
    except apsw.Error as error:
        raise StoreError(f"{path.name}: {error}") from error


@contextmanager
def transaction(connection: apsw.Connection, path: Path) -> Iterator[None]:
    """BEGIN IMMEDIATE, then COMMIT where the block ends, ROLLBACK where it raises; errors are mapped."""
    with mapped_errors(path):
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise


def insert_many(connection: apsw.Connection, into: str, rows: Sequence[tuple[Any, ...]], conflict: str = "") -> int:
    """Insert rows of equal width, in their order, 32 to a statement; how many. `conflict` is what follows ON CONFLICT.

    Raises CodecError for a value that SQLite has no place for, beside the driver's errors.

    Each statement hands the interpreter to other threads and waits to get it back, which under load costs more than
    the statement: so few of them are better than one for each row.
    """
    counted = 0
    for start in range(0, len(rows), ROWS_MAX):
        part = rows[start : start + ROWS_MAX]
        try:
            values = list(chain.from_iterable(part))
            connection.execute(_insert(into, len(part[0]), len(part), conflict), values)
            counted += connection.changes()  # what triggers do is not counted
        except (OverflowError, UnicodeEncodeError) as error:
            raise CodecError(f"a row does not fit {into}: {error}") from error
    return counted


@cache
def _insert(into: str, width: int, size: int, conflict: str) -> str:
    row = f"({', '.join('?' * width)})"
    return f"INSERT INTO {into} VALUES {', '.join([row] * size)}{conflict and f' ON CONFLICT {conflict}'}"


def table_definition(table: Table[Any], name: str = "") -> str:
    """The CREATE TABLE of a declared table, under its own name unless another is given.

    DECIMAL_TEXT has text affinity: a decimal stays the exact text that was written.
    """
    columns = [f"{quoted(each.name)} {_type_of(each)}{'' if each.nullable else ' NOT NULL'}" for each in table.columns]
    return (
        f"CREATE TABLE IF NOT EXISTS {quoted(name or table.name)}"
        f" ({', '.join(columns)}, PRIMARY KEY ({quoted(*table.key)}))"
    )


def _type_of(column: Column) -> str:
    return f"DECIMAL_TEXT(18,{column.places})" if column.kind == "decimal" else _TYPES[column.kind]


def differing(connection: apsw.Connection, table: Table[Any]) -> tuple[list[str], list[str]] | None:
    """A table's columns as they stand and as they are declared; None where they agree in any order, or none stands."""
    rows: list[Any] = connection.execute(f"PRAGMA table_info({quoted(table.name)})").fetchall()
    stands = [described(name, kind, not needed, key) for _, name, kind, needed, _, key in rows]
    wanted = declared(table, _type_of)
    return None if not stands or sorted(stands) == sorted(wanted) else (stands, wanted)


def check_kind(connection: apsw.Connection, path: Path, kind: str, known: int) -> int:
    """The schema version of a file that somebody else has prepared.

    Raises StoreCorrupt for another kind, ConfigurationError where a newer release made it than knows `known` versions.
    """
    version = int(connection.pragma("user_version"))
    if version > known:
        raise ConfigurationError(f"{path.name} was made by a newer release (schema {version}, known {known})")
    found = connection.execute("SELECT kind FROM mainstem_file").fetchone() if version else None
    if found != (kind,):
        raise StoreCorrupt(f"{path.name} holds {found[0] if found else 'nothing known'}, not {kind}, and is left alone")
    return version


def _check(connection: apsw.Connection, path: Path) -> None:
    found = connection.execute("PRAGMA quick_check(1)").fetchone()
    if found is None or found[0] != "ok":
        raise StoreCorrupt(f"{path.name} is damaged and is not served: {found[0] if found else 'no answer'}")
    application_id = connection.pragma("application_id")
    empty = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone() == (0,)
    if application_id not in (_APPLICATION_ID, 0) or (application_id == 0 and not empty):
        raise StoreCorrupt(f"{path.name} is not a file of mainstem's and is left alone")


def _migrate(connection: apsw.Connection, path: Path, kind: str, migrations: Sequence[str]) -> None:
    version = connection.pragma("user_version")
    if version > len(migrations):
        raise ConfigurationError(f"{path.name} was made by a newer release (schema {version}, known {len(migrations)})")
    if version == 0:
        connection.execute("CREATE TABLE mainstem_file (kind TEXT NOT NULL) STRICT")
        connection.execute("INSERT INTO mainstem_file VALUES (?)", (kind,))
        connection.pragma("application_id", _APPLICATION_ID)
    found = connection.execute("SELECT kind FROM mainstem_file").fetchone()
    if found != (kind,):
        raise StoreCorrupt(f"{path.name} holds {found[0] if found else 'nothing known'}, not {kind}, and is left alone")
    if 0 < version < len(migrations):
        _log.info("a file is brought forward, a large one for a while", file=path.name, schema=len(migrations))
    for migration in migrations[version:]:
        connection.execute(migration)
    connection.pragma("user_version", len(migrations))

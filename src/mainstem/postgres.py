"""PostgreSQL as adapters open it: READ COMMITTED, UTC, limits on every wait, its errors in mainstem's names."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Any

import psycopg
from psycopg import Connection, sql

from mainstem import sessions
from mainstem.errors import (
    CodecError,
    ConfigurationError,
    StoreBusy,
    StoreCorrupt,
    StoreError,
    StoreFull,
    StoreUnavailable,
    WriteConflict,
)

Row = tuple[Any, ...]

_CONNECT_S = 5
_CALL_S = 30
_LOCK_WAIT_S = 5
_SILENT_S = 30
_IDLE_WRITER_S = 15
"""How long a writer's connection may be silent: the locks of a process that is frozen in a transaction end then."""

_IDLE_S = 28_800
_Kind = type[StoreError] | type[CodecError] | type[ConfigurationError]
_MEANINGS: tuple[tuple[tuple[str, ...], _Kind, str], ...] = (
    (("08", "53300", "57P", "25P03", "25006"), StoreUnavailable, "cannot be used"),
    (("55P03", "57014"), StoreBusy, "has rows or tables that are locked by another, or takes too long"),
    (("40001", "40P01"), WriteConflict, "has met two writers in each other's way"),
    (("28", "3D000", "3F000", "42501"), ConfigurationError, "does not let the user in"),
    (("53100",), StoreFull, "has no space left"),
    (("22", "23502", "54000"), CodecError, "has no place for a value"),
    (("XX001", "XX002"), StoreCorrupt, "has damaged data"),
)
"""What the codes mean that begin so."""

_NOT_LET_IN = ("authentication failed", "does not exist", "no pg_hba.conf entry", "permission denied", "no password")
"""What a server says that lets nobody in: the driver keeps no code of that."""


@dataclass(frozen=True)
class PostgresServer:
    """A database of a PostgreSQL server, and who asks.

    With `tls_ca` (a file) the server must show a certificate of it, made for its host.
    """

    host: str
    port: int
    user: str
    password: str = field(repr=False)
    database: str
    tls_ca: str | None = None

    def __str__(self) -> str:
        return f"PostgreSQL at {self.host}:{self.port}"


def connect(server: PostgresServer, *, call_s: int = _CALL_S, idle_s: int = _IDLE_S) -> Connection[Row]:
    """A connection that commits each statement unless told otherwise; a statement may take `call_s`.

    The server ends it where nothing is asked in a transaction for `idle_s`.
    Raises StoreUnavailable, or ConfigurationError where the user is not let in.
    """
    limits = {
        "statement_timeout": f"{call_s}s",
        "lock_timeout": f"{_LOCK_WAIT_S}s",
        "idle_in_transaction_session_timeout": f"{idle_s}s",
        "timezone": "UTC",
        "default_transaction_isolation": r"read\ committed",
    }
    with mapped_errors(server):
        return psycopg.connect(
            host=server.host,
            port=server.port,
            user=server.user,
            password=server.password,
            dbname=server.database,
            autocommit=True,
            connect_timeout=_CONNECT_S,
            tcp_user_timeout=_SILENT_S * 1_000,
            keepalives_idle=_SILENT_S,
            client_encoding="UTF8",
            application_name="mainstem",
            options=" ".join(f"-c {name}={value}" for name, value in limits.items()),
            sslmode="prefer" if server.tls_ca is None else "verify-full",
            sslrootcert=server.tls_ca,
        )


@contextmanager
def mapped_errors(server: PostgresServer) -> Iterator[None]:
    """Turn the driver's errors into mainstem's, naming the server."""
    try:
        yield
    except UnicodeEncodeError as error:
        raise CodecError(f"{server} has no place for a value: {error}") from error
    except psycopg.Error as error:
        raise _mapped(server, error) from error


def _mapped(server: PostgresServer, error: psycopg.Error) -> StoreError | CodecError | ConfigurationError:
    text = " ".join(str(error).split())[:300]
    for codes, kind, said in _MEANINGS:
        if (error.sqlstate or "").startswith(codes):
            return kind(f"{server} {said}: {text}")
    if error.sqlstate is None and isinstance(error, psycopg.DataError):
        return CodecError(f"{server} has no place for a value: {text}")
    if error.sqlstate is None and isinstance(error, psycopg.OperationalError):
        if any(phrase in text for phrase in _NOT_LET_IN):
            return ConfigurationError(f"{server} does not let {server.user} in: {text}")
        return StoreUnavailable(f"{server} cannot be reached: {text}")
    return StoreError(f"{server}: {text}")


class Session(sessions.Session[Connection[Row]]):
    """One connection; a call may take `call_s`, and its transaction ends where it is silent for `idle_s`."""

    lost = (psycopg.Error,)

    def __init__(self, server: PostgresServer, *, call_s: int = _CALL_S, idle_s: int = _IDLE_S) -> None:
        super().__init__()
        self.server = server
        self._call_s = call_s
        self._idle_s = idle_s

    def connect(self) -> Connection[Row]:
        """As this module's `connect` does."""
        return connect(self.server, call_s=self._call_s, idle_s=self._idle_s)

    def mapped(self) -> AbstractContextManager[None]:
        """Naming the server."""
        return mapped_errors(self.server)

    def ping(self, connection: Connection[Row]) -> None:
        """By an empty statement."""
        connection.execute("")

    def begin(self, connection: Connection[Row]) -> None:
        """BEGIN."""
        connection.execute("BEGIN")


class Pool(sessions.SessionPool[Connection[Row]]):
    """A few sessions for readers of any thread."""

    def __init__(self, server: PostgresServer, size: int) -> None:
        super().__init__(server, lambda: Session(server), size)


class Writer(sessions.SessionWriter[Connection[Row]]):
    """One session for writers of any thread, who take turns. One that is silent for `idle_s` loses its locks."""

    def __init__(self, server: PostgresServer, *, idle_s: int = _IDLE_WRITER_S) -> None:
        super().__init__(server, Session(server, idle_s=idle_s))


def quoted(*names: str) -> str:
    """Names of tables or columns, so that `order` and `limit` are names like any other."""
    return sql.SQL(", ").join(map(sql.Identifier, names)).as_string()


def ask(connection: Connection[Row], statement: str, values: Sequence[Any] = ()) -> Sequence[Row]:
    """All rows of one statement, whose values are marked by `?`; none of one that has no rows."""
    cursor = connection.execute(statement.replace("?", "%s"), values or None)
    return cursor.fetchall() if cursor.description is not None else ()


def execute(connection: Connection[Row], statement: str, values: Sequence[Any] = ()) -> int:
    """The number of rows that the statement has touched."""
    return connection.execute(statement.replace("?", "%s"), values or None).rowcount


@contextmanager
def picture(server: PostgresServer) -> Iterator[Connection[Row]]:
    """A connection of its own that sees one moment."""
    session = Session(server)
    try:
        with session.use() as connection:
            connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            connection.execute("SELECT 1")  # the moment is that of the first statement
            yield connection
    finally:
        session.close()


@contextmanager
def definer(server: PostgresServer, *, call_s: int = 600) -> Iterator[Connection[Row]]:
    """A transaction of its own for statements that change tables, which may take long; processes take turns."""
    session = Session(server, call_s=call_s)
    try:
        with session.transaction() as connection:
            connection.execute("SET LOCAL lock_timeout = '60s'")
            lock(connection, "mainstem.tables")
            yield connection
    finally:
        session.close()


def lock(connection: Connection[Row], name: str) -> None:
    """Let nobody else have that name in this schema until the transaction ends. Waits within the lock's limit."""
    statement = "SELECT pg_advisory_xact_lock(hashtextextended(current_schema() || '/' || %s, 0))"
    connection.execute(statement, (name,))

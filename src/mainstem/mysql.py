"""MySQL as every distributed adapter opens it: strict, READ COMMITTED, UTC, its errors in mainstem's names."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Any

import pymysql
from pymysql.connections import Connection
from pymysql.constants import ER

from mainstem import sessions
from mainstem.errors import (
    CodecError,
    ConfigurationError,
    StoreBusy,
    StoreError,
    StoreFull,
    StoreUnavailable,
    WriteConflict,
)

Row = tuple[Any, ...]

_CONNECT_S = 5
_CALL_S = 30
_LOCK_WAIT_S = 5
_TABLE_WAIT_S = 20
_IDLE_WRITER_S = 15
"""How long a writer's connection may be silent: the locks of a process that is frozen in a transaction end then."""

_IDLE_S = 28_800
_SESSION = (
    "SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_ZERO_DATE,NO_ZERO_IN_DATE,ERROR_FOR_DIVISION_BY_ZERO',"
    f" transaction_isolation = 'READ-COMMITTED', time_zone = '+00:00', innodb_lock_wait_timeout = {_LOCK_WAIT_S},"
    f" lock_wait_timeout = {_TABLE_WAIT_S}, wait_timeout = "
)
_DENIED = (ER.DBACCESS_DENIED_ERROR, ER.ACCESS_DENIED_ERROR, ER.BAD_DB_ERROR, ER.TABLEACCESS_DENIED_ERROR)
_FULL = (ER.DISK_FULL, ER.RECORD_FILE_FULL)
_MISFIT = (
    ER.BAD_NULL_ERROR,
    ER.WARN_DATA_OUT_OF_RANGE,
    ER.DATA_TOO_LONG,
    ER.TRUNCATED_WRONG_VALUE_FOR_FIELD,
    ER.INVALID_CHARACTER_STRING,
    3854,  # ER_CANNOT_CONVERT_STRING, which the driver has no name for
)
_AWAY = (
    ER.SERVER_SHUTDOWN,
    ER.NORMAL_SHUTDOWN,
    ER.CON_COUNT_ERROR,
    ER.OPTION_PREVENTS_STATEMENT,  # it is read-only, as a replica is
    2003,
    2006,
    2013,
    2014,
    2055,
    3159,
    4031,  # the server has ended a connection that was idle for too long
)


@dataclass(frozen=True)
class MysqlServer:
    """A database of a MySQL server, and who asks. With `tls_ca` (a file) the server must show a certificate of it."""

    host: str
    port: int
    user: str
    password: str = field(repr=False)
    database: str
    tls_ca: str | None = None

    def __str__(self) -> str:
        return f"MySQL at {self.host}:{self.port}"


def connect(
    server: MysqlServer, *, call_s: int = _CALL_S, idle_s: int = _IDLE_S, autocommit: bool = True
) -> "Connection[Any]":
    """A connection that commits each statement unless told otherwise; a call may take `call_s`.

    Without `autocommit` each statement begins a transaction where none is under way.

    The server ends it, and its transaction, where nothing is asked for `idle_s`. Names are quoted by backticks.
    Raises StoreUnavailable, or ConfigurationError where the user is not let in.
    """
    with mapped_errors(server):
        return pymysql.connect(
            host=server.host,
            port=server.port,
            user=server.user,
            password=server.password,
            database=server.database,
            charset="utf8mb4",
            autocommit=autocommit,
            init_command=f"{_SESSION}{idle_s}",
            connect_timeout=_CONNECT_S,
            read_timeout=call_s,
            write_timeout=call_s,
            ssl_ca=server.tls_ca,
            ssl_verify_identity=server.tls_ca is not None,
        )


@contextmanager
def mapped_errors(server: MysqlServer) -> Iterator[None]:
    """Turn the driver's errors into mainstem's, naming the server."""
    try:
        yield
    except (UnicodeEncodeError, pymysql.DataError) as error:
        raise CodecError(f"{server} has no place for a value: {_text(error)}") from error
    except pymysql.InterfaceError as error:
        raise StoreUnavailable(f"{server}: the connection is closed") from error
    except pymysql.MySQLError as error:
        raise _mapped(server, error) from error
    except OSError as error:
        raise StoreUnavailable(f"{server} cannot be reached: {error}") from error


def _mapped(server: MysqlServer, error: pymysql.MySQLError) -> StoreError | CodecError | ConfigurationError:
    code = code_of(error)
    if code in _AWAY:
        return StoreUnavailable(f"{server} cannot be used: {_text(error)}")
    if code == ER.LOCK_WAIT_TIMEOUT:
        return StoreBusy(f"{server}: rows or tables are locked by another for too long")
    if code == ER.LOCK_DEADLOCK:
        return WriteConflict(f"{server}: two writers waited for each other")
    if code in _DENIED:
        return ConfigurationError(f"{server} does not let {server.user} in: {_text(error)}")
    if code in _FULL:
        return StoreFull(f"no space left for {server}: {_text(error)}")
    if code in _MISFIT:
        return CodecError(f"{server} has no place for a value: {_text(error)}")
    return StoreError(f"{server}: {_text(error)}")


def code_of(error: BaseException | None) -> int:
    """The server's number of an error; 0 where it has none."""
    number = error.args[0] if isinstance(error, pymysql.MySQLError) and error.args else 0
    return number if isinstance(number, int) else 0


def _text(error: Exception) -> str:
    return str(error.args[-1] if error.args else error)[:300]


class Session(sessions.Session["Connection[Any]"]):
    """One connection; a call may take `call_s`, and the server ends it where nothing is asked for `idle_s`.

    Where transactions are all that it is used for, `transactions_only` saves asking the server to begin each.
    """

    lost = (pymysql.MySQLError, OSError)

    def __init__(
        self, server: MysqlServer, *, call_s: int = _CALL_S, idle_s: int = _IDLE_S, transactions_only: bool = False
    ) -> None:
        super().__init__()
        self.server = server
        self._call_s = call_s
        self._idle_s = idle_s
        self._transactions_only = transactions_only

    def connect(self) -> "Connection[Any]":
        """As this module's `connect` does."""
        return connect(self.server, call_s=self._call_s, idle_s=self._idle_s, autocommit=not self._transactions_only)

    def mapped(self) -> AbstractContextManager[None]:
        """Naming the server."""
        return mapped_errors(self.server)

    def ping(self, connection: "Connection[Any]") -> None:
        """By MySQL's own."""
        connection.ping(reconnect=False)

    def begin(self, connection: "Connection[Any]") -> None:
        """BEGIN, unless its first statement does so."""
        if not self._transactions_only:
            connection.begin()


class Pool(sessions.SessionPool["Connection[Any]"]):
    """A few sessions for readers of any thread."""

    def __init__(self, server: MysqlServer, size: int) -> None:
        super().__init__(server, lambda: Session(server), size)

    def ask(self, sql: str, values: Sequence[Any] = ()) -> Sequence[Row]:
        """All rows of one statement."""
        with self.use() as connection:
            return ask(connection, sql, values)


class Writer(sessions.SessionWriter["Connection[Any]"]):
    """One session for writers of any thread, who take turns. One that is silent for `idle_s` loses its locks.

    `tables_stand` is of one that changes no tables, since that ends a transaction: see `Session`.
    """

    def __init__(self, server: MysqlServer, *, idle_s: int = _IDLE_WRITER_S, tables_stand: bool = False) -> None:
        super().__init__(server, Session(server, idle_s=idle_s, transactions_only=tables_stand))


def quoted(*names: str) -> str:
    """Names of tables or columns, so that `order` and `limit` are names like any other.

    By backticks: Debezium, which reads changes of tables from the log, takes a name in double quotes for a text.
    """
    return ", ".join(f"`{name}`" for name in names)


def ask(connection: "Connection[Any]", sql: str, values: Sequence[Any] = ()) -> Sequence[Row]:
    """All rows of one statement."""
    with connection.cursor() as cursor:
        cursor.execute(sql, values or None)
        rows: Sequence[Row] = cursor.fetchall()
        return rows


def execute(connection: "Connection[Any]", sql: str, values: Sequence[Any] = ()) -> int:
    """The number of rows that the statement has touched."""
    with connection.cursor() as cursor:
        return int(cursor.execute(sql, values or None))


@contextmanager
def picture(server: MysqlServer) -> Iterator["Connection[Any]"]:
    """A connection of its own that sees one moment: the first question's."""
    session = Session(server)
    try:
        with session.use() as connection:
            execute(connection, "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            execute(connection, "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY")
            yield connection
    finally:
        session.close()

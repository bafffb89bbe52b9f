"""A DuckDB file as every adapter of one opens it: by this process alone, with limits, opened again where it must be.

DuckDB keeps what is written behind a checkpoint in a file beside it, which is brought home as it grows.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import duckdb

from mainstem.duckdb_errors import is_fatal, mapped_errors
from mainstem.errors import ConfigurationError, StoreBusy, StoreCorrupt, StoreUnavailable
from mainstem.table import quoted

Cursor = duckdb.DuckDBPyConnection

_WAL_MAX_BYTES = 24 * 1024 * 1024  # above DuckDB's own limit of 16 MB, which it passes by while anybody reads
_SPILL_MAX = "1GB"
_WAIT_S = 30.0
INTERRUPT_AGAIN_S = 0.05
_CLOSE_ROUNDS = 100


class DuckdbFile:
    """A file that `schema` is run on where it is new. `threads` and `memory_limit_mb` bound what DuckDB takes.

    Raises StoreBusy where another process has the file, StoreCorrupt where it is damaged or foreign, StoreUnavailable,
    or ConfigurationError where another release made it.
    """

    def __init__(self, path: Path, schema: str, version: int, *, threads: int, memory_limit_mb: int) -> None:
        if threads < 1 or memory_limit_mb < 64:
            raise ConfigurationError(f"{threads} threads and {memory_limit_mb} MB: at least 1 and 64 are needed")
        self.path = path
        self._schema = f"CREATE TABLE mainstem_file (schema_version INTEGER NOT NULL); {schema}"
        self._version = version
        self._settings: dict[str, str | bool | int | float | list[str]] = {
            "threads": threads,
            "memory_limit": f"{memory_limit_mb}MB",
            "max_temp_directory_size": _SPILL_MAX,
            "enable_external_access": False,
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
            "python_enable_replacements": False,
            "lock_configuration": True,
        }
        self._turn = threading.Lock()
        self._guard = threading.Condition()
        self._cursors: set[Cursor] = set()
        self._broken = False
        self._closed = False
        self._connection = self._open()

    @contextmanager
    def turn(self, wait_s: float = _WAIT_S) -> Iterator[None]:
        """The only one who writes. Raises StoreBusy where another thread writes for too long."""
        if not self._turn.acquire(timeout=wait_s):
            raise StoreBusy(f"{self.path.name} is being written by another thread for more than {wait_s:.0f} s")
        try:
            yield
        finally:
            self._turn.release()

    @contextmanager
    def session(self) -> Iterator[Cursor]:
        """A cursor of its own. Raises StoreUnavailable once the file is closed."""
        with self._guard:
            if self._closed:
                raise StoreUnavailable(f"{self.path.name} is closed")
            if self._broken:
                self._connection.close()
                self._connection = self._open()
                self._broken = False
            cursor = self._connection.cursor()
            self._cursors.add(cursor)
        try:
            yield cursor
        finally:
            with self._guard:
                cursor.close()
                self._cursors.discard(cursor)
                self._guard.notify_all()

    @contextmanager
    def writer(self) -> Iterator[Cursor]:
        """A transaction, by whoever has the turn; errors are mapped."""
        with self.session() as cursor, self.mapped():
            cursor.begin()
            yield cursor  # where the block raises, closing the cursor rolls back
            cursor.commit()

    @contextmanager
    def mapped(self) -> Iterator[None]:
        """Turns the driver's errors into mainstem's; behind a fatal one the file is opened again."""
        with mapped_errors(self.path):
            try:
                yield
            except duckdb.Error as error:
                self.note(error)
                raise

    def note(self, error: BaseException) -> None:
        """Take notice of an error that nobody maps here."""
        if is_fatal(error):
            with self._guard:
                self._broken = True

    def bound_wal(self) -> None:
        """Bring home what is written, where it is much."""
        try:
            size = self.path.with_name(self.path.name + ".wal").stat().st_size
        except FileNotFoundError:
            return
        if size > _WAL_MAX_BYTES:
            with self.session() as cursor, self.mapped(), suppress(duckdb.TransactionException):
                # Not while a question is being prepared: the next batch tries again.
                cursor.execute("CHECKPOINT")

    def close(self) -> None:
        """Let whoever writes finish, interrupt the questions, bring what is written home. Twice is allowed."""
        with self._turn, self._guard:
            if self._closed:
                return
            self._closed = True
            for _ in range(_CLOSE_ROUNDS):
                if not self._cursors:
                    break
                for cursor in self._cursors:
                    cursor.interrupt()
                self._guard.wait(INTERRUPT_AGAIN_S)
            self._connection.close()

    def _open(self) -> Cursor:
        with mapped_errors(self.path, opening=True):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            connection = duckdb.connect(str(self.path), config=self._settings)
            try:
                self._prepare(connection)
            except BaseException:
                connection.close()
                raise
        return connection

    def _prepare(self, connection: Cursor) -> None:
        tables = {name for (name,) in connection.execute("SELECT table_name FROM duckdb_tables()").fetchall()}
        if not tables:
            connection.begin()
            connection.execute(self._schema)
            connection.execute("INSERT INTO mainstem_file VALUES (?)", [self._version])
            connection.commit()
        elif "mainstem_file" not in tables:
            raise StoreCorrupt(f"{self.path.name} is not a file of mainstem's and is left alone")
        # Fetched to the end: a result that is not keeps its transaction open, and no checkpoint can be made behind it.
        found = connection.execute("SELECT schema_version FROM mainstem_file").fetchall()
        if found != [(self._version,)]:
            raise ConfigurationError(
                f"{self.path.name} was made by another release; delete it to have it filled again from the log"
            )


def append_arrow(cursor: Cursor, into: str, rows: object) -> None:
    """Append an Arrow table to the table of that name, by the order of its columns: it needs no view, as SQL does."""
    cursor.from_arrow(rows).insert_into(quoted(into))


def insert_arrow(cursor: Cursor, into: str, rows: object, conflict: str = "") -> int:
    """Insert an Arrow table; how many rows went in. `conflict` is what follows ON CONFLICT."""
    cursor.register("mainstem_incoming", rows)
    try:
        found = cursor.execute(
            f"INSERT INTO {into} SELECT * FROM mainstem_incoming{conflict and f' ON CONFLICT {conflict}'}"
        ).fetchone()
    finally:
        with suppress(duckdb.TransactionException):  # where it was aborted, all of it goes with the cursor
            cursor.unregister("mainstem_incoming")
    return int(found[0]) if found else 0

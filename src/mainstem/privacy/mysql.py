"""Keys of subjects in a MySQL database of their own, which the connector does not capture."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import pymysql
from pymysql.connections import Connection

from mainstem.errors import ConfigurationError
from mainstem.mysql import MysqlServer, Pool, ask, execute, quoted
from mainstem.mysql_rows import insert_many, markers
from mainstem.mysql_schema import definer, migrate
from mainstem.privacy import stored_keys
from mainstem.privacy.master import Masters, read_master_key
from mainstem.privacy.port import SubjectKey, Tombstone
from mainstem.privacy.stored_keys import COLUMNS, WRAPPED, Row, check_same

_SESSIONS = 2
_MIGRATIONS = (
    """
    CREATE TABLE IF NOT EXISTS personal_key (
        subject VARCHAR(255) NOT NULL PRIMARY KEY,
        key_id VARCHAR(16) NOT NULL,
        wrapped VARBINARY(255),
        forgotten_at_ms BIGINT,
        actor VARCHAR(255),
        why TEXT,
        CONSTRAINT personal_key_id UNIQUE (key_id),
        CHECK ((wrapped IS NULL) = (forgotten_at_ms IS NOT NULL))
    )
    """,
    "CREATE TABLE IF NOT EXISTS master_key (id INT NOT NULL PRIMARY KEY, fingerprint BINARY(32) NOT NULL)",
)
_KEPT = " ON DUPLICATE KEY UPDATE subject = personal_key.subject"
_BURIED = (
    " AS buried ON DUPLICATE KEY UPDATE wrapped = NULL,"
    " actor = coalesce(personal_key.actor, buried.actor), why = coalesce(personal_key.why, buried.why),"
    " forgotten_at_ms = coalesce(personal_key.forgotten_at_ms, buried.forgotten_at_ms)"
)


class MysqlKeys:
    """Keys in the database `name` of the server, made when it is first used, if the user may."""

    def __init__(self, server: MysqlServer, name: str, master: Path | None) -> None:
        if name == server.database:
            raise ConfigurationError(f"keys stand in a database of their own, not in {name}, which is captured")
        self._events = server
        self._server = MysqlServer(server.host, server.port, server.user, server.password, name, server.tls_ca)
        self._master_path = master
        self._masters = Masters(master, f"{self._server}, database {self._server.database}")
        self._made = False
        self._pool = Pool(self._server, _SESSIONS)

    def of_subjects(self, subjects: Collection[str], *, make: bool) -> Mapping[str, SubjectKey]:
        """New ones in the order of their names, so that processes which make the same do not wait in a ring."""
        self._open()
        with self._pool.use() as connection:
            return stored_keys.of_subjects(_Rows(connection), self._masters, subjects, make=make)

    def of_ids(self, key_ids: Collection[str]) -> Mapping[str, SubjectKey]:
        """By a unique index."""
        self._open()
        with self._pool.use() as connection:
            return stored_keys.of_ids(_Rows(connection), self._masters, key_ids)

    def forget(self, subject: str, tombstone: Tombstone) -> SubjectKey:
        """In one statement."""
        self._open()
        with self._pool.use() as connection:
            return stored_keys.forget(_Rows(connection), self._masters, subject, tombstone)

    def rotate(self) -> int:
        """In one transaction, for which those wait that add keys."""
        self._open()
        if self._master_path is None:
            raise ConfigurationError("personal data need a master key: set MAINSTEM_PRIVACY_MASTER_KEY_FILE")
        with self._pool.use() as connection:
            return stored_keys.rotate(_Rows(connection), self._masters, self._master_path)

    def close(self) -> None:
        """Waits for whoever is at work."""
        self._pool.close()

    def _open(self) -> None:
        self._pool.check_open()
        if not self._made:
            with suppress(ConfigurationError), definer(self._events) as connection:  # who may not finds it made
                execute(connection, f"CREATE DATABASE IF NOT EXISTS {quoted(self._server.database)}")
            migrate(self._server, "keys", _MIGRATIONS)
            with self._pool.use() as connection:
                if not ask(connection, "SELECT 1 FROM master_key"):
                    master = read_master_key(self._master_path)
                    execute(connection, "INSERT IGNORE INTO master_key VALUES (1, %s)", (master.fingerprint,))
                self._masters.of(_Rows(connection).fingerprint())
            self._made = True


class _Rows:
    def __init__(self, connection: "Connection[pymysql.cursors.Cursor]") -> None:
        self._connection = connection

    def find(self, column: str, values: Sequence[str]) -> Sequence[Row]:
        sql = f"SELECT {COLUMNS} FROM personal_key WHERE {column} IN {markers(len(values))}"
        return ask(self._connection, sql, values)

    def fingerprint(self) -> bytes:
        return self._fingerprint("")

    def add(self, rows: Sequence[Row], fingerprint: bytes) -> None:
        with self._transaction():
            check_same(self._fingerprint(" FOR SHARE"), fingerprint)
            insert_many(self._connection, f"personal_key ({COLUMNS})", rows, _KEPT)

    def bury(self, row: Row) -> None:
        insert_many(self._connection, f"personal_key ({COLUMNS})", [row], _BURIED)

    @contextmanager
    def alone(self) -> Iterator[bytes]:
        with self._transaction():
            yield self._fingerprint(" FOR UPDATE")

    def wrapped(self, after: str, limit: int) -> Sequence[tuple[str, str, bytes]]:
        rows = ask(self._connection, WRAPPED.format("%s") + " FOR UPDATE", (after, limit))
        return [(str(subject), str(key_id), bytes(key)) for subject, key_id, key in rows]

    def rewrap(self, keys: Sequence[tuple[bytes, str]]) -> None:
        with self._connection.cursor() as cursor:
            cursor.executemany("UPDATE personal_key SET wrapped = %s WHERE subject = %s", keys)

    def name(self, fingerprint: bytes) -> None:
        execute(self._connection, "UPDATE master_key SET fingerprint = %s", (fingerprint,))

    def _fingerprint(self, lock: str) -> bytes:
        ((kept,),) = ask(self._connection, f"SELECT fingerprint FROM master_key{lock}")
        return bytes(kept)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._connection.begin()
        try:
            yield
            self._connection.commit()
        except BaseException:
            with suppress(pymysql.MySQLError, OSError):  # a lost connection has lost it
                self._connection.rollback()
            raise

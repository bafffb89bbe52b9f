"""Views in one MySQL database, for several processes: each group's members write what their partitions hold."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from msgspec import Struct
from pymysql.connections import Connection

from mainstem.errors import InvalidQuery
from mainstem.mysql import MysqlServer, Pool, Writer, ask, execute, picture, quoted
from mainstem.mysql_rows import by_keys, in_key_order
from mainstem.mysql_schema import create, definer, migrate
from mainstem.table import Table
from mainstem.view.mysql_swap import KEPT, finish_swaps, swapping
from mainstem.view.mysql_transaction import DIALECT, MysqlViewTransaction
from mainstem.view.port import Place, keeper_mark
from mainstem.view.question import question
from mainstem.view.telling import Commits
from mainstem.words import asked_words, telling_first

R = TypeVar("R", bound=Struct)

_READERS = 4
_MIGRATIONS = (
    """
    CREATE TABLE IF NOT EXISTS mainstem_offset (
        name VARCHAR(255) NOT NULL, topic VARCHAR(255) NOT NULL, `partition` INT NOT NULL, `offset` BIGINT NOT NULL,
        PRIMARY KEY (name, topic, `partition`)
    )
    """,
    """
    CREATE TABLE IF NOT EXISTS mainstem_position (
        name VARCHAR(255) NOT NULL, `key` MEDIUMTEXT NOT NULL, version BIGINT NOT NULL,
        digest BINARY(32) AS (unhex(sha2(`key`, 256))) STORED,
        PRIMARY KEY (name, digest)
    )
    """,
    """
    CREATE TABLE IF NOT EXISTS mainstem_parked (
        name VARCHAR(255) NOT NULL, `key` MEDIUMTEXT NOT NULL, reason TEXT NOT NULL, since BIGINT NOT NULL,
        digest BINARY(32) AS (unhex(sha2(`key`, 256))) STORED,
        PRIMARY KEY (name, digest)
    )
    """,
    """
    CREATE TABLE IF NOT EXISTS mainstem_swap (
        live VARCHAR(63) NOT NULL PRIMARY KEY, built VARCHAR(63) NOT NULL,
        name VARCHAR(255) NOT NULL, `offsets` MEDIUMTEXT NOT NULL
    )
    """,
    "CREATE TABLE IF NOT EXISTS mainstem_group (name VARCHAR(255) NOT NULL PRIMARY KEY)",
    "CREATE TABLE IF NOT EXISTS mainstem_made (name VARCHAR(255) NOT NULL PRIMARY KEY, made_by TEXT NOT NULL)",
    "ALTER TABLE mainstem_swap ADD COLUMN kept VARCHAR(63)",
)


class MysqlViews:
    """One writer of this process at a time, a few readers beside it.

    Text of keys and indexed columns may have 255 characters; raises CodecError for a longer one, as for anything that
    no column holds.
    """

    def __init__(self, server: MysqlServer) -> None:
        migrate(server, "views", _MIGRATIONS)
        finish_swaps(server)
        self._server = server
        self._writer = Writer(server)
        self._readers = Pool(server, _READERS)
        self._commits = Commits()

    def create(self, table: Table[R]) -> None:
        """With its indexes; those no longer declared are dropped."""
        self._readers.check_open()
        with definer(self._server) as connection:
            create(connection, table, "; rebuild it")

    @contextmanager
    def transaction(self) -> Iterator[MysqlViewTransaction]:
        """Readers see all of it or nothing. Raises StoreBusy or WriteConflict where other processes are in the way."""
        with self._writer.transaction() as connection:
            transaction = MysqlViewTransaction(connection)
            yield transaction
        if transaction.swapped:
            finish_swaps(self._server)
        self._commits.tell()

    def get(self, table: Table[R], keys: Sequence[tuple[Any, ...]]) -> dict[tuple[Any, ...], R]:
        """By primary key."""
        with self._readers.use() as connection:
            return by_keys(connection, table, keys)

    def find(
        self,
        table: Table[R],
        where: Mapping[str, Any],
        *,
        order: Sequence[str] = (),
        descending: bool = False,
        after: Sequence[Any] | None = None,
        limit: int = 100,
    ) -> list[R]:
        """By columns, in pages; decimals are ordered as numbers."""
        sql, values = DIALECT.find(table, question(table, where, order, after), descending=descending)
        return [table.from_values(row) for row in self._readers.ask(sql, (*values, limit))]

    def find_each(
        self,
        table: Table[R],
        keys: Sequence[tuple[Any, ...]],
        *,
        descending: bool = False,
        after: Any = None,
        limit: int = 1,
    ) -> dict[tuple[Any, ...], list[R]]:
        """Many keys to a statement."""
        return DIALECT.find_each(self._readers.ask, table, keys, descending=descending, after=after, limit=limit)

    def search(
        self,
        table: Table[R],
        text: str,
        *,
        within: str | None = None,
        after: Sequence[Any] | None = None,
        limit: int = 100,
    ) -> list[R]:
        """By the full text index, which shows what is committed.

        Of each word it reads all places between the first and the last row that has the words before it. So a word that
        few rows have comes first; and within a name that is asked for alone, the words in the rows that it finds.
        """
        asked = question(table, {}, (), after)
        whole, begins = asked_words(text, within)
        if table.words is None:
            raise InvalidQuery(f"the words of {table.name} are not indexed")
        told = [*(f"+{word}" for word in telling_first(whole)), *(f"+{word}*" for word in telling_first(begins))]
        sought, seen = " ".join(told), list[str]()
        if within is not None:
            scope, *others = whole
            sought, seen = f"+{scope}", [*(f"% {word} %" for word in others), *(f"% {word}%" for word in begins)]
        condition = f" AND concat(' ', {quoted(table.words)}, ' ') LIKE %s" * len(seen)
        values: list[Any] = [sought, *seen]
        if asked.after is not None:
            place, more = DIALECT.behind(table, asked.order, asked.after, descending=True)
            condition, values = f"{condition} AND {place}", [*values, *more]
        found = f"MATCH ({quoted(table.words)}) AGAINST (%s IN BOOLEAN MODE){condition}"
        sql = f"{DIALECT.select(table)} WHERE {found}{DIALECT.order(table, table.key, descending=True)}"
        return [table.from_values(row) for row in self._readers.ask(sql, (*values, limit))]

    def scan(self, table: Table[R]) -> Iterator[R]:
        """On a connection of its own."""
        with self.picture() as seen:
            yield from seen.scan(table)

    @contextmanager
    def picture(self) -> Iterator["_Picture"]:
        """A reading transaction on a connection of its own."""
        self._readers.check_open()
        with picture(self._server) as connection:
            yield _Picture(connection)

    def count(self, table: Table[R]) -> int:
        """Counted, not estimated."""
        return int(self._readers.ask(f"SELECT count(*) FROM {quoted(table.name)}")[0][0])

    def offsets(self, group: str) -> Mapping[Place, int]:
        """By topic and partition. Raises StoreBusy while the group's view is being replaced."""
        with self._readers.use() as connection:
            pending = swapping(connection, group)
        if pending:  # whoever began has died, or is at it now and lets nobody else in until it is done
            finish_swaps(self._server)
        with self._readers.use() as connection:
            return _offsets(connection, group)

    def made_by(self, group: str) -> str | None:
        """As it was marked."""
        rows = self._readers.ask("SELECT made_by FROM mainstem_made WHERE name = %s", (group,))
        return str(rows[0][0]) if rows else None

    def reached(self, group: str, key: str) -> int:
        """By key."""
        sql = "SELECT version FROM mainstem_position WHERE name = %s AND digest = unhex(sha2(%s, 256))"
        rows = self._readers.ask(sql, (group, key))
        return int(rows[0][0]) if rows else 0

    def parked(self, group: str) -> Mapping[str, str]:
        """By key."""
        return dict(self._readers.ask("SELECT `key`, reason FROM mainstem_parked WHERE name = %s", (group,)))

    def parked_since(self, group: str) -> Mapping[str, int]:
        """By key."""
        return dict(self._readers.ask("SELECT `key`, since FROM mainstem_parked WHERE name = %s", (group,)))

    def on_commit(self, listener: Callable[[], None]) -> Callable[[], None]:
        """In the thread that commits, after the commit."""
        return self._commits.on_commit(listener)

    def drop(self, table: Table[R], group: str | None = None) -> None:
        """The table, and what is kept of the group."""
        self._readers.check_open()
        with definer(self._server) as connection:
            execute(connection, f"DROP TABLE IF EXISTS {quoted(table.name)}")
        with self._writer.transaction() as connection:
            for kept in KEPT:
                execute(connection, f"DELETE FROM {kept} WHERE name IN (%s, %s)", (group, keeper_mark(table)))

    def close(self) -> None:
        """Waits for whoever is at work."""
        self._writer.close()
        self._readers.close()


class _Picture:
    """On a connection that sees one moment."""

    def __init__(self, connection: "Connection[Any]") -> None:
        self._connection = connection

    def get(self, table: Table[R], keys: Sequence[tuple[Any, ...]]) -> dict[tuple[Any, ...], R]:
        """By primary key."""
        return by_keys(self._connection, table, keys)

    def scan(self, table: Table[R]) -> Iterator[R]:
        """In pages."""
        return in_key_order(self._connection, table)

    def offsets(self, group: str) -> Mapping[Place, int]:
        """By topic and partition."""
        return _offsets(self._connection, group)


def _offsets(connection: "Connection[Any]", group: str) -> dict[Place, int]:
    sql = "SELECT topic, `partition`, `offset` FROM mainstem_offset WHERE name = %s"
    return {(topic, partition): offset for topic, partition, offset in ask(connection, sql, (group,))}

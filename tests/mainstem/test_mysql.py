"""Connections to MySQL: errors in mainstem's names, lost connections, tables that are brought forward."""

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
from msgspec import Struct

from mainstem.errors import (
    CodecError,
    ConfigurationError,
    StoreBusy,
    StoreUnavailable,
    WriteConflict,
)
from mainstem.mysql import MysqlServer, Pool, Writer, ask, connect, execute, quoted
from mainstem.mysql_rows import by_keys, in_key_order, insert_many
from mainstem.mysql_schema import create, migrate
from mainstem.table import Table
from tests.stack import Databases

pytestmark = pytest.mark.stack

_TABLES = ("CREATE TABLE IF NOT EXISTS thing (id BIGINT NOT NULL PRIMARY KEY, name VARCHAR(10) NOT NULL)",)


@pytest.fixture
def server(databases: Databases, tmp_path: Path) -> MysqlServer:
    return databases(tmp_path)


@pytest.fixture
def things(server: MysqlServer) -> MysqlServer:
    migrate(server, "things", _TABLES)
    return server


def test_the_password_is_in_no_text(server: MysqlServer) -> None:
    secret = replace(server, password="open-sesame")  # noqa: S106
    assert "open-sesame" not in f"{secret} {secret!r}"
    with pytest.raises(ConfigurationError, match="does not let mainstem in") as caught:
        connect(secret)
    assert "open-sesame" not in str(caught.value)


def test_a_server_that_is_not_there_is_told() -> None:
    with pytest.raises(StoreUnavailable, match=r"127\.0\.0\.1:1"):
        connect(MysqlServer("127.0.0.1", 1, "nobody", "", "nothing"))


def test_a_database_that_is_not_there_is_told(server: MysqlServer) -> None:
    with pytest.raises(ConfigurationError, match="nothing_there"):
        connect(replace(server, database="nothing_there"))


def test_a_writer_that_is_silent_in_a_transaction_loses_its_locks(things: MysqlServer) -> None:
    """As a process that is frozen is; it hears of it when it goes on."""
    frozen, other = Writer(things, idle_s=1), Writer(things)
    with other.transaction() as connection:
        execute(connection, "INSERT INTO thing VALUES (1, 'a')")
    with pytest.raises(StoreUnavailable):
        _freeze_and_pass(frozen, other)
    with frozen.transaction() as connection:
        assert ask(connection, "SELECT name FROM thing") == (("c",),)
    frozen.close()
    other.close()


def _freeze_and_pass(frozen: Writer, other: Writer) -> None:
    with frozen.transaction() as connection:
        execute(connection, "UPDATE thing SET name = 'b' WHERE id = 1")
        with other.transaction() as waiting:  # waits for the lock, for a second
            execute(waiting, "UPDATE thing SET name = 'c' WHERE id = 1")


@pytest.mark.parametrize("row", [(1, "longer than ten"), (2**63, "a"), (1, None), (1, "\ud800")])
def test_a_value_without_a_place_is_the_values_fault(things: MysqlServer, row: tuple[object, ...]) -> None:
    writer = Writer(things)
    with pytest.raises(CodecError), writer.transaction() as connection:
        insert_many(connection, "thing (id, name)", [(0, "fits"), row])
    with writer.transaction() as connection:
        assert ask(connection, "SELECT count(*) FROM thing") == ((0,),)
    writer.close()


def test_a_lost_connection_is_made_again(things: MysqlServer) -> None:
    """Idle ones are made again without a word; one lost in the middle fails what it was doing, once."""
    pool, writer = Pool(things, 1), Writer(things)
    pool.ask("SELECT 1")
    _kill_all(things)

    def interrupted() -> None:
        with writer.transaction() as connection:
            insert_many(connection, "thing (id, name)", [(1, "lost")])
            _kill_all(things)
            insert_many(connection, "thing (id, name)", [(2, "lost")])

    with pytest.raises(StoreUnavailable):
        interrupted()
    with writer.transaction() as connection:
        insert_many(connection, "thing (id, name)", [(3, "kept")])
    with pytest.raises(StoreUnavailable):
        pool.ask("SELECT id FROM thing")
    assert pool.ask("SELECT id FROM thing") == ((3,),)
    pool.close()
    writer.close()


def test_two_that_wait_for_each_other_are_a_conflict(things: MysqlServer) -> None:
    """The server ends one of them, and only that."""
    met = threading.Barrier(2)

    def work(first: int) -> str:
        writer = Writer(things)
        try:
            with writer.transaction() as connection:
                for number in (first, 1 - first):
                    execute(connection, "UPDATE thing SET name = %s WHERE id = %s", (str(first), number))
                    if number == first:
                        met.wait(10)
        except WriteConflict:
            return "conflict"
        finally:
            writer.close()
        return "done"

    seed = Writer(things)
    with seed.transaction() as connection:
        insert_many(connection, "thing (id, name)", [(0, "a"), (1, "a")])
    seed.close()
    with ThreadPoolExecutor(2) as pool:
        assert sorted(pool.map(work, (0, 1))) == ["conflict", "done"]


def test_a_writer_that_is_away_for_long_is_told(things: MysqlServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mainstem.sessions._WAIT_S", 0.01)
    writer = Writer(things)
    with writer.transaction(), ThreadPoolExecutor(1) as pool:

        def second() -> None:
            with writer.transaction():
                pass

        with pytest.raises(StoreBusy):
            pool.submit(second).result(10)
    writer.close()


def test_tables_are_brought_forward_once(server: MysqlServer) -> None:
    """By whichever of several processes comes first; a second start finds them as they are."""
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: migrate(server, "things", _TABLES), range(4)))
    migrate(server, "things", (*_TABLES, "CREATE TABLE IF NOT EXISTS more (id BIGINT NOT NULL PRIMARY KEY)"))
    pool_of_one = Pool(server, 1)
    assert pool_of_one.ask("SELECT kind, version FROM mainstem_schema") == (("things", 2),)
    assert pool_of_one.ask("SELECT count(*) FROM more") == ((0,),)
    pool_of_one.close()
    with pytest.raises(ConfigurationError, match="newer release"):
        migrate(server, "things", _TABLES)


class Row(Struct, frozen=True):
    group: str
    number: int
    amount: Decimal
    share: float = 0.5
    data: bytes = b""


ROWS = Table("row", Row, key=("group", "number"))


def test_rows_in_key_order_are_all_there(server: MysqlServer) -> None:
    """Over the ends of pages, and with keys of several columns."""
    rows = [Row(group, number, Decimal("1.25"), data=b"\x00'\\\xff") for group in "ba" for number in range(1_501)]
    writer = Writer(server)
    with writer.transaction() as connection:
        create(connection, ROWS)
        insert_many(connection, quoted("row"), list(map(ROWS.values, rows)))
        ordered = list(in_key_order(connection, ROWS))
        some = by_keys(connection, ROWS, [("a", 3), ("c", 1), ("b", 1_500)])
    writer.close()
    assert ordered == sorted(rows, key=ROWS.key_of)
    assert list(some) == [("a", 3), ("b", 1_500)]


def test_an_index_comes_and_goes_with_its_declaration(server: MysqlServer) -> None:
    """Text that is indexed has a limit from then on; names that are too long together do not matter."""
    long = Table("row", Row, key=("number",), indexes=(("group", "amount"), ("group", "number", "amount", "share")))
    writer = Writer(server)
    with writer.transaction() as connection:
        create(connection, Table("row", Row, key=("number",)))
        create(connection, long)
        found = ask(
            connection,
            "SELECT DISTINCT index_name FROM information_schema.statistics WHERE table_name = 'row'"
            " AND table_schema = DATABASE()",
        )
        assert len(found) == 3
        create(connection, Table("row", Row, key=("number",)))
        with pytest.raises(ConfigurationError, match="stands as"):
            create(connection, ROWS)
    writer.close()


def _kill_all(server: MysqlServer) -> None:
    """End all connections to that database, as a restart of the server would."""
    connection = connect(server)
    sql = "SELECT id FROM information_schema.processlist WHERE db = %s AND id <> connection_id()"
    for (number,) in ask(connection, sql, (server.database,)):
        execute(connection, f"KILL {number}")
    connection.close()

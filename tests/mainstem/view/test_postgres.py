"""Views in PostgreSQL: what it has no place for, its indexes, readers that are in the way, a server that goes away."""

import threading
from collections.abc import Iterator
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from deploy.postgres import Postgres
from mainstem.errors import CodecError, ConfigurationError, InvalidQuery, StoreBusy, StoreUnavailable
from mainstem.postgres import PostgresServer, Session, ask
from mainstem.table import Table
from mainstem.testing.contracts.view import BUILT, LINE, Line, line
from mainstem.testing.contracts.words import NOTE
from mainstem.view.postgres import PostgresViews
from tests.postgres import PostgresDatabases


@pytest.fixture
def server(postgres_databases: PostgresDatabases, tmp_path: Path) -> PostgresServer:
    return postgres_databases(tmp_path)


@pytest.fixture
def views(server: PostgresServer) -> Iterator[PostgresViews]:
    with closing(PostgresViews(server)) as views:
        views.create(LINE)
        yield views


def asked(server: PostgresServer, sql: str) -> Any:
    session = Session(server)
    try:
        with session.use() as connection:
            return ask(connection, sql)
    finally:
        session.close()


def test_the_character_0(views: PostgresViews) -> None:
    """No text holds it; keys and reasons do not stand in the way of what is put aside for it."""
    with pytest.raises(CodecError), views.transaction() as transaction:
        transaction.add(LINE, [Line(1, "a\0", Decimal(1))])
    with pytest.raises(InvalidQuery, match="character 0"):
        views.find(LINE, {"account": "a\0"})
    with views.transaction() as transaction:
        transaction.park("g", {"k\0": "because of \0"}, {"k\0": 3})
    assert views.parked("g") == {"k\0": "because of \N{REPLACEMENT CHARACTER}"}


def test_a_text_that_no_index_takes_is_the_rows_fault(views: PostgresViews) -> None:
    text = "".join(chr(0x4E00 + n * 7919 % 20_000) for n in range(5_000))
    with pytest.raises(CodecError), views.transaction() as transaction:
        transaction.add(LINE, [Line(1, text, Decimal(1))])
    assert views.count(LINE) == 0


def test_text_is_ordered_by_its_code_points(views: PostgresViews, server: PostgresServer) -> None:
    """Whatever order the database has for texts."""
    table = Table("named", Line, key=("account",))
    views.create(table)
    with views.transaction() as transaction:
        transaction.add(table, [Line(n, text, Decimal(1)) for n, text in enumerate(["ä", "b", "B", "a", "Z"])])
    assert [row.account for row in views.scan(table)] == ["B", "Z", "a", "b", "ä"]
    assert [row.account for row in views.find(table, {}, after=("Z",))] == ["a", "b", "ä"]
    collated = """
        SELECT DISTINCT collname FROM pg_attribute JOIN pg_collation c ON c.oid = attcollation
        WHERE attrelid = 'named'::regclass AND attnum > 0
    """
    assert asked(server, collated) == [("C",)]


def test_indexes_come_and_go_with_their_declaration(views: PostgresViews, server: PostgresServer) -> None:
    """Over several swaps each is there once; one that somebody else has made stays."""
    views.create(NOTE)
    asked(server, "CREATE INDEX by_hand ON line (note)")
    for _ in range(3):
        views.create(BUILT)
        with views.transaction() as transaction:
            transaction.swap(LINE, BUILT, "g")
    assert _indexes(server, "line") == ["btree (account, id)"]
    views.create(Table("line", Line, key=("id",), indexes=(("note", "id"),)))
    assert _indexes(server, "line") == ["btree (note NULLS FIRST, id)"]
    asked(server, "CREATE INDEX by_hand ON line (account)")
    views.create(Table("line", Line, key=("id",)))
    assert _indexes(server, "line") == ["btree (account)"]
    assert [each.partition(" ")[0] for each in _indexes(server, "note")] == ["btree", "gin"]


def _indexes(server: PostgresServer, table: str) -> list[str]:
    sql = f"SELECT indexdef FROM pg_indexes WHERE tablename = '{table}' AND indexdef NOT LIKE 'CREATE UNIQUE%'"
    return sorted(row[0].partition(" USING ")[2] for row in asked(server, sql))


@pytest.mark.parametrize(
    ("sql", "index"),
    [
        ("SELECT * FROM line WHERE account = 'a' AND (id) < (5) ORDER BY id DESC LIMIT 10", "mainstem_i_"),
        ("SELECT * FROM line WHERE note IS NULL ORDER BY note NULLS FIRST, id LIMIT 10", "mainstem_i_"),
    ],
)
def test_questions_use_the_indexes(server: PostgresServer, sql: str, index: str) -> None:
    """Without sorting."""
    with closing(PostgresViews(server)) as views:
        views.create(Table("line", Line, key=("id",), indexes=(("account", "id"), ("note", "id"))))
    asked(server, "INSERT INTO line SELECT n, 'a' || n % 50, 1, false, NULL FROM generate_series(1, 5000) n")
    asked(server, "ANALYZE line")
    plan = str(asked(server, f"EXPLAIN {sql}"))
    assert index in plan
    assert "Sort" not in plan


def test_a_swap_waits_for_readers_and_not_for_ever(views: PostgresViews, monkeypatch: pytest.MonkeyPatch) -> None:
    """While a long one is at the table others still read; where it stays, all is as it was."""
    monkeypatch.setattr("mainstem.view.postgres._LOCKS_MAX", 2)
    monkeypatch.setattr("mainstem.view.postgres._LOCK_PAUSE_S", 0.3)
    views.create(BUILT)
    with views.transaction() as transaction:
        transaction.add(LINE, [line(1)])

    def swap() -> None:
        with views.transaction() as transaction:
            transaction.swap(LINE, BUILT, "g")

    with views.picture() as picture:
        assert len(list(picture.scan(LINE))) == 1
        with pytest.raises(StoreBusy):
            swap()
    assert views.count(LINE) == 1
    left = threading.Event()

    def read() -> None:
        with views.picture() as picture:
            list(picture.scan(LINE))
            left.set()
            threading.Event().wait(0.5)

    reader = threading.Thread(target=read)
    reader.start()
    left.wait(10)
    swap()
    reader.join(10)
    assert views.count(LINE) == 0


def test_a_newer_release_is_told(views: PostgresViews, server: PostgresServer) -> None:
    asked(server, "UPDATE mainstem_schema SET version = 99")
    with pytest.raises(ConfigurationError, match="newer release"):
        PostgresViews(server)


def test_a_server_that_goes_away_and_comes_back() -> None:
    """What is asked meanwhile fails at once, by its name; nothing has to be started anew."""
    postgres = Postgres()
    try:
        postgres.start()
        with closing(PostgresViews(postgres.database())) as views:
            views.create(LINE)
            with views.transaction() as transaction:
                transaction.add(LINE, [line(1)])
                transaction.save("g", {("t", 0): 1})
            postgres.stop()
            for ask_ in (lambda: views.count(LINE), lambda: views.offsets("g"), lambda: list(views.scan(LINE))):
                with pytest.raises(StoreUnavailable):
                    ask_()
            postgres.start()
            assert (views.count(LINE), views.offsets("g")) == (1, {("t", 0): 1})
    finally:
        postgres.remove()

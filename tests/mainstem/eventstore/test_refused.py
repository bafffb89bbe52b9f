"""Questions about refused commands on both stores: by which index, and where an older release has made the tables."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from mainstem.eventstore import mysql, sqlite_schema
from mainstem.eventstore.mysql import MysqlEventReader, MysqlEventStore
from mainstem.eventstore.port import EventStore, Refusal, RefusalCount, RefusalFilter
from mainstem.eventstore.refused import RefusedCommands
from mainstem.eventstore.sqlite import SqliteEventReader, SqliteEventStore
from mainstem.mysql import MysqlServer, Session, ask, execute
from mainstem.mysql_schema import migrate
from mainstem.sqlite import prepare
from tests.stack import Databases

Explain = Callable[[str, "list[object]"], str]
_MANY = 3_000


def _refusal(number: int) -> Refusal:
    return Refusal(
        stream=f"card-{number % 300}",
        command=f"Command{number % 50}",
        content=b"{}",
        reason=f"reason-{number % 50}",
        text="no",
        refused_at_ms=number,
        actor=f"actor-{number % 200}",
        retry_of=number if number % 100 == 0 else None,
    )


def _fill(store: EventStore) -> None:
    with closing(store), store.transaction() as transaction:
        for number in range(_MANY):
            transaction.keep_refusal(_refusal(number))


@pytest.fixture(params=["sqlite", pytest.param("mysql", marks=pytest.mark.stack)])
def explain(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Explain]:
    """How a store of three thousand refusals would answer."""
    if request.param == "sqlite":
        path = tmp_path / "events.db"
        _fill(SqliteEventStore(path, clock_ms=lambda: 1))
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("ANALYZE")
            yield lambda sql, values: str(connection.execute(f"EXPLAIN QUERY PLAN {sql}", values).fetchall())
    else:
        databases: Databases = request.getfixturevalue("databases")
        server = databases(tmp_path)
        _fill(MysqlEventStore(server, clock_ms=lambda: 1))
        with closing(Session(server)) as session, session.use() as connection:
            execute(connection, "ANALYZE TABLE refused_command")
            yield lambda sql, values: str(ask(connection, f"EXPLAIN FORMAT=TREE {_formed(sql)}", values))


def _formed(sql: str) -> str:
    return sql.replace("%", "%%").replace("?", "%s")


@pytest.mark.parametrize(
    ("asked", "index"),
    [
        (RefusalFilter(), "time"),
        (RefusalFilter(from_ms=2_990), "time"),
        (RefusalFilter(category="card", from_ms=2_990), "time"),
        (RefusalFilter(stream="card-1"), "stream"),
        (RefusalFilter(reason="reason-1"), "reason"),
        (RefusalFilter(command="Command1"), "command"),
        (RefusalFilter(actor="actor-1"), "actor"),
        (RefusalFilter(retry_of=100), "retry"),
    ],
    ids=str,
)
def test_a_page_is_read_by_an_index(explain: Explain, asked: RefusalFilter, index: str) -> None:
    """In the order of the index, wherever its rows stand in the order of pages: nothing is sorted."""
    refused = RefusedCommands(lambda *_: ())
    for after in (None, (2_999, 1)):
        sql, values = refused.page_statement(asked, after, 10)
        plan = explain(sql, list(values)).lower()
        assert f"refused_command_{index}" in plan
        assert "scan refused_command'" not in plan
        assert "table scan" not in plan
        if index != "retry":
            assert "temp b-tree" not in plan
            assert "sort" not in plan


@pytest.mark.parametrize("asked", [RefusalFilter(), RefusalFilter(reason="reason-1")], ids=str)
@pytest.mark.parametrize("period_ms", [None, 100])
def test_counts_are_read_from_an_index_alone(explain: Explain, asked: RefusalFilter, period_ms: int | None) -> None:
    sql, values = RefusedCommands.counts_statement(asked, period_ms, 10)
    plan = explain(sql, list(values)).lower()
    assert "covering index" in plan


_COLUMNS = "stream, command, content, reason, text, refused_at_ms, actor"
_ROW = ("card-1", "Count", "{}", "no", "not now", 7, "teller")


def _hold(refused: RefusedCommands) -> None:
    (kept,) = refused.page(RefusalFilter(stream="card-1"))
    assert (kept.refusal.reason, kept.refusal.retry_of, kept.retried) == ("no", None, None)
    assert refused.find(kept.number) == kept
    assert list(refused.counts()) == [RefusalCount("no", 1)]


@pytest.mark.parametrize("schema", range(1, len(sqlite_schema.MIGRATIONS) + 1))
def test_a_file_of_an_older_release_is_read_as_it_is_and_brought_forward(tmp_path: Path, schema: int) -> None:
    """Its events too, by whoever changes nothing."""
    path = tmp_path / "events.db"
    prepare(path, "events", sqlite_schema.MIGRATIONS[:schema])
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"INSERT INTO refused_command ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?)", _ROW)
        connection.execute(
            "INSERT INTO event (stream, version, type, payload, occurred_at_ms, recorded_at_ms, actor)"
            " VALUES ('card-1', 1, 'Counted', '{}', 1, 1, 'teller')"
        )
        connection.commit()
    with closing(SqliteEventReader(path)) as reader:
        _hold(reader.refusals)
        assert [each.schema_version for each in reader.read("card-1")] == [1]
    with closing(SqliteEventStore(path, clock_ms=lambda: 1)) as store:
        _hold(store.refusals)


@pytest.mark.stack
def test_tables_of_an_older_release_are_read_as_they_are_and_brought_forward(
    databases: Databases, tmp_path: Path
) -> None:
    server: MysqlServer = databases(tmp_path)
    migrate(server, "events", mysql._MIGRATIONS[:4])
    with closing(Session(server)) as session, session.use() as connection:
        execute(connection, f"INSERT INTO refused_command ({_COLUMNS}) VALUES (%s, %s, %s, %s, %s, %s, %s)", _ROW)
    with closing(MysqlEventReader(server)) as reader:
        _hold(reader.refusals)
    with closing(MysqlEventStore(server, clock_ms=lambda: 1)) as store:
        _hold(store.refusals)

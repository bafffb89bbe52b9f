"""The two engines under `plans.py`: filled by SQL, listened to while they are asked, and asked for their plans."""

import json
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import apsw
import pymysql

from bank.payment import of_card, of_customer
from mainstem import Table
from mainstem.mysql import MysqlServer
from mainstem.view.mysql import MysqlViews
from mainstem.view.port import ViewStore
from mainstem.view.sqlite import SqliteViews
from mainstem.words import searchable

_PART, _SMALL_PART = 1_000_000, 100_000
_CUSTOMER_OF = 3

Statement = tuple[str, Any]


def _cards(count: int) -> Iterator[tuple[int, str, str, str]]:
    """Cards with their customers, and what says in a column of words that a payment is theirs."""
    for number in range(count):
        card, customer = f"c{number:08d}", f"k{number // _CUSTOMER_OF:08d}"
        yield number, card, customer, searchable(within=[of_card(card), of_customer(customer)])


class Engine(ABC):
    """A view store, and what is done to it beside its port."""

    name: str
    views: ViewStore

    @abstractmethod
    def fill(self, table: Table[Any], columns: Mapping[str, str], rows: int, cards: int, *, with_cards: bool) -> None:
        """Insert rows made by SQL for each number n from 0."""

    @abstractmethod
    def settle(self, table: Table[Any]) -> None:
        """Let the engine know how much there is."""

    @abstractmethod
    def heard(self) -> Any:
        """A block; what is asked in it stands in the list that it gives."""

    @abstractmethod
    def faults(self, statement: Statement, table: Table[Any], index: tuple[str, ...] | None) -> list[str]:
        """What of its plan is not by the index."""

    def close(self) -> None:
        """Give it back."""
        self.views.close()


class SqliteEngine(Engine):
    """In a file."""

    name = "sqlite"

    def __init__(self, folder: Path) -> None:
        self._statements: list[Statement] = []
        self._listening = False
        apsw.connection_hooks.append(self._listen)
        path = folder / "views.db"
        self.views = SqliteViews(path)
        self._own = apsw.Connection(str(path))
        apsw.connection_hooks.remove(self._listen)
        self._own.exec_trace = None
        self._own.execute("PRAGMA synchronous = OFF; PRAGMA cache_size = -200000")

    def _listen(self, connection: apsw.Connection) -> None:
        def trace(_: apsw.Cursor, sql: str, values: Any) -> bool:
            if self._listening:
                self._statements.append((sql, values))
            return True

        connection.exec_trace = trace

    def fill(self, table: Table[Any], columns: Mapping[str, str], rows: int, cards: int, *, with_cards: bool) -> None:
        """A million to a transaction."""
        source = "numbers"
        if with_cards:
            self._own.execute("DROP TABLE IF EXISTS temp.cards")
            self._own.execute("CREATE TEMP TABLE cards (number INTEGER PRIMARY KEY, card, customer, scopes)")
            with self._own:
                self._own.executemany("INSERT INTO temp.cards VALUES (?, ?, ?, ?)", _cards(cards))
            source = f"numbers JOIN temp.cards ON number = n * 7919 % {cards}"
        made = ", ".join(columns[column.name] for column in table.columns).format(div="/", cards=cards, rows=rows)
        for begin in range(0, rows, _PART):
            numbers = f"SELECT {begin} UNION ALL SELECT n + 1 FROM numbers LIMIT {min(_PART, rows - begin)}"
            self._own.execute(
                f'WITH RECURSIVE numbers (n) AS ({numbers}) INSERT INTO "{table.name}" SELECT {made} FROM {source}'
            )

    def settle(self, table: Table[Any]) -> None:
        """It plans without figures."""

    @contextmanager
    def heard(self) -> Iterator[list[Statement]]:
        """By the driver's hook."""
        self._statements.clear()
        self._listening = True
        yield self._statements
        self._listening = False

    def faults(self, statement: Statement, table: Table[Any], index: tuple[str, ...] | None) -> list[str]:
        """EXPLAIN QUERY PLAN names the index."""
        sql, values = statement
        if f'"{table.name}' not in sql:
            return []
        self._own.execute("SELECT count(*) FROM sqlite_schema").fetchall()  # a plan alone does not see a new index
        steps: Any = [row[3] for row in self._own.execute(f"EXPLAIN QUERY PLAN {sql}", values)]
        if index is None:
            words = f"{table.name}__words VIRTUAL TABLE INDEX"
            right = words in steps[0] and "USING INTEGER PRIMARY KEY (rowid=?)" in steps[1]
        else:
            name = f"{table.name}__{'__'.join(index)}" if index else f"sqlite_autoindex_{table.name}_1"
            right = len(steps) == 1 and steps[0].startswith("SEARCH") and f"INDEX {name} (" in steps[0]
        return [] if right else ["; ".join(steps)]

    def close(self) -> None:
        """Both."""
        self._own.close()
        super().close()


class MysqlEngine(Engine):
    """In a database of a server that runs."""

    name = "mysql"

    def __init__(self, host: str, port: str, user: str, password: str, database: str) -> None:
        self.views = MysqlViews(MysqlServer(host, int(port), user, password, database))
        self._own = pymysql.connect(
            host=host, port=int(port), user=user, password=password, database=database, autocommit=True
        )
        self._ask("SET SESSION sql_mode = 'ANSI'")
        with suppress(pymysql.OperationalError):  # a server that does not know it has this form alone
            self._ask("SET SESSION explain_json_format_version = 1")

    def _drop(self) -> None:
        """One by one: Debezium, where it reads the same server's log, stops at a statement that drops several."""
        for name in ("plan_number", "plan_card"):
            self._ask(f"DROP TABLE IF EXISTS {name}")

    def _ask(self, sql: str, values: Any = None) -> Any:
        with self._own.cursor() as cursor:
            cursor.execute(sql, values)
            return cursor.fetchall()

    def fill(self, table: Table[Any], columns: Mapping[str, str], rows: int, cards: int, *, with_cards: bool) -> None:
        """A hundred thousand to a transaction."""
        source = "numbers"
        self._drop()
        self._ask("CREATE TABLE plan_number (n BIGINT PRIMARY KEY)")
        self._ask("INSERT INTO plan_number VALUES (0)")
        size = 1
        while size < min(rows, _SMALL_PART):
            self._ask(f"INSERT INTO plan_number SELECT n + {size} FROM plan_number")
            size *= 2
        if with_cards:
            text = "VARCHAR(255) COLLATE utf8mb4_0900_bin"
            self._ask(
                f"CREATE TABLE plan_card (number BIGINT PRIMARY KEY, card {text}, customer {text}, scopes {text})"
            )
            with self._own.cursor() as cursor:
                cursor.executemany("INSERT INTO plan_card VALUES (%s, %s, %s, %s)", list(_cards(cards)))
            source = f"numbers JOIN plan_card cards ON number = n * 7919 % {cards}"
        made = ", ".join(columns[column.name] for column in table.columns).format(div="DIV", cards=cards, rows=rows)
        for begin in range(0, rows, size):
            numbers = f"(SELECT n + {begin} AS n FROM plan_number WHERE n + {begin} < {rows}) AS numbers"
            self._ask(f'INSERT INTO "{table.name}" SELECT {made} FROM {source.replace("numbers", numbers, 1)}')
        self._drop()

    def settle(self, table: Table[Any]) -> None:
        """By counting a sample."""
        self._ask(f'ANALYZE TABLE "{table.name}"')

    @contextmanager
    def heard(self) -> Iterator[list[Statement]]:
        """Where the driver sends them."""
        statements: list[Statement] = []
        send = pymysql.connections.Connection.query

        def query(connection: Any, sql: Any, unbuffered: bool = False) -> Any:
            statements.append((sql if isinstance(sql, str) else bytes(sql).decode(), None))
            return send(connection, sql, unbuffered)

        pymysql.connections.Connection.query = query  # type: ignore[method-assign]
        yield statements
        pymysql.connections.Connection.query = send  # type: ignore[method-assign]

    def faults(self, statement: Statement, table: Table[Any], index: tuple[str, ...] | None) -> list[str]:
        """EXPLAIN FORMAT=JSON names the index; only what words find is sorted."""
        sql, _ = statement
        if f"`{table.name}`" not in sql or not sql.startswith("SELECT"):
            return []
        self._ask("SET SESSION sql_mode = ''")
        plan = json.loads(self._ask(f"EXPLAIN FORMAT=JSON {sql}")[0][0])["query_block"]
        self._ask("SET SESSION sql_mode = 'ANSI'")
        ordering = plan.get("ordering_operation", {})
        step = ordering.get("table") or plan["table"]
        key = "mainstem_words" if index is None else "__".join(("i", *index)) if index else "PRIMARY"
        right = step.get("key") == key and step["access_type"] in ("ref", "range", "const", "fulltext")
        right = right and (index is None or not ordering.get("using_filesort"))
        return [] if right else [json.dumps(plan)]

    def close(self) -> None:
        """Both."""
        self._own.close()
        super().close()

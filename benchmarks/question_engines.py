"""The engines under `questions.py`: each filled in bulk, by its own means, with the same withdrawals of one year.

Withdrawal n of N is at the n-th part of the year; its card and its amount come from n by multiplication, few cards
being used much oftener than others. So every engine can make or be given the same without a file that all of them read.
"""

import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import httpx
import pymysql

from bank.analytics import BANKAPP
from bank.statement import MONEY_WITHDRAWAL
from deploy.configuration import Place, application_settings
from mainstem.mysql import MysqlServer
from mainstem.olap.asking import answered
from mainstem.olap.druid import DruidOlap
from mainstem.olap.druid_spec import Reading, supervisor_spec
from mainstem.olap.duckdb import DuckdbOlap
from mainstem.olap.port import Answer, Olap
from mainstem.olap.question import epoch_ms
from mainstem.view.mysql import MysqlViews
from ten_questions import BEGIN, TEN, Asked

MYSQL_POOL_MB = 1_024
_YEAR_MS = 365 * 86_400_000
_FILE_ROWS = 1_000_000
_PART = 500_000
_LOAD_S = 7_200.0
_LOOK_S = 1.0
_WARM_S = 60.0
_ANSWER_S = 300.0
_COVERING = ("(transaction_date_ms, debit_card_id, amount)", "(debit_card_id, transaction_date_ms, amount)")
_HASH = "(n * 40503) % 65536"
_CENTS = "100 + (n * 104729) % 99901"


class Engine(ABC):
    """Filled once; then it answers."""

    name: str

    @abstractmethod
    def fill(self, rows: int) -> float:
        """Seconds that its own bulk load has taken, until all of it is answered for."""

    @abstractmethod
    def ask(self, asked: Asked) -> Sequence[tuple[Any, ...]]:
        """The answer's rows."""

    @abstractmethod
    def close(self) -> None:
        """Give everything back."""


def _facts(rows: int, begin: int, end: int) -> str:
    """What DuckDB selects for the numbers from begin to before end."""
    return (
        f"SELECT 'binlog.000001:' || lpad(n::VARCHAR, 12, '0') || ':000' AS id, {_CENTS} AS cents,"
        f" 'c' || lpad((({_HASH}) * ({_HASH}) // 65536)::VARCHAR, 5, '0') AS card,"
        f" {epoch_ms(BEGIN)} + n * {_YEAR_MS} // {rows} AS at_ms FROM range({begin}, {end}) AS numbers(n)"
    )


def withdrawals(rows: int, page: int) -> Iterator[list[tuple[str, str, Decimal, int]]]:
    """The same in Python, page by page: id, card, amount, milliseconds since the epoch."""
    for begin in range(0, rows, page):
        facts = _facts(rows, begin, min(rows, begin + page))
        found = duckdb.execute(f"SELECT id, card, (cents / 100)::DECIMAL(18,2), at_ms FROM ({facts})").fetchall()
        yield found


class Duckdb(Engine):
    """The embedded form's, with its own limits of threads and memory."""

    name = "DuckDB"

    def __init__(self, folder: Path) -> None:
        self._path = folder / "analytics.duckdb"
        self._olap = DuckdbOlap(self._path)

    def fill(self, rows: int) -> float:
        """INSERT ... SELECT of all, in a process that has the file alone."""
        self._olap.create(BANKAPP)
        self._olap.close()
        began = time.monotonic()
        with duckdb.connect(str(self._path)) as own:
            own.execute(
                'INSERT INTO bankapp (id, amount, "debitCardId", "transactionDate")'
                f" SELECT id, (cents / 100)::DECIMAL(18,2), card, epoch_ms(at_ms) FROM ({_facts(rows, 0, rows)})"
            )
        took = time.monotonic() - began
        self._olap = DuckdbOlap(self._path)
        return took

    def ask(self, asked: Asked) -> Sequence[tuple[Any, ...]]:
        """As the bank's analytics do."""
        return answered(self._olap, asked.question).rows

    def close(self) -> None:
        """The file goes with its folder."""
        self._olap.close()


def counted(olap: Olap, name: str) -> int:
    """The rows of a datasource; none where it is not known yet, or not served."""
    try:
        return int(olap.ask(f"SELECT count(*) FROM {name}", timeout_s=60).rows[0][0])
    except Exception:
        return 0


class _PatientDruid(DruidOlap):
    """Gives an answer more time than an application's questions have."""

    def ask(self, sql: str, parameters: Sequence[Any] = (), **limits: Any) -> Answer:
        """As Druid's adapter does."""
        return super().ask(sql, parameters, **{**limits, "timeout_s": _ANSWER_S})


class Druid(Engine):
    """The distributed form's, on a stack that runs: filled by its native batches from files."""

    name = "Druid"

    def __init__(self, folder: Path, place: Place) -> None:
        self._folder = folder
        url = f"http://{place.host}:{place.ports.broker}"
        self._overlord = f"http://{place.host}:{place.ports.coordinator}/druid/indexer/v1"
        self._olap: Olap = _PatientDruid(url, [BANKAPP])

    def fill(self, rows: int) -> float:
        """From the task's start until the broker counts all rows."""
        folder = self._folder / f"facts-{rows}"
        folder.mkdir()
        for begin in range(0, rows, _FILE_ROWS):
            part = _facts(rows, begin, min(rows, begin + _FILE_ROWS))
            path = folder / f"{begin:012d}.csv"
            duckdb.execute(f"COPY ({part}) TO '{path}' (FORMAT csv, HEADER false)")
        began = time.monotonic()
        with httpx.Client(timeout=30) as client:
            answer = client.post(f"{self._overlord}/task", json=_of_columns(folder)).raise_for_status()
            task = answer.json()["task"]
            while (state := self._state(client, task)) == "RUNNING" or counted(self._olap, BANKAPP.name) < rows:
                if state == "FAILED" or time.monotonic() > began + _LOAD_S:
                    raise SystemExit(f"Druid's task {task} has come to nothing: {state}")
                time.sleep(_LOOK_S)
        took = time.monotonic() - began
        for path in folder.iterdir():
            path.unlink()
        self._warm()
        return took

    def _warm(self) -> None:
        """Ask until what is asked is compiled, as in a Druid that has run for a while."""
        until = time.monotonic() + _WARM_S
        while time.monotonic() < until:
            for asked in TEN:
                self.ask(asked)

    def _state(self, client: httpx.Client, task: str) -> str:
        status = client.get(f"{self._overlord}/task/{task}/status").raise_for_status().json()
        return str(status["status"]["statusCode"])

    def ask(self, asked: Asked) -> Sequence[tuple[Any, ...]]:
        """As the bank's analytics do, but for the limit of time."""
        return answered(self._olap, asked.question).rows

    def close(self) -> None:
        """What is in Druid stays."""
        self._olap.close()


def batch_from(folder: Path, files: str, name: str, form: dict[str, Any]) -> dict[str, Any]:
    """Druid's native batch of files in that form, with the columns of the supervisor's spec."""
    schema = supervisor_spec(replace(BANKAPP, name=name), Reading("none"))["spec"]["dataSchema"]
    source = {"type": "local", "baseDir": str(folder.absolute()), "filter": files}
    ingested = {"type": "index_parallel", "inputSource": source, "inputFormat": form, "appendToExisting": False}
    tuned = {"type": "index_parallel", "maxNumConcurrentSubTasks": 2}
    return {
        "type": "index_parallel",
        "spec": {"dataSchema": schema, "ioConfig": ingested, "tuningConfig": tuned},
    }


def _of_columns(folder: Path) -> dict[str, Any]:
    """Of files that have the columns as they are kept."""
    form = {"type": "csv", "columns": ["id", "amount_cents", "debitCardId", "at_ms"]}
    batch = batch_from(folder, "*.csv", BANKAPP.name, form)
    schema = batch["spec"]["dataSchema"]
    del schema["transformSpec"]
    schema["timestampSpec"] = {"column": "at_ms", "format": "millis"}
    return batch


class Mysql(Engine):
    """The statement's table, with the view's own index and two that cover the questions; no OLAP store at all."""

    name = "MySQL"

    def __init__(self, place: Place, database: str = "questions") -> None:
        settings = application_settings(place)
        user, password = settings["MAINSTEM_MYSQL_USER"], settings["MAINSTEM_MYSQL_PASSWORD"]
        self._own = pymysql.connect(
            host=place.host, port=place.ports.mysql, user=user, password=password, autocommit=True
        )
        self._do("SET SESSION sql_log_bin = 0")
        self._do(f"SET GLOBAL innodb_buffer_pool_size = {MYSQL_POOL_MB * 1_048_576}")
        self._do(f"DROP DATABASE IF EXISTS {database}")
        self._do(f"CREATE DATABASE {database}")
        self._do(f"USE {database}")
        self._server = MysqlServer(place.host, place.ports.mysql, user, password, database)

    def _do(self, sql: str, values: Any = None) -> Sequence[tuple[Any, ...]]:
        with self._own.cursor() as cursor:
            cursor.execute(sql, values)
            return list(cursor.fetchall())

    def fill(self, rows: int) -> float:
        """INSERT ... SELECT into the table without indexes, which are made at the end, all at once."""
        views = MysqlViews(self._server)
        views.create(MONEY_WITHDRAWAL)
        views.close()
        stands = self._do("SHOW INDEX FROM money_withdrawal WHERE Key_name <> 'PRIMARY' AND Seq_in_index = 1")
        self._do("DROP TABLE IF EXISTS number")
        self._do("CREATE TABLE number (n BIGINT PRIMARY KEY)")
        self._do("SET SESSION cte_max_recursion_depth = 10000000")
        self._do(
            f"INSERT INTO number WITH RECURSIVE c (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM c WHERE n < {_PART - 1})"
            " SELECT n FROM c"
        )
        began = time.monotonic()
        for row in stands:
            self._do(f"ALTER TABLE money_withdrawal DROP INDEX `{row[2]}`")
        for begin in range(0, rows, _PART):
            self._do(
                "INSERT INTO money_withdrawal (id, amount, debit_card_id, transaction_date_ms)"
                f" SELECT concat('binlog.000001:', lpad(n, 12, '0'), ':000'), ({_CENTS}) / 100,"
                f" concat('c', lpad(({_HASH}) * ({_HASH}) DIV 65536, 5, '0')),"
                f" {epoch_ms(BEGIN)} + n * {_YEAR_MS} DIV {rows}"
                f" FROM (SELECT n + {begin} AS n FROM number WHERE n + {begin} < {rows}) AS numbers"
            )
        self._do(
            "ALTER TABLE money_withdrawal ADD INDEX i__debit_card_id__id (debit_card_id, id)"
            + "".join(f", ADD INDEX covering_{number} {columns}" for number, columns in enumerate(_COVERING))
        )
        self._do("ANALYZE TABLE money_withdrawal")
        return time.monotonic() - began

    def ask(self, asked: Asked) -> Sequence[tuple[Any, ...]]:
        """By the statement."""
        return self._do(asked.sql, asked.values or None)

    def close(self) -> None:
        """The table stays until it is filled again."""
        self._own.close()

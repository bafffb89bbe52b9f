"""Rows a second into the analytical stores, as the bank feeds them, beside the stores' own bulk loads of the same.

DuckDB from the log, batch by batch with its offsets, against INSERT ... SELECT from JSON lines and from Parquet; and
with `--stack`, Druid from Kafka by its supervisor (from its first row to its last, since it has to make a task first)
against its native batch from a file of JSON lines (from the start of the task until all of it is served).
"""

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import duckdb
import httpx

from bank.analytics import BANKAPP
from bank.statement import TOPIC, MoneyWithdrawal, message_of
from figures import Figure, medians, quiet, show
from mainstem import NewRecord
from mainstem.log.kafka import KafkaLog
from mainstem.log.kafka_client import KafkaServers
from mainstem.log.sqlite import SqliteLog
from mainstem.olap.druid import DruidOlap
from mainstem.olap.duckdb import DuckdbOlap
from mainstem.olap.ingestion import Ingestion
from question_engines import batch_from, counted, withdrawals
from stack_under_test import deployed
from tests.distributed import Deployed

ROWS, STACK_ROWS = 500_000, 1_000_000
_BATCH = 10_000
_PATIENCE_S = 600.0
_LOOK_S = 0.2


def records(rows: int) -> Iterator[list[NewRecord]]:
    """Messages of the statement's topic."""
    for page in withdrawals(rows, _BATCH):
        yield [message_of(MoneyWithdrawal(*values)) for values in page]


def into_duckdb() -> list[Figure]:
    """Three ways, in turns."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        log = SqliteLog(folder / "log.db")
        log.create(TOPIC)
        with (folder / "facts.json").open("wb") as lines:
            for page in records(ROWS):
                log.append(page)
                lines.writelines(each.value + b"\n" for each in page if each.value is not None)
        source = f"read_json('{folder / 'facts.json'}', columns = {_COLUMNS})"
        duckdb.execute(f"COPY (SELECT * FROM {source}) TO '{folder / 'facts.parquet'}'")
        ours, lines_rate, parquet = medians(
            "DuckDB",
            lambda: _ingested(log, _fresh(folder)),
            lambda: _inserted(_fresh(folder), source),
            lambda: _inserted(_fresh(folder), f"'{folder / 'facts.parquet'}'"),
        )
        log.close()
    name = f"{ROWS:,} rows into DuckDB"
    return [
        Figure(name, ours, lines_rate, "rows/s", "INSERT from JSON lines", ""),
        Figure(name, ours, parquet, "rows/s", "INSERT from Parquet", ""),
    ]


_COLUMNS = "{id: 'VARCHAR', amount: 'DECIMAL(18,2)', debitCardId: 'VARCHAR', transactionDate: 'TIMESTAMP'}"


def _fresh(folder: Path) -> Path:
    return folder / f"analytics-{time.monotonic_ns()}.duckdb"


def _ingested(log: SqliteLog, path: Path) -> float:
    olap = DuckdbOlap(path)
    olap.create(BANKAPP)
    ingestion = Ingestion(olap, log, BANKAPP, linger_ms=0)
    began, done = time.monotonic(), 0
    while done < ROWS:
        done += ingestion.step()
    took = time.monotonic() - began
    assert olap.ask("SELECT count(*) FROM bankapp").rows[0][0] == ROWS
    ingestion.close()
    olap.close()
    return ROWS / took


def _inserted(path: Path, source: str) -> float:
    olap = DuckdbOlap(path)
    olap.create(BANKAPP)
    olap.close()
    with duckdb.connect(str(path), config={"threads": 1}) as own:
        began = time.monotonic()
        own.execute(f'INSERT INTO bankapp SELECT id, amount, "debitCardId", "transactionDate" FROM {source}')
        return ROWS / (time.monotonic() - began)


def into_druid(bank: Deployed) -> list[Figure]:
    """The backlog of a supervisor that stood still, then the same rows in bulk."""
    place = bank.place
    overlord = f"http://{place.host}:{place.ports.coordinator}/druid/indexer/v1"
    olap = DruidOlap(f"http://{place.host}:{place.ports.broker}", [BANKAPP])
    with httpx.Client(timeout=30) as client, tempfile.TemporaryDirectory() as folder:
        supervisor = f"{overlord}/supervisor/{BANKAPP.name}"
        client.post(f"{supervisor}/suspend").raise_for_status()
        base = counted(olap, BANKAPP.name)
        log = KafkaLog(KafkaServers(f"{place.host}:{place.ports.kafka}"))
        with (Path(folder) / "facts.json").open("wb") as lines:
            for page in records(STACK_ROWS):
                log.append(page)
                lines.writelines(each.value + b"\n" for each in page if each.value is not None)
        log.close()
        client.post(f"{supervisor}/resume").raise_for_status()
        first, began = _await(lambda: counted(olap, BANKAPP.name), base + 1)
        last, ended = _await(lambda: counted(olap, BANKAPP.name), base + STACK_ROWS)
        task = batch_from(Path(folder), "*.json", f"{BANKAPP.name}_bulk", {"type": "json"})
        started = time.monotonic()
        client.post(f"{overlord}/task", json=task).raise_for_status()
        _, served = _await(lambda: counted(olap, f"{BANKAPP.name}_bulk"), STACK_ROWS)
    olap.close()
    ours, bulk = (last - first) / (ended - began), STACK_ROWS / (served - started)
    return [Figure(f"{STACK_ROWS:,} rows into Druid", ours, bulk, "rows/s", "its native batch", "")]


def _await(count: Callable[[], int], wanted: int) -> tuple[int, float]:
    """How many there were once there were so many, and when."""
    deadline = time.monotonic() + _PATIENCE_S
    while (found := count()) < wanted:
        if time.monotonic() > deadline:
            raise SystemExit(f"Druid has {found} rows after {_PATIENCE_S:.0f} s, not {wanted}")
        time.sleep(_LOOK_S)
    return found, time.monotonic()


def on_stack(bank: Deployed) -> None:
    """Druid."""
    show("Rows into the analytical store", into_druid(bank))


def main() -> None:
    """DuckDB."""
    quiet()
    show("Rows into the analytical store", into_duckdb())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stack", action="store_true")
    if parser.parse_args().stack:
        quiet()
        with deployed() as found:
            on_stack(found)
    else:
        main()

"""The copy of the facts for DuckDB is what the bank's analytics answer, whatever happens between two of them."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import httpx
import pytest

from bank.analytics import BANKAPP
from deploy.superset.command import QUERY, Following
from deploy.superset.mirror import Copied, Mirror, MirrorFailed
from mainstem import Rollup, RollupMeasure
from mainstem.errors import ConfigurationError
from tests.process import BankProcess, bank_process


@pytest.fixture(scope="module")
def bank(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BankProcess]:
    with bank_process(tmp_path_factory.mktemp("bank") / "data") as bank, bank.client() as client:
        client.post("/cards", json={"id": "a", "limit": 1_000_000}).raise_for_status()
        yield bank


@pytest.fixture
def client(bank: BankProcess) -> Iterator[httpx.Client]:
    with bank.client() as client:
        yield client


@pytest.fixture
def mirror(tmp_path: Path, client: httpx.Client) -> Mirror:
    found = Mirror(BANKAPP, tmp_path, client, QUERY)
    found.begin()
    return found


def _withdraw(client: httpx.Client, *amounts: float) -> None:
    position = ""
    for amount in amounts:
        answer = client.post("/moneywithdrawals", json={"debitCard": "a", "amount": amount}).raise_for_status()
        position = answer.headers["Mainstem-Position"]
    client.get("/analytics/cards", headers={"Mainstem-Position": position}).raise_for_status()


def _rows(folder: Path, what: str) -> list[tuple[Any, ...]]:
    with duckdb.connect() as connection:
        return connection.execute(f"SELECT {what} FROM read_parquet('{folder}/facts/*.parquet')").fetchall()


def _told(client: httpx.Client) -> tuple[int, Decimal]:
    (row,) = client.get("/analytics/query", params={"measures": "count,sum:amount"}).raise_for_status().json()
    return row["count"], Decimal(str(row["sum_amount"] or 0))


def _held(folder: Path) -> tuple[int, Decimal]:
    ((count, cents),) = _rows(folder, 'count(*), coalesce(sum("amount_cents"), 0)')
    return count, Decimal(cents).scaleb(-2)


def test_before_the_first_copy_there_is_nothing_in_it(mirror: Mirror, tmp_path: Path) -> None:
    assert _held(tmp_path) == (0, Decimal(0))


def test_a_copy_has_every_fact_as_it_is(mirror: Mirror, client: httpx.Client, tmp_path: Path) -> None:
    _withdraw(client, 10, 2.5, 0.01)
    mirror.copy()
    assert _held(tmp_path) == _told(client)
    statement = client.get("/moneywithdrawals", params={"debitCardId": "a"}).raise_for_status().json()
    wanted = {(r["id"], r["debitCardId"], round(r["amount"] * 100), r["transactionDate"]) for r in statement}
    found = _rows(tmp_path, """"id", "debitCardId", "amount_cents", strftime("__time", '%Y-%m-%dT%H:%M:%S.%gZ')""")
    assert set(found) == wanted
    with duckdb.connect() as connection:
        told = connection.execute(f"SELECT copied_at FROM read_parquet('{tmp_path}/copied.parquet')").fetchall()
    ((at,),) = told
    assert abs(datetime.now(UTC).replace(tzinfo=None) - at) < timedelta(minutes=1)


def test_the_next_copy_fetches_what_is_new_alone(mirror: Mirror, client: httpx.Client, tmp_path: Path) -> None:
    _withdraw(client, 1, 2)
    mirror.copy()
    assert mirror.copy() == Copied(0, 0)
    _withdraw(client, 3)
    assert mirror.copy().days == 1
    assert _held(tmp_path) == _told(client)


def test_what_was_lost_or_changed_is_mended(mirror: Mirror, client: httpx.Client, tmp_path: Path) -> None:
    """Of a day: its file, a fact of it, and a fact that the bank does not have."""
    _withdraw(client, 4, 5)
    mirror.copy()
    (file,) = (path for path in (tmp_path / "facts").iterdir() if path.stem[0] == "2")
    for select in (
        "SELECT * FROM whole LIMIT 1",
        'SELECT * REPLACE ("amount_cents" + 1 AS "amount_cents") FROM whole',
        'SELECT * FROM whole UNION ALL SELECT * REPLACE ("__time" + INTERVAL 1 MINUTE AS "__time", 7 AS amount_cents)'
        " FROM whole",
    ):
        with duckdb.connect() as connection:
            connection.execute(f"CREATE TABLE whole AS SELECT * FROM read_parquet('{file}')")
            connection.execute(f"COPY ({select}) TO '{file}' (FORMAT parquet)")
        mirror.copy()
        assert _held(tmp_path) == _told(client)
    file.unlink()
    mirror.copy()
    assert _held(tmp_path) == _told(client)


def test_days_that_the_bank_has_no_more_go(mirror: Mirror, client: httpx.Client, tmp_path: Path) -> None:
    _withdraw(client, 6)
    mirror.copy()
    (file,) = (path for path in (tmp_path / "facts").iterdir() if path.stem[0] == "2")
    with duckdb.connect() as connection:
        day = tmp_path / "facts" / "2020-01-01.parquet"
        select = f"SELECT * REPLACE (TIMESTAMP '2020-01-01 10:00:00' AS \"__time\") FROM read_parquet('{file}')"
        connection.execute(f"COPY ({select}) TO '{day}' (FORMAT parquet)")
    mirror.copy()
    assert not day.exists()
    assert _held(tmp_path) == _told(client)


def test_facts_come_in_pages(
    mirror: Mirror, client: httpx.Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deploy.superset.mirror.LIMIT_MAX", 2)
    _withdraw(client, *range(1, 8))
    mirror.copy()
    assert _held(tmp_path) == _told(client)


def test_a_bank_that_does_not_answer_leaves_the_copy_as_it_is(
    mirror: Mirror, client: httpx.Client, tmp_path: Path
) -> None:
    _withdraw(client, 7)
    mirror.copy()
    before = _held(tmp_path)
    said: list[str] = []
    with httpx.Client(base_url="http://127.0.0.1:1") as nobody:
        away = Mirror(BANKAPP, tmp_path, nobody, QUERY)
        with pytest.raises(MirrorFailed, match="does not answer"):
            away.copy()
        following = Following(away, said.append)
        following.copy()
        following.copy()
    assert len(said) == 1
    assert _held(tmp_path) == before


def test_a_refusal_is_told(tmp_path: Path, client: httpx.Client) -> None:
    with pytest.raises(MirrorFailed, match="answers 404"):
        Mirror(BANKAPP, tmp_path, client, "/nothing-there").copy()


def test_what_a_crash_left_half_written_goes(mirror: Mirror, client: httpx.Client, tmp_path: Path) -> None:
    (tmp_path / "facts" / "2020-01-01.parquet.part").write_bytes(b"half")
    mirror.begin()
    mirror.copy()
    assert not list((tmp_path / "facts").glob("*.part"))
    assert _held(tmp_path) == _told(client)


def test_a_rollup_has_no_facts_to_be_copied(tmp_path: Path, client: httpx.Client) -> None:
    rolled = replace(BANKAPP, rollup=Rollup("hour", (RollupMeasure("sum", "amount"),)))
    with pytest.raises(ConfigurationError, match="rolled up"):
        Mirror(rolled, tmp_path, client, QUERY)

"""Only one SELECT that reads is answered, and nothing in it reaches files, the network, memory or the settings."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from mainstem.errors import InvalidQuery
from mainstem.olap.duckdb import DuckdbOlap
from mainstem.testing.contracts.olap import SALES, sale


@pytest.fixture
def olap(tmp_path: Path) -> Iterator[DuckdbOlap]:
    (tmp_path / "secret.csv").write_text("secret\n1\n")
    olap = DuckdbOlap(tmp_path / "olap.duckdb")
    olap.create(SALES)
    olap.ingest(SALES, [sale(0)])
    yield olap
    olap.close()


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 1",
        "VALUES (1)",
        "FROM sales",
        "WITH s AS (SELECT id FROM sales) SELECT * FROM s UNION ALL SELECT 'b' ORDER BY 1",
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3) SELECT * FROM n",
        "SELECT * FROM range(3), generate_series(1, 2), unnest([1, 2])",
        "SELECT (SELECT max(price) FROM sales), count(*) OVER () FROM sales",
        "SELECT 'INSERT INTO sales; COPY sales TO ''x'''",
    ],
)
def test_a_select_is_answered(olap: DuckdbOlap, sql: str) -> None:
    assert len(olap.ask(sql).rows) >= 1


@pytest.mark.parametrize(
    "sql",
    [
        "INSERT INTO sales SELECT * FROM sales",
        "UPDATE mainstem_offset SET next = 0",
        "DELETE FROM sales",
        "CREATE TABLE other (a INTEGER)",
        "CREATE TEMP TABLE other AS SELECT 1",
        "COPY sales TO 'out.csv'",
        "EXPORT DATABASE 'out'",
        "ATTACH 'other.duckdb'",
        "PRAGMA database_list",
        "SET memory_limit = '10GB'",
        "INSTALL httpfs",
        "LOAD httpfs",
        "CHECKPOINT",
        "BEGIN",
        "CALL pragma_version()",
        "EXPLAIN ANALYZE DELETE FROM sales",
        "WITH w AS (INSERT INTO sales SELECT * FROM sales RETURNING *) SELECT * FROM w",
        "SELECT * FROM (WITH w AS (DELETE FROM sales RETURNING *) SELECT * FROM w)",
        "SELECT 1 WHERE EXISTS (WITH w AS (UPDATE sales SET pieces = 0 RETURNING *) SELECT * FROM w)",
        "SELECT * FROM arrow_scan(1, 2, 3)",
        "SELECT * FROM system.main.pandas_scan(1)",
        "SELECT * FROM query('DELETE FROM sales')",
        "SELECT * FROM force_checkpoint()",
        "SELECT * FROM read_text('{folder}/secret.csv')",
        "SELECT * FROM '{folder}/secret.csv'",
        "SELECT * FROM glob('{folder}/*')",
        "SELECT * FROM 'http://127.0.0.1:9/x.csv'",
        "SELECT 1 -- " + "x" * 100_000,
        "SELECT " + "(" * 3000 + "1" + ")" * 3000,
    ],
)
def test_anything_else_is_refused_and_changes_nothing(olap: DuckdbOlap, tmp_path: Path, sql: str) -> None:
    before = {path.name for path in tmp_path.iterdir()}
    with pytest.raises(InvalidQuery):
        olap.ask(sql.replace("{folder}", str(tmp_path)))
    assert {path.name for path in tmp_path.iterdir()} == before
    assert olap.ask("SELECT count(*), sum(pieces) FROM sales").rows[0] == (1, 2)
    assert olap.offsets(SALES) == {("sale", 0): 1}


def test_no_variable_of_the_program_is_a_table(olap: DuckdbOlap) -> None:
    with pytest.raises(InvalidQuery, match="columns"):
        olap.ask("SELECT * FROM columns")


def test_a_time_with_a_zone_says_what_to_do(olap: DuckdbOlap) -> None:
    with pytest.raises(InvalidQuery, match="cast it to TIMESTAMP"):
        olap.ask("SELECT now() AS at")

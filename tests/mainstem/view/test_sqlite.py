"""The SQLite view store's own promises: indexes that are used, a full disk, damage, `kill -9`."""

import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import pytest
from msgspec import Struct

from mainstem.errors import CodecError, StoreCorrupt, StoreFull
from mainstem.table import Table
from mainstem.view.sqlite import SqliteViews


class Line(Struct, frozen=True):
    id: int
    account: str
    amount: Decimal


LINE = Table("line", Line, key=("id",), indexes=(("account", "id"),))
_WRITING = """
import sys
from decimal import Decimal
from pathlib import Path
from msgspec import Struct
from mainstem.table import Table
from mainstem.view.sqlite import SqliteViews

class Line(Struct, frozen=True):
    id: int
    account: str
    amount: Decimal

LINE = Table("line", Line, key=("id",), indexes=(("account", "id"),))
views = SqliteViews(Path(sys.argv[1]))
views.create(LINE)
number = views.offsets("g").get(("t", 0), 0)
while True:
    with views.transaction() as transaction:
        transaction.add(LINE, [Line(n, "a", Decimal("1.00")) for n in range(number, number + 5)])
        transaction.save("g", {("t", 0): number + 5}, [])
    number += 5
    print(number, flush=True)
"""


def test_an_index_is_used_for_pages_and_goes_when_it_is_no_longer_declared(tmp_path: Path) -> None:
    views = SqliteViews(tmp_path / "views.db")
    views.create(LINE)
    statements: list[str] = []
    for _ in range(views._readers.qsize()):
        reader = views._readers.get()

        def trace(_: object, sql: str, __: object) -> bool:
            statements.append(sql)
            return True

        reader.exec_trace = trace
        views._readers.queue.insert(0, reader)
    views.find(LINE, {"account": "a"}, order=("id",), descending=True, after=(5,), limit=10)
    plan = views._writer.execute(f"EXPLAIN QUERY PLAN {statements[0]}", ("a", 5, 10)).fetchall()
    assert "USING INDEX line__account__id (account=? AND id<?)" in str(plan)
    assert "TEMP B-TREE" not in str(plan)
    views.create(Table("line", Line, key=("id",)))
    indexes = views._writer.execute(
        "SELECT name FROM sqlite_schema WHERE type = 'index' AND sql IS NOT NULL"
    ).fetchall()
    assert indexes == []
    views.close()


def test_a_full_disk_takes_neither_rows_nor_offsets(tmp_path: Path) -> None:
    views = SqliteViews(tmp_path / "views.db")
    views.create(LINE)
    pages = views._writer.pragma("page_count")
    views._writer.pragma("max_page_count", int(str(pages)) + 3)

    def fill() -> None:
        with views.transaction() as transaction:
            transaction.save("g", {("t", 0): 5}, [])
            transaction.add(LINE, [Line(n, "a" * 500, Decimal(1)) for n in range(1_000)])

    with pytest.raises(StoreFull, match=r"views\.db"):
        fill()
    assert (views.count(LINE), views.offsets("g")) == (0, {})
    views._writer.pragma("max_page_count", 1_000_000)
    with views.transaction() as transaction:
        transaction.add(LINE, [Line(1, "a", Decimal(1))])
    assert views.count(LINE) == 1
    views.close()


def test_a_row_that_no_table_can_hold_is_refused(tmp_path: Path) -> None:
    views = SqliteViews(tmp_path / "views.db")
    views.create(LINE)
    for amount in ("0.001", "NaN", "Infinity"):
        with pytest.raises(CodecError), views.transaction() as transaction:
            transaction.add(LINE, [Line(1, "a", Decimal(amount))])
    assert views.count(LINE) == 0
    views.close()


@pytest.mark.parametrize("cut", [100, 5_000])
def test_a_truncated_file_is_reported(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "views.db"
    views = SqliteViews(path)
    views.create(LINE)
    with views.transaction() as transaction:
        transaction.add(LINE, [Line(n, "a", Decimal(1)) for n in range(5_000)])
    views.close()
    with path.open("r+b") as file:
        file.truncate(cut)
    with pytest.raises(StoreCorrupt, match=r"views\.db"):
        SqliteViews(path)


def test_rows_and_offsets_agree_after_kill_9(tmp_path: Path) -> None:
    path = tmp_path / "views.db"
    acknowledged = 0
    for _ in range(4):
        words = [sys.executable, "-c", _WRITING, str(path)]
        with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            for _ in range(25):
                acknowledged = int(process.stdout.readline())
            process.kill()
        views = SqliteViews(path)
        views.create(LINE)
        assert views.offsets("g")["t", 0] >= acknowledged
        assert [row.id for row in views.scan(LINE)] == list(range(views.offsets("g")["t", 0]))
        views.close()

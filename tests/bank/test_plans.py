"""Every query of the bank's views uses the index that is declared for it, by the engine's own plan.

The same on ten million rows: `benchmarks/plans.py`.
"""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.stack import Databases

_PROGRAM = Path(__file__).parents[2] / "benchmarks" / "plans.py"


def _plans(*words: str) -> str:
    command = [sys.executable, str(_PROGRAM), "--asks", "3", *words]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=550, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


def test_queries_in_sqlite_use_their_indexes() -> None:
    assert "every query uses its index" in _plans("--rows", "100000")


@pytest.mark.stack
def test_queries_in_mysql_use_their_indexes(databases: Databases, tmp_path: Path) -> None:
    server = databases(tmp_path)
    where = (server.host, str(server.port), server.user, str(server.password), server.database)
    assert "every query uses its index" in _plans("--rows", "20000", "--mysql", *where)


def test_a_query_without_its_index_is_told(tmp_path: Path) -> None:
    """Else the test above could not fail."""
    program = tmp_path / "plans.py"
    for name in ("plan_engines.py", "figures.py"):
        (tmp_path / name).write_text(_PROGRAM.with_name(name).read_text())
    text = _PROGRAM.read_text()
    assert text.count('("tenant", "begin_ms", "cents", "card"),') == 2
    program.write_text(text.replace("views.create(filled.table)\n", "pass\n"))
    command = [sys.executable, str(program), "--rows", "1000", "--asks", "3", "--only", "daily_spending"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert ended.returncode == 1
    assert "not by its index: spenders of a day: " in ended.stdout

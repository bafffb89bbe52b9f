"""Ten analytical questions over 1, 10 and 50 million withdrawals: DuckDB, Druid, and MySQL without an OLAP store.

`PYTHONPATH=. python benchmarks/questions.py --rows 1000000 10000000 50000000`. A stack of the benchmark's own is
started for Druid and MySQL; `--engines duckdb` needs none. Each question is asked five times, or until it has taken
20 s; the median counts. Answers are held against each other. Raw figures go to `benchmarks/data/questions.csv`, the
plot to `docs/figures/`.
"""

import argparse
import csv
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bank_log import hardware
from deploy.configuration import Place
from deploy.stack import down, place, up
from figures import quiet, say
from plot import Line, plot
from question_engines import Druid, Duckdb, Engine, Mysql
from ten_questions import TEN, Asked

ROWS = (1_000_000, 10_000_000, 50_000_000)
ENGINES = ("duckdb", "druid", "mysql")
_TIMES, _ENOUGH_S = 5, 20.0
_ROOT = Path(__file__).parents[1]
_FOLDER, _SHIFT = _ROOT / ".stack-questions", 16_000
_DATA = _ROOT / "benchmarks" / "data" / "questions.csv"
_PLOT = _ROOT / "docs" / "figures" / "questions.svg"
_FIELDS = ("engine", "rows", "question", "median_ms", "times")

Row = tuple[Any, ...]


@contextmanager
def parts(engines: Sequence[str]) -> Iterator[Place | None]:
    """A stack without data, where an engine needs one; it is removed at the end.

    Its Druid has both of Java's compilers, unlike that of a stack that is to start soon: it is asked for long.
    """
    if set(engines) <= {"duckdb"}:
        yield None
        return
    shutil.rmtree(_FOLDER, ignore_errors=True)
    os.environ["_JAVA_OPTIONS"] = "-XX:TieredStopAtLevel=4"
    up(_FOLDER, _SHIFT, say)
    try:
        yield place(_FOLDER, _SHIFT)
    finally:
        down(_FOLDER, say)
        shutil.rmtree(_FOLDER, ignore_errors=True)


def engine_of(name: str, folder: Path, where: Place | None) -> Engine:
    """A new one."""
    if name == "duckdb":
        return Duckdb(folder)
    assert where is not None
    return Druid(folder, where) if name == "druid" else Mysql(where)


def measured(engine: Engine, asked: Asked) -> tuple[Sequence[Row], list[float]]:
    """The answer, and the seconds of each time."""
    taken: list[float] = []
    rows: Sequence[Row] = ()
    while len(taken) < _TIMES and sum(taken) < _ENOUGH_S:
        began = time.monotonic()
        rows = engine.ask(asked)
        taken.append(time.monotonic() - began)
    return rows, taken


def all_of(name: str, rows: int, where: Place | None) -> tuple[list[Row], dict[str, Sequence[Row]]]:
    """The figures of one engine, and its answers."""
    found: list[Row] = []
    answers = {}
    with tempfile.TemporaryDirectory() as folder:
        engine = engine_of(name, Path(folder), where)
        loaded_s = engine.fill(rows)
        say(f"{engine.name}, {rows:,} rows: its own bulk load took {loaded_s:.1f} s, {rows / loaded_s:,.0f} rows/s")
        found.append((engine.name, rows, "bulk load", round(loaded_s * 1000), 1))
        for asked in TEN:
            answers[asked.name], taken = measured(engine, asked)
            median_ms = statistics.median(taken) * 1000
            found.append((engine.name, rows, asked.name, round(median_ms, 2), len(taken)))
            say(f"{engine.name}, {rows:,} rows, {asked.name}: {median_ms:,.1f} ms, of {len(taken)}")
        engine.close()
    return found, answers


def check(rows: int, by_engine: dict[str, dict[str, Sequence[Row]]]) -> None:
    """Numbers of rows, and what is counted and summed without approximation: the same of all."""
    for asked in TEN:
        if any(measure.what in ("quantile", "distinct") for measure in asked.question.measures):
            continue
        sums = {
            name: [tuple(str(value) for value in row[-len(asked.question.measures) :]) for row in answers[asked.name]]
            for name, answers in by_engine.items()
        }
        if len({str(each) for each in sums.values()}) > 1:
            raise SystemExit(f"{rows:,} rows, {asked.name}: the engines answer differently: {str(sums)[:2_000]}")


def write(found: Sequence[Row]) -> None:
    """Raw figures, and a plot of the sum of all ten."""
    _DATA.parent.mkdir(exist_ok=True)
    with _DATA.open("w", newline="") as file:
        file.writelines(f"# {name}: {value}\n" for name, value in hardware().items())
        csv.writer(file, lineterminator="\n").writerows([_FIELDS, *found])
    sums: dict[str, dict[int, float]] = {}
    for engine, rows, question, median_ms, _ in found:
        if question != "bulk load":
            of_engine = sums.setdefault(engine, {})
            of_engine[rows] = of_engine.get(rows, 0.0) + median_ms / 1000
    lines = [Line(engine, list(each.items())) for engine, each in sums.items()]
    plot(_PLOT, "Ten analytical questions, one after another", ("withdrawals", "seconds"), lines)


def main(sizes: Sequence[int], engines: Sequence[str]) -> None:
    """All sizes; the figures are written after each."""
    quiet()
    found: list[Row] = []
    with parts(engines) as where:
        for rows in sorted(sizes):
            answers = {}
            for name in engines:
                figures, answers[name] = all_of(name, rows, where)
                found += figures
                write(found)
            check(rows, answers)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=ROWS)
    parser.add_argument("--engines", nargs="+", choices=ENGINES, default=ENGINES)
    given = parser.parse_args()
    main(given.rows, given.engines)

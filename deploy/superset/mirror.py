"""A copy of a datasource's facts as Parquet files, kept up over the application's HTTP API.

A DuckDB file has one owner, the application, and nobody else can open it meanwhile. So the API is asked how many facts
there are in each day and what their numbers add up to, and for the facts of the minutes in which the copy has something
else. A day is one file, which is put in the place of the one before: each day is as it was at one moment, and the copy
is as fresh as it is often made. A change that leaves a minute's number of facts and all sums as they are is not seen.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from io import BytesIO
from pathlib import Path
from typing import Any

import duckdb
import httpx
import pyarrow as pa
import pyarrow.parquet as pa_parquet

from deploy.superset.dataset import COPIED_AT
from mainstem.durable import write_durably
from mainstem.errors import ConfigurationError
from mainstem.olap.port import Column, Datasource
from mainstem.olap.question import LIMIT_MAX

_PAGES_MAX = 10_000
_TYPES = {"text": "VARCHAR", "integer": "BIGINT", "timestamp": "TIMESTAMP"}
_MINUTE = timedelta(minutes=1)
_NOTHING = "none.parquet"
_COUNT = "count"

Figures = Mapping[datetime, tuple[Any, ...]]
"""By the begin of a period, the number of facts in it and their sums."""


class MirrorFailed(Exception):
    """The copy could not be made; what it was before still stands."""


@dataclass(frozen=True)
class Copied:
    """What was fetched: so many facts, for so many days."""

    facts: int
    days: int


class Mirror:
    """The copy in that folder, of one process. `client` asks the API, at `path`, on behalf of whoever may.

    Raises ConfigurationError where the datasource is rolled up: its facts are not told.
    """

    def __init__(self, datasource: Datasource, folder: Path, client: httpx.Client, path: str) -> None:
        if datasource.rollup is not None:
            raise ConfigurationError(f"datasource {datasource.name} is rolled up: there are no facts to be copied")
        self._datasource = datasource
        self._facts = folder / "facts"
        self._told = folder / "copied.parquet"
        self._client = client
        self._path = path
        self._keys = [each.name for each in datasource.dimensions if each.name != datasource.time]
        self._summed = [each.name for each in datasource.dimensions if each.kind in ("decimal", "integer")]

    def begin(self) -> None:
        """Make it, empty, where it is not there. Raises OSError."""
        self._facts.mkdir(parents=True, exist_ok=True)
        for part in self._facts.glob("*.part"):
            part.unlink()
        columns = ", ".join(f'CAST(NULL AS {_TYPES[c.kind]}) AS "{c.name}"' for c in self._datasource.columns)
        if not (self._facts / _NOTHING).exists():
            self._write(self._facts / _NOTHING, f"SELECT {columns} LIMIT 0")
        if not self._told.exists():
            self._write(self._told, f"SELECT CAST(NULL AS TIMESTAMP) AS {COPIED_AT}")

    def copy(self) -> Copied:
        """Fetch what is missing, and what differs. Raises MirrorFailed, or OSError."""
        now = datetime.now(UTC).replace(tzinfo=None)
        theirs, ours = self._figures("day"), self._kept("day", self._facts / "*.parquet")
        changed = [day for day, figures in theirs.items() if ours.get(day) != figures]
        facts = sum(self._copy_day(day) for day in changed)
        for day in ours.keys() - theirs.keys():
            self._file(day).unlink(missing_ok=True)
        self._write(self._told, f"SELECT TIMESTAMP '{now}' AS {COPIED_AT}")
        return Copied(facts, len(changed))

    def _copy_day(self, day: datetime) -> int:
        file, end = self._file(day), day + timedelta(days=1)
        theirs = self._figures("minute", day, end)
        ours = self._kept("minute", file) if file.exists() else {}
        changed = sorted(m for m in theirs.keys() | ours.keys() if theirs.get(m) != ours.get(m))
        found = [page for begin, end in _spans(changed) for page in self._pages(self._all(begin, end))]
        fresh = pa.concat_tables(found) if found else None
        parts = []
        if file.exists():
            times = ", ".join(f"TIMESTAMP '{minute}'" for minute in changed) or "NULL"
            kept = f"date_trunc('minute', \"__time\") NOT IN ({times})" if changed else "true"
            parts.append(f"SELECT * FROM read_parquet('{_quoted(file)}') WHERE {kept}")
        if fresh is not None and fresh.num_rows:
            self._check_single(fresh)
            parts.append(f"SELECT {', '.join(self._column(c) for c in self._datasource.columns)} FROM fresh")
        if parts:
            self._write(file, f'SELECT * FROM ({" UNION ALL BY NAME ".join(parts)}) ORDER BY "__time"', fresh)
        return fresh.num_rows if fresh is not None else 0

    def _all(self, begin: datetime, end: datetime) -> dict[str, str]:
        """The question whose rows are the facts of that time: each differs from the others in what is not its time."""
        measures = f"{_COUNT},max:{self._datasource.time}"
        return {"measures": measures, "groupBy": ",".join(self._keys), "from": _iso(begin), "to": _iso(end)}

    def _check_single(self, rows: Any) -> None:
        if any(count != 1 for count in rows.column(_COUNT).unique().to_pylist()):
            raise MirrorFailed(f"{self._datasource.name} has facts that differ in nothing but their time")

    def _column(self, column: Column) -> str:
        """As the datasource has it, of a row of the API's."""
        name = f'"{column.dimension.name}"'
        match column.dimension.kind:
            case "decimal":
                value = f"CAST({name} * 100 AS BIGINT)"
            case "timestamp" if column.kind == "timestamp":
                value = f'make_timestamp(epoch_us("max_{column.dimension.name}"))'
            case "timestamp":
                value = f"epoch_ms({name})"
            case _:
                value = name
        return f'{value} AS "{column.name}"'

    def _figures(self, grain: str, begin: datetime | None = None, end: datetime | None = None) -> Figures:
        times = {} if begin is None or end is None else {"from": _iso(begin), "to": _iso(end)}
        measures = [_COUNT, *(f"sum:{name}" for name in self._summed)]
        names = [measure.replace(":", "_") for measure in measures]
        found: dict[datetime, tuple[Any, ...]] = {}
        for page in self._pages({"measures": ",".join(measures), "grain": grain, **times}):
            for row in page.to_pylist():
                found[row["period"].replace(tzinfo=None)] = tuple(row[name] for name in names)
        return found

    def _kept(self, grain: str, files: Path) -> Figures:
        """The same of the copy."""
        columns = {column.dimension.name: column for column in self._datasource.columns}
        sums = [columns[name] for name in self._summed]
        shown = ", ".join((f"date_trunc('{grain}', \"__time\")", "count(*)", *(f'sum("{c.name}")' for c in sums)))
        with duckdb.connect() as connection:
            sql = f"SELECT {shown} FROM read_parquet('{_quoted(files)}') GROUP BY 1"
            rows = connection.execute(sql).fetchall()
        exact = [-2 if column.dimension.kind == "decimal" else 0 for column in sums]
        return {
            begin: (count, *(_scaled(value, by) for value, by in zip(values, exact, strict=True)))
            for begin, count, *values in rows
        }

    def _pages(self, asked: Mapping[str, str]) -> Iterator[Any]:
        """Each page of the answer as an Arrow table."""
        query = httpx.QueryParams({**asked, "limit": str(LIMIT_MAX), "format": "parquet"})
        url: str | None = f"{self._path}?{query}"
        for _ in range(_PAGES_MAX):
            try:
                answer = self._client.get(url or "")
            except httpx.HTTPError as error:
                raise MirrorFailed(f"{self._client.base_url} does not answer: {error}") from error
            if not answer.is_success:
                raise MirrorFailed(f"{self._client.base_url} answers {answer.status_code}: {answer.text[:200]}")
            yield pa_parquet.read_table(BytesIO(answer.content))
            url = answer.links.get("next", {}).get("url")
            if url is None:
                return
        raise MirrorFailed(f"an answer has more than {_PAGES_MAX} pages")

    def _file(self, day: datetime) -> Path:
        return self._facts / f"{day:%Y-%m-%d}.parquet"

    def _write(self, path: Path, sql: str, fresh: Any = None) -> None:
        """What a query tells, whole under its name or not there."""
        with duckdb.connect() as connection:
            connection.execute("SET TimeZone = 'UTC'")
            if fresh is not None:
                connection.register("fresh", fresh)
            table = connection.sql(sql).to_arrow_table()
        sink = BytesIO()
        pa_parquet.write_table(table, sink)
        write_durably(path, sink.getvalue())


def _scaled(value: int | None, by: int) -> Decimal | None:
    return None if value is None else Decimal(value).scaleb(by)


def _spans(minutes: Iterable[datetime]) -> list[tuple[datetime, datetime]]:
    """From where to where, of minutes in order; those that follow each other are one."""
    found: list[tuple[datetime, datetime]] = []
    for minute in minutes:
        if found and found[-1][1] == minute:
            found[-1] = found[-1][0], minute + _MINUTE
        else:
            found.append((minute, minute + _MINUTE))
    return found


def _iso(at: datetime) -> str:
    return f"{at.isoformat()}Z"


def _quoted(path: Path) -> str:
    return str(path).replace("'", "''")

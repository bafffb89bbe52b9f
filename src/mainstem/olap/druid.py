"""Questions to Druid, through its SQL over HTTP. What feeds it are its own supervisors: see `druid_supervisor`.

An answer is taken for whole only where Druid has written its end: a line for each row and then an empty one. A sum of
cents is a LONG, which wraps around beyond 2 to the power of 63.
"""

import copy
import math
import re
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from itertools import islice
from types import MappingProxyType
from typing import Any

import httpx
import msgspec

from mainstem.errors import InvalidQuery, MainstemError, StoreError, StoreUnavailable
from mainstem.olap.druid_http import DruidHttp, Overdue, fault_of
from mainstem.olap.names import check_names
from mainstem.olap.port import Answer, Datasource

_PATH = "/druid/v2/sql"
_NAMES = "/druid/v2/datasources"
_SQL_MAX = 100_000
_LINE_MAX_BYTES = 64 * 1024 * 1024
_GRACE_S = 1.0
_CANCEL_S = 2.0
_CHECK_S = 10.0
_MISSING = re.compile(r"Object '(\w+)' not found")
_MARKERS = re.compile(r"""'(?:[^']|'')*' | "(?:[^"]|"")*" | --[^\n]* | /\*.*?\*/ | (\?)""", re.VERBOSE | re.DOTALL)
_SQL_TYPES = {"text": "VARCHAR", "integer": "BIGINT", "timestamp": "TIMESTAMP"}
_PARAMETER_TYPES: dict[type, str] = {
    type(None): "VARCHAR",
    bool: "BOOLEAN",
    int: "BIGINT",
    float: "DOUBLE",
    str: "VARCHAR",
    datetime: "TIMESTAMP",
}
_SEGMENTS = """
    SELECT "segment_id" FROM sys.segments
    WHERE "datasource" = ? AND ("is_published" = 1 OR "is_realtime" = 1) AND "is_overshadowed" = 0 LIMIT 1
"""
_SERVED = 'SELECT "segment_id" FROM sys.segments WHERE "datasource" = ? AND "is_available" = 1 LIMIT 1'
_SERVED_BY_TASKS = """
    SELECT "segment_id" FROM sys.segments
    WHERE "datasource" = ? AND "is_realtime" = 1 AND "is_available" = 1 LIMIT 100000
"""
_SERVED_OF = (
    'SELECT "segment_id" FROM sys.segments WHERE "datasource" = ? AND "is_available" = 1 AND "segment_id" IN ({})'
)
_SERVED_OF_MAX = 500


class DruidOlap:
    """Druid's broker (or router) at `url`, as http://127.0.0.1:8082, with the datasources that may be asked about.

    Druid does not know a datasource before its first row, and forgets one whose only rows are with a task that has
    died, which it takes for an empty one for some moments: one of `datasources` is empty, rather than unknown, where
    `has_no_rows` says so of its name; else it is unavailable. What a datasource is called in Druid at the moment
    `live` says. Timestamps come back as naive `datetime`s in UTC. `ask` raises InvalidQuery, StoreBusy where Druid
    takes no more at the moment, and StoreUnavailable; after a lost connection the next question makes another.
    """

    def __init__(
        self,
        url: str,
        datasources: Sequence[Datasource] = (),
        *,
        has_no_rows: Callable[[str], bool] = lambda _: False,
        live: Callable[[str], str] = lambda name: name,
        tls_ca: str | None = None,
    ) -> None:
        for datasource in datasources:
            check_names(datasource)
        self._datasources = {datasource.name: datasource for datasource in datasources}
        self._has_no_rows = has_no_rows
        self._live = live
        self._http = DruidHttp(url, tls_ca)

    def ask(
        self, sql: str, parameters: Sequence[Any] = (), *, row_limit: int = 10_000, timeout_s: float = 10.0
    ) -> Answer:
        """From any thread. A question whose time is over is cancelled in Druid too."""
        if row_limit < 1 or timeout_s <= 0:
            raise InvalidQuery(f"a limit of {row_limit} rows and {timeout_s} s leaves nothing to answer")
        bound = _bound(sql, parameters)
        called = {name: self._live(name) for name in self._datasources if name in sql}
        deadline = time.monotonic() + timeout_s
        tables = {name: f'SELECT * FROM "{live}"' for name, live in called.items() if live != name}
        empty: list[str] = []
        try:
            while True:
                try:
                    answer = self._answer(_beside(sql, tables), bound, row_limit, deadline, called)
                except _Missing as missing:
                    self._check_empty(missing, empty, called, deadline)
                    empty.append(missing.name)
                    tables[missing.name] = _empty_table(self._datasources[missing.name])
                else:
                    self._check_served(answer, empty, called, deadline)
                    return answer
        except Overdue as error:
            raise InvalidQuery(f"the question took longer than {timeout_s} s") from error

    def approx_quantile(self, column: str, percent: int, only: str) -> str:
        """By a quantiles sketch, which Druid has by its extension `druid-datasketches`."""
        return quantile_sql(column, percent, only)

    def served_by_tasks(self, name: str) -> frozenset[str]:
        """The segments of that datasource that only tasks have, and that questions reach; at most 100,000 of them."""
        return frozenset(segment for (segment,) in self.ask(_SERVED_BY_TASKS, [name], row_limit=100_000).rows)

    def serves(self, name: str, segments: frozenset[str]) -> bool:
        """Whether questions reach all those segments of that datasource, whoever has them; of more than 500 never."""
        if len(segments) > _SERVED_OF_MAX:
            return False
        places = ", ".join("?" * len(segments))
        return not segments or len(self.ask(_SERVED_OF.format(places), [name, *segments]).rows) == len(segments)

    def check(self) -> None:
        """Raises StoreUnavailable, StoreBusy or ConfigurationError where questions are not answered.

        By the names that it knows: planning a question, be it `SELECT 1`, costs it many times as much.
        """
        response = self._http.call("GET", _NAMES, _CHECK_S)
        if response.status_code != httpx.codes.OK:
            error = self._http.error(response)
            raise StoreUnavailable(f"{self._http.place} is too slow") if isinstance(error, Overdue) else error

    def asked(self, live: Callable[[str], str]) -> "DruidOlap":
        """The same Druid, over the same connections, whose datasources are called otherwise."""
        other = copy.copy(self)
        other._live = live
        return other

    def close(self) -> None:
        """Questions that are still asked fail. Closing twice is allowed."""
        self._http.close()

    def _answer(
        self,
        sql: str,
        bound: list[dict[str, Any]],
        row_limit: int,
        deadline: float,
        called: Mapping[str, str] = MappingProxyType({}),
    ) -> Answer:
        query_id = str(uuid.uuid4())
        left_s = deadline - time.monotonic()
        if left_s <= 0:
            raise Overdue
        body = _encoded(_request(sql, bound, row_limit, left_s, query_id))
        try:
            with self._http.stream("POST", _PATH, left_s + _GRACE_S, body) as response:
                if response.status_code != httpx.codes.OK:
                    response.read()
                    raise self._refusal(response, called)
                answer = self._read(_lines(response.iter_bytes(), deadline + _GRACE_S))
        except Overdue:
            self._cancel(query_id)
            raise
        if len(answer.rows) > row_limit:
            raise InvalidQuery(f"the answer has more than {row_limit} rows")
        return answer

    def _read(self, lines: Iterator[bytes]) -> Answer:
        """Names, Druid's types, SQL's types, the rows, and an empty line."""
        rows: list[tuple[Any, ...]] = []
        try:
            columns, _, types = (msgspec.json.decode(line, type=list[str]) for line in islice(lines, 3))
            readers = [_reader(kind) for kind in types]
            for line in lines:
                if not line:
                    return Answer(tuple(columns), rows)
                values = msgspec.json.decode(line, type=list[Any])
                rows.append(tuple(read(value) for read, value in zip(readers, values, strict=True)))
        except (msgspec.MsgspecError, ValueError) as error:
            raise StoreUnavailable(f"{self._http.place} has broken an answer off: {error}") from error
        raise StoreUnavailable(f"{self._http.place} has broken an answer off after {len(rows)} rows")

    def _refusal(self, response: httpx.Response, called: Mapping[str, str]) -> "MainstemError | Overdue | _Missing":
        fault = fault_of(response.content)
        missing = _MISSING.match(fault.text)
        name = None if missing is None else next((name for name in called if called[name] == missing[1]), None)
        if name is not None:
            return _Missing(name, str(self._http.error(response)))
        return self._http.error(response)

    def _check_served(self, answer: Answer, known: Sequence[str], called: Mapping[str, str], deadline: float) -> None:
        """What may have been made of nothing was not made of a datasource that nobody serves."""
        if len(answer.rows) > 1 or (answer.rows and all(answer.rows[0])):
            return
        for name in called.keys() - known:
            if not self._answer(_SERVED, _bound(_SERVED, [called[name]]), 1, deadline).rows:
                self._check_no_rows(called[name], deadline)

    def _check_empty(
        self, missing: "_Missing", known: Sequence[str], called: Mapping[str, str], deadline: float
    ) -> None:
        """A datasource that Druid does not know surely has no rows; else nobody serves them now."""
        name, live = missing.name, called[missing.name]
        if name in known:
            raise InvalidQuery(str(missing))
        self._check_no_rows(live, deadline)

    def _check_no_rows(self, live: str, deadline: float) -> None:
        if self._answer(_SEGMENTS, _bound(_SEGMENTS, [live]), 1, deadline).rows:
            raise StoreUnavailable(f"{self._http.place}: no process serves the segments of {live} now")
        if not self._has_no_rows(live):
            raise StoreUnavailable(f"{self._http.place}: what is on the topic of {live} is not served yet")

    def _cancel(self, query_id: str) -> None:
        with suppress(StoreError):  # it ends by Druid's own limit of time where this fails
            self._http.call("DELETE", f"{_PATH}/{query_id}", _CANCEL_S)


def quantile_sql(column: str, percent: int, only: str) -> str:
    """What `approx_quantile` of a store answers."""
    return f"APPROX_QUANTILE_DS({column}, {percent / 100}){only}"


class _Missing(Exception):
    """Druid does not know a datasource that was declared."""

    def __init__(self, name: str, text: str) -> None:
        super().__init__(text)
        self.name = name


def _request(sql: str, bound: list[dict[str, Any]], row_limit: int, left_s: float, query_id: str) -> dict[str, Any]:
    context = {
        "sqlQueryId": query_id,
        "timeout": max(1, math.ceil(left_s * 1000)),
        "sqlOuterLimit": row_limit + 1,
        # What Druid otherwise answers approximately without saying so.
        "useApproximateCountDistinct": False,
        "useApproximateTopN": False,
    }
    return {
        "query": sql,
        "parameters": bound,
        "resultFormat": "arrayLines",
        "header": True,
        "typesHeader": True,
        "sqlTypesHeader": True,
        "context": context,
    }


def _encoded(request: dict[str, Any]) -> bytes:
    try:
        return msgspec.json.encode(request)
    except UnicodeEncodeError as error:
        raise InvalidQuery("the question or a parameter has half of a surrogate pair") from error


def _bound(sql: str, parameters: Sequence[Any]) -> list[dict[str, Any]]:
    """The parameters with their types. Druid ignores those that are too many, so they are counted here."""
    if len(sql) > _SQL_MAX:
        raise InvalidQuery(f"the statement is longer than {_SQL_MAX} characters")
    wanted = sum(1 for found in _MARKERS.finditer(sql) if found[1])
    if wanted != len(parameters):
        raise InvalidQuery(f"the question has {wanted} parameters, {len(parameters)} were given")
    return [_parameter(value) for value in parameters]


def _parameter(value: Any) -> dict[str, Any]:
    kind = _PARAMETER_TYPES.get(type(value))
    if kind is None:
        raise InvalidQuery(f"a {type(value).__name__} cannot be a parameter: ask for money in cents")
    if isinstance(value, datetime):
        if value.tzinfo is not None:
            raise InvalidQuery("a time with a zone cannot be a parameter: it must be naive, in UTC")
        value = value.isoformat(timespec="milliseconds")
    if isinstance(value, float) and not math.isfinite(value):
        raise InvalidQuery(f"{value} cannot be a parameter")
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise InvalidQuery("an integer of more than 64 bits cannot be a parameter")
    return {"type": kind, "value": value}


def _beside(sql: str, tables: Mapping[str, str]) -> str:
    """The question beside what it finds under those names."""
    if not tables:
        return sql
    named = ", ".join(f'"{name}" AS ({table})' for name, table in tables.items())
    return f"WITH {named} (\n{sql}\n)"


def _empty_table(datasource: Datasource) -> str:
    columns = ", ".join(f'CAST(NULL AS {_SQL_TYPES[c.kind]}) AS "{c.name}"' for c in datasource.columns)
    return f"SELECT {columns} FROM (VALUES (0)) WHERE 1 = 0"


def _lines(chunks: Iterator[bytes], deadline: float) -> Iterator[bytes]:
    """Lines end with a line feed only: text may hold what Python takes for other ends. Raises Overdue."""
    rest = b""
    for chunk in chunks:
        if time.monotonic() > deadline:
            raise Overdue
        *whole, rest = (rest + chunk).split(b"\n")
        yield from whole
        if len(rest) > _LINE_MAX_BYTES:
            raise StoreError(f"a row of the answer is longer than {_LINE_MAX_BYTES} bytes")


def _reader(kind: str) -> Callable[[Any], Any]:
    return _time if kind == "TIMESTAMP" else _as_it_is


def _time(value: str | None) -> datetime | None:
    return None if value is None else datetime.fromisoformat(value).replace(tzinfo=None)


def _as_it_is(value: Any) -> Any:
    return value

"""Questions of the bank's analytical store over HTTP: formats, pages, whatever is wrong with one, tenants."""

import csv
import io
import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

import httpx
import pyarrow as pa
import pyarrow.parquet as pa_parquet
import pytest

from mainstem.query.cursor import cursor_token
from tests.web import Web, bank_here

_ALL = "count,sum:amount,avg:amount,min:amount,max:amount,distinct:debitCardId,p50:amount,max:transactionDate"
_TENANTS = ("acme", "north")
_AMOUNTS = {"a": ("1.10", "2.20", "3.30"), "b": ("10", "20"), "c": ("0.01",)}


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    """A bank with withdrawals of three cards, and the first of them of two tenants, each with other amounts."""
    folder = tmp_path_factory.mktemp("query") / "data"
    with bank_here(folder, tenants=",".join(_TENANTS)) as (running, web):
        for card, amounts in _AMOUNTS.items():
            _spend(web, card, amounts, {})
        for number, tenant in enumerate(_TENANTS):
            _spend(web, "a", [str(100 * (number + 1))], {"X-Tenant": tenant})
        assert running.settle(60)
        yield web


def _spend(web: Web, card: str, amounts: Any, headers: dict[str, str]) -> None:
    sent = {"Content-Type": "application/json", **headers}
    web.ask("POST", "/cards", json={"id": card, "limit": 1000}, headers=headers).raise_for_status()
    for amount in amounts:
        content = f'{{"debitCard":"{card}","amount":{amount}}}'
        web.ask("POST", "/moneywithdrawals", content=content, headers=sent).raise_for_status()


def ask(web: Web, sent: Any = None, **parameters: Any) -> httpx.Response:
    given = {name.rstrip("_"): str(value) for name, value in parameters.items()}
    return web.ask("GET", f"/analytics/query?{urlencode(given)}", headers=sent or {})


def rows(answer: httpx.Response) -> Any:
    assert answer.status_code == 200, answer.text
    return json.loads(answer.text, parse_float=Decimal)


def filters(*each: dict[str, Any]) -> str:
    return json.dumps(each)


def test_without_parameters_it_counts(asked: Web) -> None:
    answer = ask(asked)
    assert rows(answer) == [{"count": 6}]
    assert answer.headers["vary"] == "Accept"
    assert float(answer.headers["mainstem-age"]) >= 0


def test_groups_have_their_measures(asked: Web) -> None:
    """Amounts exact, times with their zone."""
    found = rows(ask(asked, groupBy="debitCardId", measures=_ALL))
    assert [row["debitCardId"] for row in found] == ["a", "b", "c"]
    assert [row["count"] for row in found] == [3, 2, 1]
    assert [str(row["sum_amount"]) for row in found] == ["6.60", "30.00", "0.01"]
    assert [str(row["min_amount"]) for row in found] == ["1.10", "10.00", "0.01"]
    assert [row["avg_amount"] for row in found] == [pytest.approx(Decimal(each)) for each in ("2.2", "15", "0.01")]
    assert [row["distinct_debitCardId"] for row in found] == [1, 1, 1]
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", row["max_transactionDate"]) for row in found)


def test_periods_have_their_begin(asked: Web) -> None:
    found = rows(ask(asked, grain="month", measures="count"))
    now = datetime.now(UTC)
    assert sum(row["count"] for row in found) == 6
    assert found[-1]["period"][8:] == "01T00:00:00.000Z"
    assert found[-1]["period"][:4] in (str(now.year), str(now.year - 1))


@pytest.mark.parametrize(
    ("given", "cards"),
    [
        ({"debitCardId": "a"}, ["a"]),
        ({"filters": filters({"dimension": "debitCardId", "eq": "b"})}, ["b"]),
        ({"filters": filters({"dimension": "debitCardId", "in": ["a", "c", "x"]})}, ["a", "c"]),
        ({"filters": filters({"dimension": "debitCardId", "eq": "b", "not": True})}, ["a", "c"]),
        ({"filters": filters({"dimension": "debitCardId", "prefix": "b"})}, ["b"]),
        ({"filters": filters({"dimension": "amount", "atLeast": 3.30})}, ["a", "b"]),
        ({"filters": filters({"dimension": "amount", "above": "3.30"})}, ["b"]),
        ({"filters": filters({"dimension": "amount", "atMost": 3.3, "above": 0.01})}, ["a"]),
        ({"filters": filters({"dimension": "amount", "below": 1}, {"dimension": "debitCardId", "eq": "c"})}, ["c"]),
        ({"filters": filters({"dimension": "transactionDate", "below": "2026-01-01T00:00:00Z"})}, []),
        ({"filters": "[]"}, ["a", "b", "c"]),
        ({"from": "2026-01-01T00:00:00Z", "to": "9999-01-01T00:00:00+01:00"}, ["a", "b", "c"]),
        ({"to": "2026-01-01T00:00:00Z"}, []),
    ],
)
def test_what_is_filtered(asked: Web, given: dict[str, str], cards: list[str]) -> None:
    assert [row["debitCardId"] for row in rows(ask(asked, groupBy="debitCardId", **given))] == cards


def test_the_top_are_by_a_measure(asked: Web) -> None:
    found = rows(ask(asked, groupBy="debitCardId", measures="count,sum:amount", top=2, topBy="sum:amount"))
    assert [row["debitCardId"] for row in found] == ["b", "a"]
    assert [row["debitCardId"] for row in rows(ask(asked, groupBy="debitCardId", top=1))] == ["a"]


def test_the_time_before_is_beside(asked: Web) -> None:
    """The month of now and the one before: all withdrawals are of one of them, or of the hour at its begin."""
    first = datetime.now(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    following = (first + timedelta(days=32)).replace(day=1)
    given = {"from": first.isoformat(), "to": following.isoformat(), "compare": "previous"}
    for grain in ({}, {"grain": "month"}):
        (found,) = rows(ask(asked, measures="count,sum:amount", **given, **grain))
        assert found["count"] + found["count_before"] == 6
        assert (found["sum_amount_before"] is None) == (found["count_before"] == 0)


def test_pages_are_linked(asked: Web) -> None:
    """With all that was asked for; the last has no link."""
    found, path = [], "/analytics/query?groupBy=debitCardId,amount&measures=count&limit=2&format=csv&timeoutMs=9000"
    for _ in range(3):
        answer = asked.ask("GET", path)
        assert answer.headers["content-type"].startswith("text/csv")
        found += list(csv.reader(io.StringIO(answer.text)))[1:]
        path = answer.links.get("next", {}).get("url", "")
    assert path == ""
    assert [row[:2] for row in found] == [
        [card, f"{Decimal(each):.2f}"] for card, amounts in _AMOUNTS.items() for each in amounts
    ]


def test_a_cursor_is_of_its_question(asked: Web) -> None:
    answer = ask(asked, groupBy="debitCardId", limit=1)
    cursor = httpx.URL(answer.links["next"]["url"]).params["cursor"]
    assert ask(asked, groupBy="debitCardId", limit=5, cursor=cursor).status_code == 200
    for other in ({"groupBy": "amount"}, {"groupBy": "debitCardId", "debitCardId": "a"}, {}):
        assert ask(asked, **other, cursor=cursor).status_code == 400
    assert ask(asked, {"X-Tenant": "acme"}, groupBy="debitCardId", cursor=cursor).status_code == 400


@pytest.mark.parametrize(
    "values",
    [
        ["x", "1"],
        ["2026-01-31T00:00:00Z", "x"],
        ["2026-01-31T09:00:00Z", "1"],
        ["2026-01-31T00:00:00Z", "1.001"],
        ["1"],
    ],
)
def test_a_made_up_cursor_is_refused(asked: Web, values: list[str]) -> None:
    """Also where it says that it is of the question."""
    query = "/analytics/query?measures=count&groupBy=amount&grain=day"
    answer = ask(asked, groupBy="amount", grain="day", cursor=cursor_token(values, query))
    assert (answer.status_code, answer.json()["type"]) == (400, "urn:mainstem:problem:invalid-query"), answer.text


def test_a_tenant_is_told_of_its_own(asked: Web) -> None:
    """Whatever it names."""
    attempts: list[dict[str, str]] = [
        {},
        {"debitCardId": "a"},
        {"filters": filters({"dimension": "debitCardId", "prefix": ""})},
        {"filters": filters({"dimension": "debitCardId", "prefix": "/", "not": True})},
        {"filters": filters({"dimension": "debitCardId", "atLeast": "", "below": "~"})},
        {"filters": filters({"dimension": "debitCardId", "in": ["a", "/north/a", "/acme/a", "../north/a"]})},
        {"filters": filters({"dimension": "amount", "above": 0})},
    ]
    for number, tenant in enumerate(_TENANTS):
        for given in attempts:
            found = ask(asked, {"X-Tenant": tenant}, groupBy="debitCardId", measures="sum:amount", **given)
            assert rows(found) == [{"debitCardId": "a", "sum_amount": 100 * (number + 1)}], given
            assert tenant not in found.text
    for given in attempts[2:]:
        found = rows(ask(asked, groupBy="debitCardId", measures="sum:amount", **given))
        assert sum(row["sum_amount"] for row in found) <= Decimal("36.61"), given
    for prefix in ("/acme/", "/"):
        foreign = filters({"dimension": "debitCardId", "prefix": prefix})
        assert rows(ask(asked, filters=foreign)) == [{"count": 0}]


@pytest.mark.parametrize(
    ("given", "field", "said"),
    [
        ({"measures": "sum"}, "measures", "sum is of a dimension, and none is named"),
        ({"measures": "sum:"}, "measures", "must be a text"),
        ({"measures": "median:amount"}, "measures", "'median:amount' is no measure: known are count, sum, min, max"),
        ({"measures": "quantile:amount"}, "measures", "is no measure"),
        ({"measures": "p0:amount"}, "measures", "is no measure"),
        ({"measures": "p100:amount"}, "measures", "is no measure"),
        ({"measures": "sum:debitCardId"}, "measures", "debitCardId is of kind text"),
        ({"measures": "sum:amount_cents"}, "measures", "bankapp has no dimension 'amount_cents'"),
        ({"measures": "count,count"}, "measures", "two columns would have one name"),
        ({"measures": 'sum("amount")'}, "measures", "must be a text"),
        ({"groupBy": "nothing"}, "groupBy", "known are id, amount, debitCardId, transactionDate"),
        ({"groupBy": "transactionDate"}, "groupBy", "its groups are made by a grain"),
        ({"groupBy": "debitCardId; DROP TABLE bankapp"}, "groupBy", "must be a text"),
        ({"grain": "year"}, "grain", "must be one of minute, hour, day, week, month"),
        ({"grain": "day', now()) --"}, "grain", "must be one of minute, hour"),
        ({"filters": "amount>1"}, "filters", "no JSON list of filters"),
        ({"filters": "{}"}, "filters", "no JSON list of filters"),
        ({"filters": "[" * 2_000}, "filters", "no JSON list of filters"),
        ({"filters": filters({"dimension": "amount"})}, "filters", "has one of eq, in, prefix, and bounds"),
        ({"filters": filters({"dimension": "amount", "eq": 1, "above": 1})}, "filters", "has one of eq, in, prefix"),
        ({"filters": filters({"dimension": "amount", "eq": "much"})}, "filters", "a value is no decimal"),
        ({"filters": filters({"dimension": "amount", "eq": None})}, "filters", "a value is no decimal"),
        ({"filters": filters({"dimension": "amount", "eq": 1.001})}, "filters", "more than two digits"),
        ({"filters": filters({"dimension": "amount", "eq": 1e30})}, "filters", "out of range"),
        ({"filters": filters({"dimension": "amount", "eq": "NaN"})}, "filters", "out of range"),
        ({"filters": filters({"dimension": "debitCardId", "eq": 1})}, "filters", "a value is no text"),
        ({"filters": filters({"dimension": "debitCardId", "in": []})}, "filters", "from 1 to 100 values, not 0"),
        ({"filters": filters({"dimension": "debitCardId", "in": ["a"] * 101})}, "filters", "from 1 to 100 values"),
        ({"filters": filters({"dimension": "amount", "prefix": "1"})}, "filters", "only a text begins with something"),
        ({"filters": filters({"dimension": 'amount" OR 1=1 --', "eq": 1})}, "filters", "no dimension"),
        ({"filters": filters({"dimension": "transactionDate", "eq": "today"})}, "filters", "is no time"),
        ({"filters": filters({"dimension": "amount", "like": 1})}, "filters", "unknown field `like`"),
        ({"filters": filters(*[{"dimension": "amount", "eq": 1}] * 33)}, "filters", "at most 32 filters"),
        ({"filters": '[{"dimension": "amount", "eq": 1, "eq": 2}]'}, "filters", "a filter has eq more than once"),
        ({"filters": '[{"dimension": "amount", "eq": ' + "[" * 2_000 + "]" * 2_000 + "}]"}, "filters", "filters"),
        ({"filters": '[{"dimension": "amount", "eq": ' + "9" * 5_000 + "}]"}, "filters", "filters"),
        ({"from": "2026-01-31"}, "from", "name a time with its zone"),
        ({"to": "9999-12-31T23:59:59-14:00"}, "to", "out of range"),
        ({"from": "2026-02-01T00:00:00Z", "to": "2026-01-01T00:00:00Z"}, None, "ends before it begins"),
        ({"compare": "previous"}, None, "needs both of its ends"),
        ({"compare": "next"}, "compare", "must be"),
        ({"top": 1}, None, "the top are of groups"),
        ({"topBy": "count"}, "topBy", "how many, top does"),
        ({"top": 1, "groupBy": "amount", "topBy": "sum:amount"}, None, "by a measure that is asked for"),
        ({"top": 101, "groupBy": "amount"}, None, "from 1 to the limit of 100 rows"),
        ({"top": 1, "groupBy": "amount", "cursor": "x"}, None, "not one that this query returned"),
        ({"limit": 10_001}, "limit", "from 1 to 10000"),
        ({"timeoutMs": 10_001}, "timeoutMs", "from 1 to 10000"),
        ({"format": "xlsx"}, "format", "must be one of json, csv, arrow, parquet"),
        ({"debitCardId": "'"}, "debitCardId", "must be a text of the form ^[A-Za-z0-9]"),
        ({"top": 0, "groupBy": "amount"}, "top", "must be a whole number from 1 to 10000, not '0'"),
        ({"groupby": "amount"}, "groupby", "no parameter 'groupby' here"),
    ],
)
def test_what_is_wrong_is_named(asked: Web, given: dict[str, Any], field: str | None, said: str) -> None:
    answer = ask(asked, **given)
    assert (answer.status_code, answer.json().get("field")) == (400, field), answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert said in answer.json()["detail"]
    assert "mainstem-age" not in answer.headers


@pytest.mark.parametrize("text", ["' OR '1'='1", "'; DROP TABLE bankapp; --", "?", "%", "_", "\\", "\x00", "/acme/a"])
def test_a_value_is_a_value(asked: Web, text: str) -> None:
    """Whatever SQL would make of it."""
    for how in ({"eq": text}, {"in": [text]}, {"prefix": text}):
        assert rows(ask(asked, filters=filters({"dimension": "debitCardId", **how}))) == [{"count": 0}]
    assert rows(ask(asked)) == [{"count": 6}]


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [
        ("*/*", "application/json"),
        ("application/*", "application/json"),
        ("text/*", "text/csv"),
        ("text/csv;q=0.5, application/json;q=0.2", "text/csv"),
        ("text/html, application/vnd.apache.parquet;q=0.1", "application/vnd.apache.parquet"),
        ("application/vnd.apache.arrow.stream", "application/vnd.apache.arrow.stream"),
        ("*/*, application/json;q=0", "text/csv"),
        ("application/*;q=0.9, application/vnd.apache.parquet;q=1.000", "application/vnd.apache.parquet"),
        ("text/csv;q=0.1;header=present, APPLICATION/JSON; Q=0.2", "application/json"),
    ],
)
def test_accept_names_the_format(asked: Web, accept: str, media_type: str) -> None:
    answer = ask(asked, {"Accept": accept})
    assert answer.status_code == 200
    assert answer.headers["content-type"].partition(";")[0] == media_type
    assert ask(asked, {"Accept": accept}, format="json").headers["content-type"] == "application/json"


@pytest.mark.parametrize("accept", ["text/html", "image/png;q=1", ";;;", "application/json;q=0", "text/csv;q=2"])
def test_no_format_that_is_accepted_is_a_problem(asked: Web, accept: str) -> None:
    answer = ask(asked, {"Accept": accept})
    assert (answer.status_code, answer.json()["type"]) == (406, "urn:mainstem:problem:not-acceptable"), answer.text
    assert "text/csv" in answer.json()["detail"]


def test_each_format_has_the_same_rows(asked: Web) -> None:
    """In its own types."""
    given = {"groupBy": "debitCardId", "grain": "day", "measures": _ALL + ",p99:amount"}
    plain = rows(ask(asked, **given))
    lines = list(csv.DictReader(io.StringIO(ask(asked, **given, format="csv").text)))
    arrow = pa.ipc.open_stream(ask(asked, **given, format="arrow").content).read_all()
    parquet = pa_parquet.read_table(io.BytesIO(ask(asked, **given, format="parquet").content))
    assert parquet.equals(arrow)
    assert [list(each) for each in (lines[0], arrow.schema.names)] == [list(plain[0])] * 2
    assert str(arrow.schema.field("sum_amount").type) == "decimal128(19, 2)"
    assert str(arrow.schema.field("period").type) == "timestamp[ms, tz=UTC]"
    for row, line, typed in zip(plain, lines, arrow.to_pylist(), strict=True):
        assert line["sum_amount"] == str(row["sum_amount"])
        assert line["period"] == row["period"]
        assert typed["sum_amount"] == row["sum_amount"]
        assert typed["period"] == datetime.fromisoformat(row["period"])
        assert typed["p99_amount"] == pytest.approx(float(row["p99_amount"]))


@pytest.mark.parametrize("form", ["csv", "arrow", "parquet", "json"])
def test_no_rows_have_their_columns(asked: Web, form: str) -> None:
    answer = ask(asked, groupBy="debitCardId", measures="sum:amount", debitCardId="nobody", format=form)
    if form == "json":
        assert answer.json() == []
    elif form == "csv":
        assert answer.text == '"debitCardId","sum_amount"\n'
    else:
        table = (
            pa.ipc.open_stream(answer.content).read_all()
            if form == "arrow"
            else pa_parquet.read_table(io.BytesIO(answer.content))
        )
        assert (table.num_rows, table.schema.names) == (0, ["debitCardId", "sum_amount"])


def test_nothing_is_no_value(asked: Web) -> None:
    """Of a sum of nothing: null, and nothing at all in CSV."""
    given = {"measures": "count,sum:amount,p50:amount,max:transactionDate", "debitCardId": "nobody"}
    (found,) = rows(ask(asked, **given))
    assert found == {"count": 0, "sum_amount": None, "p50_amount": None, "max_transactionDate": None}
    assert ask(asked, **given, format="csv").text.splitlines()[1] == "0,,,"

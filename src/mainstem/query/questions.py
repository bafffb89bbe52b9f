"""A question of the analytical store as a request's parameters, and the route that answers it, of any datasource."""

import asyncio
import json
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Annotated, Any, Literal
from urllib.parse import urlencode

import msgspec
from litestar import Request, Response, get
from litestar.handlers import BaseRouteHandler
from litestar.openapi.spec import OpenAPIMediaType, OpenAPIType, Operation, Schema
from litestar.params import QueryParameter
from msgspec import UNSET, Raw, Struct, UnsetType

from mainstem.codec import iso_time, read_time
from mainstem.errors import InvalidQuery
from mainstem.olap.asking import Found
from mainstem.olap.grains import Grain
from mainstem.olap.port import Datasource
from mainstem.olap.question import (
    LIMIT_MAX,
    PERIOD,
    TIMEOUT_MAX_S,
    WHATS,
    Equal,
    Filter,
    Measure,
    Not,
    OneOf,
    Plain,
    Prefix,
    Question,
    Range,
    Top,
    Value,
    dimension_of,
    epoch_ms,
)
from mainstem.query.access import tenant_of
from mainstem.query.cursor import LONGEST, cursor_token, read_cursor
from mainstem.query.input import parameter
from mainstem.query.openapi import PAGE_HEADERS
from mainstem.query.reading import reads
from mainstem.query.tables import MEDIA_TYPES, Format, format_of, rendered
from mainstem.query.web import problem_responses
from mainstem.tenancy import qualified

_Request = Request[Any, Any, Any]
Asking = Callable[[_Request, Question], Awaitable[Found]]

_TIMEOUT_MAX_MS = round(TIMEOUT_MAX_S * 1_000)
_TIME = "With its zone, as 2026-01-31T09:30:00Z"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_QUANTILE = re.compile(r"p([1-9][0-9]?)", re.ASCII)

Measures = Annotated[
    str,
    QueryParameter(
        pattern=r"^[a-z0-9]+(:[A-Za-z0-9_]+)?(,[a-z0-9]+(:[A-Za-z0-9_]+)?)*$",
        description="What is counted, with commas between: count, and sum, min, max, avg, distinct or p1 to p99 of a"
        " dimension, as count,sum:amount,p95:amount. distinct and the quantiles are estimates",
    ),
]
GroupBy = Annotated[
    str | None,
    QueryParameter(
        name="groupBy", pattern=r"^[A-Za-z0-9_]+(,[A-Za-z0-9_]+)*$", description="Dimensions, with commas between"
    ),
]
ByGrain = Annotated[Grain | None, QueryParameter(description="Group by periods of this length (UTC) too")]
Filters = Annotated[
    str | None,
    QueryParameter(
        description="A JSON list of what must hold, as"
        ' [{"dimension": "amount", "atLeast": 10}]: eq, in, prefix, or one or two of atLeast, above, atMost, below;'
        " not: true turns one around"
    ),
]
From = Annotated[str | None, QueryParameter(name="from", description=f"From this time on. {_TIME}")]
To = Annotated[str | None, QueryParameter(name="to", description=f"Before this time. {_TIME}")]
TopCount = Annotated[
    int | None, QueryParameter(ge=1, le=LIMIT_MAX, description="So many rows in which a measure is highest")
]
TopBy = Annotated[str | None, QueryParameter(name="topBy", description="By which of the measures; else the first")]
Compare = Annotated[
    Literal["previous"] | None,
    QueryParameter(description="Each measure beside that of the time of the same length before `from`"),
]
RowLimit = Annotated[int, QueryParameter(ge=1, le=LIMIT_MAX, description="The most rows to return")]
TimeLimit = Annotated[
    int,
    QueryParameter(name="timeoutMs", ge=1, le=_TIMEOUT_MAX_MS, description="The most milliseconds that it may take"),
]
Behind = Annotated[str | None, QueryParameter(description="From the Link header of the page before")]
InFormat = Annotated[
    Format | None, QueryParameter(name="format", description="Of the answer; else what Accept names, else JSON")
]


class FilterText(Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """One of the filters of a request; values as JSON has them."""

    dimension: str
    eq: Raw | UnsetType = UNSET
    one_of: list[Raw] | UnsetType = msgspec.field(default=UNSET, name="in")
    prefix: Raw | UnsetType = UNSET
    at_least: Raw | UnsetType = UNSET
    above: Raw | UnsetType = UNSET
    at_most: Raw | UnsetType = UNSET
    below: Raw | UnsetType = UNSET
    negated: bool = msgspec.field(default=False, name="not")


_FILTERS = msgspec.json.Decoder(list[FilterText])
_BOUNDS = ("at_least", "above", "at_most", "below")


@dataclass(frozen=True)
class Asked:
    """The parameters of a request that say what is asked for, as they were given."""

    measures: str = "count"
    group_by: str | None = None
    grain: Grain | None = None
    filters: str | None = None
    begin: str | None = None
    end: str | None = None
    top: int | None = None
    top_by: str | None = None
    compare: str | None = None
    key: str | None = None

    def query(self, key: str) -> dict[str, str]:
        """Those that are given, by the names that clients use. `key` is the dimension of the key."""
        named = {
            "measures": self.measures,
            "groupBy": self.group_by,
            "grain": self.grain,
            "filters": self.filters,
            "from": self.begin,
            "to": self.end,
            "top": self.top,
            "topBy": self.top_by,
            "compare": self.compare,
            key: self.key,
        }
        return {name: str(value) for name, value in named.items() if value is not None}


def question_of(datasource: Datasource, asked: Asked, key: str, limit: int = 100) -> Question:
    """The first page of what is asked for. Raises InvalidInput (400), which names the parameter, and InvalidQuery."""
    with parameter("measures"):
        measures = tuple(map(_measure, asked.measures.split(",")))
        Question(datasource, measures)
    with parameter("groupBy"):
        by = tuple(asked.group_by.split(",")) if asked.group_by is not None else ()
        Question(datasource, by=by)
    with parameter("filters"):
        where = _filters(datasource, asked.filters) if asked.filters is not None else ()
        Question(datasource, where=where)
    times = []
    for name, text in (("from", asked.begin), ("to", asked.end)):
        with parameter(name):
            times.append(None if text is None else _at(text))
    top = None
    with parameter("topBy"):
        if asked.top is not None:
            top = Top(asked.top, (measures[0] if asked.top_by is None else _measure(asked.top_by)).name)
        elif asked.top_by is not None:
            raise InvalidQuery("it says by what the top are; how many, top does")
    return Question(
        datasource,
        measures,
        by,
        asked.grain,
        where if asked.key is None else (Equal(key, asked.key), *where),
        times[0],
        times[1],
        top,
        compared=asked.compare is not None,
        limit=limit,
    )


def question_route(
    path: str, datasource: Datasource, key: str, key_pattern: str, asking: Asking, *, tags: list[str]
) -> BaseRouteHandler:
    """`GET path`: any question of the datasource, asked by `asking`.

    `key` is a text dimension that has a parameter of its own, whose values have that pattern: by it, access is given to
    what belongs to the caller.
    """
    only = QueryParameter(name=key, pattern=key_pattern, description="Of this one only")

    @get(
        path,
        tags=tags,
        operation_id="query",
        opt=reads(f"olap-{datasource.name}"),
        operation_class=_QuestionOperation,
        response_headers=PAGE_HEADERS,
        responses=problem_responses(400, 406, 503),
    )
    async def query(  # noqa: PLR0913, PLR0917 - the query's parameters
        request: _Request,
        key_: Annotated[str | None, only] = None,
        measures: Measures = "count",
        group_by: GroupBy = None,
        grain: ByGrain = None,
        filters: Filters = None,
        begin: From = None,
        end: To = None,
        top: TopCount = None,
        top_by: TopBy = None,
        compare: Compare = None,
        limit: RowLimit = 100,
        timeout_ms: TimeLimit = _TIMEOUT_MAX_MS,
        cursor: Behind = None,
        form: InFormat = None,
    ) -> Response[list[dict[str, Any]]]:
        """Any question of the analytical store: measures by dimensions and periods, filtered, compared, in pages."""
        chosen = format_of(request, form)
        asked = Asked(measures, group_by, grain, filters, begin, end, top, top_by, compare, key_)
        given = asked.query(key)
        mark = qualified(tenant_of(request), f"{path}?{urlencode(given)}")
        question = question_of(datasource, asked, key, limit)
        behind = None if cursor is None else _behind(question, cursor, mark)
        question = replace(question, behind=behind, timeout_s=timeout_ms / 1_000)
        found = await asking(request, question)
        answer = await asyncio.to_thread(rendered, found, chosen)
        headers = {"Vary": "Accept"}
        if found.more is not None:
            more = {"limit": limit, "cursor": _token(found.more, mark)}
            kept = {"timeoutMs": timeout_ms} if timeout_ms != _TIMEOUT_MAX_MS else {}
            named = {"format": form} if form is not None else {}
            headers["Link"] = f'<{path}?{urlencode({**given, **kept, **named, **more})}>; rel="next"'
        response: Response[Any] = Response(answer.body, media_type=answer.media_type, headers=headers)
        return response

    return query


@dataclass
class _QuestionOperation(Operation):
    """With the formats of the answer beside JSON."""

    def __post_init__(self) -> None:
        answers: Any = (self.responses or {})["200"]
        for media_type in MEDIA_TYPES.values():
            answers.content.setdefault(media_type, OpenAPIMediaType(schema=Schema(type=OpenAPIType.STRING)))


def _measure(text: str) -> Measure:
    what, colon, name = text.partition(":")
    found = _QUANTILE.fullmatch(what)
    if found is not None:
        return Measure("quantile", name, int(found[1]))
    if what == "quantile" or what not in WHATS or (colon and not name):
        known = ", ".join(each for each in WHATS if each != "quantile")
        raise InvalidQuery(f"{text[:40]!r} is no measure: known are {known} and p1 to p99, as sum:name")
    return Measure(what, name)


def _filters(datasource: Datasource, text: str) -> tuple[Filter, ...]:
    try:
        given = _FILTERS.decode(text)
        json.loads(text, object_pairs_hook=_each_once, parse_int=str, parse_float=str)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise InvalidQuery(f"no JSON list of filters: {error}") from error
    return tuple(_filter(datasource, each) for each in given)


def _each_once(pairs: list[tuple[str, Any]]) -> None:
    """Of two values of one name only the last would hold."""
    names = [name for name, _ in pairs]
    for name in names:
        if names.count(name) > 1:
            raise InvalidQuery(f"a filter has {name[:40]} more than once")


def _filter(datasource: Datasource, given: FilterText) -> Filter:
    kind = dimension_of(datasource, given.dimension).kind
    bounds = {name: _value(kind, raw) for name in _BOUNDS if (raw := getattr(given, name)) is not UNSET}
    ways: list[Plain] = [Range(given.dimension, **bounds)] if bounds else []
    if given.eq is not UNSET:
        ways.append(Equal(given.dimension, _value(kind, given.eq)))
    if given.one_of is not UNSET:
        ways.append(OneOf(given.dimension, tuple(_value(kind, raw) for raw in given.one_of)))
    if given.prefix is not UNSET:
        ways.append(Prefix(given.dimension, str(_value("text", given.prefix))))
    if len(ways) != 1:
        raise InvalidQuery(f"a filter of {given.dimension} has one of eq, in, prefix, and bounds")
    return Not(ways[0]) if given.negated else ways[0]


def _value(kind: str, raw: Raw) -> Value:
    try:
        found: Value = msgspec.json.decode(raw, type=_JSON_TYPES[kind])
    except (msgspec.MsgspecError, UnicodeError, ArithmeticError) as error:
        raise InvalidQuery(f"a value is no {kind}: {error}") from error
    return _at(found) if kind == "timestamp" and isinstance(found, str) else found


_JSON_TYPES: Mapping[str, Any] = {"text": str, "integer": int, "decimal": Decimal, "timestamp": str}


def _at(text: str) -> datetime:
    try:
        return _EPOCH + timedelta(milliseconds=read_time(text))
    except OverflowError as error:
        raise InvalidQuery(f"{text[:40]!r} is out of range: times are of the years 1 to 9999") from error


def _token(keys: tuple[Value, ...], mark: str) -> str:
    token = cursor_token([_told(value) for value in keys], mark)
    if len(token) > LONGEST:
        raise InvalidQuery("the last row's keys are too long for a cursor: ask with a higher limit")
    return token


def _told(value: Value) -> str:
    return iso_time(epoch_ms(value)) if isinstance(value, datetime) else str(value)


def _behind(question: Question, cursor: str, mark: str) -> tuple[Value, ...]:
    """The keys of the last row of the page before. Raises InvalidQuery for a cursor that was not given out."""
    texts = read_cursor(cursor, [str] * len(question.keys), mark)
    try:
        return tuple(_key(question, name, str(text)) for name, text in zip(question.keys, texts, strict=True))
    except (InvalidOperation, ValueError) as error:
        raise InvalidQuery("the cursor is not one that this query returned") from error


def _key(question: Question, name: str, text: str) -> Value:
    kind = "timestamp" if name == PERIOD else dimension_of(question.datasource, name).kind
    readers: Mapping[str, Callable[[str], Value]] = {"text": str, "integer": int, "decimal": Decimal, "timestamp": _at}
    return readers[kind](text)

"""What a query's answer is made of, how far that has come, and how long a query waits for it: one piece of code.

A route says with `reads` which stages its answer comes from. Then the request may name a position, an age and how long
it would wait, and the answer says up to when it has everything: `Mainstem-Position`, which another query can wait for,
and `Mainstem-Age`. Both come of the looks that are taken at every stage anyway, so that they cost no question.
"""

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from litestar import Litestar
from litestar.connection import ASGIConnection
from litestar.routes import HTTPRoute
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from mainstem.clock import wall_clock_ms
from mainstem.codec import position_token
from mainstem.errors import ConfigurationError
from mainstem.looks import Looks
from mainstem.messages import Position
from mainstem.query.access import Grant, grant_of
from mainstem.query.freshness import Freshness
from mainstem.query.preferences import MAX_AGE_HEADER, Wanted, wanted
from mainstem.view.port import ViewStore

LIVE = "live"
"""In `reads`: what the commands themselves write, or the process itself, is asked, which is never behind."""

POSITION_HEADER = "Mainstem-Position"
"""On an answer the position that a query can wait for; on a query the position to wait for."""

AGE_HEADER = "Mainstem-Age"
"""On a query's answer: it has everything that was recorded until so many seconds before."""

_READS = "reads"
_GIVEN = {name.lower().encode() for name in (POSITION_HEADER, MAX_AGE_HEADER, "Prefer")}
_ERRORS = 400


def reads(*stages: str) -> dict[str, Any]:
    """For a route's `opt`: the groups whose views it reads, `olap-` and a datasource's name, or LIVE."""
    return {_READS: stages}


def stages_of(app: Litestar) -> dict[str, tuple[str, ...] | None]:
    """What each GET route reads, by `GET /path`; None of one that does not say."""
    return {
        f"GET {route.path_format}": route.route_handler_map["GET"][0].opt.get(_READS)
        for route in app.routes
        if isinstance(route, HTTPRoute) and "GET" in route.route_handler_map
    }


def check_reads(stages: Mapping[str, tuple[str, ...] | None], known: frozenset[str]) -> None:
    """Raises ConfigurationError for a route that does not say what it reads, or names a stage that there is not."""
    names = f"known are {', '.join(sorted(known))}, and LIVE"
    for route, found in stages.items():
        if not found:
            raise ConfigurationError(f"{route} does not say what it reads: give it opt=reads(…); {names}")
        if unknown := sorted({*found} - known - {LIVE}):
            raise ConfigurationError(f"{route} reads {unknown[0]!r}, which is no stage; {names}")


@dataclass(frozen=True)
class Sources:
    """What queries ask of. `positioned` names the listeners whose views know positions of aggregates.

    `look` has a stage looked at again at once or soon, with those before it; `apart` is whether tenants are kept apart.
    """

    views: ViewStore
    looks: Looks
    look: Callable[[str], None]
    positioned: frozenset[str]
    wait_max_s: float
    apart: bool = False


class Reading:
    """Waits for what queries want, in one event loop, and says how far their answers have come."""

    def __init__(self, sources: Sources, clock_ms: Callable[[], int] = wall_clock_ms) -> None:
        self._sources = sources
        self._clock_ms = clock_ms
        self._freshness: Freshness | None = None

    def begin(self) -> None:
        """Called in the server's event loop before the first request."""
        self._freshness = Freshness(self._sources.views, asyncio.get_running_loop())

    def end(self) -> None:
        """Called after the last request."""
        if self._freshness is not None:
            self._freshness.close()

    def has_up_to(self, stages: tuple[str, ...]) -> int | None:
        """All that was recorded before that time is in every one of these; None where nobody can tell."""
        found = self._clock_ms()
        for stage in stages:
            if stage != LIVE:
                has = self._sources.looks.has_up_to(stage)
                if has is None:
                    return None
                found = min(found, has)
        return found

    async def wait(self, grant: Grant, stages: tuple[str, ...], asked: Wanted) -> dict[str, str]:
        """Until the stages are as fresh as is wanted; the header that says how long would have been waited.

        Raises Forbidden for a position of another tenant, InvalidQuery for one that nobody gave out, NotYetThere.
        """
        asked_ms, patience_s = self._clock_ms(), asked.patience_s(self._sources.wait_max_s)
        position = None if asked.position is None else grant.position(asked.position, apart=self._sources.apart)
        patience, positioned = _Patience(patience_s), self._sources.positioned.intersection(stages)
        for stage in stages:
            if stage == LIVE:
                continue
            if position is not None and position.key and positioned:
                if stage in positioned:
                    await self._fresh.reached(stage, position, patience.left_s())
            elif position is not None:  # a position is given out before the query that names it is asked
                text = f"the view has not reached the position within {patience_s:g} s"
                await self._until(stage, asked_ms if position.key else position.version, patience, text)
            if asked.max_age_s is not None:
                text = f"records wait for the view for more than {asked.max_age_s:g} s, also after {patience_s:g} s"
                await self._until(stage, asked_ms - asked.max_age_s * 1000, patience, text)
        return asked.applied(self._sources.wait_max_s)

    async def _until(self, stage: str, time_ms: int, patience: "_Patience", otherwise: str) -> None:
        looks = self._sources.looks

        def there() -> bool:
            return (looks.has_up_to(stage) or 0) >= time_ms

        def looked() -> bool:
            self._sources.look(stage)
            return there()

        if not there():
            await self._fresh.until(looked, patience.left_s(), otherwise)

    def headers(self, has_ms: int | None) -> Iterator[tuple[bytes, bytes]]:
        """Of an answer that has everything up to then; none where nobody can tell."""
        if has_ms is not None:
            yield POSITION_HEADER.lower().encode(), position_token(Position("", has_ms)).encode()
            yield AGE_HEADER.lower().encode(), f"{max(0, self._clock_ms() - has_ms) / 1000:.3f}".encode()

    @property
    def _fresh(self) -> Freshness:
        if self._freshness is None:
            raise ConfigurationError("the HTTP application was not started: its server does not speak ASGI's lifespan")
        return self._freshness


class _Patience:
    """How long a query waits, in all."""

    def __init__(self, whole_s: float) -> None:
        self._end = time.monotonic() + whole_s

    def left_s(self) -> float:
        return max(0.0, self._end - time.monotonic())


class Fresh:
    """A middleware of the routes that read: each waits for what is wanted, and its answer says how far it has come."""

    def __init__(self, app: ASGIApp, reading: Reading) -> None:
        self._app = app
        self._reading = reading

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, once it is fresh enough. Raises what `Reading.wait` raises, InvalidInput for an unreadable age."""
        routed: Any = scope
        stages = routed["route_handler"].opt.get(_READS)
        if stages is None or routed["method"] != "GET":
            await self._app(scope, receive, send)
            return
        applied: dict[str, str] = {}
        if b"position=" in routed["query_string"] or any(name in _GIVEN for name, _ in routed["headers"]):
            connection = ASGIConnection[Any, Any, Any, Any](scope)
            applied = await self._reading.wait(grant_of(connection), stages, _wanted(connection))
        has_ms = self._reading.has_up_to(stages)  # before it is asked: it may know more, and never less

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] < _ERRORS:
                more = [(name.lower().encode(), value.encode()) for name, value in applied.items()]
                message["headers"] = [*message["headers"], *self._reading.headers(has_ms), *more]
            await send(message)

        await self._app(scope, receive, sending)


def _wanted(connection: ASGIConnection[Any, Any, Any, Any]) -> Wanted:
    headers = connection.headers
    positions = (connection.query_params.get("position"), headers.get(POSITION_HEADER))
    return wanted(positions, headers.get("Prefer"), headers.get(MAX_AGE_HEADER))

"""The HTTP application: an application's own routes, with health, metrics, reconciliation, OpenAPI and problems."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from litestar import Litestar, MediaType, Request, Response, Router, get
from litestar.openapi import OpenAPIConfig, ResponseSpec
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.openapi.spec import License
from litestar.types import ControllerRouterHandler
from msgspec import Struct

from mainstem.health import Trouble
from mainstem.query import metrics as metrics_
from mainstem.query.access import Access, Gate, Rule, Whole, may, may_see, public
from mainstem.query.access.rules import Guard, check_rules
from mainstem.query.bodies import Bodies
from mainstem.query.input import JsonRequest
from mainstem.query.metrics import Metrics
from mainstem.query.openapi import DecimalSchemaPlugin
from mainstem.query.openapi_access import describe_access
from mainstem.query.openapi_page import PageRenderPlugin
from mainstem.query.openapi_reading import describe_reading
from mainstem.query.parameters import KnownParameters, Parameters
from mainstem.query.problems import MEDIA_TYPE, Problem, exception_handlers
from mainstem.query.reading import POSITION_HEADER, Fresh, Reading, Sources, check_reads, stages_of

_JSON = msgspec.json.Encoder(decimal_format="number")

OPERATOR = "operator"
"""The scope of those who look after the process."""

OPERATIONS_RULES: Mapping[str, Rule] = {
    "GET /health/live": public(),
    "GET /health/ready": public(),  # what does not work is told to operators only
    "GET /metrics": may(OPERATOR, whole=True),
    "GET /status": may(OPERATOR, whole=True),
    "GET /reconciliation": may(OPERATOR, whole=True),
    "GET /asyncapi.json": may(OPERATOR, whole=True),
    "GET /openapi": public(),
    "GET /openapi/openapi.json": public(),
    "GET /openapi/{path}": public(),  # a page that says that there is no such page
}
"""Who may call the routes that every application has."""


@dataclass(frozen=True)
class About:
    """What the OpenAPI document says of the application."""

    title: str
    version: str
    description: str


@dataclass(frozen=True)
class Operations:
    """What the HTTP application asks of the running process beside the application's own questions."""

    troubles: Callable[[], Mapping[str, Trouble]]
    status: Callable[[], Any]
    reconcile: Callable[[], Any]
    metrics: Metrics
    asyncapi: Callable[[], Any]
    sources: Sources


def json_response(content: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response[Any]:
    """A JSON response; decimals are numbers written exactly."""
    body = _JSON.encode(content)
    return Response(body, status_code=status, media_type=MediaType.JSON, headers=dict(headers or {}))


def problem_responses(*statuses: int, body: bool = False) -> dict[int, ResponseSpec]:
    """The OpenAPI description of problems with these statuses, with `body` those of every route that reads one too."""
    return {
        status: ResponseSpec(Problem, media_type=MEDIA_TYPE, description=_PROBLEMS[status], generate_examples=False)
        for status in sorted({*statuses, *(_OF_BODIES if body else ())})
    }


_PROBLEMS = {
    400: "The request is malformed: no JSON, an unknown cursor, position or parameter",
    404: "Not found",
    406: "The answer has none of the formats that Accept names",
    408: "The body has not come in time",
    409: "Refused: the state does not allow it",
    413: "The body is too large",
    415: "The body is not application/json",
    422: "An input cannot be used, or the idempotency key was used for another request",
    503: "Not now: try again after the seconds that Retry-After names",
    504: "No answer in time; ask again with the same idempotency key",
}

_OF_BODIES = (400, 408, 413, 415, 422)


class Health(Struct, frozen=True):
    """Whether the process works, and what does not."""

    status: str
    troubles: dict[str, Trouble]


def web_application(
    *,
    about: About,
    routes: Sequence[ControllerRouterHandler],
    access: Access,
    operations: Operations,
    refusals: Mapping[str, int],
    body_max_bytes: int,
    on_startup: Sequence[Callable[[], Any]] = (),
    on_shutdown: Sequence[Callable[[], Any]] = (),
) -> Gate:
    """The whole application, as ASGI. `refusals` gives the HTTP status of refusals by their reason (409 unless named).

    What mainstem itself refuses has its status without being named. Handlers that take `data` get it as `JsonRequest`
    reads it: decimals exactly, and no field twice.

    Raises ConfigurationError where `access` has no row for one of the routes, or one for another, and where a GET
    route does not say what it reads.
    """
    rules = {**OPERATIONS_RULES, **access.rules}
    openapi = OpenAPIConfig(
        title=about.title,
        version=about.version,
        description=about.description,
        license=License(name="Apache-2.0", identifier="Apache-2.0"),
        path="/openapi",
        render_plugins=[PageRenderPlugin(), JsonRenderPlugin(path="/openapi.json")],
        use_handler_docstrings=True,
    )
    parameters, reading = Parameters(), Reading(operations.sources)
    guards: list[Any] = [lambda app: Guard(app, rules, POSITION_HEADER)] if access.authenticated else []
    if access.tenants:
        whole = [name for name, rule in rules.items() if rule.whole]
        guards.append(lambda app: Whole(app, whole))
    app = Litestar(
        [*routes, _operations(operations)],
        exception_handlers=exception_handlers(refusals, operations.troubles, _sees_troubles, parameters.explained),
        middleware=[*guards, lambda app: KnownParameters(app, parameters), lambda app: Fresh(app, reading), Bodies],
        openapi_config=openapi,
        plugins=[DecimalSchemaPlugin()],
        request_class=JsonRequest,
        request_max_body_size=body_max_bytes,
        on_startup=[reading.begin, *on_startup],
        on_shutdown=[*on_shutdown, reading.end],
        logging_config=None,
    )
    check_rules(app, rules)
    read = {name: stages for name, stages in stages_of(app).items() if name in access.rules}
    check_reads(read, operations.sources.looks.stages)
    describe_reading(app.openapi_schema, read)
    parameters.learn(app.openapi_schema.to_schema(), access.rules)
    describe_access(app.openapi_schema, rules, access)
    return Gate(app, access)


def _sees_troubles(request: Request[Any, Any, Any]) -> bool:
    return may_see(request, OPERATOR)


def _operations(operations: Operations) -> Router:
    @get("/health/live", tags=["operations"], operation_id="live")
    async def live() -> Health:
        """The process answers."""
        return Health("up", {})

    @get(
        "/health/ready",
        tags=["operations"],
        operation_id="ready",
        responses={503: ResponseSpec(Health, description="Something does not work", generate_examples=False)},
    )
    async def ready(request: Request[Any, Any, Any]) -> Response[Health]:
        """All stages of the flow work; 503 tells operators which do not."""
        troubles = dict(operations.troubles())
        status = 503 if troubles else 200
        shown = troubles if _sees_troubles(request) else {}
        return Response(Health("troubled" if troubles else "up", shown), status_code=status)

    @get("/metrics", tags=["operations"], operation_id="metrics", media_type=MediaType.TEXT)
    async def metrics() -> Response[str]:
        """Metrics in Prometheus' text format."""
        content = await asyncio.to_thread(operations.metrics.render)
        return Response(content.decode(), media_type=metrics_.MEDIA_TYPE)

    @get("/status", tags=["operations"], operation_id="status")
    async def status() -> Response[dict[str, Any]]:
        """Every stage with its state and by how many messages it is behind."""
        return json_response(await asyncio.to_thread(operations.status))

    @get("/reconciliation", tags=["operations"], operation_id="reconciliation")
    async def reconciliation() -> Response[dict[str, Any]]:
        """Hold the events, the state, the views and the analytical store against each other."""
        return json_response(await asyncio.to_thread(operations.reconcile))

    @get("/asyncapi.json", tags=["operations"], operation_id="asyncapi")
    async def asyncapi() -> Response[dict[str, Any]]:
        """The AsyncAPI document: topics, their messages, and who sends and receives them."""
        return json_response(await asyncio.to_thread(operations.asyncapi))

    return Router("/", route_handlers=[live, ready, metrics, status, reconciliation, asyncapi])

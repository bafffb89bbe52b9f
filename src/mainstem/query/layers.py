"""Data layers over HTTP, for operators: what there is, what the rules have counted, and where a figure comes from."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Protocol

from litestar import Response, get
from litestar.handlers import BaseRouteHandler
from litestar.params import PathParameter, QueryParameter

from mainstem.layers.desk import LINEAGE_MAX, LayerView
from mainstem.layers.lineage import Traced
from mainstem.query.access import Rule, may
from mainstem.query.reading import LIVE, reads
from mainstem.query.web import OPERATOR, json_response, problem_responses

LAYER_RULES: Mapping[str, Rule] = {
    "GET /layers": may(OPERATOR, whole=True),
    "GET /layers/{layer}/lineage": may(OPERATOR, whole=True),
}
"""Who may call these routes, for the application's own table."""

_Layer = Annotated[str, PathParameter(description="The layer")]
_Where = Annotated[
    str, QueryParameter(description="COLUMN=VALUE, several with commas between them: of the rows that have these")
]
_Limit = Annotated[
    int, QueryParameter(ge=1, le=LINEAGE_MAX, description="The most rows, and the most that each is made of")
]
_Behind = Annotated[
    str | None, QueryParameter(description="The key of the last row that a figure was made of, on the page before")
]


class Desk(Protocol):
    """What is asked of the layers."""

    def groups(self) -> tuple[str, ...]:
        """The listeners whose tables are asked."""

    def list(self) -> Sequence[LayerView]:
        """All layers."""

    def lineage(self, layer: str, where: Sequence[str], *, limit: int, behind: str | None = None) -> Sequence[Traced]:
        """Rows of a layer with all that they were made of."""


def layer_routes(desk: Desk) -> list[BaseRouteHandler]:
    """Look at the layers, and from a row of one down to the changes."""
    asked = reads(*(desk.groups() or (LIVE,)))

    @get("/layers", tags=["operations"], operation_id="layers", opt=asked, responses=problem_responses(400, 503))
    async def listed() -> Response[list[dict[str, Any]]]:
        """The layers in the order of the flow, with their tables and topics, and how often each rule was broken."""
        return json_response(await asyncio.to_thread(desk.list))

    @get(
        "/layers/{layer:str}/lineage",
        tags=["operations"],
        operation_id="lineage",
        opt=asked,
        responses=problem_responses(400, 404, 503),
    )
    async def lineage(
        layer: _Layer, where: _Where = "", limit: _Limit = 100, behind: _Behind = None
    ) -> Response[list[dict[str, Any]]]:
        """Rows of a layer, each with the rows of the layer before that made it, down to the changes as they came."""
        texts = where.split(",") if where else []

        def traced() -> Sequence[Traced]:
            return desk.lineage(layer, texts, limit=limit, behind=behind)

        return json_response(await asyncio.to_thread(traced))

    return [listed, lineage]

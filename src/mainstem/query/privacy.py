"""Forgetting a subject over HTTP, for operators."""

import asyncio
from collections.abc import Mapping
from functools import partial
from typing import Annotated, Any

from litestar import Request, Response, post
from litestar.handlers import BaseRouteHandler
from litestar.params import PathParameter
from msgspec import Struct

from mainstem.privacy.port import SUBJECT_MAX, Forgets, Forgetting
from mainstem.query.access import Rule, grant_of, may
from mainstem.query.input import Body
from mainstem.query.openapi import body_operation, flag_schema, text_schema
from mainstem.query.web import OPERATOR, json_response, problem_responses

PRIVACY_RULES: Mapping[str, Rule] = {"POST /subjects/{subject}/forget": may(OPERATOR)}
"""Who may call this route, for the application's own table."""

_Subject = Annotated[
    str, PathParameter(description="Whose data: its kind and id, as customer:c-1", max_length=SUBJECT_MAX)
]


class _Asked(Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    why: str
    dry_run: bool = False


def privacy_routes(forgets: Forgets) -> list[BaseRouteHandler]:
    """Forget a subject."""
    asked = Body(_Asked)

    @post(
        "/subjects/{subject:str}/forget",
        tags=["operations"],
        operation_id="forgetSubject",
        status_code=200,
        operation_class=body_operation(
            {"dryRun": flag_schema("Look where the data are, and change nothing")},
            why=text_schema(r"^(?=.*\S)[^\x00-\x1f]{1,500}$", "Why", "asked for by the customer"),
        ),
        responses=problem_responses(503, body=True),
    )
    async def forget(request: Request[Any, Any, Any], subject: _Subject) -> Response[Forgetting]:
        """Make a subject's personal data unreadable wherever they are, and tell where that is."""
        content = await asked.read(request)
        grant = grant_of(request)
        asking = partial(forgets.forget, subject, tenant=grant.tenant, actor=grant.subject)
        return json_response(await asyncio.to_thread(asking, why=content.why, dry_run=content.dry_run))

    return [forget]

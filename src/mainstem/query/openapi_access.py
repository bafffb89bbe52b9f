"""What the OpenAPI document says of who may call what."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from litestar.openapi.spec import (
    OpenAPI,
    OpenAPIMediaType,
    OpenAPIResponse,
    OpenAPIType,
    Operation,
    Parameter,
    Schema,
    SecurityScheme,
)

from mainstem.query.access import TENANT_HEADER, Access, Rule
from mainstem.query.problems import MEDIA_TYPE

_SCHEME = "bearer"
_METHODS = ("get", "put", "post", "delete", "patch")

_TURNED_AWAY = {
    401: "The token is missing, or not valid here and now",
    403: "The token does not allow this",
    421: "Asked for under a host name that this server does not answer for",
    429: "Too many requests: try again after the seconds that Retry-After names",
}


def describe_access(document: OpenAPI, rules: Mapping[str, Rule], access: Access) -> None:
    """Add the scheme, each operation's scopes, and the answers for those who are turned away."""
    content = _problem(document)
    for name, operation in _operations(document):
        rule = rules[name]
        if access.tenants and name in access.rules and not rule.whole:
            operation.parameters = [*(operation.parameters or ()), _tenant()]
        statuses = {421: bool(access.names), 429: access.rates is not None, 401: access.authenticated}
        statuses[403] = access.authenticated and not rule.public
        if statuses[403]:
            operation.security = [{_SCHEME: [scope]} for scope in rule.sufficient]
        answers = dict(operation.responses or {})
        for status in sorted(status for status, there in statuses.items() if there):
            answers[str(status)] = OpenAPIResponse(description=_TURNED_AWAY[status], content=content)
        operation.responses = dict(sorted(answers.items()))
    if access.authenticated:
        text = "A JSON Web Token whose claim `scope` has one of the operation's scopes"
        scheme = SecurityScheme(type="http", scheme="bearer", bearer_format="JWT", description=text)
        document.components = replace(document.components, security_schemes={_SCHEME: scheme})


def _tenant() -> Parameter:
    text = "The tenant that the request is about; of a token with a tenant its own, or left out"
    return Parameter(TENANT_HEADER, "header", schema=Schema(type=OpenAPIType.STRING), description=text, required=False)


def _operations(document: OpenAPI) -> Iterator[tuple[str, Operation]]:
    for path, item in (document.paths or {}).items():
        for method in _METHODS:
            operation = getattr(item, method)
            if operation is not None:
                yield f"{method.upper()} {path}", operation


def _problem(document: OpenAPI) -> dict[str, OpenAPIMediaType] | None:
    """The description of a problem, where any operation has one."""
    for _, operation in _operations(document):
        for response in (operation.responses or {}).values():
            content: Any = getattr(response, "content", None)
            if content and MEDIA_TYPE in content:
                return {MEDIA_TYPE: content[MEDIA_TYPE]}
    return None

"""The query parameters of each route, as its document describes them: those that there are, and what each must be."""

from collections.abc import Collection, Mapping
from typing import Any

from litestar import Request
from litestar.connection import ASGIConnection
from litestar.exceptions import ValidationException
from litestar.types import ASGIApp, Receive, Scope, Send
from msgspec import Struct

from mainstem.query.problems import InvalidInput

_SHOWN = 40
_SAID = 200
_WHOLE = "data"
_NUMBERS = {"integer": "a whole number", "number": "a number"}

Document = Mapping[str, Any]


class Parameter(Struct, frozen=True):
    """A parameter of a query or a path, and what it must be, in words."""

    name: str
    where: str
    expected: str
    required: bool = False


class Parameters:
    """The parameters of the GET routes, by path; filled once the application is made, before the first request."""

    def __init__(self) -> None:
        self._known: dict[str, dict[str, Parameter]] = {}
        self._queries: dict[str, dict[str, Parameter]] = {}
        self._strict: frozenset[str] = frozenset()

    def learn(self, document: Document, strict: Collection[str]) -> None:
        """Take them from an OpenAPI document. The routes that are `strict`, as `GET /things`, take no others."""
        self._strict = frozenset(name.removeprefix("GET ") for name in strict if name.startswith("GET "))
        for path, item in document["paths"].items():
            described = item.get("get", {}).get("parameters") or item.get("post", {}).get("parameters") or []
            found = list(map(_parameter, described))
            self._known[path] = {each.name: each for each in found}
            self._queries[path] = {each.name: each for each in found if each.where == "query"}

    def check(self, scope: Any) -> None:
        """Raises InvalidInput (400) for a parameter that the route does not know, or misses, or that is there twice."""
        path = scope["path_template"]
        if scope["method"] != "GET" or path not in self._strict:
            return
        known = self._queries[path]
        given = ASGIConnection[Any, Any, Any, Any](scope).query_params.multi_items() if scope["query_string"] else ()
        seen: set[str] = set()
        for name, _ in given:
            if name not in known:
                told = f"known are {', '.join(sorted(known))}" if known else "none is known"
                raise _invalid(name[:_SHOWN], f"there is no parameter {name[:_SHOWN]!r} here; {told}")
            if name in seen:
                raise _invalid(name, f"the parameter {name} is given twice")
            seen.add(name)
        for each in known.values():
            if each.required and each.name not in seen:
                raise _invalid(each.name, f"the parameter {each.name} is missing: it must be {each.expected}")

    def explained(self, request: Request[Any, Any, Any], error: ValidationException) -> InvalidInput | None:
        """Which parameter does not fit, what was given, and what it must be; None where that is not known.

        Of a body that the framework has read it is what its type says of it.
        """
        extra: Any = error.extra
        for each in extra if isinstance(extra, list) else ():
            if each.get("source") == "body":
                return _of_body(str(each.get("key")), str(each.get("message")))
            known = self._known.get(str(request.scope.get("path_template")), {})
            parameter = known.get(_name_of(request, str(each.get("key"))))
            if parameter is not None:
                given: Any = request.query_params if parameter.where == "query" else request.path_params
                text = f"{parameter.name} must be {parameter.expected}"
                return _invalid(parameter.name, f"{text}, not {str(given.get(parameter.name))[:_SHOWN]!r}")
        return None


class KnownParameters:
    """A middleware of the routes: nobody's misspelled parameter is left out in silence."""

    def __init__(self, app: ASGIApp, parameters: Parameters) -> None:
        self._app = app
        self._parameters = parameters

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the request pass. Raises InvalidInput."""
        self._parameters.check(scope)
        await self._app(scope, receive, send)


def _invalid(name: str, text: str) -> InvalidInput:
    return InvalidInput(name, text, reason="malformed-request", status=400)


def _of_body(key: str, message: str) -> InvalidInput:
    """`key` is a field's, with dots to those within others, or the name of the argument that is the whole body."""
    if key == _WHOLE:
        return _invalid(
            "body", f"the body does not fit: {'it is missing' if message == repr(key) else message}"[:_SAID]
        )
    return _invalid(key, f"the body does not fit: {message} - at {key}"[:_SAID])


def _parameter(described: Document) -> Parameter:
    expected = _expected(described.get("schema") or {})
    return Parameter(described["name"], described["in"], expected, bool(described.get("required")))


def _name_of(request: Request[Any, Any, Any], argument: str) -> str:
    """The name that clients know a handler's argument by."""
    field = request.route_handler.parsed_fn_signature.parameters.get(argument)
    return getattr(field.kwarg_definition, "name", None) or argument if field is not None else argument


def _expected(schema: Document) -> str:
    for each in (*(schema.get("oneOf") or ()), *(schema.get("anyOf") or ())):
        if each.get("type") != "null":  # its bounds stand beside it
            return _expected({**{name: schema[name] for name in schema if name not in {"oneOf", "anyOf"}}, **each})
    if schema.get("enum"):
        return f"one of {', '.join(str(each) for each in schema['enum'] if each is not None)}"
    number = _NUMBERS.get(str(schema.get("type")))
    if number is not None:
        return f"{number} from {schema['minimum']:g} to {schema['maximum']:g}" if "maximum" in schema else number
    return f"a text of the form {schema['pattern']}" if "pattern" in schema else "a text"

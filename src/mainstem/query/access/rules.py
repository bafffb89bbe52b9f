"""The table of who may call what: a row for every route, and none for anything else."""

from collections.abc import Iterable, Mapping
from typing import Any

from litestar import Litestar
from litestar.connection import ASGIConnection
from litestar.routes import HTTPRoute
from litestar.types import ASGIApp, Receive, Scope, Send
from msgspec import Struct

from mainstem.codec import read_position_token
from mainstem.errors import ConfigurationError, Forbidden, InvalidQuery, Unauthenticated
from mainstem.query.access.caller import Caller, Connection, Grant
from mainstem.tenancy import shown


class Own(Struct, frozen=True):
    """A scope with which a caller may use what is their own.

    What is asked for stands in the path parameter or the query parameter that is named; where neither is, the
    handler has to ask `Grant.check`.
    """

    scope: str
    path: str | None = None
    query: str | None = None


class Rule(Struct, frozen=True):
    """Who may call a route: one of `scopes` for everything, or `own`, or anybody.

    What a `whole` one tells or does concerns the whole installation, so that no request about one tenant may call it.
    """

    scopes: tuple[str, ...] = ()
    own: Own | None = None
    public: bool = False
    whole: bool = False

    @property
    def sufficient(self) -> tuple[str, ...]:
        """The scopes of which one lets a caller in."""
        return (*self.scopes, self.own.scope) if self.own else self.scopes


def may(*scopes: str, own: Own | None = None, whole: bool = False) -> Rule:
    """Callers with one of the scopes, and those with `own` for what is theirs."""
    return Rule(scopes, own, whole=whole)


def public() -> Rule:
    """Everybody, with or without a token."""
    return Rule(public=True)


def routes_of(app: Litestar) -> Iterable[str]:
    """Every route as the table names it: `GET /cards/{card_id}`. Raises ConfigurationError for one that is not HTTP."""
    for route in app.routes:
        if not isinstance(route, HTTPRoute):
            raise ConfigurationError(f"{route.path} is no HTTP route: nothing can say who may call it")
        for method in route.route_handler_map:
            if method != "OPTIONS":  # made by the framework; it tells the methods and no more
                yield f"{method} {route.path_format}"


def check_rules(app: Litestar, rules: Mapping[str, Rule]) -> None:
    """Raises ConfigurationError for a route without a row, or a row without a route."""
    routes = set(routes_of(app))
    if missing := sorted(routes - set(rules)):
        raise ConfigurationError(f"no row says who may call {', '.join(missing)}")
    if idle := sorted(set(rules) - routes):
        raise ConfigurationError(f"the table of who may call what names {', '.join(idle)}, which no route answers")


class Guard:
    """Holds every request that was routed against its row, before its handler sees it.

    It is a middleware of the routes: the framework's own guards copy the handler for each request.
    """

    def __init__(self, app: ASGIApp, rules: Mapping[str, Rule], position_header: str) -> None:
        self._app = app
        self._rules = {tuple(name.split(" ", 1)): rule for name, rule in rules.items()}
        self._position_header = position_header

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the request pass with its grant. Raises Unauthenticated or Forbidden."""
        self._let_in(scope)
        await self._app(scope, receive, send)

    def _let_in(self, scope: Any) -> None:
        if scope["method"] == "OPTIONS":
            return
        rule = self._rules[scope["method"], scope["path_template"]]
        caller: Caller | None = scope["user"]
        if rule.public:
            subject, tenant = ("nobody", None) if caller is None else (caller.subject, caller.tenant)
            scope["auth"] = Grant(subject, frozenset(), shown=True, tenant=tenant)
            return
        if caller is None:
            raise Unauthenticated("this needs a bearer token")
        scope["auth"] = grant = _granted(rule, caller)
        if grant.only is not None and rule.own is not None:
            self._check_own(ASGIConnection(scope), rule.own, grant)

    def _check_own(self, connection: Connection, own: Own, grant: Grant) -> None:
        """Every value counts where a parameter is given more than once: whichever the handler takes, it is checked."""
        if own.path is not None:
            grant.check(str(connection.path_params[own.path]))
        if own.query is not None:
            named = connection.query_params.getall(own.query, [])
            if not named:
                raise Forbidden(f"name one of your own in {own.query}")
            for each in named:
                grant.check(each)
        # A position tells how far somebody's thing has come: it may be waited for only by who owns that.
        tokens = connection.query_params.getall("position", [])
        tokens += connection.headers.getall(self._position_header, [])
        for token in tokens:
            try:
                key = read_position_token(token).key
            except InvalidQuery:
                continue  # whoever waits for it says so
            if key:  # that of a query's answer is a time, and nobody's
                grant.check(shown(grant.tenant, key))


def _granted(rule: Rule, caller: Caller) -> Grant:
    if not caller.scopes.isdisjoint(rule.scopes):
        return Grant(caller.subject, shown=True, tenant=caller.tenant)
    if rule.own is not None and rule.own.scope in caller.scopes:
        return Grant(caller.subject, caller.owned, shown=True, tenant=caller.tenant)
    raise Forbidden("your token does not allow this", rule.sufficient)

"""The gate before the application: for this host? who calls? not too often?"""

import re
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send
from msgspec import Struct

from mainstem.errors import ConfigurationError, MainstemError, Unauthenticated
from mainstem.query.access.caller import Caller, network_of, put_tenant
from mainstem.query.access.jwks import KeySet, is_loopback
from mainstem.query.access.keys import KNOWN, PUBLIC, Keys, OneKey, read_key
from mainstem.query.access.rates import Rates
from mainstem.query.access.rules import Rule
from mainstem.query.access.tenant import callers_tenant, named_tenant
from mainstem.query.access.tokens import Tokens
from mainstem.query.problems import MEDIA_TYPE, InvalidInput, headers_of, problem_of
from mainstem.settings import Settings
from mainstem.tenancy import served_tenants

_PER_MINUTE = 6_000
"""Requests of one caller in a minute, where authentication is asked for and no other limit is set."""

_BEARER = re.compile(rb"[Bb][Ee][Aa][Rr][Ee][Rr] +([A-Za-z0-9._~+/=-]+)")
_PROBED = ("/health/live", "/health/ready")
"""Never too often: else whoever asks often from the address of a probe would have the process restarted."""

_LOOPBACK_NAMES = ("localhost", "127.0.0.1", "[::1]")


class Access(Struct, frozen=True):
    """How callers are let in: the application's rows of who may call what, and what the settings ask for."""

    rules: Mapping[str, Rule]
    tokens: Tokens | None
    rates: Rates | None
    names: frozenset[str]
    tenants: frozenset[str] = frozenset()

    @property
    def authenticated(self) -> bool:
        """Whether callers have to show who they are."""
        return self.tokens is not None


def access_of(
    settings: Settings, rules: Mapping[str, Rule], *, owned_claim: str = "owned", tenant_claim: str = "tenant"
) -> Access:
    """What the settings ask for. Raises ConfigurationError where they contradict each other or cannot be used.

    `owned_claim` is the claim of a token that lists what belongs to the caller, `tenant_claim` the one that names the
    caller's tenant, where tenants are served.
    """
    keys, tenants = _keys(settings), frozenset(served_tenants(settings.tenants))
    tokens = None
    if keys is not None:
        tokens = Tokens(
            keys,
            audience=settings.auth_audience,
            issuer=settings.auth_issuer,
            owned_claim=owned_claim,
            tenant_claim=tenant_claim if tenants else None,
        )
    return Access(rules, tokens, _rates(settings, authenticated=tokens is not None), _names(settings), tenants)


class Gate:
    """The application behind its gate, as ASGI. What does not pass is answered with a problem."""

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self.app = app
        self._tokens = access.tokens
        self._rates = access.rates
        self._names = access.names
        self._tenants = access.tenants

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One connection of the server."""
        if scope["type"] != ScopeType.HTTP:
            await self.app(scope, receive, send)
            return
        asked: Any = scope
        head = asked["method"] == "HEAD"
        if head:  # the same as GET, from the rules of access to the length of the body, which is not sent
            asked["method"], send = "GET", _without_body(send)
        try:
            await self._admit(scope)
        except MainstemError as error:
            await _turn_away(send, error)
        else:
            await self.app(scope, receive, send)
        finally:
            if head:
                asked["method"] = "HEAD"

    async def _admit(self, scope: Any) -> None:
        if self._names:
            self._check_host(scope["headers"])
        if self._tokens is None:
            self._take(network_of(scope), scope)
            put_tenant(scope, named_tenant(scope["headers"], self._tenants))
            return
        try:
            caller = await self._caller(self._tokens, scope["headers"])
        except MainstemError:
            self._count(None, scope)
            raise
        self._count(caller, scope)
        put_tenant(scope, callers_tenant(scope["headers"], caller, self._tenants))
        scope["user"] = caller

    def _count(self, caller: Caller | None, scope: Any) -> None:
        """Who has shown nothing, or nothing good, shares the limit of their address, or of its network."""
        who = f"address {network_of(scope)}" if caller is None else f"subject {caller.subject}"
        if caller is not None and caller.tenant is not None:
            who = f"tenant {caller.tenant} {who}"  # two of one name are two
        self._take(who, scope)

    def _take(self, who: str, scope: Any) -> None:
        if self._rates is not None and scope["path"] not in _PROBED:
            self._rates.take(who)

    def _check_host(self, headers: Iterable[tuple[bytes, bytes]]) -> None:
        """Against pages of other sites whose name was made to lead here (DNS rebinding)."""
        named = [value for name, value in headers if name == b"host"]
        if len(named) != 1 or _host_name(named[0]) not in self._names:
            text = "this server does not answer for the host that was asked for; MAINSTEM_HTTP_NAMES adds names"
            raise InvalidInput("host", text, reason="misdirected-request", status=421)

    @staticmethod
    async def _caller(tokens: Tokens, headers: Iterable[tuple[bytes, bytes]]) -> Caller | None:
        shown = [value for name, value in headers if name == b"authorization"]
        if not shown:
            return None
        if len(shown) > 1:
            text = "more than one Authorization header"
            raise InvalidInput("authorization", text, reason="malformed-request", status=400)
        found = _BEARER.fullmatch(shown[0])
        if found is None:
            raise Unauthenticated("the Authorization header must be the word Bearer and a token")
        return await tokens.caller(found[1].decode())


def _host_name(value: bytes) -> str:
    name = value.decode("latin-1").lower()
    host, colon, port = name.rpartition(":")
    if colon and port.isdecimal():
        name = host
    return name.removesuffix(".")


def _without_body(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.body":
            message = {**message, "body": b""}
        await send(message)

    return sending


async def _turn_away(send: Send, error: MainstemError) -> None:
    problem = problem_of(error, {})
    body = msgspec.json.encode(problem)
    headers = {"Content-Type": MEDIA_TYPE, "Content-Length": str(len(body)), **headers_of(error, problem.status)}
    encoded = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": problem.status, "headers": encoded})
    await send({"type": "http.response.body", "body": body, "more_body": False})


def _keys(settings: Settings) -> Keys | None:
    url, key = settings.auth_jwks_url, settings.auth_key
    if url is not None and key is not None:
        raise ConfigurationError("MAINSTEM_AUTH_JWKS_URL and MAINSTEM_AUTH_KEY are both set; leave one out")
    if url is None and key is None:
        checks = ("auth_algorithms", "auth_audience", "auth_issuer")
        if idle := [name for name in checks if getattr(settings, name) is not None]:
            named = ", ".join(f"MAINSTEM_{name.upper()}" for name in idle)
            text = f"{named} is set, but nothing to check tokens with: set MAINSTEM_AUTH_JWKS_URL or MAINSTEM_AUTH_KEY"
            raise ConfigurationError(text)
        return None
    allowed = _algorithms(settings.auth_algorithms)
    if key is not None:
        return OneKey(read_key(key.value, allowed))
    if wrong := [name for name in allowed or () if name not in PUBLIC]:
        text = f"MAINSTEM_AUTH_ALGORITHMS names {', '.join(wrong)}: a secret is nothing for a key set"
        raise ConfigurationError(text)
    keys = KeySet(
        str(url),
        allowed or PUBLIC,
        age_s=settings.auth_jwks_age_ms / 1000,
        pause_s=settings.auth_jwks_pause_ms / 1000,
    )
    keys.load()
    return keys


def _algorithms(text: str | None) -> tuple[str, ...] | None:
    if text is None:
        return None
    named = tuple(name.strip() for name in text.split(","))
    if wrong := [name for name in named if name not in KNOWN]:
        known = ", ".join(KNOWN)
        raise ConfigurationError(f"MAINSTEM_AUTH_ALGORITHMS names {', '.join(wrong) or 'none'}; known are {known}")
    return named


def _rates(settings: Settings, *, authenticated: bool) -> Rates | None:
    per_minute = settings.rate_limit_per_minute
    if per_minute is None:
        per_minute = _PER_MINUTE if authenticated else 0
    if per_minute == 0:
        if settings.rate_limit_burst is not None:
            raise ConfigurationError("MAINSTEM_RATE_LIMIT_BURST needs MAINSTEM_RATE_LIMIT_PER_MINUTE")
        return None
    return Rates(per_minute, settings.rate_limit_burst or max(1, per_minute // 10))


def _names(settings: Settings) -> frozenset[str]:
    """The host names that are answered for; none where any is: beyond loopback, unless names are given."""
    more = [name.strip().lower() for name in (settings.http_names or "").split(",") if name.strip()]
    if not more and not is_loopback(settings.http_host):
        return frozenset()
    host = settings.http_host.lower()
    return frozenset({*_LOOPBACK_NAMES, f"[{host}]" if ":" in host else host, *more})

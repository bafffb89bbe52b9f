"""Who calls, and what one request of theirs may touch."""

import hashlib
import ipaddress
from collections.abc import Collection
from functools import lru_cache
from typing import Any

from litestar.connection import ASGIConnection
from litestar.types import ASGIApp, Receive, Scope, Send
from msgspec import Struct

from mainstem.codec import read_position_token
from mainstem.errors import Forbidden
from mainstem.messages import Origin, Position
from mainstem.tenancy import unqualified

Connection = ASGIConnection[Any, Any, Any, Any]

_SITE_BITS = 64


class Caller(Struct, frozen=True):
    """Somebody who has shown who they are: `scopes` is what they may, `owned` names what belongs to them.

    All of it within their tenant, if they are of one.
    """

    subject: str
    scopes: frozenset[str]
    owned: frozenset[str] = frozenset()
    tenant: str | None = None


class Grant(Struct, frozen=True):
    """What a request may touch: everything, or where `only` is given, what that names.

    `subject` is who asks, as events and refusals keep it. `shown` is whether they had to show it. Everything is that of
    `tenant`, or what is of no tenant.
    """

    subject: str
    only: frozenset[str] | None = None
    shown: bool = False
    tenant: str | None = None

    @property
    def origin(self) -> Origin:
        """Who asks, in which tenant, for a command."""
        return Origin(actor=self.subject, tenant=self.tenant)

    def position(self, token: str, *, apart: bool) -> Position:
        """The position of a token. Raises Forbidden for one of another tenant's, where tenants are kept `apart`.

        That of a query's answer has no key: it is a time, and nobody's.

        Raises InvalidQuery where nobody gave it out.
        """
        position = read_position_token(token)
        if apart and position.key and unqualified(self.tenant, position.key) is None:
            raise Forbidden("this position is of another tenant")
        return position

    def check(self, name: str) -> None:
        """Raises Forbidden where the request may not touch the thing of that name, whether there is one or not."""
        if self.only is not None and name not in self.only:
            raise Forbidden("this is not yours")

    def key(self, given: str | None) -> str | None:
        """The idempotency key under which the answer is kept: one of the caller's own, which no other can name."""
        if given is None or not self.shown:
            return given
        # A subject has no control characters, so that no two pairs of subject and key run together.
        return "caller:" + hashlib.sha256(f"{self.subject}\0{given}".encode()).hexdigest()


_TENANT = "mainstem_tenant"


class Whole:
    """Keeps requests about one tenant from the routes that are about the whole installation."""

    def __init__(self, app: ASGIApp, routes: Collection[str]) -> None:
        self._app = app
        self._routes = {tuple(name.split(" ", 1)) for name in routes}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the request pass. Raises Forbidden."""
        asked: Any = scope
        if asked.get(_TENANT) is not None and (asked["method"], asked["path_template"]) in self._routes:
            raise Forbidden("this is about the whole installation, and not for one of its tenants")
        await self._app(scope, receive, send)


def put_tenant(scope: Any, tenant: str | None) -> None:
    """Note whose things the request is about, for whoever handles it."""
    if tenant is not None:
        scope[_TENANT] = tenant


def tenant_of(connection: Connection) -> str | None:
    """Whose things the request is about; None for what is of no tenant."""
    scope: Any = connection.scope
    tenant: str | None = scope.get(_TENANT)
    return tenant


def caller_of(connection: Connection) -> Caller | None:
    """Who has shown a token with this request; None where nobody has."""
    caller = connection.scope.get("user")
    return caller if isinstance(caller, Caller) else None


def address_of(scope: Any) -> str:
    """Where a request comes from: the other end of its connection."""
    client = scope.get("client")
    return str(client[0]) if client else "unknown"


def network_of(scope: Any) -> str:
    """The address, or of IPv6 the 64 bits that one site has: it can take any of the addresses behind them."""
    return _network(address_of(scope))


@lru_cache(maxsize=4_096)
def _network(address: str) -> str:
    """The same few ask again and again, and to read an address takes as long as to look up a rate."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(found, ipaddress.IPv4Address):
        return address
    if found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    return str(ipaddress.IPv6Network((int(found), _SITE_BITS), strict=False))


def grant_of(connection: Connection) -> Grant:
    """What the request may touch: what the guard has granted; where no authentication is asked for, everything."""
    grant = connection.scope.get("auth")
    if isinstance(grant, Grant):
        return grant
    if _asked_for(connection):
        raise Forbidden("nothing was granted")
    return Grant(f"anonymous@{address_of(connection.scope)}", tenant=tenant_of(connection))


def _asked_for(connection: Connection) -> bool:
    """Whether callers have to show who they are: the gate has then put down what it found, if only None."""
    scope: Any = connection.scope
    return "user" in scope


def may_see(connection: Connection, scope: str) -> bool:
    """Whether the caller has the scope in the whole installation; always where no authentication is asked for."""
    if tenant_of(connection) is not None:
        return False
    if not _asked_for(connection):
        return True
    caller = caller_of(connection)
    return caller is not None and scope in caller.scopes

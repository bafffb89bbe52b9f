"""Whose things a request is about: said by the caller's token, or, where none is asked for, by a header.

Never by the body: what a command is about is decided before it is read.
"""

from collections.abc import Collection, Iterable

from mainstem.errors import Forbidden, UnknownTenant
from mainstem.query.access.caller import Caller
from mainstem.query.problems import InvalidInput

TENANT_HEADER = "X-Tenant"
"""Names the tenant that a request is about; none without it."""

_FIELD = TENANT_HEADER.lower()
_NAME = _FIELD.encode()


def named_tenant(headers: Iterable[tuple[bytes, bytes]], served: Collection[str]) -> str | None:
    """The tenant of the header. Raises UnknownTenant for one that is not served."""
    name = _header(headers)
    if name is not None and name not in served:
        if not served:
            raise UnknownTenant(f"no tenants are served here, and {TENANT_HEADER} names one")
        raise UnknownTenant(f"there is no tenant {name[:40]!r} here")
    return name


def callers_tenant(
    headers: Iterable[tuple[bytes, bytes]], caller: Caller | None, served: Collection[str]
) -> str | None:
    """The tenant of the caller's token, which the header may name too. Raises Forbidden where it names another.

    Which tenants there are beside the caller's own, nobody learns.
    """
    if not served:
        return named_tenant(headers, served)
    name = _header(headers)
    if caller is None:
        return None
    if name is not None and name != caller.tenant:
        raise Forbidden("your token is not of this tenant")
    if caller.tenant is not None and caller.tenant not in served:
        raise Forbidden("the tenant of your token is not served here")
    return caller.tenant


def _header(headers: Iterable[tuple[bytes, bytes]]) -> str | None:
    found = [value for name, value in headers if name == _NAME]
    if len(found) > 1:
        text = f"more than one {TENANT_HEADER} header"
        raise InvalidInput(_FIELD, text, reason="malformed-request", status=400)
    return found[0].decode("latin-1") if found else None

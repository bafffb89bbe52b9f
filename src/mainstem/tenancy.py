"""Tenants: several installations in one, kept apart by the names of their streams and by the keys of their rows.

What belongs to no tenant is named as if there were none. What belongs to one has its name in front, between slashes:

    stream ``debit_card-123``   of tenant acme ``/acme/debit_card-123``
    row    ``123``              of tenant acme ``/acme/123``
    tag    ``customer:c-1``     of tenant acme ``/acme/customer:c-1``

A stream of no tenant begins with its category, which is an identifier, so that no id makes it begin with a slash. Ids
and tags may be anything that can be printed: where tenants are kept apart, none may begin with a slash.
"""

import hashlib
import re
from collections.abc import Collection, Sequence
from typing import NamedTuple

from msgspec import Struct

from mainstem.errors import ConfigurationError

MARK = "/"
"""What every name of a tenant's begins with."""

LAST = "\U0010ffff"
"""No character is behind it."""

_BEHIND = "0"
"""The character behind a slash, in every engine's order of texts."""

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")
_TENANTS_MAX = 1_000


class Tenants(Struct, frozen=True):
    """The tenants of an installation: those that may be addressed, and those beside them that have events.

    `known` are both. They are kept apart where there are any.
    """

    served: tuple[str, ...] = ()
    known: frozenset[str] = frozenset()

    @property
    def apart(self) -> bool:
        """Whether a name that begins with a slash is a tenant's."""
        return bool(self.known)


NONE = Tenants()


class StreamName(NamedTuple):
    """What the name of a stream says."""

    tenant: str | None
    category: str
    id: str

    @property
    def key(self) -> str:
        """What the aggregate's rows and positions are named by."""
        return qualified(self.tenant, self.id)


def served_tenants(text: str | None) -> tuple[str, ...]:
    """The tenants that the setting names. Raises ConfigurationError for what is no name of one."""
    if text is None:
        return ()
    names = tuple(name.strip() for name in text.split(","))
    wrong = [name for name in names if not is_tenant(name)]
    if wrong:
        what = "1 to 32 of a-z, 0-9 and '-', a letter or digit first"
        raise ConfigurationError(f"MAINSTEM_TENANTS names {', '.join(map(repr, wrong))}: a tenant's name is {what}")
    if len(set(names)) != len(names):
        raise ConfigurationError("MAINSTEM_TENANTS names a tenant twice")
    if len(names) > _TENANTS_MAX:
        raise ConfigurationError(f"MAINSTEM_TENANTS names more than {_TENANTS_MAX} tenants")
    return names


def is_tenant(name: str) -> bool:
    """Whether a tenant may have that name."""
    return _NAME.fullmatch(name) is not None


def qualified(tenant: str | None, name: str) -> str:
    """The name as it is among those of all tenants."""
    return name if tenant is None else f"/{tenant}/{name}"


def qualified_all(tenant: str | None, names: Sequence[str]) -> tuple[str, ...]:
    """All of them."""
    return tuple(names) if tenant is None else tuple(f"/{tenant}/{name}" for name in names)


def unqualified(tenant: str | None, key: str) -> str | None:
    """The name by which the tenant knows what has that key; None where it is another's."""
    prefix = qualified(tenant, "")
    if not key.startswith(prefix) or (tenant is None and key.startswith(MARK)):
        return None
    return key[len(prefix) :]


def shown(tenant: str | None, key: str) -> str:
    """The key of the tenant's own as the tenant knows it."""
    return key.removeprefix(qualified(tenant, ""))


def split(key: str) -> tuple[str | None, str]:
    """Whose key it is, and the name that it is made of; to be asked only where tenants are kept apart."""
    if not key.startswith(MARK):
        return None, key
    tenant, _, name = key[1:].partition("/")
    return tenant, name


def read_stream(stream: str) -> StreamName:
    """What the name of a stream says."""
    tenant, rest = split(stream)
    category, _, name = rest.partition("-")
    return StreamName(tenant, category, name)


def key_of(stream: str) -> str:
    """What rows and positions of the stream's aggregate are named by."""
    if stream[:1] != MARK:
        return stream.partition("-")[2]
    return read_stream(stream).key


def tenant_of(stream: str) -> str | None:
    """Whose stream it is."""
    return None if stream[:1] != MARK else split(stream)[0]


def stream_of(category: str, key: str, *, apart: bool) -> str:
    """The stream of the aggregate that has that key, where tenants are kept apart or are not."""
    tenant, name = split(key) if apart else (None, key)
    return qualified(tenant, f"{category}-{name}")


def span(tenant: str | None) -> tuple[str, str]:
    """The first name that a tenant's could have, and the first behind all of them; of None, of all tenants."""
    return (MARK, _BEHIND) if tenant is None else (f"/{tenant}/", f"/{tenant}{_BEHIND}")


def own_key(tenant: str | None, key: str) -> str:
    """The idempotency key as it is kept; a tenant's has a blank, which no key has that a client names."""
    return key if tenant is None else f"tenant {tenant}:{hashlib.sha256(key.encode()).hexdigest()}"


def begins_as_a_tenants(names: Collection[str]) -> bool:
    """Whether one of the names would be taken for a tenant's."""
    return any(name.startswith(MARK) for name in names)

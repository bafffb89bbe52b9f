"""What the writer names things by: streams and tags, each within the tenant whose command it is."""

from typing import Any

from mainstem.boundary import USABLE, usable
from mainstem.command.boundary import Tags
from mainstem.decider import Decider
from mainstem.errors import ConfigurationError, InvalidCommand
from mainstem.messages import Command
from mainstem.tenancy import MARK, Tenants, begins_as_a_tenants, qualified_all

_NAME_MAX = 200
_STREAM_MAX = 255
_NO_SLASH = ", and none that begins with a slash"


class Naming:
    """The names of an installation with these tenants."""

    def __init__(self, tenants: Tenants) -> None:
        self._known = tenants.known
        self._apart = tenants.apart

    def stream(self, decider: Decider[Any, Any, Any], command: Command, tenant: str | None) -> str | None:
        """The stream of the command's aggregate; None where its name, or the tenant, is not usable."""
        name = decider.target(command)
        if not (0 < len(name) <= _NAME_MAX and name.isprintable()) or (self._apart and name.startswith(MARK)):
            return None
        if tenant is None:
            return decider.stream(name)
        stream = decider.stream(name, tenant)
        return stream if tenant in self._known and len(stream) <= _STREAM_MAX else None

    def why_not(self, tenant: str | None) -> InvalidCommand:
        """Why there is no stream."""
        if tenant is not None and tenant not in self._known:
            return InvalidCommand(f"there is no tenant {tenant[:40]!r} here")
        text = "the aggregate's name must be 1 to 200 printable characters"
        if tenant is not None:
            text += f", at most {_STREAM_MAX} with its category and tenant"
        return InvalidCommand(f"{text}{_NO_SLASH if self._apart else ''}")

    def tags(self, tags: Tags, tenant: str | None) -> Tags | None:
        """What the tags are among those of all tenants; None where one is not usable."""
        if not usable(tags) or (self._apart and begins_as_a_tenants(tags)):
            return None
        return qualified_all(tenant, tags)

    def given(self, tags: Tags, tenant: str | None) -> Tags:
        """The same of the tags of an event. Raises ConfigurationError for what a tenant's could be taken for."""
        if self._apart and begins_as_a_tenants(tags):
            raise ConfigurationError("a tag of an event begins with a slash, as those of tenants do")
        return qualified_all(tenant, tags)

    def no_tags(self) -> InvalidCommand:
        """Why a command cannot be decided over its tags."""
        return InvalidCommand(f"a command is decided over {USABLE}{_NO_SLASH if self._apart else ''}")

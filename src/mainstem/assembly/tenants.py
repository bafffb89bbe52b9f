"""The tenants of an installation: those that the settings name, and those that have events."""

from collections.abc import Sequence
from typing import Any

import structlog

from mainstem.decider import Decider
from mainstem.errors import ConfigurationError
from mainstem.eventstore.port import TenantReader
from mainstem.settings import Settings
from mainstem.tenancy import Tenants, served_tenants

_log = structlog.get_logger(__name__)


def tenants_of(settings: Settings, deciders: Sequence[Decider[Any, Any, Any]], store: TenantReader) -> Tenants:
    """Who may be addressed, and who has events. A few looks at an index, however large the store is.

    Raises ConfigurationError where something of no tenant's could be taken for a tenant's.
    """
    served, stored = served_tenants(settings.tenants), frozenset(store.names())
    tenants = Tenants(served, stored | frozenset(served))
    if tenants.apart and (marked := store.marked(decider.category for decider in deciders)) is not None:
        text = f"the stream {marked} is of no tenant, and its id begins with a slash, as those of tenants do"
        raise ConfigurationError(f"{text}: such an installation cannot serve tenants")
    if left := sorted(stored - frozenset(served)):
        _log.warning("tenants have events, and are not served", tenants=left[:20], number=len(left))
    return tenants

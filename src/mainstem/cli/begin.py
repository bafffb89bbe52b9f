"""What every command of the command line begins with: the settings, and the application that they name."""

import importlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from mainstem import log_lines
from mainstem.application import Application
from mainstem.errors import ConfigurationError, UnknownTenant
from mainstem.eventstore.port import TenantReader
from mainstem.listener.declared import place_of_error
from mainstem.settings import Settings, read_settings
from mainstem.tenancy import served_tenants

Tenant = Annotated[str | None, typer.Option(help="Of this tenant; without it, of none.")]
MOST = 10**15
"""More than any version or number in a tag; every store has a place for it."""

Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table, or of lines.")]


def begin() -> tuple[Settings, Application]:
    """The settings and the application. Raises ConfigurationError where they cannot be used."""
    settings = read_settings(os.environ)
    log_lines.configure(settings.log_level, json=settings.log_json)
    return settings, application_of(settings.app).with_environment(os.environ)


def check_tenant(tenant: str | None, settings: Settings, store: TenantReader) -> None:
    """Raises UnknownTenant where there is no such tenant: it is not served, and has no events."""
    if tenant is not None and tenant not in served_tenants(settings.tenants) and tenant not in store.names():
        raise UnknownTenant(f"there is no tenant {tenant[:40]!r}: see `mainstem tenants`")


def application_of(name: str) -> Application:
    """The application of that name, as module:name. Raises ConfigurationError where there is none."""
    module, _, attribute = name.partition(":")
    with errors_of_start():
        found = getattr(importlib.import_module(module), attribute or "application", None)
    if not isinstance(found, Application):
        raise ConfigurationError(f"{name} is no application; name one as module:name in MAINSTEM_APP")
    return found


@contextmanager
def errors_of_start() -> Iterator[None]:
    """An import that fails, as a ConfigurationError; of one that a declaration raised, with the line to fix."""
    try:
        yield
    except ImportError as error:
        raise ConfigurationError(f"the application cannot be imported: {error}") from error
    except ConfigurationError as error:
        place = place_of_error(error)
        if not place or "declared at" in str(error):
            raise
        raise ConfigurationError(f"{error} (declared at {place})") from error

"""`mainstem dashboard`."""

import os
from typing import Annotated

import typer
from rich.console import Console

from mainstem import log_lines
from mainstem.errors import ConfigurationError
from mainstem.settings import read_settings
from mainstem.tenancy import served_tenants

_out = Console()


def dashboard(
    *,
    api: Annotated[str, typer.Option(help="Where the application answers.")] = "http://127.0.0.1:8080",
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="The port; 0 takes a free one.", min=0, max=65535)] = 8090,
) -> None:
    """Serve the dashboard: pages about an application that runs, asked over its HTTP API.

    For example: mainstem dashboard --api http://127.0.0.1:9000
    """
    settings = read_settings(os.environ)
    log_lines.configure(settings.log_level, json=settings.log_json)
    try:
        from mainstem.dashboard.api import Api
        from mainstem.dashboard.serve import Served, pages_of, serve
    except ModuleNotFoundError as error:
        text = f"the dashboard needs {error.name}: install mainstem[dashboard]"
        raise ConfigurationError(text) from error

    def listening(url: str) -> None:
        told = f"\nThe dashboard is at [bold]{url}[/], of the application at {api}. Ctrl-C stops it.\n"
        _out.print(told, highlight=False, soft_wrap=True)

    tenants = () if settings.auth_token else served_tenants(settings.tenants)  # a token is of the tenant that it names
    names = [name.strip() for name in (settings.http_names or "").split(",") if name.strip()]
    served = Served(pages_of(settings.app), tenants, names)
    serve(Api(api, settings.auth_token), host, port, served, listening=listening)

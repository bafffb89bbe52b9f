"""`python -m deploy up|run|down|status`: the real stack without a container engine."""

import os
import sys
from functools import cache
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console

from deploy import application, stack
from deploy.downloads import StackUnavailable
from mainstem.errors import MainstemError

app = typer.Typer(help=__doc__, no_args_is_help=True, pretty_exceptions_enable=False)
_out = Console()
_err = Console(stderr=True)

Folder = Annotated[Path, typer.Option("--folder", help="Where the stack keeps its data, logs and configuration.")]
Shift = Annotated[int, typer.Option("--shift", min=0, max=50_000, help="Add this to every port.")]

SUPERSET_HOME = Path(".superset-home")

Listeners = Annotated[int, typer.Option("--listeners", min=1, max=64, help="How many processes keep the views.")]


def _say(text: str) -> None:
    _out.print(text, highlight=False, soft_wrap=True)


@app.command()
def up(folder: Folder = Path(".stack"), shift: Shift = 0) -> None:
    """Download (once), start, wait until every part is ready, and deploy the bank to it."""
    application.deploy(stack.up(folder, shift, _say))


@app.command()
def down(folder: Folder = Path(".stack")) -> None:
    """Stop what `up` has started in that folder; the data stays."""
    stack.down(folder, _say)


@app.command()
def run(folder: Folder = Path(".stack"), shift: Shift = 0, listeners: Listeners = 2) -> None:
    """Run the bank on the stack that is up: a process for HTTP, others that keep the views, until Ctrl-C."""
    stack.check_shift(folder, shift)
    application.run(stack.place(folder, shift), listeners, _say)


@app.command()
def generate() -> None:
    """Write the compose file and what its containers are given, below deploy/."""
    from deploy.compose import generated

    for path, text in generated().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        _say(f"{path} is written")


@app.command()
def superset(
    *,
    form: Annotated[Literal["embedded", "distributed"], typer.Option(help="On DuckDB, or on Druid.")] = "embedded",
    home: Annotated[Path, typer.Option(help="Its database, its secrets, and the copy for DuckDB.")] = SUPERSET_HOME,
    port: Annotated[int, typer.Option(min=1, max=65_535, help="Where Superset listens, on 127.0.0.1.")] = 8088,
    api: Annotated[str, typer.Option(help="Where the bank answers.")] = "http://127.0.0.1:8080",
    every: Annotated[float, typer.Option(min=1, max=86_400, help="Look for what is new so often, in seconds.")] = 5,
    folder: Folder = Path(".stack"),
    shift: Shift = 0,
) -> None:
    """Show the bank in Superset: bring it up, import the dashboard, serve, until Ctrl-C."""
    from deploy.superset import command
    from deploy.superset.board import board
    from deploy.superset.dataset import DUCKDB
    from deploy.superset.live import live_board
    from deploy.superset.serve import Home
    from mainstem.settings import read_settings

    # Superset takes no two tables of one name into a database of its own that is SQLite.
    place = Home(home / form, port)
    if form == "distributed":
        with live_board(stack.place(folder, shift)) as assets:
            command.run(place, assets, None, every, _say)
        return
    token = read_settings(os.environ).auth_token
    with command.api_client(api.rstrip("/"), None if token is None else token.value) as client:
        command.run(place, cache(board(DUCKDB).files), command.mirror_of(place, client), every, _say)


@app.command()
def status(folder: Folder = Path(".stack")) -> None:
    """Which parts run, by pid."""
    processes = stack.processes_of(folder)
    for name in processes.names():
        pid = processes.pid(name)
        _say(f"{name:20} {'runs, pid ' + str(pid) if pid else 'has ended'}")


if __name__ == "__main__":
    try:
        app()
    except (StackUnavailable, MainstemError) as error:
        _err.print(f"error: {error}", highlight=False, soft_wrap=True, markup=False)
        sys.exit(2)

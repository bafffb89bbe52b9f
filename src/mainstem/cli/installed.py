"""Commands that other installed packages add to the command line, by the entry point `mainstem.commands`."""

from importlib.metadata import entry_points

import typer
from rich.console import Console

_err = Console(stderr=True)


def add_installed(app: typer.Typer) -> None:
    """Add each under its name. One that cannot be imported is told, and takes nothing away from the others."""
    for each in sorted(entry_points(group="mainstem.commands"), key=lambda each: each.name):
        try:
            command = each.load()
        except (ImportError, AttributeError) as error:
            text = f"warning: the command {each.name} ({each.value}) is left out: {error}"
            _err.print(text, highlight=False, soft_wrap=True, markup=False)
        else:
            app.command(name=each.name)(command)

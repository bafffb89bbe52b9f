"""`mainstem new`: the beginning of an application of one's own."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from mainstem.cli.begin import Json

_out = Console()


def new(
    name: Annotated[str, typer.Argument(help="Of the application, its folder and its package, as `shop`.")],
    *,
    as_json: Json = False,
) -> None:
    """Write a small application with its tests to a new folder here; it runs as it is.

    For example: mainstem new shop
    """
    from mainstem.scaffold import write_application

    written = write_application(name, Path())
    if as_json:
        _out.print_json(data={"files": [str(path) for path in written]})
        return
    for path in written:
        _out.print(path, highlight=False, soft_wrap=True)
    _out.print(f"Its README says how it is tested and run: {name}/README.md", highlight=False, soft_wrap=True)

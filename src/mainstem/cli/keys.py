"""`mainstem keys`: the keys that personal data are encrypted with."""

from contextlib import closing

import typer
from rich.console import Console

from mainstem.cli.begin import Json, begin

_out = Console()

keys = typer.Typer(help="Look after the keys that personal data are encrypted with.", no_args_is_help=True)


@keys.callback()
def _keys() -> None:
    """A group, however few commands it has."""


@keys.command()
def rotate(*, as_json: Json = False) -> None:
    """Wrap all keys by a new master key, which takes the old one's place; beside whatever runs.

    For example: mainstem keys rotate
    """
    from mainstem.assembly.personal import open_keys

    settings, _ = begin()
    with closing(open_keys(settings)) as opened:
        count = opened.rotate()
    if as_json:
        _out.print_json(data={"rotated": count})
    else:
        text = f"{count} keys are wrapped by a new master key" if count else "There was no key to be wrapped anew"
        _out.print(text, highlight=False, soft_wrap=True)

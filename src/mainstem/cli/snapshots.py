"""`mainstem snapshots`: kept states looked at and dropped."""

from datetime import UTC, datetime
from typing import Annotated

import msgspec
import typer
from rich.console import Console
from rich.table import Table as Grid

from mainstem.cli.begin import Json, begin

snapshots = typer.Typer(
    help="Look at kept states, and drop them: they are speed, and nothing else.", no_args_is_help=True
)
_out = Console()


@snapshots.command(name="list")
def list_snapshots(
    *,
    stream: Annotated[str | None, typer.Option(help="Show those of this stream one by one.")] = None,
    as_json: Json = False,
) -> None:
    """Show how many are kept of which aggregates, and whether today's code has made them.

    For example: mainstem snapshots list --stream debit_card-123456789
    """
    from mainstem.operations import snapshots_by_code, snapshots_of

    settings, declared = begin()
    found = snapshots_by_code(declared, settings) if stream is None else snapshots_of(settings, stream)
    if as_json:
        _out.print_json(msgspec.json.encode(found).decode())
        return
    names = found[0].__struct_fields__ if found else ()
    grid = Grid(*(name.removesuffix("_ms").replace("_", " ") for name in names))
    for each in found:
        grid.add_row(*(_shown(name, getattr(each, name)) for name in names))
    _out.print(grid if found else "No snapshots are kept.")


@snapshots.command(name="drop")
def drop_snapshots(
    *,
    old: Annotated[bool, typer.Option("--old", help="Those alone that today's code has not made.")] = False,
    as_json: Json = False,
) -> None:
    """Drop the kept states. Commands go on, and the next one of each aggregate takes longer.

    For example: mainstem snapshots drop --old
    """
    from mainstem.operations import drop_snapshots as drop

    settings, declared = begin()
    dropped = drop(declared, settings, old=old)
    if as_json:
        _out.print_json(data={"dropped": dropped})
    else:
        _out.print(f"{dropped} snapshots were dropped.", highlight=False)


def _shown(name: str, value: object) -> str:
    if name.endswith("_ms") and isinstance(value, int):
        return datetime.fromtimestamp(value / 1000, UTC).isoformat(timespec="seconds")
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)

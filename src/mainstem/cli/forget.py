"""`mainstem forget`: a subject's personal data made unreadable, with a report of where they stand."""

from typing import Annotated

import msgspec
import typer
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table as Grid

from mainstem.cli.begin import Json, Tenant, begin
from mainstem.codec import iso_time
from mainstem.privacy.port import Forgetting

_out = Console()
_err = Console(stderr=True)


def forget(
    subject: Annotated[str, typer.Argument(help="Whose data: kind and id, such as customer:c-1.")],
    *,
    why: Annotated[str, typer.Option(help="Why, which stays with the fact; needed unless it is a dry run.")] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show where the data are, and change nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    tenant: Tenant = None,
    as_json: Json = False,
) -> None:
    """Make a person's data unreadable wherever they are, for ever; exit 1 where not all places could be looked at.

    For example: mainstem forget customer:c-1 --why 'asked to be forgotten'
    """
    from mainstem.operations import forget_subject

    settings, declared = begin()
    if not (dry_run or yes):
        typer.confirm(f"Make all personal data of {subject} unreadable for ever?", abort=True, err=True)
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=_err, transient=True, disable=not _err.is_terminal) as bar:
        task = bar.add_task("asking", total=None)

        def told(what: str, done: int) -> None:
            bar.update(task, description=f"{what}: {done}" if done else what)

        found = forget_subject(declared, settings, subject, tenant=tenant, why=why, dry_run=dry_run, told=told)
    if as_json:
        _out.print_json(msgspec.json.encode(found).decode())
    else:
        _print(found)
    raise typer.Exit(1 if found.missed else 0)


def _print(found: Forgetting) -> None:
    """When it was forgotten, and the places in the order of the flow."""
    stone = found.tombstone
    if stone is None:
        text = f"{found.subject} is not forgotten"
    else:
        text = f"{found.subject} is forgotten since {iso_time(stone.forgotten_at_ms)}, by {stone.actor}: {stone.why}"
    _out.print(text, highlight=False, soft_wrap=True, markup=False)
    if not found.places:
        _out.print("No personal data of it were found", highlight=False)
    else:
        grid = Grid("place", "name", "with its data")
        for each in found.places:
            grid.add_row(each.place, each.name, str(each.found))
        _out.print(grid)
    for missed in found.missed:
        _out.print(f"not looked at: {missed}", highlight=False, soft_wrap=True, markup=False)

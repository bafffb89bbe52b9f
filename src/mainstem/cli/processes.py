"""`mainstem processes`: processes listed, resumed and cancelled."""

from typing import Annotated

import msgspec
import typer
from rich.console import Console
from rich.table import Table as Grid

from mainstem.cli.begin import Json, Tenant, begin

processes = typer.Typer(help="Look at processes, and help those that are stuck.", no_args_is_help=True)
_out = Console()


@processes.command(name="list")
def list_processes(
    *,
    stuck: Annotated[bool, typer.Option("--stuck", help="Those alone that wait for an operator.")] = False,
    manager: Annotated[str | None, typer.Option(help="Those of this process manager alone.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="Show so many.")] = 100,
    tenant: Tenant = None,
    as_json: Json = False,
) -> None:
    """Show processes, by manager and id: how each stands, and why it is stuck.

    For example: mainstem processes list --stuck
    """
    from mainstem.operations import list_processes as listed

    settings, declared = begin()
    found = listed(declared, settings, stuck=stuck, manager=manager, limit=limit, tenant=tenant)
    if as_json:
        _out.print_json(msgspec.json.encode(found).decode())
        return
    grid = Grid("manager", "id", "status", "steps", "since", "why")
    for each in found:
        grid.add_row(each.manager, each.id, each.status, str(each.steps), each.changed_at, each.why)
    _out.print(grid if found else "There are none.")


@processes.command(name="resume")
def resume_process(
    manager: Annotated[str, typer.Argument(help="The process manager's name.")],
    process: Annotated[str, typer.Argument(help="The process's id.")],
    *,
    tenant: Tenant = None,
    as_json: Json = False,
) -> None:
    """Let a stuck process go on: what has failed is tried again.

    For example: mainstem processes resume transfer t-1
    """
    from mainstem.operations import help_process

    settings, declared = begin()
    _stands(manager, process, help_process(declared, settings, manager, process, tenant=tenant), as_json=as_json)


@processes.command(name="cancel")
def cancel_process(
    manager: Annotated[str, typer.Argument(help="The process manager's name.")],
    process: Annotated[str, typer.Argument(help="The process's id.")],
    *,
    reason: Annotated[str, typer.Option(help="Why, for the record.")],
    tenant: Tenant = None,
    as_json: Json = False,
) -> None:
    """Have a process undone, as its manager says how.

    For example: mainstem processes cancel transfer t-1 --reason 'the card is gone'
    """
    from mainstem.operations import help_process

    settings, declared = begin()
    stands = help_process(declared, settings, manager, process, reason, tenant=tenant)
    _stands(manager, process, stands, as_json=as_json)


def _stands(manager: str, process: str, status: str, *, as_json: bool) -> None:
    if as_json:
        _out.print_json(data={"manager": manager, "id": process, "status": status})
    else:
        _out.print(f"{process} is {status}.", highlight=False)

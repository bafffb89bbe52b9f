"""`mainstem tenants`: whose events there are."""

from collections.abc import Sequence
from contextlib import closing
from functools import partial

import msgspec
from msgspec import Struct
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Column
from rich.table import Table as Grid

from mainstem.cli.begin import Json, begin
from mainstem.eventstore.check import StoredEvents
from mainstem.tenancy import served_tenants

_out = Console()
_err = Console(stderr=True)


class TenantFigures(Struct, frozen=True):
    """A tenant, whether it is served, and how much there is of it; without a name, what is of no tenant."""

    tenant: str | None
    served: bool
    events: int
    streams: int
    refused: int


def tenants(*, as_json: Json = False) -> None:
    """Show the tenants: those that are served, and those that have events; how many, of how many streams.

    For example: mainstem tenants
    """
    from mainstem.assembly.stores import stored_events

    settings, _ = begin()
    with closing(stored_events(settings)) as store:
        found = _counted(store, served_tenants(settings.tenants))
    if as_json:
        _out.print_json(msgspec.json.encode(found).decode())
        return
    numbers = (Column(name, justify="right") for name in ("events", "streams", "refused"))
    grid = Grid("tenant", "served", *numbers)
    for each in found:
        served = "yes" if each.served else "no"
        grid.add_row(each.tenant or "(none)", served, str(each.events), str(each.streams), str(each.refused))
    _out.print(grid)


def _counted(store: StoredEvents, served: Sequence[str]) -> list[TenantFigures]:
    """With a line that says how far it is, where somebody looks."""
    names = [None, *sorted({*served, *store.tenants.names()})]
    columns = (SpinnerColumn(), TextColumn("{task.completed} streams of {task.description}"), TimeElapsedColumn())
    found = list[TenantFigures]()
    with Progress(*columns, console=_err, transient=True, disable=not _err.is_terminal) as bar:
        for number, name in enumerate(names, 1):
            task = bar.add_task(f"{name or 'no tenant'} ({number} of {len(names)})", total=None)
            counts = store.tenants.counts(name, partial(bar.advance, task))
            bar.remove_task(task)
            is_served = name is None or name in served
            found.append(TenantFigures(name, is_served, counts.events, counts.streams, counts.refused))
    return found

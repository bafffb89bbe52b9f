"""`mainstem events`: stored events checked and found by tag, and what is declared of them."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from msgspec import Struct
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table as Grid

from mainstem.cli.begin import MOST, Json, Tenant, begin, check_tenant
from mainstem.errors import ConfigurationError
from mainstem.eventstore.check import Unreadable
from mainstem.evolution.schema import SchemaChange

events = typer.Typer(help="Look at stored events and at what is declared of them.", no_args_is_help=True)
_out = Console()
_err = Console(stderr=True)

_SHOWN = 100


@events.command()
def check(*, as_json: Json = False) -> None:
    """Find every stored event that today's classes cannot read; exit 1 where there are any. Changes nothing.

    For example: mainstem events check --json
    """
    from mainstem.assembly.stores import stored_events
    from mainstem.eventstore.check import unreadable

    settings, declared = begin()
    looked_at = 0
    with closing(stored_events(settings)) as store, progress_bar(_err, "events", store.count()) as bar:

        def progress(done: int) -> None:
            nonlocal looked_at
            looked_at += done
            bar(done)

        found = checked(unreadable(store, declared.all_deciders(), progress))
    if as_json:
        _out.print_json(msgspec.json.encode(found).decode())
    else:
        print_checked(_out, found, looked_at)
    raise typer.Exit(1 if found.unreadable else 0)


@events.command()
def schema(
    *,
    against: Annotated[
        Path | None, typer.Option("--against", help="Compare with what an older release printed.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Print the JSON Schema of all events; or what changes against an older release's, exit 1 where that breaks it.

    For example: mainstem events schema > events.json
    """
    from mainstem.evolution.schema import compare, event_schemas, read_schemas

    _, declared = begin()
    schemas = event_schemas(declared.name, declared.all_deciders())
    if against is None:
        _out.print_json(msgspec.json.encode(schemas).decode())
        return
    try:
        changes = compare(read_schemas(against.read_bytes()), schemas)
    except OSError as error:
        raise ConfigurationError(f"{against} cannot be read: {error.strerror}") from error
    if as_json:
        _out.print_json(msgspec.json.encode(changes).decode())
    else:
        print_changes(_out, changes)
    raise typer.Exit(1 if any(change.breaking for change in changes) else 0)


@events.command()
def tagged(
    tag: Annotated[str, typer.Argument(help="The tag, such as customer:c-1.")],
    *,
    after: Annotated[int, typer.Option(min=0, max=MOST, help="Show events above this number in the tag.")] = 0,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="Show so many events.")] = 100,
    tenant: Tenant = None,
    as_json: Json = False,
) -> None:
    """Show the events with a tag, of whichever aggregates, the oldest first.

    For example: mainstem events tagged customer:c-1 --limit 10
    """
    from mainstem.assembly.stores import stored_events
    from mainstem.cli.history import print_tagged
    from mainstem.history import TagHistory

    settings, declared = begin()
    with closing(stored_events(settings)) as store:
        check_tenant(tenant, settings, store.tenants)
        found = TagHistory(store, declared.deciders).events(tag, after, limit, tenant=tenant)
        print_tagged(_out, found, as_json=as_json)


class Kind(Struct, frozen=True, rename="camel"):
    """How many events of one name and version cannot be read."""

    name: str
    schema_version: int
    events: int


class Checked(Struct, frozen=True, rename="camel"):
    """What a check has found; of the events the first only."""

    unreadable: int
    kinds: tuple[Kind, ...]
    first: tuple[Unreadable, ...]


def checked(found: Iterable[Unreadable]) -> Checked:
    """Count them, and keep the first hundred."""
    counted: Counter[tuple[str, int]] = Counter()
    first: list[Unreadable] = []
    for each in found:
        counted[each.name, each.schema_version] += 1
        if len(first) < _SHOWN:
            first.append(each)
    kinds = tuple(Kind(*key, number) for key, number in sorted(counted.items()))
    return Checked(counted.total(), kinds, tuple(first))


@contextmanager
def progress_bar(console: Console, what: str, total: int) -> Iterator[Callable[[int], None]]:
    """A bar that goes when it is done; none where nobody looks. Told how many more are done."""
    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(what, total=total)
        yield lambda done: bar.advance(task, done)


def print_checked(console: Console, found: Checked, events: int) -> None:
    """All well in a line; else a table of names and versions and one of events."""
    if not found.unreadable:
        console.print(f"All {events} events can be read", highlight=False, soft_wrap=True)
        return
    grid = Grid("event", "schema version", "events", title=f"{found.unreadable} events cannot be read")
    for kind in found.kinds:
        grid.add_row(kind.name, str(kind.schema_version), str(kind.events))
    console.print(grid)
    for each in found.first:
        console.print(f"{each.stream} {each.version}: {each.why}", highlight=False, soft_wrap=True, markup=False)
    if found.unreadable > len(found.first):
        console.print(f"… and {found.unreadable - len(found.first)} more", highlight=False)


def print_changes(console: Console, changes: Sequence[SchemaChange]) -> None:
    """A line for each."""
    for change in changes:
        said = "breaking" if change.breaking else "compatible"
        text = f"{said}: {change.category} {change.event} {change.version}: {change.what}"
        console.print(text, highlight=False, soft_wrap=True, markup=False)
    breaking = sum(change.breaking for change in changes)
    console.print(f"{len(changes)} changes, {breaking} breaking", highlight=False)

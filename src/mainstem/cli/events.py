"""What `mainstem events` prints."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

from msgspec import Struct
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table as Grid

from mainstem.eventstore.check import Unreadable
from mainstem.evolution.schema import SchemaChange

_SHOWN = 100


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

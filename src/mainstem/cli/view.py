"""`mainstem view`: a view as it was at a position of the log."""

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import msgspec
import typer
from msgspec import Struct
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn
from rich.table import Table as Grid

from mainstem.application import Application
from mainstem.cli.begin import Json, begin
from mainstem.cli.complete import views
from mainstem.codec import read_position_token, read_time
from mainstem.errors import InvalidQuery
from mainstem.listener.binding import Binding
from mainstem.messages import Position
from mainstem.settings import Settings
from mainstem.table import Table

_out = Console()
_err = Console(stderr=True)


def view(
    name: Annotated[str, typer.Argument(help="The view's table.", autocompletion=views)],
    *,
    at: Annotated[str | None, typer.Option(help="With the records up to this time, as 2026-01-31T09:30:00Z.")] = None,
    position: Annotated[str | None, typer.Option(help="The rows of the aggregate of this position, as it was.")] = None,
    offset: Annotated[
        list[str] | None, typer.Option(help="PARTITION=OFFSET: with the records before it. May be repeated.")
    ] = None,
    where: Annotated[
        list[str] | None, typer.Option(help="COLUMN=VALUE: the rows that have it. May be repeated.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="Show so many rows.")] = 100,
    as_json: Json = False,
) -> None:
    """Show a view as it was, made anew of the log's beginning; the live one is left alone.

    For example: mainstem view card_balance --at 2026-01-31T09:30:00Z --where id=123456789
    """
    from mainstem.history import Until

    settings, declared = begin()
    binding, table = _view_of(declared.configured(settings), name)
    moment, aggregate = (None, None) if position is None else _moment_or_aggregate(position)
    times = [each for each in (moment, None if at is None else read_time(at)) if each is not None]
    until = Until(
        at_ms=min(times, default=None),
        offsets=dict(_offset(text) for text in offset or ()),
        position=aggregate,
    )
    condition = dict(_condition(table, text) for text in where or ())
    rows, parked = _rows(settings, binding, table, until, condition, limit)
    if as_json:
        _out.print_json(msgspec.json.encode([msgspec.structs.asdict(row) for row in rows]).decode())
    else:
        _print(table, rows)
    if parked:
        _err.print(f"{parked} keys are left out from a record on that cannot be handled", highlight=False)


def _moment_or_aggregate(token: str) -> tuple[int | None, Position | None]:
    """The position of a query's answer is a time, that of a command's is an aggregate's."""
    position = read_position_token(token)
    return (None, position) if position.key else (position.version, None)


def _view_of(declared: Application, name: str) -> tuple[Binding[Any], Table[Any]]:
    known = {b.projection.table.name: b for b in declared.all_listeners() if b.projection is not None}
    binding = known.get(name)
    if binding is None or binding.projection is None:
        raise InvalidQuery(f"there is no view {name[:40]!r}; known are {', '.join(sorted(known))}")
    return binding, binding.projection.table


def _rows(
    settings: Settings, binding: Binding[Any], table: Table[Any], until: Any, condition: dict[str, Any], limit: int
) -> tuple[Sequence[Struct], int]:
    from mainstem.assembly.stores import open_log
    from mainstem.assembly.views import scratch_views
    from mainstem.history import view_then

    columns = (BarColumn(), MofNCompleteColumn(), "records", TimeRemainingColumn())
    with (
        TemporaryDirectory(prefix="mainstem-view-") as folder,
        closing(open_log(settings)) as log,
        closing(scratch_views(Path(folder))) as views,
        Progress(*columns, console=_err, transient=True) as bar,
    ):
        task = bar.add_task("", total=None)
        then = view_then(log, binding, views, until, lambda n, m: bar.update(task, completed=n, total=m))
        return views.find(table, condition, order=table.key, limit=limit), len(then.parked)


def _offset(text: str) -> tuple[int, int]:
    partition, _, offset = text.partition("=")
    if not (partition.isdecimal() and offset.isdecimal() and len(text) <= 40):
        raise InvalidQuery(f"{text[:40]!r} is no offset: name PARTITION=OFFSET, as 0=120")
    return int(partition), int(offset)


def _condition(table: Table[Any], text: str) -> tuple[str, Any]:
    """A column and its value. Raises InvalidQuery where there is no such column, or the value is none of it."""
    name, equals, value = text.partition("=")
    kinds = {field.name: field.type for field in msgspec.structs.fields(table.row)}
    if not equals or name not in kinds:
        raise InvalidQuery(f"{text[:40]!r} is no COLUMN=VALUE: {table.name} has {', '.join(kinds)}")
    try:
        return name, msgspec.convert(value, kinds[name], strict=False)
    except msgspec.ValidationError as error:
        raise InvalidQuery(f"{name} cannot be {value[:40]!r}: {error}") from error


def _print(table: Table[Any], rows: Sequence[Struct]) -> None:
    grid = Grid(*(column.name for column in table.columns))
    for row in rows:
        grid.add_row(*(str(value) for value in msgspec.structs.asdict(row).values()))
    _out.print(grid)

"""`mainstem layers` and `mainstem lineage`: the data layers, and where a row of one comes from."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer
from rich.console import Console
from rich.table import Column
from rich.table import Table as Grid

from mainstem.cli.begin import Json, begin
from mainstem.errors import InvalidQuery

if TYPE_CHECKING:
    from mainstem.layers.lineage import Traced

_out = Console()
_err = Console(stderr=True)


def layers(*, as_json: Json = False) -> None:
    """Show the data layers: their tables and topics, and how many changes passed or broke each rule of quality.

    For example: mainstem layers --json
    """
    from mainstem.layering import layers_of

    settings, declared = begin()
    found = layers_of(declared, settings)
    if as_json:
        _out.print_json(msgspec.json.encode(found).decode())
        return
    if not found:
        _out.print("The application keeps no layers: see MAINSTEM_LAYERS.")
        return
    grid = Grid("layer", *(Column(name, overflow="fold") for name in ("tables", "hears", "speaks", "listeners")))
    for each in found:
        grid.add_row(
            each.layer, *("\n".join(names) for names in (each.tables, each.hears, each.speaks, each.listeners))
        )
    _out.print(grid)
    rules = Grid("layer", "source", "rule", "changes")
    for each in found:
        for rule in each.quality:
            rules.add_row(each.layer, rule.source, rule.rule, str(rule.changes))
    _out.print(rules)
    for gone in (gone for each in found for gone in each.gone):
        _out.print(str(gone), highlight=False, soft_wrap=True)


def archive_raw(
    *,
    check: Annotated[
        bool, typer.Option("--check", help="Hold what is archived against the log, and add nothing.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Archive what RAW takes as Parquet files by topic and day; with --check exit 1 where one differs from the log.

    Exit 1 too where the log's retention has removed something before it was archived: with --check whenever that was.
    For example: mainstem archive-raw --check
    """
    from mainstem.layering import raw_archive

    settings, declared = begin()
    with raw_archive(declared, settings) as archive:
        wrong = [*archive.differing(), *map(str, archive.gone())] if check else []
        done = None if check else archive.step()
    if done is not None:
        wrong = [*map(str, done.gone)]
    if as_json:
        _out.print_json(msgspec.json.encode(wrong if done is None else done).decode())
        raise typer.Exit(1 if wrong else 0)
    if done is not None:
        _out.print(f"{done.records} records went to {done.files} files", highlight=False, soft_wrap=True)
    elif not wrong:
        _out.print("All that is archived is as the log has it.", highlight=False, soft_wrap=True)
    for line in wrong:
        _out.print(line, highlight=False, soft_wrap=True)
    raise typer.Exit(1 if wrong else 0)


def lineage(
    layer: Annotated[str, typer.Argument(help="The layer, as `mainstem layers` names it.")],
    *,
    where: Annotated[
        list[str] | None, typer.Option(help="COLUMN=VALUE: the rows that have it. May be repeated.")
    ] = None,
    limit: Annotated[
        int, typer.Option(min=1, max=1_000, help="Show so many rows, and of each so many that it is made of.")
    ] = 20,
    behind: Annotated[
        str | None, typer.Option(help="Of what a figure is made of, the rows behind that of this key.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Show where rows of a layer come from: each with the rows of the layer before that made it, down to RAW.

    For example: mainstem lineage aggregated --where fact=withdrawal --where grain=day
    """
    from mainstem.layering import lineage_of

    conditions = where or []
    unfit = [text for text in conditions if "," in text]
    if unfit:
        raise InvalidQuery(f"{unfit[0][:40]!r} has a comma, which no condition can have")
    settings, declared = begin()
    found = lineage_of(declared, settings, layer, conditions, limit=limit, behind=behind)
    if as_json:
        _out.print_json(msgspec.json.encode(found).decode())
        return
    for each in found:
        for line in _lines(each):
            _out.print(line, highlight=False, soft_wrap=True, markup=False)
    if not found:
        _out.print("No row of the layer is so.")
    if len(found) == limit:
        _err.print(f"The first {limit} rows, of which there may be more: see --where and --limit.", soft_wrap=True)


def _lines(traced: "Traced", first: str = "", further: str = "") -> Iterator[str]:
    """The row, and under it what it was made of; `first` and `further` stand before its lines."""
    row = {name: value for name, value in traced.row.items() if value not in (None, "", traced.key)}
    values = ", ".join(f"{name}={_told(value)}" for name, value in row.items())
    yield f"{first}{traced.table} {traced.key}: {values}"
    for number, each in enumerate(traced.made_of, 1):
        last = number == len(traced.made_of) and not traced.more
        yield from _lines(each, further + ("└── " if last else "├── "), further + ("    " if last else "│   "))
    if traced.more:
        yield f"{further}└── more: --behind {traced.made_of[-1].key if traced.made_of else traced.key}"


def _told(value: Any) -> str:
    """What is JSON as JSON."""
    return msgspec.json.encode(value).decode() if isinstance(value, dict | list) else str(value)

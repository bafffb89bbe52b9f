"""`mainstem refusals`: refused commands listed, shown, counted and tried again."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Annotated, Any

import msgspec
import typer
from msgspec.structs import replace
from rich.console import Console
from rich.table import Table as Grid

from mainstem.cli.begin import Json, Tenant, begin, check_tenant
from mainstem.codec import iso_time, read_time
from mainstem.errors import InvalidQuery
from mainstem.refusals import (
    PERIODS_MS,
    KeptRefusal,
    RefusalFilter,
    RefusalReader,
    place_of,
    refusal_id,
    refusal_number,
)

refusals = typer.Typer(help="Look at refused commands, count them, and try one again.", no_args_is_help=True)
_out = Console()

_TIME = "With its zone, as 2026-01-31T09:30:00Z."
_Id = Annotated[str, typer.Argument(metavar="ID", help="The refusal, as `list` names it.")]
_Stream = Annotated[str | None, typer.Option(help="Of this stream (category-id) alone.")]
_Category = Annotated[str | None, typer.Option(help="Of this category alone.")]
_Reason = Annotated[str | None, typer.Option(help="For this reason alone.")]
_Command = Annotated[str | None, typer.Option(help="Of this kind of command alone, as Withdraw.")]
_Actor = Annotated[str | None, typer.Option(help="Of who asked for it.")]
_From = Annotated[str | None, typer.Option("--from", help=f"From this time on. {_TIME}")]
_To = Annotated[str | None, typer.Option("--to", help=f"Before this time. {_TIME}")]
_Limit = Annotated[int, typer.Option(min=1, max=10_000, help="Show so many.")]


@refusals.command(name="list")
def list_refusals(  # noqa: PLR0913 - the options of the command line
    *,
    stream: _Stream = None,
    category: _Category = None,
    reason: _Reason = None,
    command: _Command = None,
    actor: _Actor = None,
    from_: _From = None,
    to: _To = None,
    tenant: Tenant = None,
    behind: Annotated[str | None, typer.Option(help="Those behind this one, which are older.")] = None,
    limit: _Limit = 100,
    as_json: Json = False,
) -> None:
    """Show refused commands, newest first.

    For example: mainstem refusals list --reason insufficient-balance --from 2026-01-31T00:00:00Z
    """
    what = RefusalFilter(stream=stream, category=category, reason=reason, command=command, actor=actor)
    asked = _between(what, from_, to)
    with _reader(tenant) as (reader, whose):
        asked = replace(asked, tenant=whose)
        after = None if behind is None else place_of(_found(reader, behind))
        found = reader.page(asked, after, limit)
    if as_json:
        _print_json([_fields(each) for each in found])
        return
    grid = Grid("id", "stream", "command", "reason", "refused", "actor", "retried")
    for column in grid.columns:
        column.overflow = "fold"
    for each in found:
        refusal = each.refusal
        retried = f"version {each.retried.version}" if each.retried is not None else ""
        named = (refusal_id(each.number), refusal.stream, refusal.command, refusal.reason)
        grid.add_row(*named, iso_time(refusal.refused_at_ms), refusal.actor, retried)
    _out.print(grid if found else "No command was refused.")


@refusals.command()
def show(refusal: _Id, *, as_json: Json = False) -> None:
    """Show one refused command with all that is kept of it, and what became of its retry.

    For example: mainstem refusals show 0123456789abcdef
    """
    with _reader() as (reader, _):
        kept = _found(reader, refusal)
        again = reader.page(RefusalFilter(retry_of=kept.number), None, 100)
    fields = {**_fields(kept), "refusedAgain": [refusal_id(each.number) for each in again]}
    if as_json:
        _print_json(fields)
        return
    grid = Grid("field", "value")
    for column in grid.columns:
        column.overflow = "fold"
    for name, value in fields.items():
        if value not in (None, []):
            grid.add_row(name, _text(value))
    _out.print(grid)


@refusals.command()
def count(  # noqa: PLR0913 - the options of the command line
    *,
    stream: _Stream = None,
    category: _Category = None,
    reason: _Reason = None,
    command: _Command = None,
    actor: _Actor = None,
    from_: _From = None,
    to: _To = None,
    tenant: Tenant = None,
    by: Annotated[str, typer.Option(help="reason, or also by hour or day (UTC).")] = "reason",
    limit: _Limit = 1_000,
    as_json: Json = False,
) -> None:
    """Count refused commands by reason, the most frequent first; also by periods, the newest first.

    For example: mainstem refusals count --by day
    """
    if by not in ("reason", *PERIODS_MS):
        raise InvalidQuery(f"refusals are counted by reason, {' or '.join(PERIODS_MS)}, not by {by[:40]!r}")
    what = RefusalFilter(stream=stream, category=category, reason=reason, command=command, actor=actor)
    asked = _between(what, from_, to)
    with _reader(tenant) as (reader, whose):
        asked = replace(asked, tenant=whose)
        found = reader.counts(asked, PERIODS_MS.get(by), limit)
    rows = [{**_period(by, each.from_ms), "reason": each.reason, "refusals": each.refusals} for each in found]
    if as_json:
        _print_json(rows)
        return
    grid = Grid(*(rows[0] if rows else ()))
    for row in rows:
        grid.add_row(*map(str, row.values()))
    _out.print(grid if rows else "No command was refused.")


@refusals.command()
def retry(refusal: _Id, *, as_json: Json = False) -> None:
    """Try a refused command again, once; exit 1 where it is refused again.

    For example: mainstem refusals retry 0123456789abcdef
    """
    from mainstem.operations import retry_refusal

    settings, declared = begin()
    found = retry_refusal(declared, settings, refusal_number(refusal))
    if as_json:
        _print_json(found)
    elif found.accepted:
        text = f"Accepted: {found.stream} is at version {found.version}"
        _out.print(text, highlight=False, soft_wrap=True, markup=False)
    else:
        text = f"Refused again, as {found.refused_again}: {found.reason}: {found.text}"
        _out.print(text, highlight=False, soft_wrap=True, markup=False)
    raise typer.Exit(0 if found.accepted else 1)


@contextmanager
def _reader(tenant: str | None = None) -> Iterator[tuple[RefusalReader, str | None]]:
    """And what a filter names the tenant by: the empty text for none, where there are tenants."""
    from mainstem.assembly.stores import stored_events

    settings, _ = begin()
    with closing(stored_events(settings)) as store:
        check_tenant(tenant, settings, store.tenants)
        apart = settings.tenants is not None or next(iter(store.tenants.names()), None) is not None
        yield store.refusals, tenant or ("" if apart else None)


def _found(reader: RefusalReader, refusal: str) -> KeptRefusal:
    kept = reader.find(refusal_number(refusal))
    if kept is None:
        raise InvalidQuery(f"there is no refusal {refusal}")
    return kept


def _between(what: RefusalFilter, begin_at: str | None, end_at: str | None) -> RefusalFilter:
    from_ms, to_ms = (None if text is None else read_time(text) for text in (begin_at, end_at))
    return replace(what, from_ms=from_ms, to_ms=to_ms)


def _period(by: str, from_ms: int | None) -> dict[str, str]:
    return {} if from_ms is None else {by: iso_time(from_ms)}


def _fields(kept: KeptRefusal) -> dict[str, Any]:
    refusal, retried = kept.refusal, kept.retried
    return {
        "id": refusal_id(kept.number),
        "stream": refusal.stream,
        "command": refusal.command,
        "content": msgspec.Raw(refusal.content),
        "reason": refusal.reason,
        "text": refusal.text,
        "refusedAt": iso_time(refusal.refused_at_ms),
        "actor": refusal.actor,
        "correlationId": refusal.correlation_id,
        "retryOf": None if refusal.retry_of is None else refusal_id(refusal.retry_of),
        "retried": None
        if retried is None
        else {"version": retried.version, "at": iso_time(retried.at_ms), "actor": retried.actor},
    }


def _text(value: object) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _print_json(content: Any) -> None:
    _out.print_json(msgspec.json.encode(content).decode())

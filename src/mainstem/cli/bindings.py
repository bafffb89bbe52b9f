"""`mainstem bindings`: listeners listed, paused, resumed, restarted and moved."""

from typing import Annotated, Any

import msgspec
import typer
from rich.console import Console
from rich.table import Table as Grid

from mainstem.cli.begin import Json, begin
from mainstem.cli.complete import listeners
from mainstem.errors import InvalidQuery

bindings = typer.Typer(help="Look at listeners, and control them in every process.", no_args_is_help=True)
_out = Console()

_Listener = Annotated[str, typer.Argument(help="The listener's group.", autocompletion=listeners)]
_Reason = Annotated[str, typer.Option("--reason", help="Why, for the record.")]


@bindings.command(name="list")
def list_bindings(*, as_json: Json = False) -> None:
    """Show the listeners: how each is, by how much it is behind, and the processes that run it.

    For example: mainstem bindings list
    """
    from mainstem.listening import listeners

    settings, declared = begin()
    found = listeners(declared, settings)
    if as_json:
        _print_json(found)
        return
    grid = Grid("listener", "topic", "view", "state", "lag", "seconds", "parked", "processes")
    for each in found:
        lag = ("?", "?") if each.lag is None else (str(each.lag), f"{each.lag_s:.1f}")
        row = (each.listener, each.topic, each.view or "", each.state)
        grid.add_row(*row, *lag, str(each.parked), str(len(each.members)))
    _out.print(grid)
    for each in found:
        for member in each.members:
            if member.reason:
                _say(f"{each.listener} in {member.process}: {member.reason}")


@bindings.command()
def pause(listener: _Listener, *, reason: _Reason, as_json: Json = False) -> None:
    """Have a listener begin no further batch, in every process, until it is resumed.

    For example: mainstem bindings pause card-balance --reason 'views are moved'
    """
    _wish("pause", listener, reason, as_json=as_json)


@bindings.command()
def resume(listener: _Listener, *, reason: _Reason, as_json: Json = False) -> None:
    """Let a listener go on.

    For example: mainstem bindings resume card-balance --reason 'views are moved'
    """
    _wish("resume", listener, reason, as_json=as_json)


@bindings.command()
def restart(listener: _Listener, *, reason: _Reason, as_json: Json = False) -> None:
    """Have every member of a listener's group leave it after its batch, and join anew.

    For example: mainstem bindings restart card-balance --reason 'it hangs'
    """
    _wish("restart", listener, reason, as_json=as_json)


@bindings.command()
def move(
    listener: _Listener,
    *,
    to: Annotated[str | None, typer.Option(help="begin, end, or a time, as 2026-01-31T09:30:00Z.")] = None,
    offset: Annotated[list[str] | None, typer.Option(help="PARTITION=OFFSET. May be repeated.")] = None,
    reason: _Reason,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what it would do, and do nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: Json = False,
) -> None:
    """Move a paused listener to a position or a time; what that means is shown first. Exit 1 where it is refused.

    For example: mainstem bindings move card-balance --to begin --reason 'a new fold' --dry-run
    """
    from mainstem.listening import moved

    offsets = dict(map(_offset, offset or ()))
    settings, declared = begin()
    plan = moved(declared, settings, listener, to, offsets, reason, dry_run=True)
    if not (as_json and not dry_run):
        _print_plan(plan, as_json=as_json)
    if dry_run or plan.refused or not plan.partitions:
        raise typer.Exit(1 if plan.refused else 0)
    if not yes:
        typer.confirm("Move it?", abort=True, err=True)
    done = moved(declared, settings, listener, to, offsets, reason, dry_run=False)
    if as_json:
        _print_json(done)
    else:
        _say(f"{listener} was moved; it goes on from there once it is resumed")


def _wish(what: str, listener: str, reason: str, *, as_json: bool) -> None:
    from mainstem.listening import wish

    settings, declared = begin()
    found = wish(declared, settings, what, listener, reason)
    if as_json:
        _print_json(found)
    else:
        _say(f"{what} of {listener}: {found.told}")


def _print_plan(plan: Any, *, as_json: bool) -> None:
    if as_json:
        _print_json(plan)
        return
    if not plan.partitions:
        _say(f"{plan.listener} stands there already")
        return
    grid = Grid("partition", "from", "to", "skipped", "again")
    for each in plan.partitions:
        grid.add_row(*map(str, (each.partition, each.before, each.after, each.skipped, each.again)))
    _out.print(grid)
    for text in plan.notes:
        _say(text)
    for text in plan.refused:
        _say(f"refused: {text}")


def _offset(text: str) -> tuple[int, int]:
    partition, _, offset = text.partition("=")
    if not (partition.isdecimal() and offset.isdecimal() and len(text) <= 40):
        raise InvalidQuery(f"{text[:40]!r} is no offset: name PARTITION=OFFSET, as 0=120")
    return int(partition), int(offset)


def _say(text: str) -> None:
    _out.print(text, highlight=False, soft_wrap=True, markup=False)


def _print_json(content: Any) -> None:
    _out.print_json(msgspec.json.encode(content).decode())

"""`mainstem dead-letters` and `mainstem actions`: what waits, what is done about it, and what was done."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from rich.console import Console
from rich.table import Table as Grid

from mainstem.cli.begin import Json, begin
from mainstem.cli.complete import listeners
from mainstem.errors import InvalidQuery

dead_letters = typer.Typer(
    help="Look at records that could not be handled, and see to them in the order of their keys.",
    no_args_is_help=True,
)
_out = Console()

_OfListener = Annotated[
    str | None, typer.Option("--listener", help="Of this listener alone.", autocompletion=listeners)
]
_Listener = Annotated[str, typer.Argument(help="The listener's group.", autocompletion=listeners)]
_Letter = Annotated[str, typer.Argument(help="The letter's id, as 0-12.")]
_Key = Annotated[str | None, typer.Option("--key", help="The letters of this key.")]
_First = Annotated[str | None, typer.Option("--letter", help="This letter, the first of its key.")]
_Reason = Annotated[str, typer.Option("--reason", help="Why, for the record.")]
_Limit = Annotated[int, typer.Option(min=1, max=10_000, help="Show so many.")]


@dead_letters.command(name="list")
def list_letters(
    *,
    listener: _OfListener = None,
    key: _Key = None,
    behind: Annotated[
        str | None, typer.Option(help="Those behind the letter of this id, of one listener: the next page.")
    ] = None,
    limit: _Limit = 100,
    as_json: Json = False,
) -> None:
    """Show the records that wait, by listener, key and the key's order: why, and where each came from.

    For example: mainstem dead-letters list --listener card-balance
    """
    from mainstem.listening import dead_letters as found_of

    settings, declared = begin()
    found = found_of(declared, settings, listener=listener, key=key, behind=behind, limit=limit)
    if as_json:
        _print_json(found)
        return
    grid = _grid("listener", "id", "key", "reason", "cause", "at")
    for each in found:
        reason = f"{each.reason}, edited" if each.edited else each.reason
        grid.add_row(each.listener, each.id, each.key, reason, each.cause, each.at)
    _out.print(grid if found else "No dead letter waits.")


@dead_letters.command()
def show(listener: _Listener, letter: _Letter, *, as_json: Json = False) -> None:
    """Show a dead letter with its content, the traceback, where it came from, and how it was edited.

    For example: mainstem dead-letters show card-balance 0-12
    """
    from mainstem.listening import dead_letter

    settings, declared = begin()
    found = dead_letter(declared, settings, listener, letter)
    if as_json:
        _print_json(found)
        return
    grid = _grid("field", "value")
    for name, value in msgspec.to_builtins(found).items():
        if value not in (None, [], {}, "", False):
            text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
            grid.add_row(name, text)
    _out.print(grid)


@dead_letters.command()
def edit(
    listener: _Listener,
    letter: _Letter,
    *,
    value: Annotated[str | None, typer.Option(help="The new value, as JSON.")] = None,
    file: Annotated[Path | None, typer.Option(exists=True, dir_okay=False, help="A file that has it.")] = None,
    reason: _Reason,
    as_json: Json = False,
) -> None:
    """Give a dead letter another value, with which it is tried again; the first stays on record.

    For example: mainstem dead-letters edit card-balance 0-12 --value '{"amount": 1}' --reason 'no amount'
    """
    from mainstem.listening import edit as edited

    if (value is None) == (file is None):
        raise InvalidQuery("name the new value with --value, or a file that has it with --file")
    content = value.encode() if value is not None else _content(file)
    settings, declared = begin()
    _told(edited(declared, settings, listener, letter, content, reason), as_json=as_json)


@dead_letters.command()
def retry(
    listener: _Listener,
    *,
    key: _Key = None,
    letter: _First = None,
    all_keys: Annotated[bool, typer.Option("--all", help="Those of all keys, a thousand at most.")] = False,
    reason: _Reason,
    as_json: Json = False,
) -> None:
    """Try dead letters again, in the order of their key; exit 1 where one fails again or waits for its listener.

    For example: mainstem dead-letters retry card-balance --all --reason 'the fold is mended'
    """
    from mainstem.listening import take

    if [key is None, letter is None, not all_keys].count(False) != 1:
        raise InvalidQuery("name what is to be tried again: --key, --letter or --all")
    settings, declared = begin()
    _told(take(declared, settings, "retry", listener, key=key, letter=letter, why=reason), as_json=as_json)


@dead_letters.command()
def drop(
    listener: _Listener,
    *,
    key: _Key = None,
    letter: _First = None,
    reason: _Reason,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: Json = False,
) -> None:
    """Leave dead letters for good, with the reason on record: the first of a key, or all of it.

    For example: mainstem dead-letters drop card-balance --letter 0-12 --reason 'not ours'
    """
    from mainstem.listening import take

    if (key is None) == (letter is None):
        raise InvalidQuery("name what is to be dropped: --key or --letter")
    if not yes:
        typer.confirm("What it holds will be in no view, and will lead to nothing. Drop it?", abort=True, err=True)
    settings, declared = begin()
    _told(take(declared, settings, "drop", listener, key=key, letter=letter, why=reason), as_json=as_json)


def show_actions(
    *,
    listener: _OfListener = None,
    behind: Annotated[str | None, typer.Option(help="Those before the action of this id: the next page.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1_000, help="Show so many.")] = 100,
    as_json: Json = False,
) -> None:
    """Show what was asked of listeners, by whom and why, and what came of it; the newest first.

    For example: mainstem actions --listener card-balance
    """
    from mainstem.listening import actions

    settings, declared = begin()
    found = actions(declared, settings, listener=listener, behind=behind, limit=limit)
    if as_json:
        _print_json(found)
    else:
        print_actions(found)


def print_actions(found: Sequence[Any]) -> None:
    """A row for each."""
    grid = _grid("id", "listener", "what", "of", "who", "why", "asked", "state", "letters", "told")
    for each in found:
        of = each.letter or each.key or ""
        row = (each.id, each.listener, each.kind, of, each.who, each.why, each.asked_at, each.state)
        grid.add_row(*row, str(each.count), each.told or "")
    _out.print(grid if found else "Nothing was asked for.")


def _told(found: Sequence[Any], *, as_json: bool) -> None:
    """What came of actions; exit 1 where one has failed, or waits for a listener that does not run."""
    if as_json:
        _print_json(found)
    for each in () if as_json else found:
        of = f"letter {each.letter}" if each.letter else f"key {each.key}"
        told = each.told or ("it waits for its listener: see `mainstem actions`" if each.state == "waiting" else "")
        text = f"{each.kind} of {of}: {each.state}, {each.count} letters{': ' if told else ''}{told}"
        _out.print(text, highlight=False, soft_wrap=True, markup=False)
    if not found and not as_json:
        _out.print("No key waits behind a dead letter.")
    raise typer.Exit(0 if all(each.state == "done" for each in found) else 1)


def _content(file: Path | None) -> bytes:
    try:
        return b"" if file is None else file.read_bytes()
    except OSError as error:
        raise InvalidQuery(f"{file} cannot be read: {error.strerror}") from error


def _grid(*names: str) -> Grid:
    grid = Grid(*names)
    for column in grid.columns:
        column.overflow = "fold"
    return grid


def _print_json(content: Any) -> None:
    _out.print_json(msgspec.json.encode(content).decode())

"""`mainstem rebuild`: a view filled anew beside the live one, compared, and put in its place."""

import time
from typing import Annotated, Any

import msgspec
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
from rich.progress import Progress as Bar

from mainstem.cli.begin import Json, begin
from mainstem.cli.complete import rebuildable
from mainstem.errors import InvalidQuery, StoreUnavailable

_out = Console()
_err = Console(stderr=True)
_LOOK_S = 0.1


def rebuild(
    view: Annotated[str, typer.Argument(help="The view's table, or a datasource.", autocompletion=rebuildable)],
    *,
    compare: Annotated[bool, typer.Option("--compare", help="Leave the new version beside the live one.")] = False,
    cancel: Annotated[bool, typer.Option("--cancel", help="End the rebuild, and drop what it has built.")] = False,
    roll_back: Annotated[bool, typer.Option("--roll-back", help="Put back what was replaced.")] = False,
    forget: Annotated[bool, typer.Option("--forget", help="Drop what was replaced.")] = False,
    workers: Annotated[
        int, typer.Option(min=1, max=64, help="Of the distributed form: fill so many partitions at once.")
    ] = 2,
    as_json: Json = False,
) -> None:
    """Fill a view anew while traffic goes on, compare it with the live one, and swap the two; exit 1 where it fails.

    For example: mainstem rebuild card_balance --compare
    """
    from mainstem.operations import rebuilds

    if sum((compare, cancel, roll_back, forget)) > 1:
        raise InvalidQuery("of --compare, --cancel, --roll-back and --forget one at most makes sense")
    settings, declared = begin()
    with rebuilds(declared, settings, workers) as desk:
        if cancel or forget:
            found = desk.cancel(view) if cancel else desk.forget(view)
        else:
            found = desk.roll_back(view) if roll_back else desk.begin(view, swap=not compare)
            found = _watched(desk, found)
    if as_json:
        _out.print_json(msgspec.json.encode(found).decode())
    else:
        _print(found, cancel=cancel, forget=forget, roll_back=roll_back)
    failed = found.progress is not None and found.progress.state in ("failed", "stopped")
    raise typer.Exit(1 if failed and not (cancel or forget) else 0)


def _watched(desk: Any, found: Any) -> Any:
    """Until it has ended. Raises StoreUnavailable where the process that rebuilds is another by now."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[pace]}"))
    with Bar(*columns, console=_err, transient=True) as bar:
        task = bar.add_task("", total=None, pace="")
        while not found.progress.ended:
            now = found.progress
            pace = f"{now.rate:,.0f} records/s" + ("" if now.left_s is None else f", {now.left_s:.0f} s left")
            bar.update(task, description=now.state, completed=now.records, total=now.of, pace=pace)
            time.sleep(_LOOK_S)
            found = desk.look(found.view)
            if found.progress is None:
                raise StoreUnavailable(f"the process that rebuilt {found.view} has ended; rebuild it again to go on")
    return found


def _print(found: Any, *, cancel: bool, forget: bool, roll_back: bool) -> None:
    def say(text: str) -> None:
        _out.print(text, highlight=False, soft_wrap=True, markup=False)

    if cancel or forget:
        say(f"{found.view}: what was {'built' if cancel else 'replaced'} is dropped")
        return
    now = found.progress
    new = now.records - now.resumed
    resumed = f", {now.resumed} of them before" if now.resumed else ""
    say(f"{found.view}: {now.records} records{resumed}" + (f", {now.rate:,.0f} a second" if new else ""))
    if now.left_out:
        first = f"; the first is {now.first_left_out}" if now.first_left_out else ""
        say(f"{now.left_out} records do not fit the new one and are left out{first}")
    if now.comparison is not None:
        _print_comparison(say, now.comparison)
    elif now.state in ("done", "built") and not roll_back:
        say("not compared: the live view had other columns")
    ends = {
        "done": "rolled back" if roll_back else f"swapped; the replaced version is kept as {found.kept_as}",
        "built": "not swapped: rebuild it again to do that, or cancel it",
        "stopped": "stopped: rebuild it again to go on",
        "failed": f"failed, the live view is as it was: {now.error}",
    }
    say(ends[now.state])
    if now.state == "done" and found.live_as != found.view:
        say(f"whoever asks the store itself finds it as {found.live_as} now")


def _print_comparison(say: Any, found: Any) -> None:
    if not found.differing:
        say(f"no row differs: {found.built_rows} rows, checksum {found.built_checksum}")
        return
    say(f"{found.differing} rows differ: {found.live_rows} rows, checksum {found.live_checksum} in the live view;")
    say(f"  {found.built_rows} rows, checksum {found.built_checksum} in the new one; {found.why}")
    for each in found.differences:
        say(f"{each.key}: {each.why}\n  live: {each.live or 'no row'}\n  new: {each.built or 'no row'}")
    if found.differing > len(found.differences):
        say(f"… and {found.differing - len(found.differences)} more")

"""What `mainstem archive` does and prints."""

from contextlib import closing
from typing import Annotated

import msgspec
import typer
from rich.console import Console

from mainstem.cli.begin import MOST, Json, begin
from mainstem.cli.events import progress_bar

_DAY_MS = 24 * 3_600_000
_out = Console()
_err = Console(stderr=True)


def archive(
    *,
    stream: Annotated[str | None, typer.Option(help="Move events of this stream alone.")] = None,
    older_than: Annotated[
        int | None, typer.Option(min=0, max=36_500, help="Move what was recorded so many days ago or earlier.")
    ] = None,
    keep_last: Annotated[
        int | None, typer.Option(min=1, max=MOST, help="Leave the last so many events of each stream where they are.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show how much it would be, and change nothing.")] = False,
    as_json: Json = False,
) -> None:
    """Move events that stand behind a snapshot to Parquet files. They are read, and verified, as before.

    For example: mainstem archive --older-than 365 --dry-run
    """
    from mainstem.assembly.archiving import archive as moved
    from mainstem.assembly.stores import open_integrity
    from mainstem.clock import wall_clock_ms
    from mainstem.eventstore.archiving import Asked

    settings, declared = begin()
    before_ms = None if older_than is None else wall_clock_ms() - older_than * _DAY_MS
    asked = Asked(fingerprints=(), stream=stream, before_ms=before_ms, keep_last=keep_last)
    with closing(open_integrity(settings)) as integrity:
        last = integrity.last_position()
    with progress_bar(_err, "positions", last) as progress:
        found = moved(declared, settings, asked, dry_run=dry_run, progress=progress)
    if as_json:
        _out.print_json(msgspec.json.encode(found).decode())
        return
    verb = "would go" if dry_run else "went"
    text = f"{found.events} events of {found.streams} streams {verb} to {found.files} files of {found.bytes} bytes"
    _out.print(text, highlight=False, soft_wrap=True)

"""What `mainstem verify` does and prints."""

import os
from contextlib import closing
from functools import partial

import msgspec
from rich.console import Console

from mainstem.assembly.sealing import seal_all
from mainstem.assembly.stores import open_integrity
from mainstem.cli.events import progress_bar
from mainstem.eventstore.diagnosis import Finding
from mainstem.eventstore.verifying import Verified, verify, work_of
from mainstem.settings import Settings

_SHOWN = 100
_PLACES = ("seal", "archive", "tag")


def verified(settings: Settings, err: Console, *, workers: int | None, root: str | None) -> Verified:
    """The whole store, by so many processes (unless given, one for each processor), with a bar where somebody looks."""
    open_ = partial(open_integrity, settings)
    with closing(open_()) as integrity:
        work = work_of(integrity)
    with progress_bar(err, "positions", work) as progress:
        return verify(open_, workers=workers or os.cpu_count() or 1, progress=progress, root=root)


def seal_rest(settings: Settings) -> int:
    """Seal what no seal holds yet; how many events."""
    with closing(open_integrity(settings, read_only=False)) as integrity:
        return seal_all(integrity)


def print_verified(out: Console, found: Verified, *, as_json: bool) -> None:
    """All well in a line, else a line for each finding; and the last root."""
    if as_json:
        out.print_json(msgspec.json.encode(found).decode())
        return

    def say(text: str) -> None:
        out.print(text, highlight=False, soft_wrap=True, markup=False)

    for each in found.findings[:_SHOWN]:
        say(f"{'damaged' if each.kind in _PLACES else each.kind}: {_place_of(each)}: {each.why}")
    if len(found.findings) > _SHOWN:
        say(f"… and {len(found.findings) - _SHOWN} more")
    if found.clean:
        say(f"All {found.events} events are as they were appended")
    else:
        say(f"{len(found.findings)} findings in {found.events} events")
    say(f"seals: {found.seals}; not sealed yet: {found.unsealed}; from before there was a chain: {found.unchained}")
    if found.left_over:
        say(f"in the archive, and not read (of a run that died, or of another store): {', '.join(found.left_over)}")
    if found.unchained_tags:
        say(f"tags: {found.tags}; of events of before these kept their tags: {found.unchained_tags}")
    if found.head is not None:
        say(f"root: {found.head}")


def _place_of(found: Finding) -> str:
    if found.kind == "archive":
        return found.stream
    if found.kind == "tag":
        return f"tag {found.stream!r}, number {found.version}"
    return f"seal {found.version}" if found.kind == "seal" else f"{found.stream} {found.version}"

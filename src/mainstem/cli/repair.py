"""What `mainstem repair` prints."""

import msgspec
from rich.console import Console

from mainstem.reconciliation import Reconciliation
from mainstem.repair import Repaired

_SHOWN = 100


def print_damages(out: Console, found: Repaired, *, as_json: bool) -> None:
    """The first hundred damaged rows, as JSON all; and what cannot be put right."""
    if as_json:
        out.print_json(msgspec.json.encode(found).decode())
        return
    _say(out, f"{len(found.damages)} damaged rows" if found.damages else "No row is damaged")
    for each in found.damages[:_SHOWN]:
        stands, should = each.stands or "no row", each.should or "no row"
        _say(out, f"{each.table} {each.key}\n  stands: {stands}\n  should: {should}")
    if len(found.damages) > _SHOWN:
        _say(out, f"… and {len(found.damages) - _SHOWN} more")
    _say_left(out, found)


def print_repaired(out: Console, done: Repaired, agreed: Reconciliation, *, as_json: bool) -> None:
    """What was put right, and what was not; as JSON with what the reconciliation says then."""
    if as_json:
        content = {**msgspec.to_builtins(done), "reconciliation": agreed}
        out.print_json(msgspec.json.encode(content).decode())
        return
    _say(out, f"{len(done.damages)} rows were put right" if not done.left else "Not all were put right:")
    _say_left(out, done)


def _say_left(out: Console, found: Repaired) -> None:
    for text in found.left:
        _say(out, f"left as it is: {text}")


def _say(out: Console, text: str) -> None:
    out.print(text, highlight=False, soft_wrap=True, markup=False)

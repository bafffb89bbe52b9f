"""What `mainstem repair` prints."""

from rich.console import Console

from mainstem.repair import Repaired

_SHOWN = 100


def print_damages(out: Console, found: Repaired, *, left_only: bool = False) -> None:
    """The first hundred damaged rows, and what cannot be put right."""

    def say(text: str) -> None:
        out.print(text, highlight=False, soft_wrap=True, markup=False)

    if not left_only:
        say(f"{len(found.damages)} damaged rows" if found.damages else "No row is damaged")
        for each in found.damages[:_SHOWN]:
            say(f"{each.table} {each.key}\n  stands: {each.stands or 'no row'}\n  should: {each.should or 'no row'}")
        if len(found.damages) > _SHOWN:
            say(f"… and {len(found.damages) - _SHOWN} more")
    for text in found.left:
        say(f"left as it is: {text}")

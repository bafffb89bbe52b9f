"""What of the write side, beside events and state rows, has a text in it."""

from collections.abc import Mapping

from mainstem.eventstore.refused import Ask

_PLACES = {
    "snapshots": ("snapshot", "state"),
    "refused commands": ("refused_command", "content"),
    "kept answers": ("kept_answer", "answer"),
}


def holding(ask: Ask, text: str) -> Mapping[str, int]:
    """How many of each have it: all are looked at, in SQL that SQLite and MySQL both take."""
    found = {}
    for name, (table, column) in _PLACES.items():
        ((count,),) = ask(f"SELECT count(*) FROM {table} WHERE instr({column}, ?) > 0", (text.encode(),))
        found[name] = int(count)
    return found

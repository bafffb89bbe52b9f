"""What of the write side, beside events and state rows, has a text in it."""

from collections.abc import Mapping

from mainstem.eventstore.refused import Ask

_PLACES = {
    "snapshots": ("snapshot", "instr(state, ?) > 0"),
    "refused commands": ("refused_command", "instr(content, ?) > 0 OR instr(text, ?) > 0"),
    "kept answers": ("kept_answer", "instr(answer, ?) > 0"),
}


def holding(ask: Ask, text: str) -> Mapping[str, int]:
    """How many of each have it: all are looked at, in SQL that SQLite and MySQL both take."""
    found = {}
    for name, (table, condition) in _PLACES.items():
        values = [text.encode()] * condition.count("?")
        ((count,),) = ask(f"SELECT count(*) FROM {table} WHERE {condition}", values)
        found[name] = int(count)
    return found

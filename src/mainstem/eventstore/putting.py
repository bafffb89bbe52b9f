"""Putting state rows many to a statement, each of them still held against the row that stood before it."""

from collections.abc import Sequence
from typing import Any

from mainstem.errors import ConfigurationError, StateDrift
from mainstem.table import Table, quoted

REPAIR = "`mainstem repair` makes it anew from the events"


def drifted(row: str, why: str = "") -> StateDrift:
    """What is raised where a state row does not stand as it was left."""
    return StateDrift(
        f"the row of {row} is not what is folded of its events: it was made, changed or removed by somebody else, or"
        f" evolve or what makes the row was changed since; {REPAIR}{why and f' ({why})'}"
    )


def misfit(table: Table[Any], stands: Sequence[str], wanted: Sequence[str]) -> ConfigurationError:
    """What ends the start where a state table has other columns."""
    return ConfigurationError(f"the state table {table.name} stands as {stands}, declared is {wanted}; {REPAIR}")


def put_view(table: Table[Any]) -> str:
    """The statements that make, for one connection, the view through which rows of a state table are put.

    A row of it is what to do (i, u, d), the old values and the new ones. An update or delete finds only the row that
    stands exactly as the old values, and an insert only a place that is free; where it does not, the statement aborts.
    """
    names = [column.name for column in table.columns]
    view, name = f"mainstem_put_{table.name}", quoted(table.name)
    columns = ", ".join(("op", *(f"old_{n}" for n in names), *(f"new_{n}" for n in names)))
    nothing = ", ".join(["NULL"] * (1 + 2 * len(names)))
    same = " AND ".join(f"{quoted(n)} IS NEW.old_{n}" for n in names)
    changes = ", ".join(f"{quoted(n)} = NEW.new_{n}" for n in names)
    values = ", ".join(f"NEW.new_{n}" for n in names)
    insert = f"INSERT INTO {name} ({quoted(*names)}) VALUES ({values})"
    statements = [f"CREATE TEMP VIEW {view} ({columns}) AS SELECT {nothing}"]
    for op, change in (("i", insert), ("u", f"UPDATE {name} SET {changes} WHERE {same}"), ("d", _delete(name, same))):
        held = "SELECT RAISE(ABORT, 'not as it was left') WHERE changes() <> 1"
        trigger = f"CREATE TEMP TRIGGER {view}_{op} INSTEAD OF INSERT ON {view} WHEN NEW.op = '{op}'"
        statements.append(f"{trigger} BEGIN {change}; {held}; END")
    return "; ".join(statements)


def _delete(name: str, same: str) -> str:
    return f"DELETE FROM {name} WHERE {same}"

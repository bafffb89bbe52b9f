"""What an application has declared as personal."""

from collections.abc import Iterable, Sequence
from typing import Any

from mainstem.decider import Decider
from mainstem.errors import ConfigurationError
from mainstem.privacy.marks import marks_of
from mainstem.table import Table


def kinds_of(deciders: Sequence[Decider[Any, Any, Any]], tables: Iterable[Table[Any]]) -> frozenset[str]:
    """The kinds of subjects; none where nothing is marked. Raises ConfigurationError for a mark that cannot work."""
    kinds = set[str]()
    for decider in deciders:
        for message in (*decider.commands, *decider.events):
            kinds |= {mark.kind or decider.category for mark in marks_of(message)}
        marks_of(type(decider.initial))
    for table in tables:
        marked = {mark.field for mark in marks_of(table.row)}
        found = sorted(marked & {*table.key, *(name for index in table.indexes for name in index)})
        if found:
            raise ConfigurationError(f"{found[0]} of table {table.name} is personal: no key or index can have it")
    return frozenset(kinds)

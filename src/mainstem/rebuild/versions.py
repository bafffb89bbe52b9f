"""The versions of a view: the live one, one that is built beside it, one that was replaced; and the code that makes it.

Of a version beside the live one all that is kept of a group is kept under its table's name.
"""

import hashlib
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from mainstem.errors import InvalidQuery
from mainstem.fingerprint import fingerprint
from mainstem.listener.binding import Binding
from mainstem.table import Table
from mainstem.view.batched import Batched
from mainstem.view.port import ViewStore
from mainstem.view.projection import Fold, Joined, Projection, Rows
from mainstem.view.vectorised import Vectorised

_NAME_MAX = 63
_DIGEST = 8

UNKNOWN = "unknown"
"""The mark of a view that nobody has marked."""


@dataclass(frozen=True)
class Versions:
    """The tables of one view, which `group` keeps."""

    group: str
    live: Table[Any]
    built: Table[Any]
    old: Table[Any]


def projection_of(binding: Binding[Any]) -> Projection[Any]:
    """What the binding keeps. Raises InvalidQuery where it keeps no view."""
    if binding.projection is None:
        raise InvalidQuery(f"the listener {binding.group} keeps no view")
    return binding.projection


def versions_of(binding: Binding[Any]) -> Versions:
    """Raises InvalidQuery where the binding keeps no view."""
    live = projection_of(binding).table
    return Versions(binding.group, live, _beside(live, "built"), _beside(live, "old"))


def _beside(table: Table[Any], what: str) -> Table[Any]:
    name = f"{table.name}__{what}"
    if len(name) > _NAME_MAX:
        digest = hashlib.sha256(table.name.encode()).hexdigest()[:_DIGEST]
        name = f"{table.name[: _NAME_MAX - len(what) - _DIGEST - 4]}__{digest}__{what}"
    return replace(table, name=name)


def code_of(binding: Binding[Any]) -> str:
    """A name for the code that makes the binding's view: where that changes, so does the name.

    It is the fingerprint of the projection's functions, the position and the row, behind the version of Python, whose
    bytecode it is made of.
    """
    projection = projection_of(binding)
    table = projection.table
    first, *more = _functions(projection)
    made = fingerprint(first, *more, binding.position, table.row)
    digest = hashlib.sha256(repr((made, table.key, table.columns)).encode()).hexdigest()
    return f"{_python()} {digest}"


def _functions(projection: Projection[Any]) -> Sequence[object]:
    """What makes the rows."""
    if isinstance(projection, Rows):
        return (projection.make,)
    if isinstance(projection, Fold | Batched):
        return (projection.fold, projection.key, projection.done)
    if isinstance(projection, Joined):
        return (projection.on, projection.ready, *_functions(projection.into))
    if isinstance(projection, Vectorised):
        names = tuple(event.__name__ for event in projection.events)
        return (projection.make, projection.columns, names, projection.merge, projection.done)
    window = (type(projection.window).__name__, repr(projection.window), projection.keep_ms)
    return (projection.make, projection.merge, projection.key, projection.at_ms, projection.done, *window)


def _python() -> str:
    return f"{sys.version_info.major}.{sys.version_info.minor}"


def is_stale(made_by: str | None, code: str) -> bool:
    """Whether other code has made a view. What another Python has named cannot be told from what it would be here."""
    return made_by is not None and made_by != code and made_by.partition(" ")[0] == code.partition(" ")[0]


class Codes:
    """By which code each of an application's views is made today."""

    def __init__(self, bindings: Iterable[Binding[Any]]) -> None:
        self._codes = {
            each.group: (each.projection.table.name, code_of(each)) for each in bindings if each.projection is not None
        }

    def stale(self, views: ViewStore, group: str) -> str | None:
        """What to do about the group's view where other code has made it; None where it is well."""
        view, code = self._codes.get(group, ("", ""))
        if not code or not is_stale(views.made_by(group), code):
            return None
        return f"stale: rebuild (other code has made it: `mainstem rebuild {view}`)"


def mark_made(views: ViewStore, binding: Binding[Any]) -> None:
    """Keep by which code a view is made that has no mark, or one of another Python."""
    code, made_by = code_of(binding), views.made_by(binding.group)
    if made_by is None or (made_by != code and not is_stale(made_by, code)):
        with views.transaction() as transaction:
            transaction.mark(binding.group, code)

"""What a shell completes beside commands and options: names that the application declares."""

import os

from mainstem.application import Application
from mainstem.cli.begin import application_of
from mainstem.errors import MainstemError
from mainstem.settings import read_settings


def listeners(incomplete: str) -> list[str]:
    """The groups of listeners that begin so."""
    declared = _declared()
    return _matching(incomplete, [] if declared is None else [each.group for each in declared.all_listeners()])


def views(incomplete: str) -> list[str]:
    """The tables of views that begin so."""
    declared = _declared()
    return _matching(incomplete, [] if declared is None else _tables(declared))


def rebuildable(incomplete: str) -> list[str]:
    """The tables of views, and the datasources, that begin so."""
    declared = _declared()
    names = [] if declared is None else [*_tables(declared), *(each.name for each in declared.datasources)]
    return _matching(incomplete, names)


def _declared() -> Application | None:
    """None where there is none to be had: a shell that completes shows no error."""
    try:
        return application_of(read_settings(os.environ).app)
    except MainstemError:
        return None


def _tables(declared: Application) -> list[str]:
    return [each.projection.table.name for each in declared.listeners if each.projection is not None]


def _matching(incomplete: str, names: list[str]) -> list[str]:
    return sorted(name for name in names if name.startswith(incomplete))

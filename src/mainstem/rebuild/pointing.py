"""Which version of a datasource is the live one, where the store has a name for each version and can rename none.

A row in the view store points to it. The first version has the datasource's own name, the later ones a number behind
it that is never given twice: what a store has once known of a name may come back. Questions name the datasource, and
each process looks the row up, at most once a second.

So for a second some processes ask the replaced version while others ask the new one, and whoever asks both would see
time go backwards. Therefore whoever swaps has all of them hold their questions first: see `LiveNames`.
"""

import hashlib
import threading
import time
from collections.abc import Callable, Collection
from dataclasses import replace
from typing import Any

import structlog
from msgspec import Struct, structs

from mainstem.errors import ConfigurationError, Fenced, MainstemError, WriteConflict
from mainstem.olap.port import Datasource
from mainstem.table import Table
from mainstem.view.port import ViewStore

_log = structlog.get_logger(__name__)

_NAME_MAX = 63
_DIGEST = 8
_TRIES = 5
_LOOK_S = 1.0
_TURN_S = 0.5
_AWAY_S = 5.0
_HELD_LOOK_S = 0.1

SETTLED_S = 2.0
"""After how long nobody begins a question of a replaced version any more: a row is looked up at most once a second, and
whoever waits half a second for another's look goes on with what was known.
"""

HELD_S = 8.0
"""How long questions are held where nobody ends that: whoever swaps has died, and nothing was swapped."""


class Pointed(Struct, frozen=True):
    """The versions of a datasource by number, 0 for none: the one that is asked, one that is filled beside it, the one
    that was replaced; the highest that was ever given, and those that are to be dropped, in text.

    `held` is the number of the hold that whoever swaps has begun, 0 where none is; `holds` counts them.
    """

    name: str
    live: int = 1
    built: int = 0
    kept: int = 0
    latest: int = 1
    dropping: str = ""
    held: int = 0
    holds: int = 0

    @property
    def left(self) -> tuple[int, ...]:
        """The versions that are to be dropped."""
        return tuple(map(int, self.dropping.split()))


POINTED = Table("mainstem_datasource", Pointed, key=("name",))


def named(name: str, number: int) -> str:
    """What that version of a datasource is called in the store."""
    if number == 1:
        return name
    found = f"{name}__{number}"
    if len(found) > _NAME_MAX:
        digest = hashlib.sha256(name.encode()).hexdigest()[:_DIGEST]
        found = f"{name[: _NAME_MAX - _DIGEST - 4 - len(str(number))]}__{digest}__{number}"
    return found


def version_of(datasource: Datasource, number: int) -> Datasource:
    """That version of a datasource, as it is declared today."""
    return replace(datasource, name=named(datasource.name, number))


def check_declared(names: Collection[str]) -> None:
    """Raises ConfigurationError where a datasource is called as a version of another."""
    for name in names:
        first, _, number = name.rpartition("__")
        if first in names and number.isdecimal():
            raise ConfigurationError(f"datasource {name} is called as a version of {first} would be")


def stale_datasource(datasource: Datasource) -> str:
    """What to do about one whose live version is declared otherwise."""
    return f"stale: rebuild (it is declared otherwise: `mainstem rebuild {datasource.name}`)"


def undeployed_datasource(datasource: Datasource) -> str:
    """What to do about one whose segments, their compaction or retention are declared otherwise."""
    return f"undeployed: deploy (segments of {datasource.name} are declared otherwise: `mainstem deploy`)"


def begun(row: Pointed, live: int, built: int) -> Pointed:
    """With another version that is filled. Raises Fenced where these two are others by now, as all below do."""
    if (row.live, row.built) != (live, built):
        raise _fenced(row)
    return structs.replace(_without(row, row.built), built=row.latest + 1, latest=row.latest + 1)


def holding(row: Pointed, live: int, number: int) -> Pointed:
    """With questions held, to put that version, which is filled or kept, in the place of the live one."""
    _check(row, live, number)
    return structs.replace(row, held=row.holds + 1, holds=row.holds + 1)


def released(row: Pointed, held: int) -> Pointed:
    """Without that hold."""
    return structs.replace(row, held=0) if row.held == held else row


def swapped(row: Pointed, live: int, number: int, held: int) -> Pointed:
    """With that version as the live one, in that hold. One that was filled has a way back, a kept one has none."""
    _check(row, live, number)
    if row.held != held:
        raise _fenced(row)
    if number == row.kept:
        return structs.replace(_without(row, row.live), live=number, kept=0, held=0)
    return structs.replace(_without(row, row.kept), live=number, built=0, kept=row.live, held=0)


def cancelled(row: Pointed) -> Pointed:
    """Without the version that is filled."""
    return structs.replace(_without(row, row.built), built=0)


def forgotten(row: Pointed) -> Pointed:
    """Without the version that was replaced."""
    return structs.replace(_without(row, row.kept), kept=0)


def dropped(number: int, row: Pointed) -> Pointed:
    """With that one no longer to be dropped."""
    return structs.replace(row, dropping=" ".join(str(each) for each in row.left if each != number))


def _without(row: Pointed, number: int) -> Pointed:
    """With this version, 0 for none, among those that are to be dropped."""
    left = (*row.left, number) if number and number not in row.left else row.left
    return structs.replace(row, dropping=" ".join(map(str, left)))


def _check(row: Pointed, live: int, number: int) -> None:
    if row.live != live or number not in (row.built, row.kept):
        raise _fenced(row)


def _fenced(row: Pointed) -> Fenced:
    return Fenced(f"the rebuild of {row.name} was cancelled, or finished by another")


class Pointers:
    """The rows, in a view store in which `create` has made their table."""

    def __init__(self, views: ViewStore) -> None:
        self._views = views

    def create(self) -> None:
        """The table."""
        self._views.create(POINTED)

    def of(self, name: str) -> Pointed:
        """The row as it stands; that of one that was never rebuilt where there is none."""
        return self._views.get(POINTED, [(name,)]).get((name,), Pointed(name))

    def live(self, datasource: Datasource) -> Datasource:
        """The version that is asked, as it is declared today."""
        return version_of(datasource, self.of(datasource.name).live)

    def change(self, name: str, change: Callable[[Pointed], Pointed]) -> Pointed:
        """The row as it is then, in one transaction that nobody else is in; as it was where `change` raises."""
        for attempt in range(1, _TRIES + 1):
            try:
                with self._views.transaction() as transaction:
                    transaction.hold(f"datasource-{name}")
                    row = change(transaction.get(POINTED, [(name,)]).get((name,), Pointed(name)))
                    transaction.put(POINTED, [row])
            except WriteConflict:
                if attempt == _TRIES:
                    raise
            else:
                return row
        raise AssertionError("unreachable")


class _Known:
    """What a process knows of one datasource, and since when."""

    def __init__(self) -> None:
        self.looking = threading.Lock()
        self.row: Pointed | None = None
        self.until_s = 0.0
        self.held = 0
        self.held_at_s = 0.0


class LiveNames:
    """What each datasource is called at the moment, as the process knows it that asks; from any thread.

    It is looked up at most once a second. Where questions are held it waits until they are no more, or for as long as
    anybody who swaps may need. Where it cannot be looked up the answer is the last that was known, which stands still
    once it was replaced; StoreUnavailable where none was.
    """

    def __init__(
        self,
        pointers: Pointers,
        clock_s: Callable[[], float] = time.monotonic,
        wait: Callable[[float], Any] = time.sleep,
    ) -> None:
        self._pointers = pointers
        self._clock_s = clock_s
        self._wait = wait
        self._known: dict[str, _Known] = {}

    def __call__(self, name: str) -> str:
        known = self._known.setdefault(name, _Known())
        row = self._row(name, known, _LOOK_S)
        while row.held and self._is_held(known, row):
            self._wait(_HELD_LOOK_S)
            row = self._row(name, known, _HELD_LOOK_S)
        return named(name, row.live)

    def _is_held(self, known: _Known, row: Pointed) -> bool:
        if known.held != row.held:
            known.held, known.held_at_s = row.held, self._clock_s()
        return self._clock_s() < known.held_at_s + HELD_S

    def _row(self, name: str, known: _Known, every_s: float) -> Pointed:
        """One thread looks; others wait for it as long as it may be trusted, then go on with what is known."""
        now_s = self._clock_s()
        if known.row is not None and now_s < known.until_s - _LOOK_S + every_s:
            return known.row
        if not known.looking.acquire(timeout=_TURN_S if known.row is not None else -1):
            return known.row or self._pointers.of(name)
        try:
            now_s = self._clock_s()
            if known.row is None or now_s >= known.until_s - _LOOK_S + every_s:
                known.row, known.until_s = self._pointers.of(name), now_s + _LOOK_S
        except MainstemError as error:
            if known.row is None:
                raise
            known.until_s = now_s + _AWAY_S
            _log.warning("the live version of a datasource cannot be looked up", datasource=name, cause=str(error))
        finally:
            known.looking.release()
        return known.row

"""The rebuild of one datasource of a store that reads the topics by itself, while it is fed and asked.

The steps, and why no answer fails or goes backwards under a crash between any two of them:

1. A row says which version is being filled, then the store is told to. Whoever comes later finds both, and goes on; the
   store fills it whoever lives. Where the declaration has changed meanwhile another version is begun.
2. Both versions read on by themselves. They are compared as of what both have read, see `mainstem.rebuild.sums`.
3. All processes are made to hold their questions, until which those of the live version have seen no more than what is
   on the topic then. Once the new one answers with all of that the row points to it, in one transaction that fails
   where anything was changed meanwhile; else questions go on, and it is tried again. Where whoever swaps dies they go
   on by themselves after a few seconds.
4. The replaced version reads no more, and is kept. To roll back it reads on, and is put back in the same way.
"""

import threading
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from functools import partial

from msgspec import structs

from mainstem.errors import ConfigurationError, MainstemError, Refused, StoreBusy, StoreUnavailable
from mainstem.log.port import Log, Place
from mainstem.log.scan import last_records
from mainstem.olap.port import Datasource, Feeding, SelfFedOlap
from mainstem.rebuild.comparing import Comparison
from mainstem.rebuild.pointing import (
    HELD_S,
    SETTLED_S,
    Pointed,
    Pointers,
    begun,
    cancelled,
    dropped,
    forgotten,
    holding,
    named,
    released,
    swapped,
    version_of,
)
from mainstem.rebuild.progress import Meter, Progress, Stopped, check_whole
from mainstem.rebuild.seen import last_rows, shows
from mainstem.rebuild.sums import SumsCompared

Alone = Callable[[str], AbstractContextManager[None]]
"""Lets one rebuild of a name in at a time, of all processes; raises Refused where another is at it."""

_LOOK_S = 0.5
_SHOW_LOOK_S = 0.1
_STUCK_S = 300.0
"""How long a version may come no further: one that waits for a free task of the store, or for a part that is away."""

_LIVE_S = 30.0
_UNSERVED_S = 60.0
_ASKED_S = 12.0
"""How long a version that is to be dropped is left to the questions that it was asked: they may take ten seconds."""

_CLOSE_S = 15.0
_ROUNDS = 100
_SWAPS = 30
_MARGIN_S = 1.0


@dataclass(frozen=True)
class Versioned:
    """A store whose datasources have versions, the rows that point to these, and what keeps rebuilds apart."""

    olap: SelfFedOlap
    pointers: Pointers
    alone: Alone

    def live(self, datasource: Datasource) -> Datasource:
        """The version that is asked now."""
        return self.pointers.live(datasource)

    def stale(self, datasource: Datasource) -> bool:
        """Whether the live version is declared otherwise by now."""
        return bool(self.olap.differs(self.live(datasource)))


class VersionedRebuild:
    """Rebuilds one datasource with the thread that calls `run`."""

    def __init__(self, datasource: Datasource, log: Log, versioned: Versioned) -> None:
        self._datasource = datasource
        self._name = datasource.name
        self._log = log
        self._versioned = versioned
        self._olap = versioned.olap
        self._pointers = versioned.pointers
        self._meter = Meter(datasource.name)
        self._stop = threading.Event()
        self._number = 0

    def progress(self) -> Progress:
        """How far it is. From any thread."""
        return self._meter.now()

    def run(self, stop: threading.Event, *, swap: bool = True) -> Progress:
        """Build, compare, and swap unless that is not wanted. Until `stop`, after which another run goes on."""
        self._stop = stop
        return self._meter.during(lambda: self._one(lambda: self._build(swap=swap)), self._gone)

    def roll_back(self, stop: threading.Event) -> Progress:
        """Put what was replaced back, once it has what has come since."""
        self._stop = stop
        return self._meter.during(lambda: self._one(self._back), self._gone)

    def _one(self, work: Callable[[], None]) -> None:
        with self._versioned.alone(self._name):
            settle(self._versioned, self._name)
            work()

    def _gone(self) -> str:
        """Whether it was taken away from under this one."""
        try:
            row = self._pointers.of(self._name)
        except MainstemError:
            return ""
        gone = self._number and self._number not in (row.live, row.built, row.kept)
        return "; it was cancelled, or finished by another" if gone else ""

    def _build(self, *, swap: bool) -> None:
        row = self._begin()
        self._fill(version_of(self._datasource, row.built))
        comparison = self._compared(row)
        with suppress(StoreUnavailable):  # it is told where it can be asked, and does not decide anything
            self._meter.leaves_out(self._olap.left_out(version_of(self._datasource, row.built)), "")
        if swap:
            self._swap(row.live, row.built)
            settle(self._versioned, self._name)
        self._meter.say("done" if swap else "built", comparison=comparison)

    def _back(self) -> None:
        row = self._pointers.of(self._name)
        if not row.kept:
            raise Refused("nothing-kept", f"no version of {self._name} is kept that could be put back")
        self._number, kept = row.kept, version_of(self._datasource, row.kept)
        differs = self._olap.differs(kept)
        if differs is None or differs:
            text = "; ".join(differs or ("the store does not know it",))
            raise ConfigurationError(f"{kept.name} cannot be put back: {text}")
        self._olap.feed(kept)
        self._fill(kept)
        self._swap(row.live, row.kept)
        self._stop.wait(_ASKED_S)
        settle(self._versioned, self._name)
        self._meter.say("done")

    def _begin(self) -> Pointed:
        """Go on with what is filled, or begin."""
        row = self._pointers.of(self._name)
        differs = self._olap.differs(version_of(self._datasource, row.built)) if row.built else None
        if differs != []:
            check_whole(self._log, self._datasource.topic, "; the datasource stays as it is")
        if differs or not row.built:
            row = self._pointers.change(self._name, lambda now: begun(now, row.live, row.built))
            settle(self._versioned, self._name)
        self._number = row.built
        self._olap.feed(version_of(self._datasource, row.built))
        return row

    def _fill(self, version: Datasource) -> None:
        self._meter.begin(sum(self._olap.feeding(version).offsets.values()))
        self._catch_up(version)

    def _catch_up(self, version: Datasource) -> Mapping[Place, int]:
        """Until it has read all that was on the topic a few seconds ago; the offsets of that."""
        for _ in range(_ROUNDS):
            began_s, ends = time.monotonic(), self._ends()
            self._meter.target(sum(ends.values()))
            self._await(version, ends, _STUCK_S)
            if time.monotonic() < began_s + _CLOSE_S:
                return ends
        raise StoreBusy(f"the topic of {self._name} is written faster than {version.name} is filled")

    def _ends(self) -> dict[Place, int]:
        """Behind the last record of each partition."""
        topic = self._datasource.topic
        found = {n: last_records(self._log, topic, n, held) for n, held in self._log.ranges(topic).items()}
        return {(topic, n): records[-1].offset + 1 for n, records in found.items() if records}

    def _await(self, version: Datasource, ends: Mapping[Place, int], stuck_s: float) -> None:
        """Until it reads, and has read up to there. Raises StoreUnavailable where it comes no further for so long."""
        done, moved_s, fed = -1, time.monotonic(), Feeding({}, None)
        while True:
            try:
                fed = self._olap.feeding(version)
            except StoreUnavailable as error:
                fed = Feeding(fed.offsets, str(error))
            now = sum(min(end, fed.offsets.get(place, 0)) for place, end in ends.items())
            if now > done:
                done, moved_s = now, time.monotonic()
                self._meter.more(max(0, now - self._meter.now().records))
            if fed.trouble is None and all(fed.offsets.get(place, 0) >= end for place, end in ends.items()):
                return
            if time.monotonic() > moved_s + stuck_s:
                trouble = f": {fed.trouble}" if fed.trouble else ""
                raise StoreUnavailable(f"{version.name} has come no further for {stuck_s:g} s{trouble}")
            self._wait(_LOOK_S)

    def _wait(self, seconds: float) -> None:
        if self._stop.wait(seconds):
            raise Stopped

    def _check_stop(self) -> None:
        if self._stop.is_set():
            raise Stopped

    def _compared(self, row: Pointed) -> Comparison | None:
        """None where the live one has other columns, or none at all: this is what the rebuild is for."""
        self._meter.say("comparing")
        live, built = (version_of(self._datasource, number) for number in (row.live, row.built))
        if self._olap.differs(live):
            return None
        behind = list[str]()

        def both_read() -> None:
            ends = self._ends()
            self._await(built, ends, _STUCK_S)
            try:
                self._await(live, ends, _LIVE_S)
            except MainstemError as error:
                behind.append(str(error))

        sides = [self._olap.asked(partial(_called, version.name)) for version in (live, built)]
        checksum = self._olap.checksum(self._datasource)
        found = self._patiently(
            lambda: SumsCompared(self._datasource, checksum, sides[0], sides[1]).compared(both_read, self._check_stop)
        )
        if behind and found.differing:
            found = structs.replace(found, why=f"the live one has not read all of the topic: {behind[-1]}")
        self._meter.say("comparing", comparison=found)
        return found

    def _patiently(self, compare: Callable[[], Comparison]) -> Comparison:
        """A store that serves a part of them no more, or not yet, is asked again."""
        until_s = time.monotonic() + _UNSERVED_S
        while True:
            try:
                return compare()
            except StoreUnavailable:
                if time.monotonic() > until_s:
                    raise
                self._wait(_LOOK_S)

    def _swap(self, live: int, number: int) -> None:
        """Point to that version. Raises Fenced where it was taken away, StoreBusy where it does not come so far."""
        version = version_of(self._datasource, number)
        for _ in range(_SWAPS):
            since = self._catch_up(version)
            self._meter.say("swapping")
            if self._try(live, version, number, since):
                return
            self._wait(_LOOK_S)
        raise StoreBusy(f"{version.name} does not come to answer with all that is on the topic")

    def _try(self, live: int, version: Datasource, number: int, since: Mapping[Place, int]) -> bool:
        until_s = time.monotonic() + HELD_S - _MARGIN_S
        held = self._pointers.change(self._name, lambda now: holding(now, live, number)).held
        try:
            self._wait(SETTLED_S)
            shown = self._shown(version, since)
            while not shown(max(_LOOK_S, until_s - time.monotonic())):
                if time.monotonic() > until_s:
                    return False
                self._wait(_SHOW_LOOK_S)
            if time.monotonic() > until_s:
                return False
            self._pointers.change(self._name, lambda now: swapped(now, live, number, held))
            return True
        finally:
            self._pointers.change(self._name, lambda now: released(now, held))

    def _shown(self, version: Datasource, since: Mapping[Place, int]) -> Callable[[float], bool]:
        """Whether it answers, within so many seconds, with all that is on the topic now."""
        rows = last_rows(self._datasource, self._log, since)
        ends = self._ends() if self._datasource.rollup is not None else {}
        olap = self._olap.asked(partial(_called, version.name))
        return lambda timeout_s: self._has_read(version, ends) and shows(self._datasource, olap, rows, timeout_s)

    def _has_read(self, version: Datasource, ends: Mapping[Place, int]) -> bool:
        if not ends:
            return True
        try:
            offsets = self._olap.feeding(version).offsets
        except StoreUnavailable:
            return False
        return all(offsets.get(place, 0) >= end for place, end in ends.items())


def _called(version: str, _: str) -> str:
    """Whichever name is asked for, it is this one."""
    return version


def cancel(versioned: Versioned, name: str) -> None:
    """Drop what is built beside the live one; a rebuild that fills it fails then."""
    versioned.pointers.change(name, cancelled)
    _clear(versioned, name)


def forget(versioned: Versioned, name: str) -> None:
    """Drop what was replaced; there is no way back then."""
    versioned.pointers.change(name, forgotten)
    _clear(versioned, name)


def settle(versioned: Versioned, name: str) -> None:
    """Do what the row says is to be done, which whoever wrote it may not have come to; each of it can be done twice."""
    _clear(versioned, name)
    row = versioned.pointers.of(name)
    if row.kept:
        versioned.olap.rest(named(name, row.kept))


def _clear(versioned: Versioned, name: str) -> None:
    for number in versioned.pointers.of(name).left:
        versioned.olap.drop(named(name, number))
        versioned.pointers.change(name, partial(dropped, number))

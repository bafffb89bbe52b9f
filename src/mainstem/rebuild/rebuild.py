"""The rebuild of one view, while its listener runs and queries go on.

The steps, and why nothing is lost, sent twice or seen to go backwards under a crash between any two of them:

1. Beside the live table another is made. Each transaction that fills it keeps the offsets behind what it has filled, so
   a rebuild that was killed goes on where it was; where the code has changed meanwhile, it begins anew.
2. It never goes beyond what the live view has: of records that the listener has not done nothing is taken. Nothing is
   emitted, and no dead letter written. Keys that wait behind dead letters wait here from the same record on.
3. Both are compared as they stand at one moment, and later once more what has changed since.
4. One transaction holds the group where it is, fills what is missing up to there, compares the rest, and puts the table
   in the place of the live one, at the same offsets. Readers see one or the other; the listener goes on behind it.
5. The replaced table is kept. To roll back it is filled up to where the group is, in the same way, and put back.
"""

import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from mainstem.errors import (
    CodecError,
    ConfigurationError,
    ListenerError,
    MainstemError,
    Refused,
    StoreBusy,
    WriteConflict,
)
from mainstem.listener.binding import Binding
from mainstem.listener.moving import ahead_of
from mainstem.listener.settled import settled
from mainstem.log.port import Log, Place
from mainstem.rebuild.comparing import Comparing, Comparison, Key
from mainstem.rebuild.filling import Filled, Filler
from mainstem.rebuild.progress import Meter, Progress, Stopped, check_whole
from mainstem.rebuild.versions import UNKNOWN, code_of, is_stale, versions_of
from mainstem.table import Table
from mainstem.view.port import ViewStore, ViewTransaction

_PAGE = 40_000
_PAGES, _HELD = 10, 50_000
"""Rows are written once for so many pages, or earlier, once so many are in memory."""

_CLOSE = 2_000
"""So few records may be missing where the group is held, since its listener waits meanwhile."""

_TOUCHED_MAX = 20_000
_ROUNDS = 1_000
_ANEW = 3
_TRIES = 5


class _Anew(Exception):
    """Dead letters were retried or dropped that this version has left out."""


class Rebuild:
    """Rebuilds one binding's view with the thread that calls `run`, and more where there are several stores.

    `stores` are of one place; with several, the partitions are shared out among them.
    """

    def __init__(self, binding: Binding[Any], log: Log, stores: Sequence[ViewStore]) -> None:
        self._binding = binding
        self._log = log
        self._stores = stores
        self._views = stores[0]
        self._versions = versions_of(binding)
        self._code = code_of(binding)
        self._meter = Meter(self._versions.live.name)
        self._stop = threading.Event()
        self._table = self._versions.built
        self._begun = False
        self._filler: Filler
        self._offsets: dict[Place, int] = {}
        self._comparing: Comparing | None = None
        self._touched: set[Key] = set()

    def progress(self) -> Progress:
        """How far it is. From any thread."""
        return self._meter.now()

    def run(self, stop: threading.Event, *, swap: bool = True) -> Progress:
        """Build, compare, and swap unless that is not wanted. Until `stop`, after which another run goes on.

        What went wrong is in the progress that it returns: it raises nothing but faults of the program.
        """
        self._stop = stop
        return self._meter.during(lambda: self._build(swap=swap), self._gone)

    def roll_back(self, stop: threading.Event) -> Progress:
        """Put what was replaced back, once it has what has come since."""
        self._stop = stop
        return self._meter.during(self._back, self._gone)

    def _gone(self) -> str:
        """Whether it was taken away from under this one."""
        try:
            gone = self._begun and self._views.made_by(self._table.name) is None
        except MainstemError:
            return ""
        return "; it was cancelled, or finished by another" if gone else ""

    def _build(self, *, swap: bool) -> None:
        for attempt in range(1, _ANEW + 1):
            try:
                self._begin(anew=attempt > 1)
                self._catch_up(0)
                comparison = self._compare()
                if swap:
                    self._swap(self._versions.old)
                else:
                    self._meter.say("built", comparison=comparison)
            except _Anew:
                if attempt == _ANEW:
                    raise StoreBusy("dead letters of the view are being retried or dropped: wait for it") from None
            else:
                return

    def _back(self) -> None:
        old = self._versions.old
        if self._views.made_by(old.name) is None:
            raise Refused("nothing-kept", f"no version of {self._versions.live.name} is kept that could be put back")
        self._views.create(old)
        self._table = old
        self._open(self._views.offsets(old.name))
        self._catch_up(0)
        try:
            self._swap(None)
        except _Anew:
            text = "dead letters of the view were retried or dropped since it was replaced"
            raise Refused("no-way-back", f"{text}: what is kept has left them out") from None

    def _begin(self, *, anew: bool) -> None:
        """Go on with what was built, or begin."""
        built, views = self._table, self._views
        made_by = views.made_by(built.name)
        if anew or made_by != self._code:
            views.drop(built, built.name)
            check_whole(self._log, self._binding.topic, ", of which the view was made too; it stays as it is")
            views.create(built)
            with views.transaction() as transaction:
                transaction.mark(built.name, self._code)
        self._open(views.offsets(built.name))

    def _open(self, offsets: Mapping[Place, int]) -> None:
        positions = self._views.made_by(self._versions.group) != self._code
        known = settled(self._binding, self._log)
        self._filler = Filler(self._binding, self._log, self._table, known, positions)
        self._offsets = dict(offsets)
        self._comparing, self._touched, self._begun = None, set(), True
        self._meter.begin(sum(self._offsets.values()))

    def _catch_up(self, close: int) -> None:
        """Up to where the group is, or until no more than `close` records are missing."""
        for _ in range(_ROUNDS):
            ends = self._views.offsets(self._versions.group)
            self._check_ahead(ends)
            waiting = self._views.parked_since(self._versions.group)  # behind the offsets: it has all that they have
            self._meter.target(sum(ends.values()))
            if self._missing(ends) <= close:
                return
            self._fill(ends, waiting)
        raise StoreBusy(f"{self._versions.live.name} is written faster than it can be rebuilt")

    def _check_ahead(self, ends: Mapping[Place, int]) -> None:
        """Raises StoreBusy where the live view has more than its listener, which was moved back, has done since."""
        ahead = self._views.offsets(ahead_of(self._versions.live.name))
        if any(ends.get(place, 0) < offset for place, offset in ahead.items()):
            text = "was moved back, and its view is further than it is: wait until it is there again"
            raise StoreBusy(f"the listener {self._versions.group} {text}")

    def _missing(self, ends: Mapping[Place, int]) -> int:
        return sum(end - self._offsets.get(place, 0) for place, end in ends.items())

    def _fill(self, ends: Mapping[Place, int], waiting: Mapping[str, int]) -> None:
        """Partitions are shared out; each is filled in its order."""
        places = [place for place, end in sorted(ends.items()) if self._offsets.get(place, 0) < end]
        shares = [(store, places[number :: len(self._stores)]) for number, store in enumerate(self._stores)]
        shares = [(store, share) for store, share in shares if share]
        if len(shares) == 1:
            self._share(*shares[0], ends, waiting)
            return
        with ThreadPoolExecutor(len(shares), thread_name_prefix="rebuild") as pool:
            for each in [pool.submit(self._share, store, share, ends, waiting) for store, share in shares]:
                each.result()

    def _share(
        self, views: ViewStore, places: Sequence[Place], ends: Mapping[Place, int], waiting: Mapping[str, int]
    ) -> None:
        for place in places:
            while self._offsets.get(place, 0) < ends[place]:
                if self._stop.is_set():
                    raise Stopped
                self._page(views, place, ends[place], waiting)

    def _page(self, views: ViewStore, place: Place, end: int, waiting: Mapping[str, int]) -> None:
        """Several pages, or one where something in these goes wrong: what it is, is told of a page by itself.

        Where another writer came first it is tried again as it is.
        """
        for attempt in range(1, _TRIES + 1):
            try:
                self._pages(views, place, end, waiting, _PAGES if attempt == 1 else 1)
            except WriteConflict:
                if attempt == _TRIES:
                    raise
            except (CodecError, ListenerError):
                if attempt > 1:
                    raise
            else:
                return

    def _pages(self, views: ViewStore, place: Place, end: int, waiting: Mapping[str, int], most: int) -> None:
        stands = self._offsets.get(place)
        records, behind = self._filler.read(place, stands or 0, end, _PAGE)
        filled, pages = self._filler.fill(records, views, waiting), 1
        while pages < most and behind < end and filled.working.held() < _HELD and not self._stop.is_set():
            records, behind = self._filler.read(place, behind, end, _PAGE)
            filled, pages = self._filler.fill(records, views, waiting, filled), pages + 1
        try:
            with views.transaction() as transaction:
                transaction.check(self._table.name, {place: stands})
                filled.write(transaction, self._table.name, {place: behind})
        except CodecError as error:
            if pages > 1:
                raise
            self._filler.blame(records, views, error)
        self._touch(filled)
        self._offsets[place] = behind
        self._meter.more(behind - (stands or 0))

    def _touch(self, filled: Filled) -> None:
        """Remember which rows have changed, once there is something to compare them with."""
        if self._comparing is not None:
            self._touched |= filled.working.touched()

    def _compare(self) -> Comparison | None:
        """As both stand at one moment; rows that one of them alone has taken further are compared later."""
        versions = self._versions
        self._meter.say("comparing")
        try:
            self._views.create(versions.live)
        except ConfigurationError:  # it has other columns: this is what the rebuild is for
            return None
        self._comparing, self._touched = Comparing(versions.live, self._table), set()
        with self._views.picture() as picture:
            ends, stands = picture.offsets(versions.group), picture.offsets(self._table.name)
            waiting = self._views.parked_since(versions.group)
            for place, end in ends.items():
                begin = stands.get(place, 0)
                while begin < end:
                    records, begin = self._filler.read(place, begin, end, _PAGE)
                    # what a page makes of the rows before all of them: what rows it meets besides, another page made
                    self._touch(self._filler.fill(records, self._views, waiting))
            self._comparing.whole(picture, self._touched, self._stop.is_set)
        if self._stop.is_set():
            raise Stopped
        comparison = self._found()
        self._meter.say("comparing", comparison=comparison)
        return comparison

    def _found(self) -> Comparison | None:
        if self._comparing is None:
            return None
        if is_stale(self._views.made_by(self._versions.group), self._code):
            return self._comparing.found("the live view was made by other code")
        text = "the live view is of the same code: rows of it were changed or damaged, or the fold is not pure"
        return self._comparing.found(text)

    def _swap(self, keep: Table[Any] | None) -> None:
        self._meter.say("swapping")
        comparison = self._found()
        for _ in range(_ROUNDS):
            if self._stop.is_set():
                raise Stopped
            self._catch_up(_CLOSE)
            if len(self._touched) > _TOUCHED_MAX:
                self._compare()
            with self._views.transaction() as transaction:
                ends = transaction.hold(self._versions.group)
                self._check_ahead(ends)
                if self._missing(ends) > _CLOSE:
                    continue
                self._finish(transaction, ends)
                if self._comparing is not None:
                    self._comparing.again(transaction.get, self._touched)
                    comparison = self._found()
                if self._views.made_by(self._versions.group) is None:
                    transaction.mark(self._versions.group, UNKNOWN)  # what is kept is known by its mark
                transaction.swap(self._versions.live, self._table, self._versions.group, keep)
            self._meter.say("done", comparison=comparison)
            return
        raise StoreBusy(f"{self._versions.live.name} is written faster than it can be rebuilt")

    def _finish(self, transaction: ViewTransaction, ends: Mapping[Place, int]) -> None:
        """Take what is missing while nobody moves the group. Raises _Anew where other keys wait than were left out."""
        name = self._table.name
        waiting = self._views.parked_since(self._versions.group)
        transaction.check(name, {place: self._offsets.get(place) for place in ends})
        transaction.save(name, dict.fromkeys(ends.keys() - self._offsets.keys(), 0))
        left = dict(self._views.parked_since(name))
        for place, end in ends.items():
            begin = self._offsets.get(place, 0)
            while begin < end:
                records, behind = self._filler.read(place, begin, end, _PAGE)
                filled = self._filler.fill(records, transaction, waiting)
                filled.write(transaction, name, {place: behind})
                self._touch(filled)
                left |= filled.parked
                begin = behind
        if left != dict(waiting):
            raise _Anew
        reasons = self._views.parked(self._versions.group)
        for key in left:
            transaction.release(name, key)
        transaction.park(name, reasons, waiting)


def discard(binding: Binding[Any], views: ViewStore) -> bool:
    """Drop what was built beside the live view; whether there was something. A rebuild that fills it fails then."""
    return _drop(views, versions_of(binding).built)


def forget(binding: Binding[Any], views: ViewStore) -> bool:
    """Drop what was replaced; whether there was something. There is no way back then."""
    return _drop(views, versions_of(binding).old)


def _drop(views: ViewStore, table: Table[Any]) -> bool:
    stood = views.made_by(table.name) is not None
    views.drop(table, table.name)
    return stood

"""The rebuild of one datasource of a store that is fed here, in the steps of `mainstem.rebuild.rebuild`."""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from mainstem.errors import ConfigurationError, Refused
from mainstem.log.port import Log
from mainstem.messages import Record
from mainstem.olap.port import Datasource, Place, RebuildingOlap, declaration_of
from mainstem.rebuild.comparing import SHOWN, Comparison, Difference
from mainstem.rebuild.progress import Meter, Progress, Stopped, check_whole

_PAGE = 10_000
_CLOSE = 10_000
_ASK_S = 600.0


def built_of(name: str) -> str:
    """The name of what is built beside a datasource."""
    return f"{name}__built"


def old_of(name: str) -> str:
    """The name of what was replaced."""
    return f"{name}__old"


class DatasourceRebuild:
    """Rebuilds one datasource with the thread that calls `run`."""

    def __init__(self, datasource: Datasource, log: Log, olap: RebuildingOlap) -> None:
        self._live = datasource
        self._log = log
        self._olap = olap
        self._meter = Meter(datasource.name)
        self._stop = threading.Event()
        self._table = replace(datasource, name=built_of(datasource.name))

    def progress(self) -> Progress:
        """How far it is. From any thread."""
        return self._meter.now()

    def run(self, stop: threading.Event, *, swap: bool = True) -> Progress:
        """Build, compare, and swap unless that is not wanted. Until `stop`, after which another run goes on."""
        self._stop = stop
        return self._meter.during(lambda: self._build(swap=swap))

    def roll_back(self, stop: threading.Event) -> Progress:
        """Put what was replaced back, once it has what has come since."""
        self._stop = stop
        return self._meter.during(self._back)

    def _build(self, *, swap: bool) -> None:
        name, declaration = self._table.name, declaration_of(self._table)
        if self._olap.declared(name) != declaration:
            self._olap.drop(name)
            check_whole(self._log, self._live.topic, "; the datasource stays as it is")
        self._olap.create(self._table)
        self._meter.begin(sum(self._olap.reached(name).values()))
        self._catch_up(0 if not swap else _CLOSE)
        if not swap:
            self._compare()
            self._meter.say("built")
            return
        self._swap(old_of(self._live.name), self._compare_and_check)

    def _back(self) -> None:
        self._table = replace(self._live, name=old_of(self._live.name))
        if self._olap.declared(self._table.name) is None:
            raise Refused("nothing-kept", f"no version of {self._live.name} is kept that could be put back")
        if self._olap.declared(self._table.name) != declaration_of(self._table):
            raise ConfigurationError(
                f"{self._table.name} was declared otherwise: it can be put back by the code of before alone"
            )
        self._olap.create(self._table)
        self._meter.begin(sum(self._olap.reached(self._table.name).values()))
        self._catch_up(_CLOSE)
        self._swap(None, self._compare)

    def _swap(self, keep: str | None, seen: Callable[[], None]) -> None:
        self._meter.say("swapping")
        self._olap.swap(self._live, self._table, keep, self._rest, seen)
        self._meter.say("done")

    def _catch_up(self, close: int) -> None:
        """Up to where the live one is at the moment, or until no more than `close` records are missing."""
        while True:
            ends, stands = self._olap.reached(self._live.name), self._olap.reached(self._table.name)
            self._meter.target(sum(ends.values()))
            if sum(end - stands.get(place, 0) for place, end in ends.items()) <= close:
                return
            for records in self._pages(ends, stands):
                self._olap.ingest(self._table, records)
                self._meter.more(len(records))

    def _rest(self, ends: Mapping[Place, int]) -> Iterator[Sequence[Record]]:
        self._meter.target(sum(ends.values()))
        for records in self._pages(ends, self._olap.reached(self._table.name)):
            yield records
            self._meter.more(len(records))

    def _pages(self, ends: Mapping[Place, int], stands: Mapping[Place, int]) -> Iterator[Sequence[Record]]:
        for place, end in sorted(ends.items()):
            begin = stands.get(place, 0)
            while begin < end:
                if self._stop.is_set():
                    raise Stopped
                page = self._log.read(*place, begin, _PAGE)
                records = [record for record in page if record.offset < end]
                if not records:
                    break
                yield records
                begin = records[-1].offset + 1

    def _compare_and_check(self) -> None:
        """Raises ConfigurationError where the swap would lose facts: by its declaration or code it takes them no more.

        Not where records are late by it: to turn these away is what is declared.
        """
        self._compare()
        live, built = self._live.name, self._table.name
        lost = self._olap.misfits_beside(built, live)
        if lost.count:
            raise ConfigurationError(
                f"{lost.count} records that {live} has do not fit the new one, the first is {lost.first}; declare it"
                " so that they fit, or under another name, with what fits alone; `mainstem rebuild"
                f" {live} --cancel` drops the new one"
            )

    def _compare(self) -> None:
        """As both stand, of what is kept; rows are known by all of their values."""
        self._meter.say("comparing")
        left_out = self._olap.misfits(self._table)
        self._meter.leaves_out(left_out.count, left_out.first)
        live, built = self._live.name, self._table.name
        if self._columns(live) != self._columns(built):
            return  # it is declared otherwise: this is what the rebuild is for
        kept = self._kept()
        figures = [
            self._one(f'SELECT count(*), coalesce(sum(hash(t)::HUGEINT), 0) FROM "{n}" t{kept}') for n in (live, built)
        ]
        (live_rows, live_sum), (built_rows, built_sum) = figures
        differences, differing = list[Difference](), 0
        for one, other, side in ((live, built, "the new one has no such row"), (built, live, "the live one has not")):
            rows = f'SELECT * FROM "{one}"{kept} EXCEPT ALL SELECT * FROM "{other}"{kept}'
            differing += int(self._one(f"SELECT count(*) FROM ({rows})")[0])
            for row in self._olap.ask(f"SELECT * FROM ({rows}) LIMIT {SHOWN}", timeout_s=_ASK_S).rows:
                text = ", ".join(map(str, row))
                ours, theirs = (text, None) if one == live else (None, text)
                differences.append(Difference(str(row[0]), ours, theirs, side))
        why = "rows of the live one were changed or doubled" if differing else None
        sums = [f"{int(each) % 2**64:016x}" for each in (live_sum, built_sum)]
        shown = tuple(differences[:SHOWN])
        found = Comparison(int(live_rows), int(built_rows), sums[0], sums[1], differing, shown, why)
        self._meter.say("comparing", comparison=found)

    def _kept(self) -> str:
        """What is too old goes as others come, and not of both at once."""
        kept_from = self._live.kept_from_now()
        return "" if kept_from is None else f""" WHERE "{self._live.time}" >= TIMESTAMP '{kept_from}'"""

    def _columns(self, name: str) -> tuple[str, ...]:
        return self._olap.ask(f'SELECT * FROM "{name}" LIMIT 0').columns

    def _one(self, sql: str) -> Sequence[Any]:
        return self._olap.ask(sql, timeout_s=_ASK_S).rows[0]

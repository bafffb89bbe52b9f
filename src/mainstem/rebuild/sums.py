"""Two versions of a datasource held against each other while both are fed, by sums that the store makes.

Rows that one of them has read and the other not yet are no differences. So where the sums of a day differ, then of its
hours, then of their minutes, the rows of those minutes are looked at; then it is waited until both have read whatever
stood on the topic by then, and the rows that differed are looked at again. What still differs, differs.

Rows of a rollup are compared as they are once those that are alike are one: while it reads, a store leaves several.

Nothing is left out of the sums but what is too old to be kept, which a store drops when it comes to it, and what the
checksum of a text does: see the store's.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from mainstem.olap.port import Column, Datasource, Olap
from mainstem.rebuild.comparing import SHOWN, Comparison, Difference

_ASK_S = 600.0
_ROWS_MAX = 1_000_000
_FOUND_MAX = 10_000
_GRAINS = (("day", timedelta(days=1)), ("hour", timedelta(hours=1)), ("minute", timedelta(minutes=1)))
_BITS = 64

Row = tuple[Any, ...]
Sum = tuple[int, int]
"""Rows, and their checksums added up."""


@dataclass
class _Minute:
    """One minute as it was looked at: the sums of both, and how many more the live one has of rows that differ."""

    begin: datetime
    sums: tuple[Sum, Sum]
    more: dict[Row, int]
    checksums: dict[Row, int]


class SumsCompared:
    """Compares once; `live` and `built` answer to the datasource's name. `checksum` is SQL for a number of a row."""

    def __init__(self, datasource: Datasource, checksum: str, live: Olap, built: Olap) -> None:
        self._datasource = datasource
        self._checksum = checksum
        self._sides = (live, built)
        self._columns = [column.name for column in datasource.columns]
        self._rows = _whole(datasource)
        self._counted: list[Sum] = [(0, 0), (0, 0)]
        self._found = 0
        self._complete = True

    def compared(self, both_read: Callable[[], None], stopped: Callable[[], None]) -> Comparison:
        """`both_read` waits until both have read what is on the topic at that moment; `stopped` is asked often."""
        both_read()
        kept_from = self._datasource.kept_from_now()
        whole = [self._sums(olap, "day", kept_from, None) for olap in self._sides]
        minutes = list(self._looked(whole, 0, stopped))
        if self._found:
            both_read()
        again = [self._minute(minute.begin).more if minute.more else {} for minute in minutes]
        return self._result(minutes, again)

    def _looked(self, sums: list[Mapping[datetime, Sum]], grain: int, stopped: Callable[[], None]) -> Iterator[_Minute]:
        """The minutes whose sums differ, of the times of this grain that do; what is equal is counted."""
        _, length = _GRAINS[grain]
        for begin in sorted(sums[0].keys() | sums[1].keys()):
            live, built = (side.get(begin, (0, 0)) for side in sums)
            if live == built or self._found > _FOUND_MAX:
                self._complete &= live == built
                self._count(live, built)
                continue
            stopped()
            if grain + 1 == len(_GRAINS):
                minute = self._minute(begin)
                self._found += len(minute.more)
                self._count(*minute.sums)
                yield minute
                continue
            finer = [self._sums(olap, _GRAINS[grain + 1][0], begin, begin + length) for olap in self._sides]
            yield from self._looked(finer, grain + 1, stopped)

    def _count(self, live: Sum, built: Sum) -> None:
        for side, (rows, checksums) in enumerate((live, built)):
            counted = self._counted[side]
            self._counted[side] = (counted[0] + rows, counted[1] + checksums)

    def _sums(self, olap: Olap, grain: str, begin: datetime | None, end: datetime | None) -> Mapping[datetime, Sum]:
        bounds = [(sign, at) for sign, at in ((">=", begin), ("<", end)) if at is not None]
        where = " AND ".join(f'"__time" {sign} ?' for sign, _ in bounds)
        sql = f"""SELECT date_trunc('{grain}', "__time"), count(*), sum({self._checksum})
            FROM {self._rows}{where and f" WHERE {where}"} GROUP BY 1"""
        parameters = [at for _, at in bounds]
        rows = olap.ask(sql, parameters, row_limit=_ROWS_MAX, timeout_s=_ASK_S).rows
        return {at: (int(count), int(checksum or 0) % 2**_BITS) for at, count, checksum in rows}

    def _minute(self, begin: datetime) -> _Minute:
        names = ", ".join(f'"{name}"' for name in self._columns)
        sql = f"""SELECT {names}, {self._checksum}, count(*) FROM {self._rows}
            WHERE "__time" >= ? AND "__time" < ? GROUP BY {", ".join(map(str, range(1, len(self._columns) + 2)))}"""
        found, checksums, sums = Counter[Row](), dict[Row, int](), list[Sum]()
        for olap, sign in zip(self._sides, (1, -1), strict=True):
            rows = total = 0
            end = begin + timedelta(minutes=1)
            for *values, checksum, count in olap.ask(sql, (begin, end), row_limit=_ROWS_MAX, timeout_s=_ASK_S).rows:
                found[tuple(values)] += sign * int(count)
                checksums[tuple(values)] = int(checksum)
                rows, total = rows + int(count), total + int(count) * int(checksum)
            sums.append((rows, total))
        return _Minute(begin, (sums[0], sums[1]), {row: more for row, more in found.items() if more}, checksums)

    def _result(self, minutes: list[_Minute], again: list[dict[Row, int]]) -> Comparison:
        """What only one of them had read when it was counted is taken out of its sums."""
        differences, differing = list[Difference](), 0
        for first, then in zip(minutes, again, strict=True):
            for row, more in first.more.items():
                still = then.get(row, 0)
                late = more - still
                taken = (-abs(late), -abs(late) * first.checksums[row])
                self._count(*((taken, (0, 0)) if late > 0 else ((0, 0), taken)))
                differing += abs(still)
                if still and len(differences) < SHOWN:
                    differences.append(self._told(row, still))
        (live_rows, live_sum), (built_rows, built_sum) = self._counted
        live, built = (f"{checksum % 2**_BITS:016x}" for checksum in (live_sum, built_sum))
        why = "rows of the live one were changed, doubled or lost"
        if not self._complete:
            why = f"{why}; these are the first of them, others were not looked for"
        return Comparison(live_rows, built_rows, live, built, differing, tuple(differences), why if differing else None)

    def _told(self, row: Row, more: int) -> Difference:
        shown = dict(zip(self._columns, row, strict=True))
        key = next((str(shown[column.name]) for column in self._datasource.columns if _names(column)), str(row[0]))
        text = ", ".join(f"{name} {value}" for name, value in shown.items())
        if more > 0:
            return Difference(key, text, None, f"the live one has it {_times(more)} more than the new one")
        return Difference(key, None, text, f"the new one has it {_times(-more)} more than the live one")


def _whole(datasource: Datasource) -> str:
    """The table; of a rollup one with each period and values of the dimensions once."""
    if datasource.rollup is None:
        return f'"{datasource.name}"'
    keys = [f'"{column.name}"' for column in datasource.columns if not column.what]
    sums = {"count": "sum"}
    measures = [f'{sums.get(c.what, c.what)}("{c.name}") AS "{c.name}"' for c in datasource.columns if c.what]
    return f'(SELECT {", ".join([*keys, *measures])} FROM "{datasource.name}" GROUP BY {", ".join(keys)}) t'


def _names(column: Column) -> bool:
    return column.kind == "text"


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"

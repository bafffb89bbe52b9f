"""Two versions of a view held against each other, row by row, as they stand at one moment."""

import hashlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

import msgspec
from msgspec import Struct

from mainstem.table import Table
from mainstem.view.port import ViewPicture

_CHUNK = 1_000
_KEPT = 10_000
SHOWN = 100
_BYTES = 8
_VALUE_MAX = 200

Key = tuple[Any, ...]
Get = Callable[[Table[Any], Sequence[Key]], Mapping[Any, Any]]


class Difference(Struct, frozen=True, rename="camel"):
    """A row that differs: its key, what the live view has and what the new one (None: no row), and in what."""

    key: str
    live: str | None
    built: str | None
    why: str


class Comparison(Struct, frozen=True, rename="camel"):
    """The live view against the new one: rows, checksums over all of them, how many differ, and the first hundred.

    Rows and checksums are those of the moment at which the whole was compared; what has changed since was compared
    again, row by row, when the views were swapped.
    """

    live_rows: int
    built_rows: int
    live_checksum: str
    built_checksum: str
    differing: int
    differences: tuple[Difference, ...] = ()
    why: str | None = None


class Comparing:
    """Holds `live` against `built`; keys that are compared again have the later verdict."""

    def __init__(self, live: Table[Any], built: Table[Any]) -> None:
        self._live, self._built = live, built
        self._rows, self._sums = [0, 0], [0, 0]
        self._differing: dict[Key, Difference] = {}
        self._more = 0

    def whole(self, picture: ViewPicture, moving: Collection[Key], stopped: Callable[[], bool]) -> None:
        """All rows but those under the keys that `moving` has, which one version alone has taken already."""
        self._rows, self._sums, self._more = [0, 0], [0, 0], 0
        self._differing.clear()
        passes = ((self._built, self._live, False), (self._live, self._built, True))
        for one, other, only_missing in passes:
            for rows in _chunks(row for row in picture.scan(one) if one.key_of(row) not in moving):
                if stopped():
                    return
                mine = {one.key_of(row): row for row in rows}
                theirs = picture.get(other, list(mine))
                self._take(mine, theirs, only_missing)

    def _take(self, mine: Mapping[Key, Any], theirs: Mapping[Key, Any], only_missing: bool) -> None:
        """Both sides are counted where each is scanned; rows that both have are compared once."""
        side = 0 if only_missing else 1
        for key, row in mine.items():
            self._rows[side] += 1
            self._sums[side] += _checksum(row)
            other = theirs.get(key)
            if only_missing:
                if other is None:
                    self._tell(key, row, None)
            elif other is None or other != row:
                self._tell(key, other, row)

    def again(self, get: Get, keys: Iterable[Key]) -> None:
        """Those keys, both tables as `get` has them."""
        waiting = iter(keys)
        while chunk := list(islice(waiting, _CHUNK)):
            lives, builts = get(self._live, chunk), get(self._built, chunk)
            for key in chunk:
                self._differing.pop(key, None)
                live, built = lives.get(key), builts.get(key)
                if live != built:
                    self._tell(key, live, built)

    def found(self, why: str) -> Comparison:
        """What came of it; `why` says what is known of the reason, where rows differ."""
        first = tuple(islice(self._differing.values(), SHOWN))
        differing = len(self._differing) + self._more
        live, built = (f"{each % 2 ** (8 * _BYTES):0{2 * _BYTES}x}" for each in self._sums)
        live_rows, built_rows = self._rows
        return Comparison(live_rows, built_rows, live, built, differing, first, why if differing else None)

    def _tell(self, key: Key, live: Any, built: Any) -> None:
        if len(self._differing) >= _KEPT:
            self._more += 1
            return
        table = self._live
        name, why = " ".join(map(str, key)), _why(table, live, built)
        self._differing[key] = Difference(name, _shown(table, live), _shown(table, built), why)


def _chunks(rows: Iterable[Any]) -> Iterator[list[Any]]:
    waiting = iter(rows)
    while chunk := list(islice(waiting, _CHUNK)):
        yield chunk


def _checksum(row: Struct) -> int:
    """Of one row; those of a table are added up, so that their order does not matter."""
    return int.from_bytes(hashlib.blake2b(msgspec.json.encode(row), digest_size=_BYTES).digest())


def _why(table: Table[Any], live: Any, built: Any) -> str:
    if live is None:
        return "the live view has no such row"
    if built is None:
        return "the new one has no such row"
    columns = [c.name for c in table.columns if getattr(live, c.name) != getattr(built, c.name)]
    return f"differs in {', '.join(columns)}"


def _shown(table: Table[Any], row: Any) -> str | None:
    if row is None:
        return None
    values = zip((c.name for c in table.columns), table.values(row), strict=True)
    return ", ".join(f"{name} {str(value)[:_VALUE_MAX]}" for name, value in values if name not in table.key)

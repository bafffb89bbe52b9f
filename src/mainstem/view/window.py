"""Windows of event time: a row for each key and window, made of what single messages make and of how two rows merge.

Nothing here does I/O or looks at a clock. Since rows are merged, not folded in the order in which messages come, a late
message corrects its window, and any order leads to the same rows.
"""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Generic, NamedTuple, TypeVar

from msgspec import Struct

from mainstem.errors import ConfigurationError
from mainstem.table import Table

M = TypeVar("M")
R = TypeVar("R", bound=Struct)

_WINDOWS_MAX = 100
"""How many sliding windows a message may be in."""


class Window(NamedTuple):
    """From `begin_ms` on and before `end_ms`, in milliseconds since the epoch."""

    begin_ms: int
    end_ms: int


@dataclass(frozen=True)
class Tumbling:
    """Windows of one size, one behind the other; they begin at multiples of it since the epoch (UTC)."""

    size_ms: int

    def __post_init__(self) -> None:
        _check_positive("size_ms", self.size_ms)

    def of(self, at_ms: int) -> Sequence[Window]:
        """The window that a time is in."""
        return _windows(at_ms - at_ms % self.size_ms, self.size_ms, self.size_ms)


@dataclass(frozen=True)
class Sliding:
    """Windows of one size of which one begins every `every_ms`, so that each time is in several."""

    size_ms: int
    every_ms: int

    def __post_init__(self) -> None:
        _check_positive("every_ms", self.every_ms)
        if self.size_ms % self.every_ms or not 1 <= self.size_ms // self.every_ms <= _WINDOWS_MAX:
            text = f"1 to {_WINDOWS_MAX} times its every_ms"
            raise ConfigurationError(f"a sliding window's size_ms must be {text}, not {self.size_ms}")

    def of(self, at_ms: int) -> Sequence[Window]:
        """The windows that a time is in, the earliest first."""
        last = at_ms - at_ms % self.every_ms
        return _windows(last, self.size_ms, self.every_ms)


@lru_cache(maxsize=1_024)
def _windows(last_ms: int, size_ms: int, every_ms: int) -> Sequence[Window]:
    """Those of which the last begins then: what comes together is of few moments."""
    begins = range(last_ms - size_ms + every_ms, last_ms + 1, every_ms)
    return tuple(Window(begin, begin + size_ms) for begin in begins)


@dataclass(frozen=True)
class Session:
    """Windows of what follows each other by less than `gap_ms`: each ends that long behind its last message."""

    gap_ms: int

    def __post_init__(self) -> None:
        _check_positive("gap_ms", self.gap_ms)

    def of(self, at_ms: int) -> Sequence[Window]:
        """The session of one message alone. Those that overlap are one."""
        return (Window(at_ms, at_ms + self.gap_ms),)


@dataclass(frozen=True)
class Windowed(Generic[M, R]):
    """One row per key and window: `make(message, window)` is the row of the message alone, or None where it counts for
    nothing, and `merge(row, row)` that of both, in whatever order and however they are put together.

    `make` is asked once for each message, about the last window that it is in; in the others it counts for the same.
    Windows are set by what they are.

    The table's key is that of `key(message)` and behind it `begin_ms`; a column `end_ms` is there too. The messages of
    one key stand in one partition. `done(row, message)` tells of a capture that sends again, as a Fold's does: the
    versions of one aggregate rise, so a row that has the highest of its messages knows.

    With `keep_ms` a key's windows go that end so long before its newest window; what would be in one of these comes too
    late and changes nothing. Raises ConfigurationError for a table that does not fit.
    """

    table: Table[R]
    window: Tumbling | Sliding | Session
    key: Callable[[M], tuple[Hashable, ...]]
    at_ms: Callable[[M], int]
    make: Callable[[M, Window], R | None]
    merge: Callable[[R, R], R]
    done: Callable[[R, M], bool] | None = None
    keep_ms: int | None = None

    def __post_init__(self) -> None:
        kinds = {column.name: (column.kind, column.nullable) for column in self.table.columns}
        if any(kinds.get(name) != ("integer", False) for name in ("begin_ms", "end_ms")):
            raise ConfigurationError(f"windows need integers begin_ms and end_ms, which {self.table.name} has not")
        if self.table.key[-1] != "begin_ms":
            raise ConfigurationError(f"the key of windows ends with begin_ms; that of {self.table.name} does not")
        if self.keep_ms is not None:
            _check_positive("keep_ms", self.keep_ms)


def _check_positive(name: str, value: object) -> None:
    if not isinstance(value, int) or value < 1:
        raise ConfigurationError(f"{name} of a window must be a whole number, at least 1, not {value!r}")

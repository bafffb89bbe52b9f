"""How the parts and stages of an application are doing: what was seen, what does not work, and since when."""

import threading
from datetime import UTC, datetime

from msgspec import Struct

WORKS = "running"
"""The state of what works."""


class Trouble(Struct, frozen=True):
    """What does not work, and since when (ISO 8601, UTC)."""

    what: str
    since: str


class Seen(Struct, frozen=True):
    """What a look at a part or stage has found. `lag` counts messages, `lag_s` is how long the oldest has waited.

    Both are None where that could not be asked. `holds` is whether what it has handled can still be asked for.
    `handled` grows by one with each message that is handled, from any beginning; `rejected` are messages that were
    left out since they do not fit. Both are None where nobody counts.
    """

    state: str = WORKS
    trouble: str | None = None
    lag: int | None = 0
    lag_s: float | None = 0.0
    parked: int = 0
    holds: bool = True
    handled: int | None = None
    rejected: int | None = None

    @property
    def works(self) -> bool:
        """Whether it does what it is for, or was told to pause."""
        return self.state in (WORKS, "paused")


def unseen(state: str, trouble: str) -> Seen:
    """What could not be looked at."""
    return Seen(state, trouble, None, None)


class Part(Struct, frozen=True):
    """A server that the application stands on."""

    name: str
    state: str
    trouble: str | None = None
    since: str | None = None


class Hop(Struct, frozen=True, rename="camel"):
    """One stage behind the command side, and how many keys are parked behind a dead letter.

    By how many messages and seconds it is behind (None where that cannot be asked), its trouble, if any, since when.
    `handled` grows with each message that it handles, and begins anew with its process; `rejected` are those that a
    datasource left out since they do not fit it. Both are None where nobody counts.
    """

    name: str
    state: str
    lag: int | None
    lag_s: float | None = 0.0
    trouble: str | None = None
    since: str | None = None
    parked: int = 0
    handled: int | None = None
    rejected: int | None = None


class Memory:
    """Since when each thing has not worked."""

    def __init__(self) -> None:
        self._since: dict[str, str] = {}
        self._using = threading.Lock()

    def since(self, name: str, works: bool, now_ms: int) -> str | None:
        """From the first look that found it so; None while it works."""
        with self._using:
            if works:
                self._since.pop(name, None)
                return None
            return self._since.setdefault(name, _iso_time(now_ms))


def hop_of(name: str, seen: Seen, since: str | None) -> Hop:
    """A stage as it was seen."""
    lag_s = None if seen.lag_s is None else round(seen.lag_s, 3)
    return Hop(name, seen.state, seen.lag, lag_s, seen.trouble, since, seen.parked, seen.handled, seen.rejected)


def trouble_of(found: Part | Hop) -> Trouble:
    """Of something that does not work."""
    return Trouble(found.trouble or found.state, found.since or "")


def waited_s(oldest_ms: int | None, now_ms: int) -> float:
    """How long what has come at that time has waited, in seconds; 0.0 for nothing, or where its clock is ahead."""
    return 0.0 if oldest_ms is None else max(0.0, (now_ms - oldest_ms) / 1000)


def _iso_time(at_ms: int) -> str:
    """As ISO 8601 in UTC, to the second."""
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

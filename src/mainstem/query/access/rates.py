"""How often a caller may ask: one bucket of tokens for each, for a bounded number of callers."""

import math
import time
from collections.abc import Callable

from mainstem.errors import TooManyRequests

_CALLERS_MAX = 10_000


class Rates:
    """At most `per_minute` requests a minute of each caller over time, and at most `burst` at once.

    Of more than `callers_max` callers, the one that has not asked for the longest time is forgotten.
    """

    def __init__(
        self,
        per_minute: int,
        burst: int,
        *,
        callers_max: int = _CALLERS_MAX,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._per_s = per_minute / 60
        self._per_minute = per_minute
        self._burst = float(burst)
        self._callers_max = callers_max
        self._clock_s = clock_s
        self._buckets: dict[str, tuple[float, float]] = {}

    def take(self, caller: str) -> None:
        """Count one request. Raises TooManyRequests where the caller's bucket is empty."""
        now = self._clock_s()
        left, at = self._buckets.pop(caller, (self._burst, now))
        left = min(self._burst, left + (now - at) * self._per_s)
        allowed = left >= 1
        self._buckets[caller] = (left - 1 if allowed else left, now)  # behind all others: the last that has asked
        if len(self._buckets) > self._callers_max:
            del self._buckets[next(iter(self._buckets))]
        if not allowed:
            text = f"a caller may make {self._per_minute} requests a minute, {self._burst:.0f} of them at once"
            raise TooManyRequests(text, math.ceil((1 - left) / self._per_s))

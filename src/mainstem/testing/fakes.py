"""Time and names as a test has them: known beforehand, and moved by nobody else."""

from itertools import count

_BEGIN_MS = 1_700_000_000_000


class FakeClock:
    """Stands until it is moved. Called, it says the time as `clock_ms` of a store, a writer or `embedded` does."""

    def __init__(self, now_ms: int = _BEGIN_MS) -> None:
        self.now_ms = now_ms

    def __call__(self) -> int:
        return self.now_ms

    def advance(self, *, s: float = 0, ms: int = 0) -> int:
        """Move it by so much, back where that is negative, as clocks are at times. The time then."""
        self.now_ms += ms + round(s * 1000)
        return self.now_ms


class FakeIds:
    """Names in their order: `card-1`, `card-2`. Each of them is given once."""

    def __init__(self, prefix: str = "id") -> None:
        self._prefix = prefix
        self._numbers = count(1)

    def __call__(self) -> str:
        return f"{self._prefix}-{next(self._numbers)}"

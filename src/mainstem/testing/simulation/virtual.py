"""Time and chance of a simulation: a clock that moves only when it is moved, and random bytes that the seed makes."""

import os
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

BEGIN_MS = 1_700_000_000_000
_MS, _S = 1_000_000, 1_000_000_000


class VirtualTime:
    """Called, it says the time as any `clock_ms` does. Times are milliseconds."""

    def __init__(self, begin_ms: int = BEGIN_MS) -> None:
        self._wall_ns = self._latest_ns = begin_ms * _MS
        self._ran_ns = _S

    def __call__(self) -> int:
        return self._wall_ns // _MS

    @property
    def ran_ms(self) -> int:
        """How long it has run, leaps left out."""
        return (self._ran_ns - _S) // _MS

    def run(self, ms: float) -> None:
        """So much time passes."""
        passed = max(0, round(ms * _MS))
        self._wall_ns += passed
        self._ran_ns += passed

    def leap(self, ms: int) -> None:
        """The clock on the wall is put forward or back; no time passes."""
        self._latest_ns = max(self._latest_ns, self._wall_ns)
        self._wall_ns += ms * _MS

    def catch_up(self) -> None:
        """A clock that was put back is put right."""
        self._wall_ns = max(self._latest_ns, self._wall_ns)

    @contextmanager
    def everywhere(self, seed: int) -> Iterator[None]:
        """Within, this thread has no other time than this one, and no other chance than that of the seed.

        Whatever asks `time`, `random`, `secrets`, `uuid4` or `os.urandom` is told so, the application too; other
        threads are left alone, but for what `random` gives them. SQLite is told by `statements`.
        """
        chance = random.Random(f"{seed} chance")
        told: dict[str, Callable[..., Any]] = {
            "time": lambda: self._wall_ns / _S,
            "time_ns": lambda: self._wall_ns,
            "monotonic": lambda: self._ran_ns / _S,
            "monotonic_ns": lambda: self._ran_ns,
            "perf_counter": lambda: self._ran_ns / _S,
            "perf_counter_ns": lambda: self._ran_ns,
            "sleep": lambda seconds: self.run(seconds * 1000),
        }
        with ExitStack() as stack:
            for name, answer in told.items():
                stack.enter_context(patch.object(time, name, _here(answer, getattr(time, name))))
            for module, name in ((os, "urandom"), (random, "_urandom")):
                real = getattr(module, name)
                stack.enter_context(patch.object(module, name, _here(chance.randbytes, real)))
            stack.callback(random.setstate, random.getstate())
            random.seed(f"{seed} chance")
            yield


def _here(answer: Callable[..., Any], real: Callable[..., Any]) -> Callable[..., Any]:
    """The answer for the thread that calls now, the real one for all others."""
    own = threading.get_ident()
    return lambda *given: answer(*given) if threading.get_ident() == own else real(*given)


class VirtualStop(threading.Event):
    """An event that nobody sets: who waits for it lets the time pass."""

    def __init__(self, clock: VirtualTime) -> None:
        super().__init__()
        self._clock = clock

    def wait(self, timeout: float | None = None) -> bool:
        """At once; False, since it is not set."""
        self._clock.run((timeout or 0.0) * 1000)
        return self.is_set()

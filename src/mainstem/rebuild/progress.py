"""How far a rebuild is: what one thread works at, and others look at."""

import threading
import time
from collections.abc import Callable

from msgspec import Struct
from msgspec.structs import replace

from mainstem.errors import MainstemError, OffsetOutOfRange
from mainstem.log.port import Log
from mainstem.rebuild.comparing import Comparison

_ENDED = ("done", "built", "stopped", "cancelled", "failed")


class Stopped(Exception):
    """Whoever runs a rebuild has been told to stop."""


class Progress(Struct, frozen=True, rename="camel"):
    """A picture of one rebuild, or of a roll back.

    `state` is filling, comparing, swapping; at the end done, built (and not to be swapped), stopped, cancelled or
    failed, with the `error`. `records` of `of` are done, `resumed` of them before this process went on with it;
    `rate` is in records a second, `left_s` the seconds that the rest will take, None where nothing tells. `left_out`
    records do not fit what is built, and `first_left_out` says where the first is and why, where the store knows it.
    """

    view: str
    state: str
    records: int = 0
    of: int = 0
    resumed: int = 0
    rate: float = 0.0
    left_s: float | None = None
    comparison: Comparison | None = None
    error: str | None = None
    left_out: int = 0
    first_left_out: str = ""

    @property
    def ended(self) -> bool:
        """Whether nobody works at it any more."""
        return self.state in _ENDED


class Meter:
    """The progress of one rebuild as it goes on."""

    def __init__(self, view: str, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._clock_s = clock_s
        self._lock = threading.Lock()
        self._began_s = clock_s()
        self._now = Progress(view, "filling")

    def begin(self, resumed: int) -> None:
        """So many records are done from before."""
        with self._lock:
            self._began_s = self._clock_s()
            self._now = replace(self._now, state="filling", records=resumed, resumed=resumed, of=resumed)

    def more(self, records: int) -> None:
        """So many more are done."""
        with self._lock:
            done = self._now.records + records
            took_s = self._clock_s() - self._began_s
            rate = (done - self._now.resumed) / took_s if took_s > 0 else 0.0
            left_s = max(0, self._now.of - done) / rate if rate else None
            self._now = replace(self._now, records=done, rate=round(rate, 1), left_s=left_s)

    def target(self, records: int) -> None:
        """So many are to be done in all."""
        with self._lock:
            self._now = replace(self._now, of=records)

    def leaves_out(self, records: int, first: str) -> None:
        """So many do not fit; and of the first why, where that is known."""
        with self._lock:
            self._now = replace(self._now, left_out=records, first_left_out=first)

    def say(self, state: str, *, comparison: Comparison | None = None, error: str | None = None) -> None:
        """What is being done, or has ended."""
        with self._lock:
            known = comparison or self._now.comparison
            self._now = replace(self._now, state=state, comparison=known, error=error)

    def now(self) -> Progress:
        """A picture of the moment."""
        with self._lock:
            return self._now

    def during(self, work: Callable[[], None], more: Callable[[], str] = str) -> Progress:
        """How it has ended; `more` is said behind an error. It raises nothing but faults of the program."""
        try:
            work()
        except Stopped:
            self.say("stopped")
        except MainstemError as error:
            self.say("failed", error=f"{type(error).__name__}: {error}{more()}")
        except BaseException as error:
            self.say("failed", error=f"a fault in the program: {type(error).__name__}; it was logged")
            raise
        return self.now()


def check_whole(log: Log, topic: str, why: str) -> None:
    """Raises OffsetOutOfRange, which says `why` that matters, where records of the topic are gone."""
    for partition, held in log.ranges(topic).items():
        if held.begin:
            text = f"{topic}/{partition} begins at offset {held.begin}: retention has removed what came before"
            raise OffsetOutOfRange(f"{text}{why}")

"""From the capture to the log: the position goes into the log with the records, so that a crash repeats nothing."""

import threading

import structlog
from msgspec import Struct

from mainstem.cdc.port import Capture
from mainstem.log.port import LocalLog

_log = structlog.get_logger(__name__)

_WAIT_S = 0.5
_PACE_S = 0.01
_LOADED_PACE_S = 0.1
_LOADED = 64
"""Between two batches: what comes meanwhile goes together, and the write side has the machine for itself."""

_TROUBLE_FIRST_S = 0.05
_TROUBLE_LONGEST_S = 5.0


class RelayStatus(Struct, frozen=True):
    """A picture of the relay: running, stalled or stopped; why; by how many changes it is behind, and since when.

    `moved` counts the records that this one has put on the log.
    """

    state: str
    reason: str | None
    lag: int
    oldest_ms: int | None
    moved: int


def producer_of(name: str) -> str:
    """The name under which the log remembers how far the capture of an application has come."""
    return f"capture-{name}"


class Relay:
    """Moves changes, in the thread that calls `run`."""

    def __init__(
        self, capture: Capture, log: LocalLog, name: str, *, batch_max: int = 2_000, release_every: int = 5_000
    ) -> None:
        self._capture = capture
        self._log = log
        self._name = producer_of(name)
        self._batch_max = batch_max
        self._release_every = release_every
        self._position = log.last_sequence(self._name) or 0
        self._released = 0
        self._moved = 0
        self._state, self._reason = "stopped", None

    _state: str
    _reason: str | None

    def run(self, stop: threading.Event) -> None:
        """Move changes until `stop`; trouble with a store is waited out, for seconds at most each time."""
        wait_s = _TROUBLE_FIRST_S
        self._state = "running"
        while not stop.is_set():
            try:
                if taken := self.step():
                    stop.wait(self._pause_s(taken))
                else:
                    self._capture.wait(self._position, _WAIT_S)
            except Exception as error:
                self._state, self._reason = "stalled", f"{type(error).__name__}: {error}"
                _log.exception("the relay is stalled", cause=self._reason)
                stop.wait(wait_s)
                wait_s = min(wait_s * 2, _TROUBLE_LONGEST_S)
            else:
                wait_s = _TROUBLE_FIRST_S
                self._state, self._reason = "running", None
        self._state = "stopped"

    def _pause_s(self, taken: int) -> float:
        """After a batch of so many; none where more waits, so that no load is more than it can follow."""
        if taken >= self._batch_max:
            return 0.0
        return _LOADED_PACE_S if taken > _LOADED else _PACE_S

    def step(self) -> int:
        """One batch: how many records were appended."""
        batch = self._capture.read(self._position, self._batch_max)
        if batch.position == self._position:
            return 0
        taken = self._log.append(batch.records, producer=self._name, sequence=batch.position)
        self._position = batch.position
        self._moved += taken
        if self._position - self._released >= self._release_every:
            self._capture.release(self._position)
            self._released = self._position
        return taken

    def drain(self) -> None:
        """Bring over what the capture holds by now, in the caller's thread."""
        for _ in range(self._capture.lag(self._position)):
            if not self._capture.lag(self._position):
                return
            self.step()

    def status(self) -> RelayStatus:
        """A picture of the moment."""
        position = self._position
        lag, oldest_ms = self._capture.lag(position), self._capture.oldest_ms(position)
        return RelayStatus(self._state, self._reason, lag, oldest_ms, self._moved)

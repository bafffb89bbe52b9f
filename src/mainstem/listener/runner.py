"""Running one listener: poll, handle, send, commit, and again.

The steps of a batch, and why its effect is exactly once under a crash between any two of them:

1. Poll records from the offsets that the view store keeps for the group, not from the log's own.
2. Handle them in memory. Nothing has been written.
3. Append to the log what they lead to (messages, dead letters). After a crash the same batch, or another cut of it, is
   handled again and appends records of the same identities, which the log does not take twice.
4. One view transaction: rows, parked keys, positions, and the offsets behind the batch. From here on it is done.
5. Tell the log the group's offsets, once in a second. They only show others how far it is.
"""

import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import structlog
from msgspec import Struct

from mainstem.errors import CodecError, ListenerError, MainstemError, RecordTooLarge
from mainstem.listener.batch import Batches, Interrupted, Outcome
from mainstem.listener.binding import Binding
from mainstem.listener.dead_letters import DeadLetter, DeadLetters
from mainstem.log.port import Consumer, Log, Place, Topic
from mainstem.messages import Record
from mainstem.view.port import ViewStore, ViewTransaction

_log = structlog.get_logger(__name__)

_POLL_S = 0.5
_TELL_EVERY_S = 1.0
_STALLED_FIRST_S = 0.05
_STALLED_LONGEST_S = 5.0
_LETTER_BYTES = 65_536
"""By how much a dead letter may be larger than its record: the cause, the traceback and the origin."""


class ListenerStatus(Struct, frozen=True):
    """A picture of one listener: running, paused, stalled or stopped; why; and by how many records it is behind."""

    state: str
    reason: str | None
    handled: int
    dead: int
    parked: int
    lag: Mapping[int, int]


@dataclass(frozen=True)
class _Figures:
    running: bool = False
    stalled: str | None = None
    handled: int = 0
    dead: int = 0


class Runner:
    """Runs one binding in the thread that calls `run`."""

    def __init__(self, binding: Binding[Any], log: Log, views: ViewStore) -> None:
        self.binding = binding
        self._log = log
        self._views = views
        self._batches = Batches(binding, log, views)
        self._letters = DeadLetters(binding, log, views, self._batches)
        self._between = threading.Lock()
        self._consumer: Consumer | None = None
        self._offsets: dict[Place, int] = {}
        self._told: dict[Place, int] = {}
        self._told_at = 0.0
        self._parked: set[str] = set()
        self._figures = _Figures()
        self._resumed = threading.Event()
        self._resumed.set()
        self._stop = threading.Event()

    def run(self, stop: threading.Event) -> None:
        """Run until `stop`. A store that fails stalls the listener; it goes on by itself when that is over."""
        self._stop = stop
        wait_s = _STALLED_FIRST_S
        self._figures = replace(self._figures, running=True, stalled=None)
        try:
            while not stop.is_set():
                if not self._resumed.wait(_POLL_S):
                    continue
                try:
                    self.step(_POLL_S)
                except Interrupted:
                    return
                except Exception as error:
                    self._stalled(error)
                    stop.wait(wait_s)
                    wait_s = min(wait_s * 2, _STALLED_LONGEST_S)
                else:
                    wait_s = _STALLED_FIRST_S
                    self._going()
        finally:
            self._leave()
            self._figures = replace(self._figures, running=False)

    def step(self, timeout_s: float = 0.0) -> int:
        """One batch: the number of records that were done. Waits up to `timeout_s` for the first."""
        if self._consumer is None:
            self._consumer = self._join()
        try:
            records = self._consumer.poll(self.binding.batch_max, timeout_s)
            if records:
                self._do(records)
            if not records or time.monotonic() > self._told_at + _TELL_EVERY_S:
                self._tell(self._consumer)
        except BaseException:
            self._leave()  # what was polled is polled again, from the offsets that the views keep
            raise
        return len(records)

    def dead_letters(self, key: str | None = None, limit: int = 100) -> list[DeadLetter]:
        """The first `limit` records that wait, of one parked key (or ListenerError) or of all, by key, oldest first."""
        return self._letters.of(key, limit)

    def retry(self, key: str) -> int:
        """Handle a parked key's letters anew, in their order; how many. From any thread, between two batches.

        Raises ListenerError where one fails again: those before it are done, it and those behind it wait as before.
        """
        done, more = 0, True
        while more:
            with self._between:
                try:
                    retried = self._letters.retry(key, self._stop.wait, self._write)
                except Interrupted as error:
                    raise ListenerError(f"the listener is stopping; {done} dead letters of {key!r} are done") from error
                done, more = done + retried.done, retried.more
                if retried.failure is not None:
                    raise ListenerError(f"{done} dead letters of {key!r} are done, the next fails: {retried.failure}")
                if not more:
                    self._parked.discard(key)
            _log.info("dead letters are handled", group=self.binding.group, key=key[:200], letters=done)
        return done

    def drop(self, key: str, why: str) -> int:
        """Leave a parked key's letters for good, with the reason on record; how many. Raises ListenerError."""
        with self._between:
            count = self._letters.drop(key, why)
            self._parked.discard(key)
        _log.info("dead letters are dropped", group=self.binding.group, key=key[:200], letters=count, reason=why[:200])
        return count

    def pause(self) -> None:
        """Begin no further batch."""
        self._resumed.clear()

    def resume(self) -> None:
        """Go on."""
        self._resumed.set()

    def status(self) -> ListenerStatus:
        """A picture of the moment."""
        figures = self._figures
        done = self._offsets or self._views.offsets(self.binding.group)
        ranges = self._log.ranges(self.binding.topic)
        lag = {n: held.end - done.get((self.binding.topic, n), held.begin) for n, held in ranges.items()}
        parked = len(self._parked)
        return ListenerStatus(self._state(figures), figures.stalled, figures.handled, figures.dead, parked, lag)

    def _state(self, figures: _Figures) -> str:
        if not figures.running:
            return "stopped"
        if not self._resumed.is_set():
            return "paused"
        return "running" if figures.stalled is None else "stalled"

    def _join(self) -> Consumer:
        group, topic = self.binding.group, self.binding.topic
        ranges, kept = self._log.ranges(topic), self._views.offsets(group)
        self._make_dead_letter_topic()
        self._offsets = {(topic, n): kept.get((topic, n), held.begin) for n, held in ranges.items()}
        if not self._offsets.keys() <= kept.keys():  # from here on, what retention removes unread is told
            with self._views.transaction() as transaction:
                transaction.save(group, self._offsets)
        self._parked = set(self._views.parked(group))
        consumer = self._log.consumer(group, [topic])
        consumer.seek(self._offsets)
        return consumer

    def _make_dead_letter_topic(self) -> None:
        """With room for any record of the topic and its cause. What is declared of its retention stays."""
        topics = self._log.topics()
        heard = topics[self.binding.topic]
        stands = topics.get(self.binding.dead_letter_topic, Topic(self.binding.dead_letter_topic, heard.partitions))
        room = max(stands.record_max_bytes, heard.record_max_bytes + _LETTER_BYTES)
        self._log.create(replace(stands, partitions=heard.partitions, record_max_bytes=room))

    def _do(self, records: Sequence[Record]) -> None:
        with self._between:
            self._handle(records)

    def _handle(self, records: Sequence[Record]) -> None:
        offsets = {(record.topic, record.partition): record.offset + 1 for record in records}
        outcome = self._batches.handle(records, self._parked, self._stop.wait)
        try:
            self._commit(outcome, offsets)
        except (CodecError, RecordTooLarge):  # what no table or topic can hold, found when it was written
            outcome = self._batches.carefully(records, self._parked, self._stop.wait)
            self._commit(outcome, offsets)
        self._offsets.update(offsets)
        for key in outcome.parked.keys() - self._parked:
            cause = outcome.parked[key]
            _log.warning("a dead letter parks its key", group=self.binding.group, key=key[:200], cause=cause)
        self._parked.update(outcome.parked)
        figures = self._figures
        self._figures = replace(figures, handled=figures.handled + len(records), dead=figures.dead + outcome.dead)

    def _tell(self, consumer: Consumer) -> None:
        """The group's offsets in the log only show others how far it is: they may be late, and they may be lost."""
        self._told_at = time.monotonic()
        if self._offsets == self._told:
            return
        try:
            consumer.commit(self._offsets)
            self._told = dict(self._offsets)
        except MainstemError as error:
            _log.warning("offsets were not told to the log", group=self.binding.group, cause=str(error))

    def _commit(self, outcome: Outcome, offsets: Mapping[Place, int]) -> None:
        if outcome.outgoing:
            self._log.append(outcome.outgoing)
        with self._views.transaction() as transaction:
            self._write(outcome, transaction)
            transaction.save(self.binding.group, offsets)

    def _write(self, outcome: Outcome, transaction: ViewTransaction) -> None:
        if outcome.working is not None:
            outcome.working.write(transaction)
        if outcome.parked:
            transaction.park(self.binding.group, outcome.parked, outcome.since)
        transaction.save(self.binding.group, {}, outcome.positions)

    def _leave(self) -> None:
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            self._tell(consumer)
            consumer.close()

    def _stalled(self, error: Exception) -> None:
        reason = f"{type(error).__name__}: {error}"
        if self._figures.stalled != reason:
            known = isinstance(error, MainstemError)
            _log.error("listener is stalled", group=self.binding.group, cause=reason, exc_info=None if known else error)
        self._figures = replace(self._figures, stalled=reason)

    def _going(self) -> None:
        if self._figures.stalled is not None:
            _log.info("listener goes on", group=self.binding.group)
            self._figures = replace(self._figures, stalled=None)

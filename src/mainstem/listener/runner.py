"""Running one listener: poll, handle, send, commit, and again.

The steps of a batch, and why its effect is exactly once under a crash between any two of them:

1. Poll records from the offsets that the view store keeps for the group, not from the log's own.
2. Handle them in memory. Nothing has been written.
3. Send what they lead to (messages, dead letters) and the group's offsets, in one transaction of the log. After a crash
   behind it the log's offsets are further than the view's. What lies between is handled again for the view alone: its
   messages are not sent again, and the keys that have dead letters from there are parked as they were to be.
4. One view transaction: rows, parked keys, positions, and the offsets behind the batch. From here on it is done.
5. Tell the log the group's offsets, once in a second, where nothing was to be sent.

A view that was lost is filled from the topic's begin in the same way: what was sent is not sent again.
"""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import structlog
from msgspec import Struct

from mainstem.errors import CodecError, Fenced, ListenerError, MainstemError, RecordTooLarge
from mainstem.listener.batch import Batches, Interrupted, Outcome
from mainstem.listener.binding import Binding, RetryPolicy
from mainstem.listener.dead_letters import Also, DeadLetter, DeadLetters, Retried, Send
from mainstem.listener.watch import Watch
from mainstem.log.lag import Lag, lag_of
from mainstem.log.port import Consumer, Log, Place, Topic
from mainstem.messages import NewRecord, Record
from mainstem.view.port import ViewStore, ViewTransaction

_log = structlog.get_logger(__name__)

_POLL_S = 0.5
_TELL_EVERY_S = 1.0
_FEW = 8
"""So many records within its linger are no load for a listener."""

_STALLED = RetryPolicy(first_wait_ms=50)
_LETTER_BYTES = 65_536
"""By how much a dead letter may be larger than its record: the cause, the traceback and the origin."""


class ListenerStatus(Struct, frozen=True):
    """A picture of one listener: running, paused, stalled, stuck or stopped; why; and what it has handled."""

    state: str
    reason: str | None
    handled: int
    dead: int
    parked: int


@dataclass(frozen=True)
class _Figures:
    running: bool = False
    stalled: str | None = None
    handled: int = 0
    dead: int = 0


class _Lingering:
    """How long the next batch waits: till the time is over in which more than a few records came."""

    def __init__(self, linger_s: float) -> None:
        self._linger_s = linger_s
        self._until = 0.0
        self._records = 0

    def took(self, records: int, now: float) -> None:
        """So many have come."""
        if now >= self._until:
            self._until, self._records = now + self._linger_s, 0
        self._records += records

    def left_s(self, now: float) -> float:
        """What is left to wait."""
        return max(0.0, self._until - now) if self._records > _FEW else 0.0


class Runner:
    """Runs one binding in the thread that calls `run`, or `step`, whose waits end when `stop` is set."""

    def __init__(self, binding: Binding[Any], log: Log, views: ViewStore, stop: threading.Event | None = None) -> None:
        self.binding = binding
        self._log = log
        self._views = views
        self._batches = Batches(binding, log, views)
        self.letters = DeadLetters(binding, log, views, self._batches)
        self.each_turn: Callable[[], None] | None = None
        self.on_rows: Callable[[], None] | None = None
        self._between = threading.Lock()
        self._consumer: Consumer | None = None
        self._offsets: dict[Place, int] = {}
        self._sent: dict[Place, int] = {}
        self._told_at = 0.0
        self._lingering = _Lingering(binding.linger_ms / 1000)
        self._parked: dict[str, int] = {}
        self._figures = _Figures()
        self._resumed = threading.Event()
        self._resumed.set()
        self._again = threading.Event()
        self._watch = Watch()
        self._stop = stop or threading.Event()

    def run(self, stop: threading.Event) -> None:
        """Run until `stop`. A store that fails stalls the listener; it goes on by itself when that is over."""
        self._stop = stop
        failures = 0
        self._figures = replace(self._figures, running=True, stalled=None)
        try:
            while not stop.is_set():
                if not self._resumed.is_set() or self._again.is_set():
                    self._again.clear()
                    self.leave()  # a member that does not poll would be taken for dead after a while
                    self._resumed.wait(_POLL_S)
                    continue
                try:
                    self.step(_POLL_S)
                except Interrupted:
                    return
                except (Exception, SystemExit) as error:  # the latter would end the thread without a word
                    self._stalled(error)
                    failures += 1
                    stop.wait(_STALLED.wait_ms(failures + 1) / 1000)
                else:
                    failures = 0
                    self._going()
        finally:
            self.leave()
            self._figures = replace(self._figures, running=False)

    def step(self, timeout_s: float = 0.0) -> int:
        """One batch: the number of records that were done. Waits up to `timeout_s` for the first."""
        if self._consumer is None:
            self._consumer = self._join()
        try:
            if self.each_turn is not None:
                self.each_turn()
            self._stop.wait(self._lingering.left_s(time.monotonic()))
            records = self._consumer.poll(self.binding.batch_max, timeout_s)
            if records:
                self._lingering.took(len(records), time.monotonic())
                self._do(records)
            if not records or time.monotonic() > self._told_at + _TELL_EVERY_S:
                self._tell(self._consumer)
        except BaseException:
            self.leave()  # what was polled is polled again, from the offsets that the views keep
            raise
        return len(records)

    def dead_letters(self, key: str | None = None, limit: int = 100) -> list[DeadLetter]:
        """The first `limit` records that wait, of one parked key (or ListenerError) or of all, by key, oldest first."""
        return self.letters.of(key, limit)

    def retry(self, key: str) -> int:
        """Handle a parked key's letters anew, in their order; how many. From any thread, between two batches.

        Raises ListenerError where one fails again: those before it are done, it and those behind it wait as before.
        """
        done, more = 0, True
        while more:
            with self._between:
                try:
                    retried = self.letters.retry(key, self._stop.wait, self._write)
                except Interrupted as error:
                    raise ListenerError(f"the listener is stopping; {done} dead letters of {key!r} are done") from error
                done, more = done + retried.done, retried.more
                if retried.failure is not None:
                    raise ListenerError(f"{done} dead letters of {key!r} are done, the next fails: {retried.failure}")
                if not more:
                    self._parked.pop(key, None)
            _log.info("dead letters are handled", group=self.binding.group, key=key[:200], letters=done)
        return done

    def drop(self, key: str, why: str) -> int:
        """Leave a parked key's letters for good, with the reason on record; how many. Raises ListenerError."""
        with self._between:
            count = self.letters.drop(key, why)
            self._parked.pop(key, None)
        _log.info("dead letters are dropped", group=self.binding.group, key=key[:200], letters=count, reason=why[:200])
        return count

    def has(self, key: str) -> bool:
        """Whether the key's partition is this member's, as far as it knows."""
        place = (self.binding.topic, self._log.partition_of(self.binding.topic, key))
        return self._consumer is not None and place in self._consumer.places()

    def retry_batch(self, key: str, *, most: int | None, also: Also) -> Retried:
        """A batch of a retry, or `most` letters of it, in the thread that runs, as the member that has the key."""
        with self._between:
            send = self._sender(key)
            retried = self.letters.retry(key, self._stop.wait, self._write, most=most, send=send, also=also)
            self._look_at_parked()
        return retried

    def drop_letters(self, key: str, why: str, *, by: str, first: bool, also: Also) -> int:
        """All letters of a key or its first, in the same way."""
        with self._between:
            count = self.letters.drop(key, why, by=by, first=first, send=self._sender(key), also=also)
            self._look_at_parked()
        return count

    def _look_at_parked(self) -> None:
        self._parked = dict(self._views.parked_since(self.binding.group))

    def _sender(self, key: str) -> Send:
        """Fenced by the membership: of two that take themselves for the key's member one alone sends."""
        place = (self.binding.topic, self._log.partition_of(self.binding.topic, key))

        def send(records: Sequence[NewRecord]) -> None:
            if self._consumer is None:
                raise Fenced(f"{place[0]}/{place[1]} is not this member's of {self.binding.group}")
            sent = max(self._offsets[place], self._sent[place])
            self._consumer.send(records, {place: sent})
            self._sent[place] = sent

        return send

    def pause(self) -> None:
        """Begin no further batch, and give the partitions back."""
        self._resumed.clear()

    def resume(self) -> None:
        """Go on."""
        self._resumed.set()

    def restart(self) -> None:
        """Leave the group after the batch in hand and join it anew, from the offsets that the views keep."""
        self._again.set()

    def status(self) -> ListenerStatus:
        """A picture of the moment."""
        figures = self._figures
        parked = len(self._parked)
        stuck = self._watch.trouble(self.binding.slow_after_ms / 1000)
        state = "stuck" if figures.running and stuck else self._state(figures)
        return ListenerStatus(state, stuck or figures.stalled, figures.handled, figures.dead, parked)

    def places(self) -> Sequence[Place]:
        """The partitions that are this member's at the moment."""
        consumer = self._consumer
        return () if consumer is None else consumer.places()

    def lag(self, now_ms: int) -> Lag:
        """How far the group is behind, by the view's offsets: those of other members count too."""
        return lag_of(self._log, self.binding.topic, self._views.offsets(self.binding.group), now_ms)

    def _state(self, figures: _Figures) -> str:
        if not figures.running:
            return "stopped"
        if not self._resumed.is_set():
            return "paused"
        return "running" if figures.stalled is None else "stalled"

    def _join(self) -> Consumer:
        self._log.ranges(self.binding.topic)  # it must be there
        self._make_dead_letter_topic()
        self._offsets, self._sent = {}, {}
        return self._log.consumer(self.binding.group, [self.binding.topic], self._begin)

    def _begin(self, places: Sequence[Place]) -> Mapping[Place, int]:
        """Where to go on with these places; from here on, what retention removes unread is told."""
        group, topic = self.binding.group, self.binding.topic
        with self._between:
            kept, ranges = self._views.offsets(group), self._log.ranges(topic)
            begin = {place: kept.get(place, ranges[place[1]].begin) for place in places}
            sent = self._log.committed(group) if self.binding.emit is not None else {}
            self._sent.update({place: sent.get(place, 0) for place in places})
            waiting = self._unfinished(begin)
            if waiting or not begin.keys() <= kept.keys():
                with self._views.transaction() as transaction:
                    transaction.check(group, {place: kept.get(place) for place in begin})  # it may still be committing
                    transaction.save(group, begin)
                    since = {key: offset for key, (_, offset) in waiting.items()}
                    transaction.park(group, {key: why for key, (why, _) in waiting.items()}, since)
            self._offsets.update(begin)
            self._parked = dict(self._views.parked_since(group))
        return begin

    def _unfinished(self, begin: Mapping[Place, int]) -> dict[str, tuple[str, int]]:
        """The keys that wait because of records that were done before, as far as the log knows, but not the views."""
        found: dict[str, tuple[str, int]] = {}
        for place, offset in begin.items():
            if offset < self._sent[place]:
                found |= self.letters.unfinished(place[1], offset, self._sent[place])
        return found

    def _make_dead_letter_topic(self) -> None:
        """With room for any record of the topic and its cause. What is declared of its retention stays."""
        topics = self._log.topics()
        heard = topics[self.binding.topic]
        stands = topics.get(self.binding.dead_letter_topic, Topic(self.binding.dead_letter_topic, heard.partitions))
        room = max(stands.record_max_bytes, heard.record_max_bytes + _LETTER_BYTES)
        self._log.create(replace(stands, partitions=heard.partitions, record_max_bytes=room))

    def _do(self, records: Sequence[Record]) -> None:
        with self._between:
            self._watch.begin(records)
            try:
                self._handle(records)
            finally:
                self._watch.end()

    def _handle(self, records: Sequence[Record]) -> None:
        last = {record.partition: record.offset for record in records}
        offsets = {(self.binding.topic, partition): offset + 1 for partition, offset in last.items()}
        again = any(self._offsets[place] < self._sent[place] for place in offsets)
        sent = self._was_sent if again else None
        outcome = self._batches.handle(records, self._parked, self._stop.wait, sent)
        try:
            self._commit(outcome, offsets)
        except (CodecError, RecordTooLarge):  # what no table or topic can hold, found when it was written
            outcome = self._batches.carefully(records, self._parked, self._stop.wait, self._was_sent)
            self._commit(outcome, offsets)
        self._offsets.update(offsets)
        for key in outcome.parked.keys() - self._parked.keys():
            cause = outcome.parked[key]
            _log.warning("a dead letter parks its key", group=self.binding.group, key=key[:200], cause=cause)
        for key, since in outcome.since.items():
            self._parked[key] = min(since, self._parked.get(key, since))
        figures = self._figures
        self._figures = replace(figures, handled=figures.handled + len(records), dead=figures.dead + outcome.dead)

    def _was_sent(self, record: Record) -> bool:
        return record.offset < self._sent[record.topic, record.partition]

    def _tell(self, consumer: Consumer) -> None:
        """Where nothing was to be sent the group's offsets in the log may be late: they only show how far it is."""
        self._told_at = time.monotonic()
        own = consumer.places()
        further = {place: self._offsets[place] for place in own if self._offsets[place] > self._sent[place]}
        if not further:
            return
        try:
            consumer.commit(further)
            self._sent.update(further)
        except MainstemError as error:
            _log.warning("offsets were not told to the log", group=self.binding.group, cause=str(error))

    def _commit(self, outcome: Outcome, offsets: Mapping[Place, int]) -> None:
        if outcome.outgoing and self._consumer is not None:
            sent = {place: max(offset, self._sent[place]) for place, offset in offsets.items()}
            self._consumer.send(outcome.outgoing, sent)
            self._sent.update(sent)
        with self._views.transaction() as transaction:
            transaction.check(self.binding.group, {place: self._offsets[place] for place in offsets})
            self._write(outcome, transaction)
            transaction.save(self.binding.group, offsets)
        if self.on_rows is not None and outcome.working is not None and outcome.working.touched():
            self.on_rows()

    def _write(self, outcome: Outcome, transaction: ViewTransaction) -> None:
        if outcome.working is not None:
            outcome.working.write(transaction)
        if outcome.parked:
            transaction.park(self.binding.group, outcome.parked, outcome.since)
        transaction.save(self.binding.group, {}, outcome.positions)

    def leave(self) -> None:
        """Give the group's partitions back; the next step joins again."""
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            self._tell(consumer)
            consumer.close()

    def _stalled(self, error: Exception | SystemExit) -> None:
        reason = f"{type(error).__name__}: {error}"
        if self._figures.stalled != reason:
            known = isinstance(error, MainstemError)
            _log.error("listener is stalled", group=self.binding.group, cause=reason, exc_info=None if known else error)
        self._figures = replace(self._figures, stalled=reason)

    def _going(self) -> None:
        if self._figures.stalled is not None:
            _log.info("listener goes on", group=self.binding.group)
            self._figures = replace(self._figures, stalled=None)

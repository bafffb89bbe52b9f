"""One batch of records: decoded, projected and emitted in memory; what cannot be handled is put aside, in order."""

from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass, field
from typing import Any

from mainstem.codec import Decoder
from mainstem.errors import StoreError, Transient, UnknownTopic
from mainstem.listener.binding import Binding
from mainstem.listener.letters import BEHIND, FAILED, dead_letter
from mainstem.log.port import Log
from mainstem.messages import NewRecord, Position, Record
from mainstem.table import Table
from mainstem.view.apply import Working, working
from mainstem.view.port import ViewStore

_REASON_MAX = 500
_POSITIONS = Table("position", Position, key=("key",))

Wait = Callable[[float], bool]
"""Waits for seconds; True where the listener is to stop."""


@dataclass
class Outcome:
    """What a batch leads to: rows (in `working`), records to send, positions reached, keys to park.

    `parked` has the reason for each key of which a record was put aside, `since` the first such record's offset.
    """

    working: Working[Any] | None
    outgoing: list[NewRecord] = field(default_factory=list)
    positions: list[Position] = field(default_factory=list)
    parked: dict[str, str] = field(default_factory=dict)
    since: dict[str, int] = field(default_factory=dict)
    dead: int = 0


class Interrupted(Exception):
    """The listener is to stop while it waits for another try."""


class Batches:
    """Handles batches for one binding."""

    def __init__(self, binding: Binding[Any], log: Log, views: ViewStore) -> None:
        self._binding = binding
        self._log = log
        self._views = views

    def handle(self, records: Sequence[Record], parked: Set[str], wait: Wait) -> Outcome:
        """All at once where nothing stands in the way, else one by one. Raises StoreError and UnknownTopic."""
        if not any(record.key in parked for record in records):
            try:
                return self._all(records)
            except (StoreError, UnknownTopic):
                raise
            except Exception:  # noqa: S110 - the batch is handled again, one by one, and each failure told then
                pass
        return self.carefully(records, parked, wait)

    def _all(self, records: Sequence[Record]) -> Outcome:
        messages = _decode(self._binding.decoder, records)
        outcome = self._outcome()
        if outcome.working is not None:
            outcome.working.handle_all(messages)
        self._speak(outcome, records, messages)
        return outcome

    def carefully(self, records: Sequence[Record], parked_before: Set[str], wait: Wait) -> Outcome:
        """One by one, each row, position and record checked; what fails becomes a dead letter."""
        parked = set(parked_before)
        outcome = self._outcome()
        for record in records:
            if record.key in parked:
                self._put_aside(outcome, record, BEHIND, "an earlier record of this key is a dead letter")
                continue
            try:
                self._patiently(outcome, record, wait)
            except (StoreError, UnknownTopic, Interrupted):
                raise
            except Exception as error:
                parked.add(record.key)
                self._put_aside(outcome, record, FAILED, error)
        return outcome

    def _patiently(self, outcome: Outcome, record: Record, wait: Wait) -> None:
        """A transient failure is tried again, as often as the policy says; then it is final."""
        policy = self._binding.retry
        for attempt in range(1, policy.attempts + 1):
            try:
                self._one(outcome, record)
            except Transient as error:
                if attempt == policy.attempts:
                    raise
                if wait(policy.wait_ms(attempt + 1) / 1000):
                    raise Interrupted from error
            else:
                return

    def _one(self, outcome: Outcome, record: Record) -> None:
        message = self._binding.decoder.one(record.value or b"")
        spoken = Outcome(None)
        self._speak(spoken, [record], [message])
        for position in spoken.positions:
            _POSITIONS.check(position)
        for each in spoken.outgoing:
            self._log.check(each)
        if outcome.working is not None:
            outcome.working.handle(message)
        outcome.outgoing.extend(spoken.outgoing)
        outcome.positions.extend(spoken.positions)

    def _speak(self, outcome: Outcome, records: Sequence[Record], messages: Sequence[Any]) -> None:
        emit, position = self._binding.emit, self._binding.position
        outcome.positions.extend(reached for message in messages if (reached := position(message)) is not None)
        if emit is None:
            return
        for record, message in zip(records, messages, strict=True):
            outcome.outgoing.extend(self._identified(record, emit(message)))

    def _identified(self, record: Record, outgoing: Sequence[NewRecord]) -> list[NewRecord]:
        prefix = f"{self._binding.group}:{record.topic}:{record.partition}:{record.offset}"
        return [
            each
            if each.identity is not None
            else NewRecord(
                topic=each.topic,
                key=each.key,
                value=each.value,
                timestamp_ms=each.timestamp_ms,
                identity=f"{prefix}:{number}",
                headers=each.headers,
            )
            for number, each in enumerate(outgoing)
        ]

    def _put_aside(self, outcome: Outcome, record: Record, reason: str, cause: BaseException | str) -> None:
        text = f"{type(cause).__name__}: {cause}" if isinstance(cause, BaseException) else cause
        outcome.outgoing.append(dead_letter(self._binding, record, reason, cause))
        outcome.parked.setdefault(record.key, text[:_REASON_MAX].encode(errors="replace").decode())
        outcome.since.setdefault(record.key, record.offset)
        outcome.dead += 1

    def _outcome(self) -> Outcome:
        projection = self._binding.projection
        return Outcome(None if projection is None else working(projection, self._views.get))


def _decode(decoder: Decoder[Any], records: Sequence[Record]) -> list[Any]:
    return decoder.many([record.value or b"" for record in records])

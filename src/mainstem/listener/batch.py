"""One batch of records: decoded, projected and emitted in memory; what cannot be handled is put aside, in order."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mainstem.codec import Decoder
from mainstem.errors import ListenerError, StoreError, Transient, UnknownTopic
from mainstem.listener.binding import Binding, no_position
from mainstem.listener.letters import BEHIND, FAILED, dead_letter
from mainstem.log.port import Log
from mainstem.messages import NewRecord, Position, Record
from mainstem.table import Table
from mainstem.view.apply import Working, WorkingJoin, working
from mainstem.view.port import ViewStore
from mainstem.view.projection import Rows

_REASON_MAX = 500
_POSITIONS = Table("position", Position, key=("key",))

Wait = Callable[[float], bool]
"""Waits for seconds; True where the listener is to stop."""

Sent = Callable[[Record], bool]
"""Whether what a record leads to is on its topic already, from a time before a crash or before the view was lost."""


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
    made: set[tuple[Any, ...]] = field(default_factory=set)
    dead: int = 0


class Interrupted(Exception):
    """The listener is to stop while it waits for another try."""


class Batches:
    """Handles batches for one binding."""

    def __init__(self, binding: Binding[Any], log: Log, views: ViewStore) -> None:
        self._binding = binding
        self._log = log
        self._views = views
        self._out = {topic.name for topic in binding.out}

    def handle(
        self, records: Sequence[Record], parked: Mapping[str, int], wait: Wait, sent: Sent | None = None
    ) -> Outcome:
        """All at once where nothing stands in the way, else one by one. Raises StoreError and UnknownTopic.

        `parked` has each parked key with the offset from which its records wait.
        """
        if not parked or not any(record.key in parked for record in records):
            try:
                return self._all(records, sent)
            except (StoreError, UnknownTopic):
                raise
            except Exception:  # noqa: S110 - the batch is handled again, one by one, and each failure told then
                pass
        return self.carefully(records, parked, wait, sent)

    def _all(self, records: Sequence[Record], sent: Sent | None) -> Outcome:
        messages, numbers = _decode(self._binding.decoder, records)
        outcome = self._outcome()
        if outcome.working is not None:
            outcome.working.handle_all(messages, numbers)
        again = self._repeated(outcome, messages)
        if again or sent is not None:
            numbered = enumerate(zip((records[number] for number in numbers), messages, strict=True))
            unsent = [m for n, (r, m) in numbered if n not in again and not (sent is not None and sent(r))]
        else:
            unsent = messages
        self._speak(outcome, _told(outcome.working, unsent))
        theirs = records if isinstance(numbers, range) else [records[number] for number in numbers]
        self._reach(outcome, theirs, messages)
        return outcome

    def carefully(
        self, records: Sequence[Record], parked: Mapping[str, int], wait: Wait, sent: Sent | None = None
    ) -> Outcome:
        """One by one, each row, position and record checked; what fails becomes a dead letter."""
        outcome = self._outcome()
        for record in records:
            silent = sent is not None and sent(record)
            if record.key in outcome.since or record.offset >= parked.get(record.key, record.offset + 1):
                self._put_aside(outcome, record, BEHIND, "an earlier record of this key is a dead letter", silent)
                continue
            try:
                self._patiently(outcome, record, wait, silent)
            except (StoreError, UnknownTopic, Interrupted):
                raise
            except Exception as error:
                self._put_aside(outcome, record, FAILED, error, silent)
        return outcome

    def _patiently(self, outcome: Outcome, record: Record, wait: Wait, silent: bool) -> None:
        """A transient failure is tried again, as often as the policy says; then it is final."""
        policy = self._binding.retry
        for attempt in range(1, policy.attempts + 1):
            try:
                self._one(outcome, record, silent)
            except Transient as error:
                if attempt == policy.attempts:
                    raise
                if wait(policy.wait_ms(attempt + 1) / 1000):
                    raise Interrupted from error
            else:
                return

    def _one(self, outcome: Outcome, record: Record, silent: bool) -> None:
        messages, _ = _decode(self._binding.decoder, [record])
        spoken = Outcome(None)
        self._speak(spoken, _told(outcome.working, messages))
        self._reach(spoken, [record] * len(messages), messages)
        for position in spoken.positions:
            _POSITIONS.check(position)
        for each in spoken.outgoing:
            self._log.check(each)
        if outcome.working is not None:
            outcome.working.handle(messages)
        if not self._repeated(outcome, messages) and not silent:
            outcome.outgoing.extend(spoken.outgoing)
        outcome.positions.extend(spoken.positions)

    def _repeated(self, outcome: Outcome, messages: Sequence[Any]) -> set[int]:
        """Which of them have come before, as the view's rows tell: a capture may bring a change twice.

        A log that takes each identity once needs no such look.
        """
        projection = self._binding.projection
        if self._log.takes_identities_once or self._binding.emit is None or not isinstance(projection, Rows):
            return set()
        table = projection.table
        keys = [[table.key_of(row) for row in projection.make(message)] for message in messages]
        stands = self._views.get(table, list(dict.fromkeys(key for made in keys for key in made)))
        found = set()
        for number, made in enumerate(keys):
            if made and all(key in stands or key in outcome.made for key in made):
                found.add(number)
            outcome.made.update(made)
        return found

    def _speak(self, outcome: Outcome, messages: Sequence[Any]) -> None:
        emit = self._binding.emit
        if emit is not None:
            made = [each for message in messages for each in emit(message)]
            self._check_made(made)
            outcome.outgoing.extend(made)

    def _check_made(self, made: Sequence[NewRecord]) -> None:
        """Raises ListenerError for what is no record, or is for a topic that the listener does not speak on."""
        if set(map(type, made)) <= {NewRecord} and {each.topic for each in made} <= self._out:
            return
        for each in made:
            if not isinstance(each, NewRecord):
                raise ListenerError(f"{self._binding.group} emits a {type(each).__name__}, which is no NewRecord")
            if each.topic not in self._out:
                text = f"{self._binding.group} emits a record for the topic {each.topic!r:.100}"
                raise ListenerError(f"{text}, and its `out` has {', '.join(sorted(self._out)) or 'none'}")

    def _reach(self, outcome: Outcome, records: Sequence[Record], messages: Sequence[Any]) -> None:
        outcome.positions.extend(reached(self._binding, records, messages))

    def _put_aside(self, outcome: Outcome, record: Record, reason: str, cause: BaseException | str, sent: bool) -> None:
        text = f"{type(cause).__name__}: {cause}" if isinstance(cause, BaseException) else cause
        outcome.outgoing.append(dead_letter(self._binding, record, reason, cause, sent=sent))
        outcome.parked.setdefault(record.key, text[:_REASON_MAX].encode(errors="replace").decode())
        outcome.since.setdefault(record.key, record.offset)
        outcome.dead += 1

    def _outcome(self) -> Outcome:
        projection = self._binding.projection
        return Outcome(None if projection is None else working(projection, self._views.get, self._views.find_each))


def reached(binding: Binding[Any], records: Sequence[Record], messages: Sequence[Any]) -> list[Position]:
    """The last position of each key, of messages beside their records: those before it are below it."""
    found: list[Position] = []
    told: set[str] = set()
    if binding.position is no_position:
        return found
    for number in range(len(messages) - 1, -1, -1):
        key = records[number].key
        if key not in told and (position := binding.position(messages[number])) is not None:
            found.append(position)
            told.add(key)
    return found


def _told(working: Working[Any] | None, messages: Sequence[Any]) -> Sequence[Any]:
    """What `emit` takes: of a join that says so each message with its row."""
    return working.told(messages) if isinstance(working, WorkingJoin) else messages


def _decode(decoder: Decoder[Any], records: Sequence[Record]) -> tuple[list[Any], Sequence[int]]:
    """The messages, and of each the number of its record: an event of an older form may be several today, or none."""
    return decoder.of(records)

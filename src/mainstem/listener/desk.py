"""What people ask of listeners and their dead letters: looked at by anybody, changed by actions that are on record."""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from heapq import nsmallest
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from mainstem.codec import Decoder
from mainstem.errors import Refused
from mainstem.listener.actions import (
    ACTIONS,
    DONE,
    DROP,
    EDIT,
    MOVE,
    PAUSE,
    PAUSED,
    RESTART,
    RESUME,
    RETRY,
    WAITING,
    WANTED,
    Action,
    Member,
    Wanted,
    living,
    new_action,
    state_of,
    wanted_of,
)
from mainstem.listener.batch import Batches
from mainstem.listener.binding import Binding
from mainstem.listener.dead_letters import DeadLetter, DeadLetters, WholeLetter
from mainstem.listener.letters import read_letter_id
from mainstem.listener.moving import Plan, Target, ahead_of, plan_of
from mainstem.log.lag import Lag, lag_of
from mainstem.log.port import Log
from mainstem.privacy.plain import plain_texts
from mainstem.view.port import ViewStore, ViewTransaction

_KEYS_MAX = 1_000
_LOOK_S = 0.05
_TOLD_MAX = 500

Place = tuple[str, str, int]
"""Of a dead letter among all: listener, key, and the offset of its record."""


class Waiting(Struct, frozen=True, rename="camel"):
    """A dead letter of a listener. `id` names it; `origin` is where its record stands: topic/partition@offset."""

    listener: str
    id: str
    key: str
    reason: str
    cause: str
    origin: str
    edited: bool
    timestamp_ms: int


class Bound(Struct, frozen=True, rename="camel"):
    """A listener: what it hears, keeps and speaks on, whether it is to be paused, and its members that live."""

    listener: str
    topic: str
    view: str | None
    emits: bool
    dead_letter_topic: str
    paused: bool
    state: str
    parked: int
    members: list[Member]


class Listeners:
    """The listeners of an application, wherever they run."""

    def __init__(
        self,
        bindings: Sequence[Binding[Any]],
        log: Log,
        views: ViewStore,
        *,
        clock_ms: Callable[[], int],
        wake: Callable[[], None] = lambda: None,
    ) -> None:
        """`wake` is called when there is something new for the listeners of this process."""
        self._bindings = {each.group: each for each in bindings}
        self._letters = {each.group: DeadLetters(each, log, views, Batches(each, log, views)) for each in bindings}
        self._log, self._views, self._clock_ms, self._wake = log, views, clock_ms, wake

    def dead_letters(
        self, listener: str | None = None, key: str | None = None, *, after: Place | None = None, limit: int = 100
    ) -> list[Waiting]:
        """So many that wait, by listener, key and the order of the key, behind the place `after`."""
        found: list[Waiting] = []
        for group in sorted(self._letters) if listener is None else [self._known(listener).group]:
            if len(found) == limit:
                break
            if after is not None and group < after[0]:
                continue
            behind = after[1:] if after is not None and group == after[0] else None
            found.extend(_waiting(group, each) for each in self._of(group, key, limit - len(found), behind))
        return found

    def _of(self, group: str, key: str | None, limit: int, behind: tuple[str, int] | None) -> list[DeadLetter]:
        if key is not None and key not in self._views.parked_since(group):
            return []
        return self._letters[group].of(key, limit, behind)

    def dead_letter(self, listener: str, letter: str) -> WholeLetter:
        """One with all that is kept of it. Raises Refused where none of that name waits."""
        found = self._letters[self._known(listener).group].find(*read_letter_id(letter))
        if found is None:
            raise Refused("letter-unknown", f"No dead letter {letter} of {listener} waits")
        return found

    def retry(
        self, listener: str, *, key: str | None = None, letter: str | None = None, who: str, why: str
    ) -> list[Action]:
        """Have one letter tried again (the first of its key), all of a key, or all of the listener's."""
        if key is None and letter is None:
            parked = nsmallest(_KEYS_MAX, self._views.parked_since(self._known(listener).group))
            return self._ask([self._new(listener, RETRY, who, why, key=each) for each in parked])
        return self._ask([self._of_letters(RETRY, listener, key, letter, who, why)])

    def drop(
        self, listener: str, *, key: str | None = None, letter: str | None = None, who: str, why: str
    ) -> list[Action]:
        """Have one letter left for good (the first of its key), or all of a key."""
        if key is None and letter is None:
            raise Refused("letter-unknown", "Name the key, or the letter, that is to be dropped")
        return self._ask([self._of_letters(DROP, listener, key, letter, who, why)])

    def edit(self, listener: str, letter: str, value: bytes, *, who: str, why: str) -> list[Action]:
        """Give a letter another value, with which it is tried again. Raises Refused where that is no message.

        So it does for personal data in plain text that the letter came without: nobody could forget them.
        """
        found, decoder = self.dead_letter(listener, letter), self._bindings[listener].decoder
        try:
            plain = _plain_in(decoder, value)
        except Exception as error:
            raise Refused("value-unfit", f"The value is no message of {found.record.topic}: {error}") from error
        if plain:
            with suppress(Exception):  # what the letter came with may be no message
                plain -= _plain_in(decoder, found.record.value or b"")
        if plain:
            names = ", ".join(sorted({name for name, _ in plain}))
            raise Refused("value-unfit", f"The value has personal data in plain text: {names}")
        action = self._new(listener, EDIT, who, why, key=found.letter.key, letter=letter, value=value)
        return self._ask([action])

    def _of_letters(self, kind: str, listener: str, key: str | None, letter: str | None, who: str, why: str) -> Action:
        letters = self._letters[self._known(listener).group]
        if letter is not None:
            its_key = self.dead_letter(listener, letter).letter.key
            if key not in (None, its_key):
                raise Refused("letter-unknown", f"The letter {letter} is not of the key {key!r}")
            key = its_key
            if (first := letters.first_of(key)) != letter:
                text = f"{letter} waits behind {first}: the letters of a key are taken in their order"
                raise Refused("letter-not-first", text)
        elif key not in self._views.parked_since(listener):
            raise Refused("key-not-parked", f"The key {key!r} of {listener} does not wait behind a dead letter")
        return self._new(listener, kind, who, why, key=key or "", letter=letter or "")

    def bindings(self) -> list[Bound]:
        """All listeners by name, as their members tell."""
        wanted, now_ms = wanted_of(self._views), self._clock_ms()
        named = sorted(self._bindings.items())
        return [self._bound(each, living(self._views, name, now_ms), wanted) for name, each in named]

    def _bound(self, binding: Binding[Any], members: list[Member], wanted: Mapping[tuple[str, str], str]) -> Bound:
        paused = wanted.get((binding.group, PAUSED)) == "yes"
        return Bound(
            listener=binding.group,
            topic=binding.topic,
            view=None if binding.projection is None else binding.projection.table.name,
            emits=binding.emit is not None,
            dead_letter_topic=binding.dead_letter_topic,
            paused=paused,
            state=state_of(members, paused=paused),
            parked=len(self._views.parked_since(binding.group)),
            members=members,
        )

    def pause(self, listener: str, *, who: str, why: str) -> Action:
        """Have it begin no further batch, in any process, until it is resumed."""
        return self._want(listener, PAUSE, PAUSED, "yes", who, why)

    def resume(self, listener: str, *, who: str, why: str) -> Action:
        """Let it go on."""
        return self._want(listener, RESUME, PAUSED, "no", who, why)

    def restart(self, listener: str, *, who: str, why: str) -> Action:
        """Have every member leave the group after its batch and join anew."""
        return self._want(listener, RESTART, RESTART, "", who, why)

    def _want(self, listener: str, kind: str, what: str, value: str, who: str, why: str) -> Action:
        action = self._new(listener, kind, who, why)
        now_ms = action.asked_at_ms
        row = Wanted(listener, what, value or action.id, now_ms)
        done = _done(action, now_ms)
        with self._views.transaction() as transaction:
            transaction.put(WANTED, [row])
            transaction.add(ACTIONS, [done])
        self._wake()
        return done

    def lag(self, listener: str) -> Lag:
        """How far it is behind, whoever keeps it. Raises LogError and StoreError as the log does."""
        topic = self._known(listener).topic
        return lag_of(self._log, topic, self._views.offsets(listener), self._clock_ms())

    def plan(self, listener: str, target: Target) -> Plan:
        """What moving it there would do, and why it is refused. Raises InvalidQuery for a place that there is not."""
        binding = self._known(listener)
        (found,) = (each for each in self.bindings() if each.listener == listener)
        busy = any(not member.paused or member.partitions for member in found.members)
        return plan_of(binding, self._log, self._views, target, paused=found.paused, busy=busy)

    def move(self, listener: str, target: Target, *, who: str, why: str) -> Plan:
        """As its plan says. Raises Refused where the plan is refused, Fenced where somebody is at work all the same."""
        plan, binding = self.plan(listener, target), self._known(listener)
        topic = binding.topic
        if plan.refused:
            raise Refused("move-refused", "; ".join(plan.refused))
        kept = self._views.offsets(listener)
        offsets = {(topic, each.partition): each.after for each in plan.partitions}
        action = self._new(listener, MOVE, who, why)
        told = ", ".join(f"{topic}/{each.partition}: {each.before} to {each.after}" for each in plan.partitions)
        with self._views.transaction() as transaction:
            transaction.check(listener, {place: kept.get(place) for place in offsets})
            transaction.save(listener, offsets)
            self._keep_ahead(transaction, binding, plan)
            transaction.add(ACTIONS, [replace(_done(action, action.asked_at_ms), told=told[:_TOLD_MAX])])
        return plan

    def _keep_ahead(self, transaction: ViewTransaction, binding: Binding[Any], plan: Plan) -> None:
        """The view has more than its listener's offsets say from now on: what is made up to there would have less."""
        if binding.projection is None:
            return
        name = ahead_of(binding.projection.table.name)
        known = self._views.offsets(name)
        places = {(binding.topic, each.partition): each.before for each in plan.partitions if each.again}
        transaction.save(name, {place: max(before, known.get(place, 0)) for place, before in places.items()})

    def seen(self, action: Action, timeout_s: float) -> int | None:
        """How many members live, once all of them have seen what is wanted; None where the time was over first."""
        deadline = time.monotonic() + timeout_s
        while True:
            (found,) = (each for each in self.bindings() if each.listener == action.listener)
            if all(_has_seen(member, action) for member in found.members):
                return len(found.members)
            if time.monotonic() > deadline:
                return None
            time.sleep(_LOOK_S)

    def actions(self, listener: str | None = None, *, before: str | None = None, limit: int = 100) -> list[Action]:
        """What was asked for, the newest first, before the action of that id.

        Of a listener that is declared no more too; raises Refused for a name that none has had.
        """
        where = {} if listener is None else {"listener": listener}
        if listener is not None and listener not in self._bindings and not self._views.find(ACTIONS, where, limit=1):
            self._known(listener)
        after = None if before is None else (before,)
        return self._views.find(ACTIONS, where, order=("id",), descending=True, after=after, limit=limit)

    def ended(self, actions: Sequence[Action], timeout_s: float) -> list[Action]:
        """How they stand once all of them have ended, or the time is over."""
        deadline = time.monotonic() + timeout_s
        while True:
            stand = self._views.get(ACTIONS, [(each.id,) for each in actions])
            found = [stand.get((each.id,), each) for each in actions]
            if time.monotonic() > deadline or all(each.state != WAITING for each in found):
                return found
            time.sleep(_LOOK_S)

    def _ask(self, actions: list[Action]) -> list[Action]:
        with self._views.transaction() as transaction:
            transaction.add(ACTIONS, actions)
        self._wake()
        return actions

    def _new(
        self,
        listener: str,
        kind: str,
        who: str,
        why: str,
        *,
        key: str = "",
        letter: str = "",
        value: bytes | None = None,
    ) -> Action:
        self._known(listener)
        now_ms = self._clock_ms()
        return new_action(listener, kind, now_ms=now_ms, who=who, why=why, key=key, letter=letter, value=value)

    def _known(self, listener: str) -> Binding[Any]:
        found = self._bindings.get(listener)
        if found is None:
            known = ", ".join(sorted(self._bindings)) or "none"
            raise Refused("listener-unknown", f"There is no listener {listener[:100]!r}; known are {known}")
        return found


def _has_seen(member: Member, action: Action) -> bool:
    """And done: one that is at a batch still has not paused."""
    if action.kind == RESTART:
        return member.restart >= action.id
    return member.paused == (action.kind == PAUSE) and (action.kind == RESUME or not member.partitions)


def _done(action: Action, now_ms: int) -> Action:
    return replace(action, state=DONE, done_at_ms=now_ms)


def _waiting(group: str, letter: DeadLetter) -> Waiting:
    return Waiting(
        listener=group,
        id=letter.id,
        key=letter.key,
        reason=letter.reason,
        cause=letter.cause,
        origin=letter.origin,
        edited=letter.edited,
        timestamp_ms=letter.timestamp_ms,
    )


def place_of(letter: Waiting) -> Place:
    """Behind which the next page begins."""
    return letter.listener, letter.key, read_letter_id(letter.id)[1]


def _plain_in(decoder: Decoder[Any], value: bytes) -> set[tuple[str, str]]:
    messages, _ = decoder.spread([value])
    return {each for message in messages for each in plain_texts(message)}

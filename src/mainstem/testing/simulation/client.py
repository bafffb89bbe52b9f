"""Who sends the commands: asks again, by the same key, for what was not answered, and remembers every answer."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from random import Random
from typing import Any

from mainstem.command.answer import Answer
from mainstem.command.bus import CommandBus
from mainstem.decider import Decider
from mainstem.errors import (
    CommandError,
    KeyStoreUnavailable,
    MainstemError,
    Refused,
    ShuttingDown,
    StoreBusy,
    StoreFull,
    SubjectForgotten,
    TryAgain,
)
from mainstem.eventstore.port import EventStore, RefusalFilter, StoredEvent
from mainstem.messages import Command, Origin
from mainstem.tenancy import stream_of

_AGAIN = (TryAgain, ShuttingDown, StoreBusy, StoreFull, KeyStoreUnavailable)
"""Nothing was done: the client asks again."""

_ACTOR, _REFUSALS_MAX = "simulation", 1_000_000
_NEW_MAX, _AGAIN_MAX = 4, 4
_LOOK_BACK = 32

Asking = Command | Callable[[int], Command]
"""A command, or what makes it of the time in milliseconds."""


@dataclass(frozen=True)
class Told:
    """What a command was answered: `accepted` with its aggregate and version, or `refused` with the reason."""

    kind: str
    about: str
    version: int = 0


@dataclass
class Asked:
    """A command under its key; `events` are those that it had led to when it was answered first."""

    key: str
    command: Command
    told: Told | None = None
    stream: str = ""
    events: tuple[StoredEvent, ...] = ()


@dataclass
class Client:
    """`commands` is what it asks for; keys are also the correlation ids of the events."""

    commands: Iterator[Asking]
    deciders: Sequence[Decider[Any, Any, Any]]
    asked: list[Asked] = field(default_factory=list)
    waiting: list[Asked] = field(default_factory=list)
    lost: int = 0
    """So many of the next answers do not reach it."""
    wrong: list[str] = field(default_factory=list)
    """Answers that should not have been."""

    def __post_init__(self) -> None:
        self._categories = {kind: each.category for each in self.deciders for kind in each.commands}

    def step(self, bus: CommandBus, events: EventStore, now_ms: int, choice: Random, *, new: bool = True) -> int:
        """Ask for what waits, for something new, and now and then for what was answered; how many answers came."""
        asking = self.waiting[:_AGAIN_MAX]
        if new:
            asking += self._new(choice.randint(0, _NEW_MAX), now_ms)
        if asking and choice.random() < 0.2:
            asking.append(choice.choice(self.asked))  # asked for twice, at the same time or long after its answer
        futures = [(each, self._submit(bus, each)) for each in asking]
        while bus.step():
            continue
        return sum(self._hear(each, future, events) for each, future in futures)

    def _new(self, count: int, now_ms: int) -> list[Asked]:
        found = []
        for _ in range(count):
            asking = next(self.commands, None)
            if asking is None:
                break
            command = asking if isinstance(asking, Command) else asking(now_ms)
            found.append(Asked(f"c{len(self.asked)}", command))
            self.asked.append(found[-1])
        self.waiting += found
        return found

    def _submit(self, bus: CommandBus, each: Asked) -> "Future[Answer]":
        try:
            return bus.submit(each.command, key=each.key, origin=Origin(actor=_ACTOR, correlation_id=each.key))
        except MainstemError as error:
            future: Future[Answer] = Future()
            future.set_exception(error)
            return future

    def _hear(self, each: Asked, future: "Future[Answer]", events: EventStore) -> bool:
        error = future.exception(0)
        if isinstance(error, _AGAIN):
            return False
        if self.lost:
            self.lost -= 1
            return False
        if isinstance(error, SubjectForgotten):  # whatever it was answered before: that can be compared no more
            if each in self.waiting:
                self.waiting.remove(each)
            return True
        told = _told(future.result(0) if error is None else error)
        if each.told is None:
            if told.kind == "accepted":
                each.stream = stream_of(self._categories[type(each.command)], told.about, apart=False)
                each.events = tuple(_own(events, each.stream, each.key, told.version))
            each.told = told  # not before: reading, the process may die, and the answer is not there then
            self.waiting.remove(each)
        elif each.told != told:
            self.wrong.append(f"{each.key} {each.command!r} was answered {each.told}, and then {told}")
        return True


def _told(found: Answer | BaseException) -> Told:
    """Raises what is no answer."""
    if isinstance(found, Answer):
        return Told("accepted", found.aggregate_id, found.version)
    if isinstance(found, Refused):
        return Told("refused", found.reason)
    if isinstance(found, CommandError):
        return Told("invalid", type(found).__name__)
    raise found


def _own(events: EventStore, stream: str, key: str, version: int) -> Iterator[StoredEvent]:
    """The events of a stream, up to that version and some more, which the command of that key has led to."""
    for stored in events.read(stream, max(0, version - _LOOK_BACK), 2 * _LOOK_BACK):
        if stored.correlation_id == key:
            yield stored


class Facts:
    """All that is stored: events and refusals by the key of their command, and the last version of each stream."""

    def __init__(self, events: EventStore) -> None:
        self.by_key: dict[str, list[StoredEvent]] = {}
        self.heads: dict[str, int] = {}
        self.streams: dict[str, list[int]] = {}
        for batch in events.read_all():
            for stored in batch:
                self.by_key.setdefault(stored.correlation_id or "", []).append(stored)
                self.streams.setdefault(stored.stream, []).append(stored.version)
                self.heads[stored.stream] = max(self.heads.get(stored.stream, 0), stored.version)
        kept = events.refusals.page(RefusalFilter(actor=_ACTOR), limit=_REFUSALS_MAX)
        self.refusals = Counter(each.refusal.correlation_id for each in kept)


def held(asked: Sequence[Asked], facts: Facts) -> Iterator[str]:
    """Where it is not what was answered: each command's events are there, once, and as they were; so is a refusal."""
    for each in asked:
        found, head = tuple(facts.by_key.get(each.key, ())), facts.heads.get(each.stream, 0)
        text = f"{each.key} {each.command!r}"
        if len({(one.stream, one.recorded_at_ms) for one in found}) > 1:
            yield f"{text} was carried out more than once: {_named(found)}"
        elif each.told is None:
            continue
        elif each.told.kind != "accepted":
            refusals = facts.refusals[each.key]
            if found or refusals != (each.told.kind == "refused"):
                yield f"{text} was answered {each.told}, and led to {_named(found)} and {refusals} refusals"
        elif found != each.events:
            yield f"{text} led to {_named(each.events)} when it was answered; now there are {_named(found)}"
        elif found and found[-1].version != each.told.version:
            yield f"{text} was answered {each.told}, and led to {_named(found)}"
        elif head < each.told.version:
            yield f"{text} was answered {each.told}, but {each.stream} ends at {head}"


def _named(events: Sequence[StoredEvent]) -> str:
    return ", ".join(f"{each.stream}@{each.version}" for each in events) or "no events"

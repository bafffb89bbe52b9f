"""The write side's core: three pure things (initial state, decide, evolve) and how they meet the store."""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from types import CodeType
from typing import Any, Generic, TypeVar

import msgspec

from mainstem.errors import ConfigurationError
from mainstem.messages import Command, Event
from mainstem.table import Table

C = TypeVar("C", bound=Command)
E = TypeVar("E", bound=Event)
S = TypeVar("S", bound=msgspec.Struct)


@dataclass(frozen=True)
class Stamp:
    """What the store knows of an aggregate beside its state: id, version, and the time of its last event."""

    aggregate_id: str
    version: int
    occurred_at_ms: int


@dataclass(frozen=True)
class StateRow(Generic[S]):
    """The state as one row, written in the transaction of its events; None from `row` means that no row stands."""

    table: Table[Any]
    row: Callable[[S, Stamp], msgspec.Struct | None]


@dataclass(frozen=True)
class Decider(Generic[C, E, S]):
    """How commands of one category of aggregates become events.

    `decide(state, command)` returns the events, none where nothing changes, or raises `Refused`; `evolve(state, event)`
    returns the state after it; both are pure: whatever they need of time or identity is in the command. `target` names
    the aggregate that a command is for.
    """

    category: str
    initial: S
    decide: Callable[[S, C], Sequence[E]]
    evolve: Callable[[S, E], S]
    target: Callable[[C], str]
    commands: tuple[type[C], ...]
    events: tuple[type[E], ...]
    state_row: StateRow[S] | None = None

    def __post_init__(self) -> None:
        if not self.category.isidentifier():
            raise ConfigurationError(f"category {self.category!r} is not an identifier")
        if not self.commands or not self.events:
            raise ConfigurationError(f"decider {self.category} names no commands or no events")

    def stream(self, aggregate_id: str) -> str:
        """The name of that aggregate's stream."""
        return f"{self.category}-{aggregate_id}"

    def fold(self, state: S, events: Iterable[E]) -> S:
        """The state after those events."""
        for event in events:
            state = self.evolve(state, event)
        return state

    def fingerprint(self) -> str:
        """A name for this fold's code and state type: a snapshot of another fingerprint is never read."""
        schema = msgspec.json.encode(msgspec.json.schema(type(self.initial)), order="deterministic")
        digest = hashlib.sha256(schema)
        _add_code(digest.update, self.evolve.__code__)
        return digest.hexdigest()[:16]


def _add_code(update: Callable[[bytes], object], code: CodeType) -> None:
    update(code.co_code)
    update(repr(code.co_names).encode())
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            _add_code(update, constant)
        else:
            update(repr(constant).encode())

"""The write side's core: three pure things (initial state, decide, evolve) and how they meet the store."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import msgspec

from mainstem.boundary import Boundary
from mainstem.errors import ConfigurationError
from mainstem.evolution.declaring import evolution_of, stored_as
from mainstem.fingerprint import fingerprint, has_code
from mainstem.messages import Command, Event
from mainstem.snapshots import Snapshots
from mainstem.table import Table
from mainstem.tenancy import qualified

C = TypeVar("C", bound=Command)
E = TypeVar("E", bound=Event)
S = TypeVar("S", bound=msgspec.Struct)

_FINGERPRINT = 16
_CATEGORY_MAX = 54
"""Beside an aggregate's name of 200, in a stream's of 255."""

_EVENT_MAX = 200


class Stamp(msgspec.Struct, frozen=True, gc=False):
    """What the store knows of an aggregate beside its state: id, version, and the time of its last event.

    Of a tenant's the id is ``/tenant/id``, so that no two rows have one key.
    """

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
    the aggregate that a command is for. `snapshots` says when its state is kept; the settings do where it does not.
    `boundary` is for commands that are decided over events of other aggregates too, and gives events their tags.
    """

    category: str
    initial: S
    decide: Callable[[S, C], Sequence[E]]
    evolve: Callable[[S, E], S]
    target: Callable[[C], str]
    commands: tuple[type[C], ...]
    events: tuple[type[E], ...]
    state_row: StateRow[S] | None = None
    snapshots: Snapshots | None = None
    boundary: Boundary[C, E, S, Any] | None = None

    def __post_init__(self) -> None:
        if not self.category.isidentifier():
            raise ConfigurationError(f"category {self.category!r} is not an identifier")
        if len(self.category) > _CATEGORY_MAX:
            text = f"has {len(self.category)} characters; {_CATEGORY_MAX} are possible"
            raise ConfigurationError(f"category {self.category[:_CATEGORY_MAX]!r}… {text}")
        if not self.commands or not self.events:
            raise ConfigurationError(f"decider {self.category} names no commands or no events")
        for event in self.events:
            name, _ = stored_as(event)
            if not (0 < len(name) <= _EVENT_MAX and name.isprintable()):
                text = f"the event {event.__name__} under {name[:_EVENT_MAX]!r}"
                raise ConfigurationError(
                    f"decider {self.category} keeps {text}: a name has 1 to {_EVENT_MAX} printable characters"
                )
        if not has_code(self.evolve) and (self.snapshots is None or self.snapshots.version is None):
            text = "has an evolve whose code cannot be seen: declare its snapshots with a version"
            raise ConfigurationError(f"decider {self.category} {text}")

    def stream(self, aggregate_id: str, tenant: str | None = None) -> str:
        """The name of that aggregate's stream."""
        stream = f"{self.category}-{aggregate_id}"
        return stream if tenant is None else qualified(tenant, stream)

    def fold(self, state: S, events: Iterable[E]) -> S:
        """The state after those events."""
        for event in events:
            state = self.evolve(state, event)
        return state

    def fingerprint(self) -> str:
        """A name for this fold: a snapshot of another fingerprint is never read.

        In it are the shapes of the state and of the events, the initial state, the upcasters, and the code of `evolve`
        (what counts of that is said in `mainstem.fingerprint`), or in its place the version that the snapshots are
        declared with.
        """
        shapes = [msgspec.json.encode(msgspec.json.schema(each)) for each in (type(self.initial), *self.events)]
        upcasters = [each for event in self.events for each in evolution_of(event).upcasters]
        chain = [repr((upcaster.sources, upcaster.into)) for upcaster in upcasters]
        what = (self.category, *shapes, msgspec.json.encode(self.initial), *chain)
        if self.snapshots is not None and self.snapshots.version is not None:
            return fingerprint(None, "version", self.snapshots.version, *what)[:_FINGERPRINT]
        functions = [upcaster.function for upcaster in upcasters]
        return fingerprint(self.evolve, type(self.initial), *self.events, *what, *functions)[:_FINGERPRINT]

"""What a process manager is: a declaration of what it hears, what it sends, and how it reacts. Without I/O."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property, reduce
from operator import or_
from typing import Any, Generic, Literal, TypeVar

import msgspec
from msgspec import Struct

from mainstem.codec import Decoder
from mainstem.errors import ConfigurationError
from mainstem.listener.binding import RetryPolicy
from mainstem.messages import Command, Recorded
from mainstem.process.step import (
    CANCELLED,
    OUTCOME,
    RESUMED,
    STUCK,
    TIMED_OUT,
    Cancelled,
    Outcome,
    Pending,
    Resumed,
    Stepped,
    Stuck,
    Tell,
    TimedOut,
)
from mainstem.tenancy import qualified

M = TypeVar("M")
S = TypeVar("S", bound=Struct)

RETRY = RetryPolicy(attempts=8, first_wait_ms=50, longest_wait_ms=5_000)
_PARTS = 1_000
_OWN = (OUTCOME, TIMED_OUT, CANCELLED, RESUMED, STUCK)


class Accepted(Struct, frozen=True):
    """A command that the process has sent was carried out: it brought the stream to that version."""

    command: Command
    stream: str
    version: int


class Declined(Struct, frozen=True):
    """A command that the process has sent was refused, or revoked (`reason` is then ``revoked``)."""

    command: Command
    reason: str
    text: str


@dataclass(frozen=True)
class Reaction(Generic[S]):
    """What a process makes of a message: its state, the commands that go out, in their order, and its next timeout.

    `timeout_ms` counts from the message; None leaves the timeout that runs, 0 takes it away. With `revoke` the commands
    that were sent before and have no outcome yet are not carried out any more: each is `Declined` as ``revoked``, or,
    where it was carried out already, `Accepted`. `stuck` is why nothing goes on until an operator resumes the process.
    """

    state: S
    send: tuple[Command, ...] = ()
    timeout_ms: int | None = None
    revoke: bool = False
    ended: bool = False
    stuck: str | None = None


class Heard(Struct, frozen=True):
    """A message for one process, and where it came from: `number` tells the messages of a source apart.

    `cause` is the causation id of what the process makes of it: source and number, unless given. The process is that
    of the tenant whose event was heard; of other messages, of `tenant`.
    """

    process: str
    message: Struct
    source: str
    number: int
    cause: str = ""
    tenant: str | None = None


def heard_event(recorded: Recorded[Any], process: str, message: Struct | None = None) -> Heard:
    """An event of the event topic, for the process of that name, which is told the event unless `message` is given."""
    number = recorded.version * _PARTS + recorded.part
    told = recorded.payload if message is None else message
    return Heard(process, told, recorded.stream, number, f"{recorded.stream}:{recorded.version}", recorded.tenant)


@dataclass(frozen=True)
class Hearing(Generic[M]):
    """A topic that a process manager hears: `read` says which process a record is for, None where for none."""

    topic: str
    decoder: Decoder[M]
    read: Callable[[M], Heard | None]


@dataclass(frozen=True)
class ProcessManager(Generic[S]):
    """How processes of one kind go on.

    `react(state, message, now_ms)` is pure: a message is one of `messages`, or `Accepted`, `Declined`, `TimedOut`,
    `Cancelled` or `Resumed`; time comes in with it. It raises `Refused` for a message that may not begin a process.
    `name` is the category of the processes' streams. A command whose fate stays unknown is tried again as `retry` says;
    then the process is stuck. A manager that is new, or has a new name, hears its topics from their `start`, or what
    comes from `now` on, as `begin` says.
    """

    name: str
    initial: S
    react: Callable[[S, Any, int], Reaction[S]]
    messages: tuple[type[Struct], ...]
    commands: tuple[type[Command], ...]
    hears: tuple[Hearing[Any], ...] = ()
    retry: RetryPolicy = field(default=RETRY)
    begin: Literal["start", "now"] = "start"

    def __post_init__(self) -> None:
        if not self.name.isidentifier():
            raise ConfigurationError(f"process manager {self.name!r} is not an identifier")
        if not self.messages or not self.commands:
            raise ConfigurationError(f"process manager {self.name} names no messages or no commands")
        if self.begin not in ("start", "now"):
            raise ConfigurationError(
                f"process manager {self.name} begins at {self.begin!r}; 'start' or 'now' are possible"
            )
        tags = [each.__struct_config__.tag for each in self.messages]
        if None in tags or len({*tags, *_OWN}) != len(tags) + len(_OWN):
            raise ConfigurationError(f"messages of process manager {self.name} need tags of their own")

    @cached_property
    def stepped(self) -> type[Stepped]:
        """The event that each step of a process is."""
        name = self._title
        own = (Outcome, TimedOut, Cancelled, Resumed, Stuck)
        message: Any = _union((*self.messages, *own))
        pending: Any = msgspec.defstruct(
            f"{name}Pending", [("command", _union(self.commands))], bases=(Pending,), frozen=True, kw_only=True
        )
        fields: list[Any] = [
            ("message", message | None, None),
            ("state", type(self.initial)),
            ("pending", tuple.__class_getitem__((pending, ...)), ()),
        ]
        made: type[Stepped] = msgspec.defstruct(  # type: ignore[assignment]
            f"{name}Stepped", fields, bases=(Stepped,), frozen=True, kw_only=True, tag=True, omit_defaults=True
        )
        return made

    @cached_property
    def tell(self) -> type[Tell]:
        """The command with which a process is told a message."""
        message = _union((*self.messages, Outcome, TimedOut, Cancelled, Resumed, Stuck))
        made: type[Tell] = msgspec.defstruct(  # type: ignore[assignment]
            f"Tell{self._title}", [("message", message)], bases=(Tell,), frozen=True, kw_only=True, tag=True
        )
        return made

    @cached_property
    def pending(self) -> type[Pending]:
        """A command on its way."""
        found: type[Pending] = msgspec.structs.fields(self.stepped)[_PENDING].type.__args__[0]
        return found

    @cached_property
    def told(self) -> Decoder[Any]:
        """Decodes what is told, as the inbox keeps it."""
        return Decoder(_union(self.messages))

    @property
    def _title(self) -> str:
        return "".join(word.capitalize() for word in self.name.split("_"))

    def stream(self, process: str, tenant: str | None = None) -> str:
        """The name of that process's stream."""
        return qualified(tenant, f"{self.name}-{process}")


_PENDING = next(n for n, each in enumerate(Stepped.__struct_fields__) if each == "pending")


def _union(types: Sequence[type[Struct]]) -> Any:
    return reduce(or_, types)

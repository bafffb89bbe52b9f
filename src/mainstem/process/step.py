"""One step of a process: the event that it is, and the command that leads to it.

A step holds the whole process as it stands behind it, so that nothing has to be worked out again from older code.
"""

from typing import Any, Literal

from msgspec import Struct, field

from mainstem.messages import Command, Event

Status = Literal["running", "stuck", "ended"]

OUTCOME, TIMED_OUT, CANCELLED, RESUMED, STUCK = (
    f"process:{name}" for name in ("outcome", "timed-out", "cancelled", "resumed", "stuck")
)


class Outcome(Struct, frozen=True, tag=OUTCOME, omit_defaults=True):
    """What became of the command with that number: accepted, with the stream's version, or refused."""

    number: int
    accepted: bool
    stream: str = ""
    version: int = 0
    reason: str = ""
    text: str = ""


class TimedOut(Struct, frozen=True, tag=TIMED_OUT):
    """The time that the process gave itself is over."""


class Cancelled(Struct, frozen=True, tag=CANCELLED):
    """An operator wants the process undone."""

    why: str


class Resumed(Struct, frozen=True, tag=RESUMED):
    """An operator wants a stuck process to go on."""


class Stuck(Struct, frozen=True, tag=STUCK):
    """The command with that number (0: a message) failed too often."""

    number: int
    why: str


class Pending(Struct, frozen=True, kw_only=True):
    """A command on its way: its number in the process, the step that has sent it, and since when it waits."""

    number: int
    step: int
    since_ms: int
    command: Any


class Stepped(Event, frozen=True, kw_only=True, omit_defaults=True):
    """A process as it stands behind a message. Each manager has a class of its own, with its types of these fields.

    `sent` counts the commands so far; those up to `revoked` are not carried out any more. `heard` has the last numbers
    of each source, and `beginning` is a digest of the message that the process began with.
    """

    state: Any
    message: Any = None
    pending: tuple[Any, ...] = ()
    step: int = 0
    status: Status = "running"
    why: str = ""
    sent: int = 0
    revoked: int = 0
    due_at_ms: int | None = None
    heard: dict[str, tuple[int, ...]] = field(default_factory=dict)
    beginning: str = ""
    begun_at_ms: int = 0
    changed_at_ms: int = 0


class Tell(Command, frozen=True, kw_only=True):
    """Tell a process something. Each manager has a class of its own, with its type of message.

    `source` and `number` say where a message was heard; a process hears each once. `begins`: none may have begun.
    """

    process: str
    message: Any
    at_ms: int
    source: str | None = None
    number: int = 0
    begins: bool = False

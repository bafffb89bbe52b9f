"""What is kept of processes beside their streams: a view of how each stands, and inboxes of what each is told."""

from collections.abc import Sequence
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from mainstem.codec import encode, recorded_events
from mainstem.errors import ListenerError
from mainstem.listener.binding import Binding
from mainstem.messages import Recorded
from mainstem.process.manager import Hearing, ProcessManager
from mainstem.process.step import Stepped
from mainstem.table import Table
from mainstem.tenancy import MARK, qualified, read_stream
from mainstem.view.port import ViewTransaction
from mainstem.view.projection import Fold, Rows

GROUP = "process"
_PAGE = 1_000


class ProcessRow(Struct, frozen=True):
    """A process as its last step has left it. `driven` from `next_at_ms` on: a command or a timeout is due then.

    A tenant's has the id ``/tenant/id``.
    """

    manager: str
    id: str
    status: str
    why: str
    pending: int
    driven: bool
    next_at_ms: int
    step: int
    begun_at_ms: int
    changed_at_ms: int


class InboxRow(Struct, frozen=True):
    """A message that waits to be told to a process, as JSON; where telling it has failed for good, `why`."""

    id: str
    process: str
    source: str
    number: int
    cause: str
    message: str
    waiting: bool = True
    why: str = ""


PROCESS = Table(
    "process",
    ProcessRow,
    key=("manager", "id"),
    indexes=(("driven", "next_at_ms", "manager", "id"), ("status", "manager", "id")),
)


def row_of(recorded: Recorded[Stepped]) -> ProcessRow:
    """The row behind a step."""
    return row_at(*_place(recorded), recorded.version, recorded.payload)


def row_at(manager: str, process: str, version: int, step: Stepped) -> ProcessRow:
    """The row behind the step at that version of the process's stream."""
    due = [step.changed_at_ms] if step.pending else [] if step.due_at_ms is None else [step.due_at_ms]
    driven = step.status == "running" and bool(due)
    times = (min(due, default=0), version, step.begun_at_ms, step.changed_at_ms)
    return ProcessRow(manager, process, step.status, step.why, len(step.pending), driven, *times)


def _place(recorded: Recorded[Any]) -> tuple[str, str]:
    name = read_stream(recorded.stream)
    return name.category, name.key


def inbox_of(manager: ProcessManager[Any], number: int) -> "Table[InboxRow]":
    """The inbox of what the manager hears, by the number of its hearing."""
    return Table(f"{manager.name}_inbox_{number}", InboxRow, key=("id",), indexes=(("waiting", "source", "number"),))


def bindings_of(managers: Sequence[ProcessManager[Any]], events: str, *, apart: bool) -> tuple[Binding[Any], ...]:
    """The listeners that keep the view, from the topic `events`, and the inboxes; tenants are kept `apart` or not."""
    if not managers:
        return ()
    view = Binding(
        group=GROUP,
        topic=events,
        decoder=recorded_events([each.stepped for each in managers], categories=[each.name for each in managers]),
        projection=Fold(
            PROCESS,
            _place,
            lambda _, recorded: row_of(recorded),
            lambda row, recorded: recorded.version <= row.step,
        ),
    )
    heard = (
        _hears(each, number, hearing, apart=apart) for each in managers for number, hearing in enumerate(each.hears, 1)
    )
    return (view, *heard)


def groups_of(managers: Sequence[ProcessManager[Any]]) -> list[str]:
    """Of the same listeners."""
    return [GROUP, *hearing_groups(managers)]


def hearing_groups(managers: Sequence[ProcessManager[Any]]) -> list[str]:
    """Of those that hear for the managers, without the one that keeps how processes stand."""
    return [_group(each, number) for each in managers for number, _ in enumerate(each.hears, 1)]


def wait_again(transaction: ViewTransaction, manager: ProcessManager[Any], process: str) -> None:
    """Have all that the process has not been told wait to be told again, in its order."""
    for number in range(1, len(manager.hears) + 1):
        inbox = inbox_of(manager, number)
        while rows := transaction.find(inbox, {"process": process, "waiting": False}, limit=_PAGE):
            transaction.put(inbox, [replace(row, waiting=True, why="") for row in rows])


def _group(manager: ProcessManager[Any], number: int) -> str:
    return f"{manager.name}-{number}"


def _hears(manager: ProcessManager[Any], number: int, hearing: Hearing[Any], *, apart: bool) -> Binding[Any]:
    def rows(message: Any) -> Sequence[InboxRow]:
        heard = hearing.read(message)
        if heard is None:
            return ()
        if apart and heard.process.startswith(MARK):
            raise ListenerError(f"no process may be named {heard.process[:200]!r}: so the rows of tenants are")
        tenant = message.tenant if isinstance(message, Recorded) else heard.tenant
        text = encode(heard.message).decode()
        name = f"{heard.source}:{heard.number}"
        process = qualified(tenant, heard.process)
        return (InboxRow(name, process, heard.source, heard.number, heard.cause or name, text),)

    return Binding(
        group=_group(manager, number),
        topic=hearing.topic,
        decoder=hearing.decoder,
        projection=Rows(inbox_of(manager, number), rows, stays=False),
    )

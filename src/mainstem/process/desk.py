"""What people ask of processes: begin one, look at it, list them, and help those that are stuck."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import islice, takewhile
from typing import Any

from msgspec import Struct

from mainstem.codec import iso_time
from mainstem.errors import Refused
from mainstem.eventstore.port import StoredEvent
from mainstem.eventstore.reader import EventReader, Streams
from mainstem.messages import SYSTEM, Origin
from mainstem.process.driver import Commands
from mainstem.process.manager import ProcessManager
from mainstem.process.rows import PROCESS, ProcessRow, wait_again
from mainstem.process.step import Cancelled, Resumed, Stepped, Tell
from mainstem.tenancy import LAST, qualified, shown, span
from mainstem.view.port import ViewStore

_PAGE = 1_000


class Listed(Struct, frozen=True, rename="camel"):
    """How a process stands: running, stuck (and why) or ended; how many of its commands have no outcome yet."""

    manager: str
    id: str
    status: str
    why: str
    pending: int
    steps: int
    begun_at: str
    changed_at: str


class Processes:
    """The processes of an application."""

    def __init__(
        self,
        managers: Sequence[ProcessManager[Any]],
        *,
        commands: Commands,
        events: Streams,
        views: ViewStore,
        clock_ms: Callable[[], int],
        apart: bool = False,
    ) -> None:
        self._apart = apart
        self._managers = {each.name: each for each in managers}
        self._commands, self._events, self._views, self._clock_ms = commands, events, views, clock_ms

    def beginning(self, manager: ProcessManager[Any], process: str, message: Struct) -> Tell:
        """The command that begins a process, to be sent like any other: whose process it is, its origin says.

        The same content again changes nothing; other content is refused as ``<manager>-exists``.
        """
        return manager.tell(process=process, message=message, at_ms=self._clock_ms(), begins=True)

    def find(self, manager: str, process: str, tenant: str | None = None) -> Stepped | None:
        """A process as it stands now, by its own events; None where it has not begun."""
        declared = self._known(manager)
        stream, after = declared.stream(process, tenant), 0
        found: StoredEvent | None = None
        while page := self._events.read(stream, after, _PAGE):
            found, after = page[-1], page[-1].version
        if found is None:
            return None
        (step,) = EventReader([declared.stepped]).of_stream([found])
        return step

    def list(
        self,
        *,
        manager: str | None = None,
        status: str | None = None,
        limit: int = 100,
        tenant: str | None = None,
    ) -> list[Listed]:
        """So many of a tenant's, or of those of no tenant, by manager and id, as the view has them.

        Raises Refused for a manager that there is not.
        """
        if manager is not None:
            self._known(manager)
        where = {name: value for name, value in (("status", status), ("manager", manager)) if value is not None}
        if not self._managers:
            return []
        if self._apart:
            rows = list(islice(self._of_one(where, tenant, limit), limit))
        else:
            rows = list(self._views.find(PROCESS, where, order=("manager", "id"), limit=limit))
        times = [(iso_time(row.begun_at_ms), iso_time(row.changed_at_ms)) for row in rows]
        return [
            Listed(row.manager, shown(tenant, row.id), row.status, row.why, row.pending, row.step, *at)
            for row, at in zip(rows, times, strict=True)
        ]

    def _of_one(self, where: Mapping[str, str], tenant: str | None, limit: int) -> Iterator[ProcessRow]:
        """A tenant's have ids beside each other; those of no tenant are on both sides of all of these."""
        begin, end = span(tenant)
        before = begin if tenant is not None else f"{begin}{LAST}"
        for manager in [where["manager"]] if "manager" in where else sorted(self._managers):
            of_manager = {**where, "manager": manager}
            page = partial(self._views.find, PROCESS, of_manager, order=("id",), limit=limit)
            if tenant is None:
                yield from takewhile(lambda row: row.id < begin, page())
            yield from takewhile(lambda row: row.id < end or tenant is None, page(after=(before,)))

    def resume(self, manager: str, process: str, origin: Origin = SYSTEM) -> Stepped:
        """Let a stuck process go on: what has failed is tried again. Raises Refused where it is not stuck."""
        self._tell(manager, process, Resumed(), origin)
        declared, key = self._known(manager), qualified(origin.tenant, process)
        with self._views.transaction() as transaction:
            wait_again(transaction, declared, key)
        return self._stands(manager, process, origin)

    def cancel(self, manager: str, process: str, why: str, origin: Origin = SYSTEM) -> Stepped:
        """Have a process undone. Raises Refused where it cannot be any more."""
        self._tell(manager, process, Cancelled(why), origin)
        return self._stands(manager, process, origin)

    def _tell(self, manager: str, process: str, message: Any, origin: Origin) -> None:
        tell = self._known(manager).tell(process=process, message=message, at_ms=self._clock_ms())
        self._commands.execute(tell, origin=origin)

    def _known(self, manager: str) -> ProcessManager[Any]:
        try:
            return self._managers[manager]
        except KeyError:
            known = ", ".join(sorted(self._managers)) or "none"
            raise Refused("process-unknown", f"there are no processes {manager!r}; known are {known}") from None

    def _stands(self, manager: str, process: str, origin: Origin) -> Stepped:
        found = self.find(manager, process, origin.tenant)
        if found is None:
            raise Refused("process-unknown", f"{process} has not begun")
        return found

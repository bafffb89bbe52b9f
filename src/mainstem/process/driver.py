"""What makes processes go on: tells them what was heard, sends their commands, and tells them when their time is over.

Nothing is kept here. What is due stands in the view and the inboxes, and each thing done is a command to the writer:

1. A message of the inbox is told to its process, whose step is an event with the commands that it sends. Then its row
   goes. After a crash in between it is told again, and the process knows it.
2. A command is carried out under an idempotency key of process and number. After a crash behind it, the same key brings
   the same outcome. Where it was revoked, the key is used up instead, unless it was used before.
3. The outcome is told to the process, which knows those that it has heard.

So it may run in several processes at once: what one has done, another finds done. That nobody does in vain what another
does too, each brings on those processes alone that are `mine`; who they are of may change at any moment.
"""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from typing import Any, Protocol, TypeVar

import structlog
from msgspec import Struct
from msgspec.structs import replace

from mainstem.command.answer import Answer
from mainstem.decider import Decider
from mainstem.errors import (
    CodecError,
    ConfigurationError,
    IdempotencyConflict,
    InvalidCommand,
    MainstemError,
    Refused,
    ShuttingDown,
    StoreBusy,
    StoreCorrupt,
    StoreFull,
    StoreUnavailable,
    TryAgain,
)
from mainstem.eventstore.reader import EventReader, Streams
from mainstem.messages import Command, Origin
from mainstem.process.held import Held
from mainstem.process.keys import Keys
from mainstem.process.manager import ProcessManager
from mainstem.process.rows import PROCESS, InboxRow, ProcessRow, inbox_of
from mainstem.process.step import Outcome, Pending, Stepped, Stuck, Tell, TimedOut
from mainstem.table import Table
from mainstem.tenancy import stream_of
from mainstem.view.port import ViewStore

R = TypeVar("R", bound=Struct)

_log = structlog.get_logger(__name__)

_AWAY = (TryAgain, ShuttingDown, StoreBusy, StoreUnavailable, StoreFull)
"""The writer or its store takes nothing from anybody: that is waited out, and is no fault of a process."""

_FINAL = (InvalidCommand, IdempotencyConflict)
_DRIVEN, _NEXT = {"driven": True}, ("next_at_ms", "manager", "id")
_POLL_S = 0.25
_BATCH_MAX = 64
AT_ONCE = 8
_PAGES_MAX = 16
"""Of what others bring on so many pages are read past in a round; they, or whoever comes after them, make room."""

_STALLED_LONGEST_S = 5.0
_PAGE = 1_000
_WHY_MAX = 500


class Commands(Protocol):
    """The writer, as the driver needs it."""

    def execute(self, command: Command, *, key: str | None = None, origin: Origin = ...) -> Answer:
        """Carry the command out."""

    def revoke(self, command: Command, *, key: str, origin: Origin = ...) -> Answer:
        """The outcome that the key has; where it has none, it is refused from now on."""


@dataclass(frozen=True)
class DriverStatus:
    """Whether it works, and if not, why; how many steps it has led to, and how much is due now, since when."""

    state: str
    reason: str | None
    steps: int
    due: int
    oldest_ms: int | None
    stuck: int


class Driver:
    """Drives the processes of these managers. `deciders` are those that take the commands that processes send.

    A process is named by its key, and does what it does in the tenant of that. So many are brought on `at_once`, by
    threads; with 1, each in its turn, by the thread that calls. `mine` says of a process's stream whether it is brought
    on here; of each, one driver should say so.
    """

    def __init__(  # noqa: PLR0913 - the parts that it drives with
        self,
        managers: Sequence[ProcessManager[Any]],
        deciders: Sequence[Decider[Any, Any, Any]],
        *,
        commands: Commands,
        events: Streams,
        views: ViewStore,
        clock_ms: Callable[[], int],
        answers_kept_ms: int,
        keys: Keys = Keys(),  # noqa: B008 - it never changes
        at_once: int = AT_ONCE,
        mine: Callable[[str], bool] = lambda _: True,
    ) -> None:
        self._managers = {each.name: each for each in managers}
        self._inboxes = [(m, inbox_of(m, n)) for m in managers for n in range(1, len(m.hears) + 1)]
        self._readers = {each.name: EventReader([each.stepped]) for each in managers}
        self._categories = {command: each.category for each in deciders for command in each.commands}
        self._commands, self._events, self._views, self._clock_ms = commands, events, views, clock_ms
        self._forgotten_ms, self._keys, self._mine = answers_kept_ms // 2, keys, mine
        self._pool = ThreadPoolExecutor(at_once, thread_name_prefix="process") if at_once > 1 else None
        self._held = Held(self._managers, stream=self._stream, events=events, views=views, clock_ms=clock_ms)
        self._bell = threading.Event()
        self._failures: dict[tuple[str, ...], tuple[int, float]] = {}
        self._running, self._steps = False, 0
        self._stalled: str | None = None
        self._stop = threading.Event()

    def run(self, stop: threading.Event) -> None:
        """Run until `stop`. Where the writer or a store is away it is stalled, and goes on by itself."""
        self._running, self._stop = True, stop
        wait_s = _POLL_S
        while not stop.is_set():
            self._bell.clear()
            try:
                done = self.round()
            except Exception as error:
                self._stall(error)
                stop.wait(wait_s)
                wait_s = min(wait_s * 2, _STALLED_LONGEST_S)
            else:
                self._stalled, wait_s = None, _POLL_S
                if not done:
                    self._bell.wait(_POLL_S)
        self._running = False
        if self._pool is not None:
            self._pool.shutdown()

    def wake(self) -> None:
        """Look at once: a row of a process or of an inbox has come. Others' rows are found at the next look."""
        self._bell.set()

    def round(self) -> int:
        """Tell what was heard, then bring on what is due; the number of steps. Raises what keeps all from going on."""
        before = self._steps
        self._held.look(self._drives_here)
        for manager, table in self._inboxes:
            rows = self._own(table, {"waiting": True}, ("source", "number", "id"), partial(self._hears_here, manager))
            by_process = sorted(rows, key=lambda row: row.process)
            groups = [list(group) for _, group in groupby(by_process, key=lambda row: row.process)]
            self._each(partial(self._hear, manager, table), groups)
        self._each(self._bring_on, self._at_their_time(self._own(PROCESS, _DRIVEN, _NEXT, self._drives_here)))
        return self._steps - before

    def status(self) -> DriverStatus:
        """A picture of the moment."""
        due = self._at_their_time(self._views.find(PROCESS, _DRIVEN, order=_NEXT, limit=_PAGE))
        waiting = sum(len(self._views.find(table, {"waiting": True}, limit=_PAGE)) for _, table in self._inboxes)
        stuck = len(self._views.find(PROCESS, {"status": "stuck"}, limit=_PAGE))
        state = "stopped" if not self._running else "running" if self._stalled is None else "stalled"
        oldest_ms = min((row.next_at_ms for row in due), default=None)
        return DriverStatus(state, self._stalled, self._steps, len(due) + waiting, oldest_ms, stuck)

    def _at_their_time(self, rows: Sequence[ProcessRow]) -> list[ProcessRow]:
        now_ms = self._clock_ms()
        return [row for row in rows if row.next_at_ms <= now_ms and row.manager in self._managers]

    def _own(
        self, table: Table[R], where: Mapping[str, Any], order: Sequence[str], is_own: Callable[[R], bool]
    ) -> list[R]:
        """A batch of the rows that are brought on here, past those of others."""
        found: list[R] = []
        after: Sequence[Any] | None = None
        for _ in range(_PAGES_MAX):
            page = self._views.find(table, where, order=order, after=after, limit=_BATCH_MAX)
            found += filter(is_own, page)
            if len(page) < _BATCH_MAX or len(found) >= _BATCH_MAX:
                break
            after = [getattr(page[-1], name) for name in order]
        return found[:_BATCH_MAX]

    def _hears_here(self, manager: ProcessManager[Any], row: InboxRow) -> bool:
        return self._is_own(manager, row.process)

    def _drives_here(self, row: ProcessRow) -> bool:
        return row.manager in self._managers and self._is_own(self._managers[row.manager], row.id)

    def _is_own(self, manager: ProcessManager[Any], process: str) -> bool:
        try:
            return self._mine(self._stream(manager, process))
        except ConfigurationError:
            return True  # nobody's: each who meets it says so

    def _each(self, work: Callable[[Any], None], items: Sequence[Any]) -> None:
        """At the same time, so that the writer commits them together. The first error is raised at the end."""
        if self._pool is None:
            for item in items:
                work(item)
            return
        errors = [future.exception() for future in [self._pool.submit(work, item) for item in items]]
        for error in errors:
            if error is not None:
                raise error

    def _hear(self, manager: ProcessManager[Any], table: Any, rows: Sequence[InboxRow]) -> None:
        """The messages for one process, up to one that is to be tried again later."""
        self._keys.split(rows[0].process)  # what it raises is no fault of the process
        for row in rows:

            def tell(row: InboxRow = row) -> None:
                message = manager.told.one(row.message.encode())
                with suppress(Refused):  # kept like any refusal
                    self._tell(manager, row.process, message, row.cause, source=row.source, number=row.number)

            done, why = self._patiently(manager, (manager.name, row.process, row.id), tell)
            if not done:
                return
            if why is not None:
                self._stick(manager, row.process, Stuck(0, why), row.cause)
            with self._views.transaction() as transaction:
                if why is None:
                    transaction.remove(table, [(row.id,)])
                else:
                    transaction.put(table, [replace(row, waiting=False, why=why)])

    def _bring_on(self, row: ProcessRow) -> None:
        """Until the process waits for somebody else, or is to be tried again later."""
        self._keys.split(row.id)
        manager = self._managers[row.manager]
        try:
            step = self._last(manager, row.id, row.step)
            while step.status == "running" and not self._stop.is_set() and self._is_own(manager, row.id):
                late = step.due_at_ms is not None and step.due_at_ms <= self._clock_ms()
                if not (late or step.pending) or not self._go_on(manager, row.id, step, late=late):
                    return
                step = self._last(manager, row.id, step.step)
        except CodecError as error:
            self._held.hold(manager, row.id, _told(error))

    def _go_on(self, manager: ProcessManager[Any], process: str, step: Stepped, *, late: bool) -> bool:
        """Tell it that its time is over, or carry its first command out; False: it is to be tried again later."""
        stream = self._stream(manager, process)
        number = 0 if late else step.pending[0].number
        cause = f"{stream}:{step.step if late else step.pending[0].step}"

        def work() -> None:
            if late:
                self._tell(manager, process, TimedOut(), cause)
                return
            outcome = self._outcome(manager, process, step, step.pending[0], cause)
            because = f"{outcome.stream}:{outcome.version}" if outcome.accepted else cause
            self._tell(manager, process, outcome, because)

        done, why = self._patiently(manager, (stream, str(number)), work)
        if why is not None:
            self._stick(manager, process, Stuck(number, why), cause)
        return done

    def _stick(self, manager: ProcessManager[Any], process: str, stuck: Stuck, cause: str) -> None:
        """Tell it that it is stuck; where the writer cannot read it, it is held up."""
        try:
            self._tell(manager, process, stuck, cause)
        except (CodecError, StoreCorrupt) as error:
            self._held.hold(manager, process, _told(error))

    def _patiently(
        self, manager: ProcessManager[Any], place: tuple[str, ...], work: Callable[[], None]
    ) -> tuple[bool, str | None]:
        """Whether it is done, and why not where it has failed as often as it may; else it is to be tried again later.

        Raises what keeps all of it from going on.
        """
        attempts, until = self._failures.get(place, (0, 0.0))
        if time.monotonic() < until:
            return False, None
        try:
            work()
        except _AWAY:
            raise
        except Exception as error:
            attempts += 1
            _log.warning("a process fails", place=place, attempt=attempts, cause=_told(error))
            if not isinstance(error, _FINAL) and attempts < manager.retry.attempts:
                self._failures[place] = (attempts, time.monotonic() + manager.retry.wait_ms(attempts + 1) / 1000)
                return False, None
            self._failures.pop(place, None)
            return True, _told(error)
        self._failures.pop(place, None)
        return True, None

    def _outcome(
        self, manager: ProcessManager[Any], process: str, step: Stepped, pending: Pending, cause: str
    ) -> Outcome:
        if self._clock_ms() - pending.since_ms > self._forgotten_ms:
            raise InvalidCommand("it has waited for so long that what became of it may be forgotten: see, then resume")
        stream = self._stream(manager, process)
        origin = self._origin(manager, process, cause)
        carry_out = self._commands.revoke if pending.number <= step.revoked else self._commands.execute
        try:
            answer = carry_out(pending.command, key=f"process {stream}:{pending.number}", origin=origin)
        except Refused as refused:
            return Outcome(pending.number, False, reason=refused.reason, text=str(refused))
        category = self._categories[type(pending.command)]
        reached = stream_of(category, answer.aggregate_id, apart=self._keys.apart)
        return Outcome(pending.number, True, reached, answer.version)

    def _tell(self, manager: ProcessManager[Any], process: str, message: Any, cause: str, **source: Any) -> None:
        _, name = self._keys.split(process)
        tell: Tell = manager.tell(process=name, message=message, at_ms=self._clock_ms(), **source)
        self._commands.execute(tell, origin=self._origin(manager, process, cause))
        self._steps += 1

    def _stream(self, manager: ProcessManager[Any], process: str) -> str:
        tenant, name = self._keys.split(process)
        return manager.stream(name, tenant)

    def _origin(self, manager: ProcessManager[Any], process: str, cause: str) -> Origin:
        tenant, _ = self._keys.split(process)
        return Origin(
            actor=f"process:{manager.name}",
            correlation_id=self._stream(manager, process),
            causation_id=cause,
            tenant=tenant,
        )

    def _last(self, manager: ProcessManager[Any], process: str, known: int) -> Stepped:
        """The last step, which is the one that is known, or one behind it."""
        stream, after, found = self._stream(manager, process), known - 1, []
        while page := self._events.read(stream, after, _PAGE):
            found, after = list(page), page[-1].version
        (last,) = self._readers[manager.name].of_stream(found[-1:])
        return last

    def _stall(self, error: Exception) -> None:
        reason = f"{type(error).__name__}: {error}"
        if reason != self._stalled and not (isinstance(error, ShuttingDown) or self._stop.is_set()):
            known = isinstance(error, MainstemError)
            _log.error("processes are stalled", cause=reason, exc_info=None if known else error)
        self._stalled = reason


def _told(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:_WHY_MAX]

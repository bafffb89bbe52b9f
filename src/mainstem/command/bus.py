"""Group commit: commands that wait together are decided, appended and made durable in one transaction, by one writer.

A batch is whatever came in while the one before was being committed, so nobody waits for company: alone, a command is
committed at once; under load, one flush to the disk serves hundreds. What goes wrong for one command goes wrong for it
alone: where a write of a batch fails, the batch is rolled back and each of its commands carried out by itself.
"""

import asyncio
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from queue import SimpleQueue

import structlog
from msgspec.structs import replace

from mainstem.command.answer import Answer
from mainstem.command.closing import Closing
from mainstem.command.handler import Handler, Outcome, Request
from mainstem.command.patience import OVERDUE, Patience
from mainstem.command.snapshotting import SnapshotCounts, SnapshotWriter
from mainstem.command.tickets import FAULTS, Ticket, as_answer, cancelled, deliver
from mainstem.errors import (
    AnswerTimeout,
    CommandError,
    ConfigurationError,
    MainstemError,
    Refused,
    ShuttingDown,
    StoreBusy,
    StoreFull,
    StoreUnavailable,
    TryAgain,
    WriteConflict,
)
from mainstem.eventstore.port import EventStore
from mainstem.messages import SYSTEM, Command, Origin

_log = structlog.get_logger(__name__)

_OF_THE_STORE = (StoreBusy, StoreFull, StoreUnavailable)
"""Errors that would meet every command of the batch alike."""


@dataclass(frozen=True)
class BusLimits:
    """The limits of one command bus."""

    queue_max: int = 8_192
    batch_max: int = 512
    answer_timeout_s: float = 30.0
    conflict_tries: int = 5
    snapshots_max: int = 1_024
    retry_after_s: int = 1


@dataclass(frozen=True)
class BusStatus:
    """What the writer is about, and what it has done since the start."""

    running: bool
    waiting: int
    accepted: int
    refused: int
    failed: int
    batches: int
    last_error: str | None
    snapshots: SnapshotCounts
    refusals: Mapping[str, int]
    """Refused commands by reason, those that were told again by their key left out."""


_GATHER_SHARE = 1.0
_GATHER_MAX_S = 0.005
_GATHER_LOOKS = 8

_REASONS_MAX = 100
_OTHER = "other"
"""Where a domain has more reasons than that, which are meant to be few, those that come later are counted together."""


class CommandBus:
    """Takes commands from any thread or event loop and answers each.

    One writer thread, and one that keeps snapshots, between `start` and `stop`. Or none, after `open`: then one thread
    alone puts commands down and carries them out, `execute` does both.
    """

    def __init__(
        self,
        store: EventStore,
        handler: Handler,
        *,
        limits: BusLimits | None = None,
        on_commit: Callable[[], None] = lambda: None,
    ) -> None:
        self._store = store
        self._handler = handler
        self._limits = limits or BusLimits()
        self._on_commit = on_commit
        self._snapshots = SnapshotWriter(store, waiting_max=self._limits.snapshots_max)
        self._waiting: deque[Ticket] = deque()
        self._idle = False
        self._bell: SimpleQueue[None] = SimpleQueue()
        self._open = False
        self._stepped = False
        self._gate = threading.Lock()
        self._writer: threading.Thread | None = None
        self._counts = {"accepted": 0, "refused": 0, "failed": 0, "batches": 0}
        self._refusals: Counter[str] = Counter()
        self._patience: dict[asyncio.AbstractEventLoop, Patience] = {}
        self._last_error: str | None = None

    def start(self) -> None:
        """Start the writer."""
        with self._gate:
            self._open = True
            self._snapshots.start()
            self._writer = threading.Thread(target=self._run, name="command-writer", daemon=True)
            self._writer.start()

    def open(self) -> None:
        """Take commands without starting a thread: `step` carries out what waits, and `keep_snapshots` keeps them."""
        with self._gate:
            self._open = self._stepped = True
            self._snapshots.open()

    def stop(self, timeout_s: float = 30.0) -> None:
        """Take no more commands, carry out those that wait, keep the snapshots that wait, end the threads.

        Where there are no threads, what waits is not carried out.
        """
        with self._gate:
            writer, self._writer = self._writer, None
            if not self._open:
                return
            self._open = False
            self._patience = {}  # the last of those who failed are kept there, with all that their tracebacks lead to
            if writer is None:
                return
        self._bell.put(None)
        deadline = time.monotonic() + timeout_s
        writer.join(timeout_s)
        self._snapshots.stop(max(0.0, deadline - time.monotonic()))

    async def send(
        self, command: Command, *, key: str | None = None, origin: Origin = SYSTEM, retry_of: int | None = None
    ) -> Answer:
        """Carry the command out, from an event loop. With an idempotency `key` it is carried out once.

        With `retry_of`, the number of a refusal, it is kept as a retry of that; `mainstem.refusals` makes such.
        Raises Refused, InvalidCommand, IdempotencyConflict, TryAgain, AnswerTimeout, ShuttingDown or a StoreError. A
        caller that is cancelled leaves its command to its fate; with a key it can ask again.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Answer] = loop.create_future()
        self._enqueue(Ticket(Request(command, key, origin, retry_of), future, loop))
        if self._idle:  # not at once: what else the loop has ready goes with it
            loop.call_soon(self._wake)
        self._patience_in(loop).wait_for(future)
        return await future

    def execute(
        self,
        command: Command,
        *,
        key: str | None = None,
        origin: Origin = SYSTEM,
        retry_of: int | None = None,
        occurred_at_ms: int | None = None,
    ) -> Answer:
        """The same as `send`, from a thread without an event loop.

        `occurred_at_ms` is for history that is brought in: when it happened (milliseconds since 1970, UTC), not later
        than now. No event of a stream is earlier than the one before it.
        """
        return self._wait_for(Request(command, key, origin, retry_of, occurred_at_ms=occurred_at_ms))

    def revoke(self, command: Command, *, key: str, origin: Origin = SYSTEM) -> Answer:
        """What became of the command under that key. One that was not carried out yet never will be under it.

        Then, and whenever it is asked again, raises Refused with the reason ``revoked``.
        """
        return self._wait_for(Request(command, key, origin, revoke=True))

    def submit(
        self, command: Command, *, key: str | None = None, origin: Origin = SYSTEM, occurred_at_ms: int | None = None
    ) -> "Future[Answer]":
        """Put the command down, from a thread without an event loop: its future has what `execute` returns or raises.

        Raises TryAgain or ShuttingDown.
        """
        return self._put_down(Request(command, key, origin, occurred_at_ms=occurred_at_ms))

    def step(self) -> int:
        """Carry one batch of what waits out, where no thread does; how many commands."""
        batch = self._taken()
        if batch:
            self._serve(batch)
        return len(batch)

    def keep_snapshots(self) -> int:
        """Keep some of the snapshots that wait, where no thread does; how many."""
        return self._snapshots.step()

    def _patience_in(self, loop: asyncio.AbstractEventLoop) -> Patience:
        found = self._patience.get(loop)
        if found is None:
            with self._gate:
                self._patience = {each: own for each, own in self._patience.items() if not each.is_closed()}
                found = self._patience[loop] = Patience(loop, self._limits.answer_timeout_s)
        return found

    def _put_down(self, request: Request) -> "Future[Answer]":
        future: Future[Answer] = Future()
        self._enqueue(Ticket(request, future, None))
        self._wake()
        return future

    def _wait_for(self, request: Request) -> Answer:
        future = self._put_down(request)
        while self._stepped and not future.done():
            self.step()
        try:
            return future.result(self._limits.answer_timeout_s)
        except TimeoutError:
            raise AnswerTimeout(OVERDUE) from None

    def status(self) -> BusStatus:
        """A picture of the moment."""
        writer = self._writer
        running = writer is not None and writer.is_alive()
        return BusStatus(
            running=running,
            waiting=len(self._waiting),
            last_error=self._last_error,
            snapshots=self._snapshots.counts(),
            refusals=dict(self._refusals),
            **self._counts,
        )

    def _enqueue(self, ticket: Ticket) -> None:
        if len(self._waiting) >= self._limits.queue_max:
            raise TryAgain("too many commands are waiting; nothing was done", self._limits.retry_after_s)
        with self._gate:
            if not self._open:
                raise ShuttingDown("no commands are taken now")
            self._waiting.append(ticket)

    def _wake(self) -> None:
        if self._idle:
            self._bell.put(None)

    def _run(self) -> None:
        while batch := self._next_batch():
            began = time.monotonic()
            self._serve(batch)
            self._gather(len(batch) + len(self._waiting), time.monotonic() - began)

    def _serve(self, batch: Sequence[Ticket]) -> None:
        outcomes = self._carry_out(batch)
        self._count(outcomes)
        deliver(batch, outcomes)

    def _gather(self, callers: int, taken_s: float) -> None:
        """Wait a moment, at most as long as a batch takes, for the callers just answered to come again.

        Else they and those who came meanwhile would take turns, in batches of half the size. PostgreSQL's commit_delay
        serves the same end.
        """
        for _ in range(_GATHER_LOOKS):
            if len(self._waiting) >= callers or callers == 1:
                return
            time.sleep(min(taken_s * _GATHER_SHARE, _GATHER_MAX_S) / _GATHER_LOOKS)

    def _next_batch(self) -> list[Ticket]:
        """What waits, once there is something; nothing only after `stop`.

        The writer says that it is idle before it looks for the last time, and a caller looks whether it is after it
        has put its command down: so one of the two sees the other.
        """
        while True:
            if batch := self._taken():
                return batch
            self._idle = True
            if not self._waiting:
                if not self._open:
                    return []
                self._bell.get()
            self._idle = False

    def _taken(self) -> list[Ticket]:
        batch: list[Ticket] = []
        while self._waiting and len(batch) < self._limits.batch_max:
            ticket = self._waiting.popleft()
            if not cancelled(ticket):
                batch.append(ticket)
        return batch

    def _carry_out(self, batch: Sequence[Ticket]) -> list[Outcome | Exception]:
        requests = [ticket.request for ticket in batch]
        closing = self._handler.closing
        if closing is None or not closing.concerns([request.command for request in requests]):
            return self._carry(requests)
        return self._carry_closed(closing, requests)

    def _carry_closed(self, closing: Closing, requests: Sequence[Request]) -> list[Outcome | Exception]:
        """Before the transaction: keys may have to be made. What cannot be closed is not carried out."""
        try:
            closed = closing.commands([(request.command, request.origin.tenant) for request in requests])
        except FAULTS as fault:
            if len(requests) > 1:
                return [outcome for request in requests for outcome in self._carry_closed(closing, [request])]
            return [self._failed(as_answer(fault))]
        ready = [
            request if command is request.command else replace(request, command=command)
            for request, command in zip(requests, closed, strict=True)
            if isinstance(command, Command)
        ]
        outcomes = iter(self._carry(ready) if ready else ())
        return [next(outcomes) if isinstance(each, Command) else each for each in closed]

    def _carry(self, requests: Sequence[Request]) -> list[Outcome | Exception]:
        try:
            outcomes: list[Outcome | Exception] = list(self._together(requests))
        except _OF_THE_STORE as error:
            self._failed(error)
            return [type(error)(*error.args) for _ in requests]
        except FAULTS as fault:
            if len(requests) > 1:
                _log.info("batch is carried out one by one", commands=len(requests), cause=repr(fault))
            return [self._alone(request) for request in requests]
        return outcomes

    def _together(self, requests: Sequence[Request]) -> list[Outcome]:
        """A batch; where another process's writer came first, all of it is decided anew, a few times."""
        for _ in range(self._limits.conflict_tries - 1):
            with suppress(WriteConflict):
                return self._commit(requests)
        return self._commit(requests)

    def _alone(self, request: Request) -> Outcome | Exception:
        """A command by itself; a conflict with another process's append is decided anew, a few times."""
        for tries_left in reversed(range(self._limits.conflict_tries)):
            try:
                return self._commit([request])[0]
            except FAULTS as fault:
                if isinstance(fault, WriteConflict) and tries_left:
                    continue
                return self._failed(as_answer(fault))
        raise AssertionError("a command is tried at least once")

    def _commit(self, requests: Sequence[Request]) -> list[Outcome]:
        handler = self._handler
        handler.begin()
        try:
            with self._store.transaction() as transaction:
                routed = handler.expect(transaction, requests)
                outcomes = [handler.handle(transaction, each) for each in routed]
        except BaseException:
            handler.forget()
            raise
        handler.committed(self._snapshots.offer)
        self._on_commit()
        return outcomes

    def _failed(self, error: Exception) -> Exception:
        self._last_error = f"{type(error).__name__}: {error}"
        if isinstance(error, MainstemError) and not isinstance(error, ConfigurationError):
            _log.warning("commands failed", cause=self._last_error)
        else:
            _log.error("a command met a fault in the program", exc_info=error)
        return error

    def _count(self, outcomes: Sequence[Outcome | Exception]) -> None:
        accepted = refused = 0
        for outcome in outcomes:
            if isinstance(outcome, Answer):
                accepted += 1
                continue
            refused += isinstance(outcome, CommandError)
            if isinstance(outcome, Refused) and not outcome.replayed:
                known = outcome.reason in self._refusals or len(self._refusals) < _REASONS_MAX
                self._refusals[outcome.reason if known else _OTHER] += 1
        self._counts["accepted"] += accepted
        self._counts["refused"] += refused
        self._counts["failed"] += len(outcomes) - accepted - refused
        self._counts["batches"] += 1

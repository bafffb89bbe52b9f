"""What waits for the writer: a request, and the caller in a thread or an event loop who is to be answered."""

import asyncio
from collections.abc import Sequence
from concurrent.futures import Future

import structlog
from msgspec import Struct

from mainstem.command.answer import Answer
from mainstem.command.handler import Outcome, Request

_log = structlog.get_logger(__name__)


class Ticket(Struct, frozen=True):
    """A request with its caller; `loop` is None for one in a thread."""

    request: Request
    caller: "asyncio.Future[Answer] | Future[Answer]"
    loop: asyncio.AbstractEventLoop | None


def cancelled(ticket: Ticket) -> bool:
    """Whether the caller has gone; one in a thread cannot go any more from here on."""
    if ticket.loop is None:
        return not ticket.caller.set_running_or_notify_cancel()  # type: ignore[union-attr]
    return ticket.caller.cancelled()


FAULTS = (Exception, SystemExit)
"""What code of the application may raise. A SystemExit would end the writer, and every later command wait for it."""


def as_answer(fault: Exception | SystemExit) -> Exception:
    """The same as a caller can be told: a SystemExit would end an event loop, which takes no StopIteration either."""
    if not isinstance(fault, SystemExit | StopIteration):
        return fault
    answer = RuntimeError(f"code of the application raised {fault!r}")
    answer.__cause__ = fault
    return answer


def deliver(batch: Sequence[Ticket], outcomes: Sequence[Outcome | Exception]) -> None:
    """Answer each caller: threads at once, each event loop with one call for all that are its own."""
    by_loop: dict[asyncio.AbstractEventLoop, list[tuple[Ticket, Outcome | Exception]]] = {}
    for ticket, outcome in zip(batch, outcomes, strict=True):
        if ticket.loop is None:
            _resolve([(ticket, outcome)])
        else:
            by_loop.setdefault(ticket.loop, []).append((ticket, outcome))
    for loop, answered in by_loop.items():
        try:
            loop.call_soon_threadsafe(_resolve, answered)
        except RuntimeError:  # the loop was closed under its callers: nobody is left to hear
            _log.info("callers went away", commands=len(answered))


def _resolve(answered: Sequence[tuple[Ticket, Outcome | Exception]]) -> None:
    for ticket, outcome in answered:
        if ticket.caller.done():
            continue
        if isinstance(outcome, Answer):
            ticket.caller.set_result(outcome)
        else:
            ticket.caller.set_exception(outcome)

"""How a process manager is a decider: a message told to a process becomes its next step. Pure, like any decision."""

import hashlib
from functools import partial
from typing import Any

from msgspec.structs import replace

from mainstem.codec import encode
from mainstem.decider import Decider
from mainstem.errors import Refused
from mainstem.process.manager import Accepted, Declined, ProcessManager, Reaction
from mainstem.process.step import Cancelled, Outcome, Resumed, Stepped, Stuck, Tell, TimedOut

PENDING_MAX = 100
"""How many commands of one process may be on their way."""

_SOURCES_MAX = 32
_NUMBERS_MAX = 64


def decider_of(manager: ProcessManager[Any]) -> Decider[Any, Any, Any]:
    """The decider of the manager's processes."""
    return Decider(
        category=manager.name,
        initial=manager.stepped(state=manager.initial),
        decide=partial(_decide, manager),
        evolve=_evolve,
        target=_target,
        commands=(manager.tell,),
        events=(manager.stepped,),
    )


def _evolve(_before: Stepped, event: Stepped) -> Stepped:
    return event


def _target(tell: Tell) -> str:
    return tell.process


def _decide(manager: ProcessManager[Any], before: Stepped, tell: Tell) -> list[Stepped]:
    if tell.begins and before.step:
        if before.beginning != _digest(tell.message):
            raise Refused(f"{manager.name}-exists", f"{tell.process} has begun with other content")
        return []
    if tell.source is not None and _is_known(before.heard.get(tell.source, ()), tell.number):
        return []
    base = replace(
        before,
        message=tell.message,
        step=before.step + 1,
        heard=_hear(before.heard, tell),
        beginning=before.beginning or _digest(tell.message),
        begun_at_ms=before.begun_at_ms or tell.at_ms,
        changed_at_ms=tell.at_ms,
    )
    after = _told(manager, base, tell)
    return [] if after is None else [after]


def _told(manager: ProcessManager[Any], base: Stepped, tell: Tell) -> Stepped | None:
    match tell.message:
        case Outcome() as outcome:
            return _concluded(manager, base, outcome)
        case Stuck(number=number, why=why):
            due = base.status == "running" and (not number or any(each.number == number for each in base.pending))
            return replace(base, status="stuck", why=why) if due else None
        case TimedOut():
            if base.status != "running" or base.due_at_ms is None or tell.at_ms < base.due_at_ms:
                return None
            return _reacted(manager, replace(base, due_at_ms=None), tell.message)
        case Resumed():
            return _resumed(manager, base, tell)
        case Cancelled():
            return _cancelled(manager, base, tell)
        case message:
            return None if base.status == "ended" else _reacted(manager, base, message)


def _concluded(manager: ProcessManager[Any], base: Stepped, outcome: Outcome) -> Stepped | None:
    """Of a command whose outcome is known already nothing is new."""
    command = next((each.command for each in base.pending if each.number == outcome.number), None)
    if command is None:
        return None
    rest = tuple(each for each in base.pending if each.number != outcome.number)
    told: Accepted | Declined = (
        Accepted(command, outcome.stream, outcome.version)
        if outcome.accepted
        else Declined(command, outcome.reason, outcome.text)
    )
    return _reacted(manager, replace(base, pending=rest), told)


def _resumed(manager: ProcessManager[Any], base: Stepped, tell: Tell) -> Stepped:
    _check_alive(base, tell)
    if base.status != "stuck":
        raise Refused("process-not-stuck", f"{tell.process} is not stuck")
    running = replace(base, status="running", why="")
    if base.pending:
        again = tuple(replace(each, since_ms=tell.at_ms) for each in base.pending)
        return replace(running, pending=again)
    return _reacted(manager, running, tell.message)


def _cancelled(manager: ProcessManager[Any], base: Stepped, tell: Tell) -> Stepped:
    _check_alive(base, tell)
    reaction = manager.react(base.state, tell.message, tell.at_ms)
    if reaction == Reaction(base.state):
        raise Refused("process-not-cancellable", f"{tell.process} is too far to be cancelled, or is being undone")
    return _after(manager, replace(base, status="running", why=""), reaction)


def _check_alive(base: Stepped, tell: Tell) -> None:
    if base.step == 1:
        raise Refused("process-unknown", f"{tell.process} has not begun")
    if base.status == "ended":
        raise Refused("process-ended", f"{tell.process} has ended")


def _reacted(manager: ProcessManager[Any], base: Stepped, message: Any) -> Stepped:
    return _after(manager, base, manager.react(base.state, message, base.changed_at_ms))


def _after(manager: ProcessManager[Any], base: Stepped, reaction: Reaction[Any]) -> Stepped:
    sent, pending = base.sent, list(base.pending)
    for command in reaction.send:
        if type(command) not in manager.commands:
            raise TypeError(f"{type(command).__name__} is not among the commands of {manager.name}")
        sent += 1
        pending.append(manager.pending(number=sent, step=base.step, since_ms=base.changed_at_ms, command=command))
    if len(pending) > PENDING_MAX:
        raise ValueError(f"{manager.name} has more than {PENDING_MAX} commands on their way")
    if reaction.ended and pending:
        raise ValueError(f"{manager.name} ends while commands are on their way")
    due = base.due_at_ms if reaction.timeout_ms is None else base.changed_at_ms + reaction.timeout_ms
    if reaction.ended or reaction.timeout_ms == 0:
        due = None
    status, why = base.status, base.why
    if reaction.ended:
        status, why = "ended", ""
    elif reaction.stuck is not None:
        status, why = "stuck", reaction.stuck
    return replace(
        base,
        state=reaction.state,
        pending=tuple(pending),
        sent=sent,
        revoked=base.sent if reaction.revoke else base.revoked,
        due_at_ms=due,
        status=status,
        why=why,
    )


def _is_known(numbers: tuple[int, ...], number: int) -> bool:
    """Of a source the last numbers are kept, which may come in any order; what is below them has come long ago."""
    return number in numbers or (len(numbers) >= _NUMBERS_MAX and number < numbers[0])


def _hear(heard: dict[str, tuple[int, ...]], tell: Tell) -> dict[str, tuple[int, ...]]:
    if tell.source is None:
        return heard
    numbers = tuple(sorted((*heard.get(tell.source, ()), tell.number)))[-_NUMBERS_MAX:]
    others = [(source, kept) for source, kept in heard.items() if source != tell.source]
    return dict([*others[-_SOURCES_MAX + 1 :], (tell.source, numbers)])


def _digest(message: Any) -> str:
    return hashlib.sha256(encode(message)).hexdigest()[:32]

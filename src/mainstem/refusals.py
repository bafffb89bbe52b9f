"""Refused commands, to be looked at, counted and tried again.

A refusal can be retried once: the retry has an idempotency key of the refusal's own. Where it is accepted, the refusal
knows; where it is refused again, that is a refusal of its own, which knows of the first and can be retried too.
"""

import re
from collections.abc import Sequence
from typing import Any

from msgspec import Struct

from mainstem.codec import Decoder
from mainstem.decider import Decider
from mainstem.errors import CodecError, InvalidCommand, InvalidQuery
from mainstem.eventstore.port import EVERY_REFUSAL, KeptRefusal, Refusal, RefusalCount, RefusalFilter, RefusalReader
from mainstem.messages import Command, Origin
from mainstem.tenancy import read_stream

__all__ = [
    "EVERY_REFUSAL",
    "PERIODS_MS",
    "KeptRefusal",
    "RefusalCount",
    "RefusalFilter",
    "RefusalReader",
    "Retry",
    "place_of",
    "refusal_id",
    "refusal_number",
    "retry_of",
]

PERIODS_MS = {"hour": 3_600_000, "day": 24 * 3_600_000}
"""The periods that refusals are counted by: they begin on the hour, and at midnight in UTC."""

_ID = re.compile(r"[0-9]{16}")


class Retry(Struct, frozen=True, kw_only=True):
    """A refused command on its way again: what `CommandBus.send` and `execute` are given."""

    command: Command
    key: str
    origin: Origin
    retry_of: int


def refusal_id(number: int) -> str:
    """The name that clients know a refusal by."""
    return f"{number:016d}"


def refusal_number(text: str) -> int:
    """The number of a refusal. Raises InvalidQuery for a text that is no refusal's name."""
    if not _ID.fullmatch(text):
        raise InvalidQuery(f"{text[:40]!r} is no refusal's id, which is 16 digits")
    return int(text)


def place_of(kept: KeptRefusal) -> tuple[int, int]:
    """Where it stands in the order of pages: what the next page is asked for with."""
    return kept.refusal.refused_at_ms, kept.number


def retry_of(kept: KeptRefusal, deciders: Sequence[Decider[Any, Any, Any]], actor: str) -> Retry:
    """The refused command, to be sent again in the conversation of the first, by `actor`.

    Raises InvalidCommand where today's classes cannot read it.
    """
    return Retry(
        command=_command(kept, deciders),
        key=f"retry of refusal {kept.number}",  # no header can hold it: a key that clients name has no blanks
        origin=_origin(kept.number, kept.refusal, actor),
        retry_of=kept.number,
    )


def _origin(number: int, first: Refusal, actor: str) -> Origin:
    """The one place that says what a retry comes from."""
    because = f"refusal:{refusal_id(number)}"
    tenant = read_stream(first.stream).tenant
    return Origin(actor=actor, correlation_id=first.correlation_id, causation_id=because, tenant=tenant)


def _command(kept: KeptRefusal, deciders: Sequence[Decider[Any, Any, Any]]) -> Command:
    refusal, name = kept.refusal, f"the command of refusal {refusal_id(kept.number)}"
    _, category, aggregate_id = read_stream(refusal.stream)
    decider = next((each for each in deciders if each.category == category), None)
    if decider is None:
        raise InvalidCommand(f"{name} cannot be read: no decider has the category {category}")
    kind = next((each for each in decider.commands if each.__name__ == refusal.command), None)
    if kind is None:
        raise InvalidCommand(f"{name} cannot be read: {category} has no command {refusal.command} today")
    try:
        command = Decoder[Command](kind).one(refusal.content)
    except CodecError as error:
        raise InvalidCommand(f"{name} cannot be read as today's {refusal.command}: {error}") from error
    if decider.target(command) != aggregate_id:
        raise InvalidCommand(f"{name} is for {aggregate_id}, today it would be for {decider.target(command)[:200]}")
    return command

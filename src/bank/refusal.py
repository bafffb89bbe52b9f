"""Refused commands, to be looked at: a row for each that the command side kept."""

from collections.abc import Sequence

from msgspec import Struct

from bank.card import CARD
from bank.pace import LINGER_MS
from mainstem import REFUSAL_TOPIC, Binding, Change, Rows, Table, changes_of
from mainstem.tenancy import read_stream

GROUP = "refusal"


class _Kept(Struct, frozen=True):
    """The columns of the command side's table that this view shows."""

    id: int
    stream: str
    command: str
    reason: str
    text: str
    refused_at_ms: int
    actor: str


class Refusal(Struct, frozen=True):
    """A refused command with its reason, when, and who asked."""

    id: str
    card: str
    command: str
    reason: str
    text: str
    refused_at_ms: int
    actor: str


REFUSAL = Table("refusal", Refusal, key=("id",), indexes=(("card", "id"),))


def rows(change: Change[_Kept]) -> Sequence[Refusal]:
    """A row for each refused command, named by its own number: a capture that begins anew sends all of them again."""
    kept = change.after
    if kept is None or change.before is not None:
        return ()
    name = read_stream(kept.stream)
    if name.category != CARD.category:
        return ()
    return (Refusal(f"{kept.id:016d}", name.key, kept.command, kept.reason, kept.text, kept.refused_at_ms, kept.actor),)


REFUSALS = Binding(
    group=GROUP,
    topic=REFUSAL_TOPIC,
    decoder=changes_of(_Kept),
    projection=Rows(REFUSAL, rows),
    linger_ms=LINGER_MS,
)

"""A card is blocked after a number of refused withdrawals in a window of time."""

from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from bank.card import CARD, BlockCard
from mainstem import REFUSAL_TOPIC, Change, Heard, Hearing, ProcessManager, Reaction, changes_of
from mainstem.tenancy import read_stream

_COUNTED = frozenset(("insufficient-balance", "invalid-amount"))
"""Of withdrawals from a card that is there and could be blocked."""


class _Kept(Struct, frozen=True):
    """The columns of a refused command that count here."""

    id: int
    stream: str
    command: str
    reason: str
    refused_at_ms: int


class WithdrawalRefused(Struct, frozen=True, tag=True):
    """Somebody could not withdraw from the card."""

    card: str
    reason: str
    at_ms: int


class Watch(Struct, frozen=True):
    """When withdrawals were refused, in order, as far as they still count: those after `since_ms` do."""

    refused_at_ms: tuple[int, ...] = ()
    since_ms: int = 0


def _heard(change: Change[_Kept]) -> Heard | None:
    kept = change.after
    if kept is None or change.before is not None or kept.command != "Withdraw" or kept.reason not in _COUNTED:
        return None
    tenant, category, card = read_stream(kept.stream)
    if category != CARD.category:
        return None
    refused = WithdrawalRefused(card, kept.reason, kept.refused_at_ms)
    return Heard(card, refused, "refused_command", kept.id, tenant=tenant)


def card_guard(refusals: int, within_ms: int) -> ProcessManager[Watch]:
    """The watch over each card: blocks it after so many refusals within that time; 0 for never."""

    def react(watch: Watch, message: Any, _now_ms: int) -> Reaction[Watch]:
        if not isinstance(message, WithdrawalRefused) or message.at_ms <= watch.since_ms:
            return Reaction(watch)  # whatever became of the block, the count has begun anew with it
        times = sorted((*watch.refused_at_ms, message.at_ms))
        counted = tuple(at_ms for at_ms in times if at_ms > times[-1] - within_ms)
        if len(counted) < refusals:
            return Reaction(replace(watch, refused_at_ms=counted))
        reason = f"{refusals} withdrawals were refused within {within_ms / 1000:g} s"
        return Reaction(Watch(since_ms=counted[-1]), send=(BlockCard(card=message.card, reason=reason),))

    return ProcessManager(
        name="card_guard",
        initial=Watch(),
        react=react,
        messages=(WithdrawalRefused,),
        commands=(BlockCard,),
        hears=(Hearing(REFUSAL_TOPIC, changes_of(_Kept), _heard),) if refusals else (),
    )

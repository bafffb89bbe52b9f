"""A transfer between two cards: the money leaves the one and reaches the other, or it is given back."""

import re
from decimal import Decimal
from typing import Any, Literal

from msgspec import Struct
from msgspec.structs import replace

from bank.card import ZERO, GiveBack, Repay, SettleTransfer, Withdraw, amount_of
from mainstem import Accepted, Cancelled, Declined, ProcessManager, Reaction, Refused, Resumed, TimedOut

TRANSFER_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
"""What a transfer may be called."""

TIMEOUT_MS = 60_000
"""After that time a transfer that has not reached the other card is undone."""

Phase = Literal["new", "withdrawing", "crediting", "settling", "returning", "completed", "refused", "returned"]


class Transfer(Struct, frozen=True):
    """How far it is. `reason` is why it comes to nothing: a refusal's, ``timed-out`` or ``cancelled``."""

    id: str = ""
    from_card: str = ""
    to_card: str = ""
    amount: Decimal = ZERO
    phase: Phase = "new"
    reason: str = ""
    text: str = ""


class TransferRequested(Struct, frozen=True, tag=True):
    """Somebody wants the money to go from one card to the other."""

    transfer: str
    from_card: str
    to_card: str
    amount: Decimal


_Reaction = Reaction[Transfer]


def react(transfer: Transfer, message: Any, _now_ms: int) -> _Reaction:
    """Withdraw and hold, credit, settle; where the credit does not come about, give back."""
    match message:
        case TransferRequested():
            return _begin(transfer, message)
        case Accepted():
            return _accepted(transfer, message.command)
        case Declined():
            return _declined(transfer, message)
        case TimedOut():
            return _undo(transfer, "timed-out", "The transfer has taken too long")
        case Cancelled():
            return _undo(transfer, "cancelled", message.why)
        case Resumed():
            return _again(transfer)
    return Reaction(transfer)


def _begin(transfer: Transfer, asked: TransferRequested) -> _Reaction:
    if transfer.phase != "new":
        return Reaction(transfer)
    if asked.from_card == asked.to_card:
        raise Refused("same-card", "A transfer needs two cards")
    amount = amount_of(asked.amount)
    begun = Transfer(asked.transfer, asked.from_card, asked.to_card, amount, "withdrawing")
    withdraw = Withdraw(card=asked.from_card, amount=amount, transfer=asked.transfer)
    return Reaction(begun, send=(withdraw,), timeout_ms=TIMEOUT_MS)


def _accepted(transfer: Transfer, command: Any) -> _Reaction:
    match command:
        case Withdraw() if not transfer.reason:
            credit = Repay(card=transfer.to_card, amount=transfer.amount, transfer=transfer.id)
            return Reaction(replace(transfer, phase="crediting"), send=(credit,))
        case Withdraw():
            return _give_back(transfer)
        case Repay():  # whatever was to undo it came too late
            settling = replace(transfer, phase="settling", reason="", text="")
            return Reaction(settling, send=(_settle(transfer),), timeout_ms=0)
        case SettleTransfer():
            return Reaction(replace(transfer, phase="completed"), ended=True)
    return Reaction(replace(transfer, phase="returned"), ended=True)


def _declined(transfer: Transfer, declined: Declined) -> _Reaction:
    """The first reason stays: what is revoked is so because of it."""
    because = transfer
    if not transfer.reason:
        because = replace(transfer, reason=declined.reason, text=declined.text)
    match declined.command:
        case Withdraw():
            return Reaction(replace(because, phase="refused"), ended=True)
        case Repay():
            return _give_back(because)
    return Reaction(transfer, stuck=f"{type(declined.command).__name__} was refused: {declined.text}")


def _undo(transfer: Transfer, reason: str, text: str) -> _Reaction:
    """What is on its way may have been carried out: its outcome tells whether there is something to give back."""
    if transfer.reason or transfer.phase not in ("withdrawing", "crediting"):
        return Reaction(transfer)
    return Reaction(replace(transfer, reason=reason, text=text), timeout_ms=0, revoke=True)


def _give_back(transfer: Transfer) -> _Reaction:
    back = GiveBack(card=transfer.from_card, transfer=transfer.id)
    return Reaction(replace(transfer, phase="returning"), send=(back,), timeout_ms=0)


def _settle(transfer: Transfer) -> SettleTransfer:
    return SettleTransfer(card=transfer.from_card, transfer=transfer.id)


def _again(transfer: Transfer) -> _Reaction:
    """These two are to be done whoever refuses them."""
    if transfer.phase == "returning":
        return _give_back(transfer)
    return Reaction(transfer, send=(_settle(transfer),) if transfer.phase == "settling" else ())


TRANSFER = ProcessManager(
    name="transfer",
    initial=Transfer(),
    react=react,
    messages=(TransferRequested,),
    commands=(Withdraw, Repay, GiveBack, SettleTransfer),
)

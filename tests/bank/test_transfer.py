"""The transfer and the watch over cards, decided without a store."""

from decimal import Decimal

import pytest

from bank.card import (
    CARD,
    BlockCard,
    Card,
    CardOpened,
    CloseCard,
    GiveBack,
    MoneyRepaid,
    MoneyWithdrawn,
    Repay,
    SettleTransfer,
    TransferSettled,
    Withdraw,
)
from bank.guard import Watch, WithdrawalRefused, card_guard
from bank.transfer import TIMEOUT_MS, TRANSFER, Transfer, TransferRequested
from mainstem import Accepted, Cancelled, Declined, Resumed, TimedOut
from mainstem.testing import given

_AMOUNT = Decimal("30.00")
ASKED = TransferRequested("t-1", "anna", "bert", _AMOUNT)
WITHDRAW = Withdraw(card="anna", amount=_AMOUNT, transfer="t-1")
CREDIT = Repay(card="bert", amount=_AMOUNT, transfer="t-1")
SETTLE = SettleTransfer(card="anna", transfer="t-1")
BACK = GiveBack(card="anna", transfer="t-1")
WITHDRAWN = Accepted(WITHDRAW, "debit_card-anna", 2)
CREDITED = Accepted(CREDIT, "debit_card-bert", 2)
REVOKED = "revoked"


def test_a_transfer_that_comes_about() -> None:
    given(TRANSFER).when(ASKED).then(WITHDRAW).then_timeout(TIMEOUT_MS)
    given(TRANSFER, ASKED).when(WITHDRAWN).then(CREDIT).then_timeout(None)
    given(TRANSFER, ASKED, WITHDRAWN).when(CREDITED).then(SETTLE).then_timeout(0)
    done = Transfer("t-1", "anna", "bert", _AMOUNT, "completed")
    settled = Accepted(SETTLE, "debit_card-anna", 3)
    given(TRANSFER, ASKED, WITHDRAWN, CREDITED).when(settled).then().then_state(done).then_ended()


def test_what_the_target_refuses_is_given_back() -> None:
    refused = Declined(CREDIT, "card-closed", "Card bert is closed")
    given(TRANSFER, ASKED, WITHDRAWN).when(refused).then(BACK)
    back = Transfer("t-1", "anna", "bert", _AMOUNT, "returned", "card-closed", "Card bert is closed")
    given(TRANSFER, ASKED, WITHDRAWN, refused).when(Accepted(BACK, "debit_card-anna", 3)).then_state(back).then_ended()


def test_what_the_source_refuses_comes_to_nothing() -> None:
    refused = Declined(WITHDRAW, "card-blocked", "Card anna is blocked")
    given(TRANSFER, ASKED).when(refused).then().then_ended()


@pytest.mark.parametrize("stop", [TimedOut(), Cancelled("asked for")])
def test_what_is_undone_depends_on_what_was_carried_out(stop: TimedOut | Cancelled) -> None:
    given(TRANSFER, ASKED).when(stop).then().then_revoked()
    given(TRANSFER, ASKED, stop).when(Declined(WITHDRAW, REVOKED, "")).then().then_ended()
    given(TRANSFER, ASKED, stop).when(WITHDRAWN).then(BACK)
    given(TRANSFER, ASKED, WITHDRAWN).when(stop).then().then_revoked()
    given(TRANSFER, ASKED, WITHDRAWN, stop).when(Declined(CREDIT, REVOKED, "")).then(BACK)
    given(TRANSFER, ASKED, WITHDRAWN, stop).when(CREDITED).then(SETTLE)  # it came too late


def test_giving_back_goes_on_until_it_is_done() -> None:
    refused = Declined(CREDIT, "card-unknown", "")
    given(TRANSFER, ASKED, WITHDRAWN, refused).when(Declined(BACK, "card-closed", "shut")).then_stuck(
        "GiveBack was refused: shut"
    )
    given(TRANSFER, ASKED, WITHDRAWN, refused).when(Resumed()).then(BACK)
    given(TRANSFER, ASKED, WITHDRAWN, CREDITED).when(Resumed()).then(SETTLE)


def test_what_is_no_transfer() -> None:
    given(TRANSFER).when(TransferRequested("t", "anna", "anna", _AMOUNT)).then_refused("same-card")
    given(TRANSFER).when(TransferRequested("t", "anna", "bert", Decimal("0.001"))).then_refused("invalid-amount")


def test_money_under_way_is_held() -> None:
    opened, out = CardOpened(limit=Decimal(100)), MoneyWithdrawn(amount=_AMOUNT, transfer="t-1")
    given(CARD, opened).when(WITHDRAW).then(out).then_state(Card("active", Decimal(100), _AMOUNT, {"t-1": _AMOUNT}))
    given(CARD, opened, out).when(WITHDRAW).then()
    given(CARD, opened, out).when(Repay(card="anna", amount=Decimal(1))).then_refused(
        "repayment-too-large", "Card anna cannot be repaid 1. Used is 30, of which 30 is held for transfers"
    )
    given(CARD, opened, out).when(CloseCard(card="anna")).then_refused("card-in-use")
    given(CARD, opened, out).when(BACK).then(MoneyRepaid(amount=_AMOUNT, transfer="t-1")).then_state(
        Card("active", Decimal(100))
    )
    settled = TransferSettled(transfer="t-1")
    given(CARD, opened, out).when(SETTLE).then(settled).then_state(Card("active", Decimal(100), _AMOUNT))
    given(CARD, opened, out, settled).when(BACK).then()
    given(CARD, opened, out, settled).when(Repay(card="anna", amount=_AMOUNT)).then(MoneyRepaid(amount=_AMOUNT))
    many = [MoneyWithdrawn(amount=Decimal("0.01"), transfer=f"t{number}") for number in range(100)]
    given(CARD, opened, *many).when(WITHDRAW).then_refused("too-many-transfers")


def refused(*at_s: int) -> list[WithdrawalRefused]:
    return [WithdrawalRefused("anna", "insufficient-balance", at * 1000) for at in at_s]


def test_a_card_is_blocked_after_refusals_within_a_window() -> None:
    guard = card_guard(3, 60_000)
    block = BlockCard(card="anna", reason="3 withdrawals were refused within 60 s")
    *before, last = refused(10, 20, 69)
    given(guard, *before).when(last).then(block).then_state(Watch(since_ms=69_000))
    *before, last = refused(10, 20, 70)  # the first is a window's length ago
    given(guard, *before).when(last).then()
    *before, last = refused(20, 69, 10)  # in whatever order they come
    given(guard, *before).when(last).then(block)
    *before, last = refused(10, 20, 30, 30)  # what was counted is not counted again
    given(guard, *before).when(last).then()

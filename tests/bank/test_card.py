"""The debit card's rules."""

from decimal import Decimal

import pytest
from hypothesis import given as for_all
from hypothesis import strategies as st

from bank.card import (
    CARD,
    BlockCard,
    Card,
    CardBlocked,
    CardClosed,
    CardCommand,
    CardOpened,
    CardUnblocked,
    ChangeLimit,
    CloseCard,
    LimitChanged,
    MoneyRepaid,
    MoneyWithdrawn,
    OpenCard,
    Repay,
    UnblockCard,
    Withdraw,
)
from mainstem import Refused
from mainstem.testing import given

C = "123456789"


def m(text: str) -> Decimal:
    return Decimal(text)


OPENED = CardOpened(limit=m("10000.00"))


def test_a_card_is_opened_once() -> None:
    given(CARD).when(OpenCard(card=C, limit=m("10000"))).then(OPENED)
    given(CARD, OPENED).when(OpenCard(card=C, limit=m("10000"))).then_refused("card-exists")


def test_a_withdrawal_up_to_the_balance() -> None:
    given(CARD, OPENED).when(Withdraw(card=C, amount=m("10000"))).then(MoneyWithdrawn(amount=m("10000.00")))


def test_the_refusal_above_the_balance_has_the_original_text() -> None:
    text = "Card 123456789 not able to withdraw 20000. Balance is 10000"
    given(CARD, OPENED).when(Withdraw(card=C, amount=m("20000"))).then_refused("insufficient-balance", text)
    after = "Card 123456789 not able to withdraw 9999.51. Balance is 9999.50"
    spent = MoneyWithdrawn(amount=m("0.50"))
    given(CARD, OPENED, spent).when(Withdraw(card=C, amount=m("9999.51"))).then_refused("insufficient-balance", after)


@pytest.mark.parametrize(
    "amount", ["0", "0.00", "-1", "0.001", "1.005", "NaN", "Infinity", "-Infinity", "1e400", "1e17"]
)
@pytest.mark.parametrize("command", [Withdraw, Repay])
def test_what_is_no_amount_is_refused(command: type[Withdraw], amount: str) -> None:
    given(CARD, OPENED).when(command(card=C, amount=m(amount))).then_refused("invalid-amount")


def test_an_unknown_or_closed_card_is_refused() -> None:
    given(CARD).when(Withdraw(card=C, amount=m("1"))).then_refused("card-unknown")
    given(CARD, OPENED, CardClosed()).when(Withdraw(card=C, amount=m("1"))).then_refused("card-closed")
    given(CARD, OPENED, CardClosed()).when(OpenCard(card=C, limit=m("1"))).then_refused("card-exists")


def test_a_repayment_gives_back_no_more_than_is_used() -> None:
    spent = MoneyWithdrawn(amount=m("5.00"))
    given(CARD, OPENED, spent).when(Repay(card=C, amount=m("5"))).then(MoneyRepaid(amount=m("5.00")))
    given(CARD, OPENED, spent).when(Repay(card=C, amount=m("5.01"))).then_refused("repayment-too-large")


def test_a_limit_stays_above_what_is_used() -> None:
    spent = MoneyWithdrawn(amount=m("5.00"))
    given(CARD, OPENED, spent).when(ChangeLimit(card=C, limit=m("5"))).then(LimitChanged(limit=m("5.00")))
    given(CARD, OPENED, spent).when(ChangeLimit(card=C, limit=m("4.99"))).then_refused("limit-below-used")
    given(CARD, OPENED).when(ChangeLimit(card=C, limit=m("10000"))).then()


def test_a_blocked_card_takes_repayments_only() -> None:
    blocked = (OPENED, MoneyWithdrawn(amount=m("5.00")), CardBlocked(note="lost"))
    given(CARD, *blocked).when(Withdraw(card=C, amount=m("1"))).then_refused("card-blocked")
    given(CARD, *blocked).when(Repay(card=C, amount=m("1"))).then(MoneyRepaid(amount=m("1.00")))
    given(CARD, *blocked).when(BlockCard(card=C, reason="again")).then()
    given(CARD, *blocked).when(UnblockCard(card=C)).then(CardUnblocked())
    given(CARD, OPENED).when(UnblockCard(card=C)).then()


def test_a_card_in_use_is_not_closed() -> None:
    given(CARD, OPENED).when(CloseCard(card=C)).then(CardClosed())
    given(CARD, OPENED, MoneyWithdrawn(amount=m("5.00"))).when(CloseCard(card=C)).then_refused("card-in-use")


@pytest.mark.parametrize("name", ["", "x" * 37, "a b", "ü", "-a", "a/b", "a\n"])
def test_an_unusable_name_opens_no_card(name: str) -> None:
    given(CARD).when(OpenCard(card=name, limit=m("1"))).then_refused("invalid-card")


_AMOUNTS = st.decimals(min_value=-10, max_value=200, places=2) | st.decimals(allow_nan=True, allow_infinity=True)
_COMMANDS: st.SearchStrategy[CardCommand] = st.one_of(
    st.builds(OpenCard, card=st.just(C), limit=_AMOUNTS),
    st.builds(Withdraw, card=st.just(C), amount=_AMOUNTS),
    st.builds(Repay, card=st.just(C), amount=_AMOUNTS),
    st.builds(ChangeLimit, card=st.just(C), limit=_AMOUNTS),
    st.builds(BlockCard, card=st.just(C), reason=st.just("why")),
    st.builds(UnblockCard, card=st.just(C)),
    st.builds(CloseCard, card=st.just(C)),
)


@for_all(st.lists(_COMMANDS, max_size=40))
def test_any_commands_keep_what_is_used_within_the_limit(commands: list[CardCommand]) -> None:
    card = Card()
    for command in commands:
        try:
            card = CARD.fold(card, CARD.decide(card, command))
        except Refused:
            continue
        assert 0 <= card.used <= card.limit
        assert card.used == card.used.quantize(Decimal("0.01"))

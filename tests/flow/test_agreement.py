"""Any sequence of commands: the rule of the limit holds, and every account agrees with a model and the others."""

import itertools
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bank.balance import CARD_BALANCE
from bank.card import (
    DEBIT_CARD,
    BlockCard,
    CardCommand,
    ChangeLimit,
    CloseCard,
    OpenCard,
    Repay,
    UnblockCard,
    Withdraw,
)
from bank.main import application
from bank.refusal import REFUSAL
from bank.statement import MONEY_WITHDRAWAL
from mainstem import Refused
from mainstem.assembly import Embedded, embedded
from mainstem.settings import Settings

_CARDS = ("a", "b")
_cents = st.integers(0, 30_000)
_Step = tuple[str, str, int]
_steps = st.lists(
    st.tuples(
        st.sampled_from(("open", "withdraw", "withdraw", "withdraw", "repay", "limit", "block", "unblock", "close")),
        st.sampled_from(_CARDS),
        _cents,
    ),
    min_size=1,
    max_size=30,
)
_run = itertools.count()


class Account:
    """The bank's rules once more, in cents and as short as can be."""

    def __init__(self) -> None:
        self.status = "unopened"
        self.limit = 0
        self.used = 0
        self.withdrawn: list[int] = []

    def take(self, action: str, cents: int) -> bool:
        """Whether the bank must accept it."""
        if action == "open":
            if self.status != "unopened":
                return False
            self.status, self.limit = "active", cents
            return True
        if self.status in ("unopened", "closed"):
            return False
        return bool(getattr(self, f"_{action}")(cents))

    def _withdraw(self, cents: int) -> bool:
        if cents == 0 or self.status == "blocked" or cents > self.limit - self.used:
            return False
        self.used += cents
        self.withdrawn.append(cents)
        return True

    def _repay(self, cents: int) -> bool:
        if cents == 0 or cents > self.used:
            return False
        self.used -= cents
        return True

    def _limit(self, cents: int) -> bool:
        if cents < self.used:
            return False
        self.limit = cents
        return True

    def _block(self, _: int) -> bool:
        self.status = "blocked"
        return True

    def _unblock(self, _: int) -> bool:
        self.status = "active"
        return True

    def _close(self, _: int) -> bool:
        if self.used:
            return False
        self.status = "closed"
        return True


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Embedded]:
    folder: Path = tmp_path_factory.mktemp("agreement")
    with embedded(application, Settings(data_dir=folder, snapshot_every=7)) as found:
        yield found


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=_steps)
def test_events_state_statement_and_analytics_agree_with_a_model(running: Embedded, steps: list[_Step]) -> None:
    run = next(_run)
    model = {f"{name}-{run}": Account() for name in _CARDS}
    refused = dict.fromkeys(model, 0)
    for action, name, cents in steps:
        card = f"{name}-{run}"
        accepted = model[card].take(action, cents)
        try:
            running.commands.execute(_command(action, card, cents))
        except Refused:
            assert not accepted, f"{action} of {cents} was refused"
            refused[card] += 1
        else:
            assert accepted, f"{action} of {cents} was accepted"
        assert 0 <= model[card].used <= model[card].limit
    assert running.settle()
    for card, account in model.items():
        _holds(running, card, account, refused[card])


def test_afterwards_all_accounts_of_all_cards_agree(running: Embedded) -> None:
    found = running.reconcile()
    assert found.clean, found.differences[:5]
    assert found.aggregates == len(list(running.events.states(DEBIT_CARD))) > 0


def _command(action: str, card: str, cents: int) -> CardCommand:
    money = Decimal(cents) / 100
    match action:
        case "open":
            return OpenCard(card=card, limit=money)
        case "withdraw":
            return Withdraw(card=card, amount=money)
        case "repay":
            return Repay(card=card, amount=money)
        case "limit":
            return ChangeLimit(card=card, limit=money)
        case "block":
            return BlockCard(card=card, reason="lost")
        case "unblock":
            return UnblockCard(card=card)
    return CloseCard(card=card)


def _holds(running: Embedded, card: str, account: Account, refused: int) -> None:
    assert len(running.views.find(REFUSAL, {"card": card}, limit=100)) == refused
    withdrawn = [Decimal(cents) / 100 for cents in account.withdrawn]
    lines = running.views.find(MONEY_WITHDRAWAL, {"debit_card_id": card}, order=("id",), limit=100)
    assert [line.amount for line in lines] == withdrawn
    sql = 'SELECT amount FROM bankapp WHERE "debitCardId" = ?'
    assert sorted(amount for (amount,) in running.olap.ask(sql, (card,)).rows) == sorted(withdrawn)
    balances = running.views.find(CARD_BALANCE, {"id": card})
    if account.status == "unopened":
        assert not balances
        return
    assert (balances[0].card_limit, balances[0].used) == (Decimal(account.limit) / 100, Decimal(account.used) / 100)
    assert balances[0].withdrawn == sum(withdrawn)
    row = next(row for row in running.events.states(DEBIT_CARD) if row.id == card)
    assert (row.initial_limit, row.used_limit, row.status) == (
        Decimal(account.limit) / 100,
        Decimal(account.used) / 100,
        account.status,
    )

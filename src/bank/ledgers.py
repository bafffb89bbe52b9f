"""The bank's accounts of the same facts, which a reconciliation holds against each other to the cent."""

from collections.abc import Iterable
from decimal import Decimal

from bank.analytics import totals
from bank.balance import CARD_BALANCE
from bank.card import CARD, DEBIT_CARD, Card, MoneyWithdrawn
from bank.cents import money_of
from bank.overview import CUSTOMER_CARD
from bank.spending import DAILY_SPENDING
from bank.statement import MONEY_WITHDRAWAL, TOPIC, MiniStatement, MoneyWithdrawal
from mainstem import Decoder, Event, EventReader, Figures, Ledger, Sides, scan
from mainstem.tenancy import key_of, read_stream

_Account = Iterable[tuple[str, Figures]]


def _events(sides: Sides) -> _Account:
    """Command side: every event folded anew."""
    reader = EventReader(CARD.events)
    cards: dict[str, tuple[Card, Decimal, int]] = {}
    for batch in sides.events.read_all():
        of_cards = [stored for stored in batch if read_stream(stored.stream).category == CARD.category]
        for stored, event in reader.each(of_cards):
            card_id = key_of(stored.stream)
            cards[card_id] = _after(*cards.get(card_id, (Card(), Decimal("0.00"), 0)), event)
    for card_id, (card, withdrawn, count) in cards.items():
        yield card_id, {"limit": card.limit, "used": card.used, "withdrawn": withdrawn, "withdrawals": count}


def _after(card: Card, withdrawn: Decimal, count: int, event: Event) -> tuple[Card, Decimal, int]:
    if isinstance(event, MoneyWithdrawn):
        withdrawn, count = withdrawn + event.amount, count + 1
    return CARD.evolve(card, event), withdrawn, count


def _state(sides: Sides) -> _Account:
    """Command side: the state rows."""
    for row in sides.events.states(DEBIT_CARD):
        yield row.id, {"limit": row.initial_limit, "used": row.used_limit}


def _statement(sides: Sides) -> _Account:
    """The mini statement, made from changes of the state rows."""
    lines: Iterable[MoneyWithdrawal] = sides.views.scan(MONEY_WITHDRAWAL)
    return _summed(lines)


def _messages(sides: Sides) -> _Account:
    """The statement's topic, as far as its retention goes back: for ever, as the bank declares it."""
    decoder = Decoder[MiniStatement](MiniStatement)
    pages = scan(sides.log, TOPIC.name)
    return _summed(line for page in pages for line in decoder.many([record.value or b"" for record in page]))


def _summed(lines: Iterable[MoneyWithdrawal | MiniStatement]) -> _Account:
    """Sum and number of the lines of each card."""
    sums: dict[str, tuple[Decimal, int]] = {}
    for line in lines:
        withdrawn, count = sums.get(line.debit_card_id, (Decimal("0.00"), 0))
        sums[line.debit_card_id] = (withdrawn + line.amount, count + 1)
    for card_id, (withdrawn, count) in sums.items():
        yield card_id, {"withdrawn": withdrawn, "withdrawals": count}


def _balances(sides: Sides) -> _Account:
    """The balances, made from the events."""
    for row in sides.views.scan(CARD_BALANCE):
        figures = {"limit": row.card_limit, "used": row.used}
        yield row.id, {**figures, "withdrawn": row.withdrawn, "withdrawals": row.withdrawals}


def _customers_cards(sides: Sides) -> _Account:
    """The customers' cards, made from the events."""
    for row in sides.views.scan(CUSTOMER_CARD):
        limit, used, withdrawn = (money_of(c) for c in (row.limit_cents, row.used_cents, row.withdrawn_cents))
        yield row.id, {"limit": limit, "used": used, "withdrawn": withdrawn, "withdrawals": row.withdrawals}


def _days(sides: Sides) -> _Account:
    """Daily spending, made from the events too: all days of a card together."""
    sums: dict[str, tuple[int, int]] = {}
    for row in sides.views.scan(DAILY_SPENDING):
        cents, count = sums.get(row.card, (0, 0))
        sums[row.card] = (cents + row.cents, count + row.withdrawals)
    for card_id, (cents, count) in sums.items():
        yield card_id, {"withdrawn": money_of(cents), "withdrawals": count}


def _analytics(sides: Sides) -> _Account:
    """The analytical store, fed from the statement's topic."""
    for card_id, (count, withdrawn) in totals(sides.olap).items():
        yield card_id, {"withdrawn": withdrawn, "withdrawals": count}


_WITHDRAWN = ("withdrawn", "withdrawals")
_USED = ("limit", "used")

LEDGERS = (
    Ledger("events", (*_USED, *_WITHDRAWN), _events),
    Ledger("debit_card", _USED, _state),
    Ledger("card_balance", (*_USED, *_WITHDRAWN), _balances),
    Ledger("customer_card", (*_USED, *_WITHDRAWN), _customers_cards),
    Ledger("daily_spending", _WITHDRAWN, _days),
    Ledger("money_withdrawal", _WITHDRAWN, _statement),
    Ledger("ministatement", _WITHDRAWN, _messages),
    Ledger("bankapp", _WITHDRAWN, _analytics),
)

"""One debit card: its events and state, how the state evolves, and what each command decides."""

import re
from collections.abc import Sequence
from decimal import Decimal
from typing import Annotated, Literal

from msgspec import Struct, field
from msgspec.structs import replace

from bank.overall import CUSTOMER_ID, OverallLimitRemoved, OverallLimitSet, Spending, customer_tag
from mainstem import Boundary, Command, Decider, Event, Personal, Refused, Stamp, StateRow, Table
from mainstem.evolution import default_field, evolved, rename_field

Money = Decimal
"""An amount with two places, never a float."""

MAX_AMOUNT = Money("9999999999999999.99")
"""What decimal(18,2) holds."""

ZERO, CENT = Money("0.00"), Money("0.01")

HolderName = Annotated[str | None, Personal(of="customer")]
"""Whose name is on a card: personal data of the customer."""

TRANSFERS_MAX = 100
"""How many transfers of one card may be under way."""

CARD_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,35}")
"""What a card may be called."""

TEXT = re.compile(r"(?=.*\S)[^\x00-\x1f\x7f\ud800-\udfff]{1,140}")
"""What a merchant or a reference may be."""


@evolved(3, default_field("CardOpened", 1, "customer", None), default_field("CardOpened", 2, "holder", None))
class CardOpened(Event, frozen=True, omit_defaults=True, repr_omit_defaults=True):
    """For a customer, whose cards share an overall limit, or for none.

    The schema version is another so that a release which knows of no overall limit does not take it for no customer,
    and one that knows of no holders does not leave a name out.
    """

    limit: Money
    customer: str | None = None
    holder: HolderName = None


class MoneyWithdrawn(Event, frozen=True, omit_defaults=True, repr_omit_defaults=True):
    """Where it is for a transfer, the money is held until that is settled or gives it back.

    To whom it went and what for are told where somebody has said so; they change nothing of the card.
    """

    amount: Money
    transfer: str | None = None
    merchant: str | None = None
    reference: str | None = None


class MoneyRepaid(Event, frozen=True, omit_defaults=True, repr_omit_defaults=True):
    """From outside, by a transfer from another card, or, where that transfer's money was held, given back."""

    amount: Money
    transfer: str | None = None


class TransferSettled(Event, frozen=True):
    """The money has reached the other card: it is held no longer."""

    transfer: str


class LimitChanged(Event, frozen=True):
    limit: Money


@evolved(2, rename_field("CardBlocked", 1, "reason", "note"))
class CardBlocked(Event, frozen=True):
    """`note` is what the teller has written: a `reason` is a stable name, as refusals have it."""

    note: str


class CardUnblocked(Event, frozen=True):
    pass


class CardClosed(Event, frozen=True):
    pass


CardEvent = (
    CardOpened
    | MoneyWithdrawn
    | MoneyRepaid
    | TransferSettled
    | LimitChanged
    | CardBlocked
    | CardUnblocked
    | CardClosed
)
Status = Literal["unopened", "active", "blocked", "closed"]


class Card(Struct, frozen=True):
    """The state. `limit - used` is the balance: what can still be withdrawn.

    `held` has, of what is used, the amounts of transfers under way: nobody but the transfer can repay them.
    """

    status: Status = "unopened"
    limit: Money = ZERO
    used: Money = ZERO
    held: dict[str, Money] = field(default_factory=dict)
    customer: str | None = None
    holder: HolderName = None

    @property
    def balance(self) -> Money:
        return self.limit - self.used


def evolve(card: Card, event: Event) -> Card:
    """The card after the event."""
    match event:
        case MoneyWithdrawn():
            held = card.held if event.transfer is None else {**card.held, event.transfer: event.amount}
            return replace(card, used=card.used + event.amount, held=held)
        case MoneyRepaid():
            return replace(card, used=card.used - event.amount, held=_without(card.held, event.transfer))
        case TransferSettled():
            return replace(card, held=_without(card.held, event.transfer))
        case CardOpened():
            return Card("active", event.limit, customer=event.customer, holder=event.holder)
        case LimitChanged():
            return replace(card, limit=event.limit)
        case CardBlocked():
            return replace(card, status="blocked")
        case CardUnblocked():
            return replace(card, status="active")
        case CardClosed():
            return replace(card, status="closed")
    raise TypeError(f"{type(event).__name__} is no event of a card")


def _without(held: dict[str, Money], transfer: str | None) -> dict[str, Money]:
    return {name: amount for name, amount in held.items() if name != transfer} if transfer in held else held


class CardCommand(Command, frozen=True, tag=True):
    card: str


class OpenCard(CardCommand, frozen=True, omit_defaults=True, repr_omit_defaults=True):
    limit: Money
    customer: str | None = None
    holder: HolderName = None


class Withdraw(CardCommand, frozen=True, omit_defaults=True, repr_omit_defaults=True):
    amount: Money
    transfer: str | None = None
    merchant: str | None = None
    reference: str | None = None


class Repay(CardCommand, frozen=True, omit_defaults=True, repr_omit_defaults=True):
    amount: Money
    transfer: str | None = None


class GiveBack(CardCommand, frozen=True):
    """What is held for a transfer comes back."""

    transfer: str


class SettleTransfer(CardCommand, frozen=True):
    """What is held for a transfer has reached the other card."""

    transfer: str


class ChangeLimit(CardCommand, frozen=True):
    limit: Money


class BlockCard(CardCommand, frozen=True):
    reason: str


class UnblockCard(CardCommand, frozen=True):
    pass


class CloseCard(CardCommand, frozen=True):
    pass


def decide(card: Card, command: CardCommand) -> Sequence[CardEvent]:
    """The events that the command leads to, none where it changes nothing. Raises Refused."""
    if isinstance(command, OpenCard):
        return _open(card, command)
    if card.status == "unopened":
        raise Refused("card-unknown", f"Card {command.card} does not exist")
    if card.status == "closed":
        raise Refused("card-closed", f"Card {command.card} is closed")
    match command:
        case Withdraw():
            return _withdraw(card, command)
        case Repay():
            return _repay(card, command)
        case GiveBack() | SettleTransfer():
            return _release(card, command)
        case ChangeLimit():
            return _change_limit(card, command)
        case BlockCard() | UnblockCard() | CloseCard():
            return _change_status(card, command)
    raise TypeError(f"{type(command).__name__} is no command for a card")


def _open(card: Card, command: OpenCard) -> Sequence[CardEvent]:
    if card.status != "unopened":
        raise Refused("card-exists", f"Card {command.card} exists already")
    if not CARD_ID.fullmatch(command.card):
        raise Refused(
            "invalid-card", "A card's id is 1 to 36 letters, digits, '.', '_' or '-', a letter or digit first"
        )
    if command.customer is not None and not CUSTOMER_ID.fullmatch(command.customer):
        raise Refused(
            "invalid-customer", "A customer's id is 1 to 36 letters, digits, '.', '_' or '-', a letter or digit first"
        )
    limit = amount_of(command.limit, "limit", zero_allowed=True)
    return [CardOpened(limit=limit, customer=command.customer, holder=command.holder)]


def _withdraw(card: Card, command: Withdraw) -> Sequence[CardEvent]:
    amount = amount_of(command.amount)
    _check_text(command.merchant, "merchant")
    _check_text(command.reference, "reference")
    if command.transfer is not None:
        if command.transfer in card.held:
            return []
        if len(card.held) >= TRANSFERS_MAX:
            raise Refused("too-many-transfers", f"Card {command.card} has {TRANSFERS_MAX} transfers under way")
    if card.status == "blocked":
        raise Refused("card-blocked", f"Card {command.card} is blocked")
    if amount > card.balance:
        text = f"Card {command.card} not able to withdraw {plain(amount)}. Balance is {plain(card.balance)}"
        raise Refused("insufficient-balance", text)
    return [
        MoneyWithdrawn(amount=amount, transfer=command.transfer, merchant=command.merchant, reference=command.reference)
    ]


def _repay(card: Card, command: Repay) -> Sequence[CardEvent]:
    amount, held = amount_of(command.amount), sum(card.held.values(), ZERO)
    if amount > card.used - held:
        text = f"Card {command.card} cannot be repaid {plain(amount)}. Used is {plain(card.used)}"
        if held:
            text += f", of which {plain(held)} is held for transfers"
        raise Refused("repayment-too-large", text)
    return [MoneyRepaid(amount=amount, transfer=command.transfer)]


def _change_limit(card: Card, command: ChangeLimit) -> Sequence[CardEvent]:
    limit = amount_of(command.limit, "limit", zero_allowed=True)
    if limit < card.used:
        text = f"Card {command.card} cannot have the limit {plain(limit)}. Used is {plain(card.used)}"
        raise Refused("limit-below-used", text)
    return [] if limit == card.limit else [LimitChanged(limit=limit)]


def _release(card: Card, command: GiveBack | SettleTransfer) -> Sequence[CardEvent]:
    """Once: what is held no longer was given back or settled before."""
    amount = card.held.get(command.transfer)
    if amount is None:
        return []
    if isinstance(command, GiveBack):
        return [MoneyRepaid(amount=amount, transfer=command.transfer)]
    return [TransferSettled(transfer=command.transfer)]


def _change_status(card: Card, command: BlockCard | UnblockCard | CloseCard) -> Sequence[CardEvent]:
    if isinstance(command, BlockCard):
        return [] if card.status == "blocked" else [CardBlocked(note=command.reason)]
    if isinstance(command, UnblockCard):
        return [] if card.status == "active" else [CardUnblocked()]
    if card.used:
        raise Refused("card-in-use", f"Card {command.card} cannot be closed. Used is {plain(card.used)}")
    return [CardClosed()]


def evolve_spending(spending: Spending, event: Event) -> Spending:
    """What a customer's cards use together, after one more event of these, or of the customer."""
    match event:
        case MoneyWithdrawn():
            return replace(spending, used=spending.used + event.amount)
        case MoneyRepaid():
            return replace(spending, used=spending.used - event.amount)
        case OverallLimitSet():
            return replace(spending, limit=event.limit)
        case OverallLimitRemoved():
            return replace(spending, limit=None)
    return spending


def decide_over(card: Card, command: CardCommand, spending: Spending) -> Sequence[CardEvent]:
    """As the card alone decides, and no withdrawal beyond what all of the customer's cards may use together."""
    events = decide(card, command)
    if events and isinstance(command, Withdraw) and not spending.allows(command.amount):
        text = f"Card {command.card} not able to withdraw {plain(command.amount)}"
        left = plain((spending.limit or ZERO) - spending.used)
        raise Refused("overall-limit-exceeded", f"{text}. All cards of customer {card.customer} have {left} left")
    return events


def _tags(card: Card, command: CardCommand) -> Sequence[str]:
    customer = command.customer if isinstance(command, OpenCard) else card.customer
    return (customer_tag(customer),) if customer is not None and CUSTOMER_ID.fullmatch(customer) else ()


def _tagged(card: Card, _event: Event) -> Sequence[str]:
    return () if card.customer is None else (customer_tag(card.customer),)


def amount_of(value: Money, name: str = "amount", *, zero_allowed: bool = False) -> Money:
    """The amount with exactly two places. Raises Refused for what is no amount of money."""
    lowest = ZERO if zero_allowed else CENT
    if not (value.is_finite() and lowest <= value <= MAX_AMOUNT):
        raise Refused("invalid-amount", f"The {name} must be from {lowest} to {MAX_AMOUNT}")
    exact = value.quantize(ZERO)
    if exact != value:
        raise Refused("invalid-amount", f"The {name} must have at most two places after the point")
    return exact


def _check_text(text: str | None, name: str) -> None:
    if text is not None and not TEXT.fullmatch(text):
        raise Refused("invalid-text", f"The {name} must be 1 to 140 characters, none of control, not blanks alone")


def plain(value: Money) -> str:
    """As the seed's messages show money: 10000 rather than 10000.00, 10.50 as it is."""
    return f"{value:.0f}" if value == value.to_integral_value() else f"{value:.2f}"


class DebitCard(Struct, frozen=True, gc=False):
    """The state row, whose changes are captured: the seed's table, and what its readers need beside it."""

    id: str
    initial_limit: Money
    used_limit: Money
    status: str
    version: int
    occurred_at_ms: int


DEBIT_CARD = Table("debit_card", DebitCard, key=("id",))


def _row(card: Card, stamp: Stamp) -> DebitCard:
    return DebitCard(stamp.aggregate_id, card.limit, card.used, card.status, stamp.version, stamp.occurred_at_ms)


CARD_EVENTS = (
    CardOpened,
    MoneyWithdrawn,
    MoneyRepaid,
    TransferSettled,
    LimitChanged,
    CardBlocked,
    CardUnblocked,
    CardClosed,
)
SPENDING_EVENTS = (*CARD_EVENTS, OverallLimitSet, OverallLimitRemoved)

CARD: Decider[CardCommand, Event, Card] = Decider(
    category="debit_card",
    initial=Card(),
    decide=decide,
    evolve=evolve,
    target=lambda command: command.card,
    commands=(OpenCard, Withdraw, Repay, GiveBack, SettleTransfer, ChangeLimit, BlockCard, UnblockCard, CloseCard),
    events=CARD_EVENTS,
    state_row=StateRow(DEBIT_CARD, _row),
    boundary=Boundary(
        tags=_tags,
        initial=Spending(),
        evolve=evolve_spending,
        events=SPENDING_EVENTS,
        decide=decide_over,
        tagged=_tagged,
    ),
)

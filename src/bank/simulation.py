"""What is asked of the bank in a simulation, and what must hold of it whatever goes wrong: `make simulate`."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from random import Random

from msgspec import Struct
from msgspec.structs import replace as changed

from bank.balance import CARD_BALANCE
from bank.card import (
    CARD,
    BlockCard,
    ChangeLimit,
    CloseCard,
    MoneyRepaid,
    MoneyWithdrawn,
    OpenCard,
    Repay,
    TransferSettled,
    UnblockCard,
    Withdraw,
)
from bank.customer import RemoveOverallLimit, SetOverallLimit
from bank.main import application
from bank.overview import CUSTOMER_CARD, CUSTOMER_LIMIT
from bank.settings import BankSettings
from bank.transfer import TRANSFER, TransferRequested
from mainstem import Command, EventReader, Sides
from mainstem.process.rows import PROCESS
from mainstem.tenancy import read_stream
from mainstem.testing.simulation import SMALL, Simulation
from mainstem.testing.simulation.client import Asking

_CARDS = tuple(f"card-{number}" for number in range(6))
_CUSTOMERS = ("ada", "bob", None)
_MERCHANTS = ("Corner Bakery", "Central Station", None, None)
_WEIGHTS = {"withdraw": 40, "repay": 12, "transfer": 20, "open": 8, "limit": 5, "status": 6, "overall": 4, "close": 1}


def commands(choice: Random) -> Iterator[Asking]:
    """A few cards, on which much is asked, some of it too much."""
    for number, card in enumerate(_CARDS[:4]):
        yield OpenCard(card=card, limit=Decimal(500), customer=_CUSTOMERS[number % 3], holder=None)
    transfers = 0
    while True:
        (kind,) = choice.choices(list(_WEIGHTS), list(_WEIGHTS.values()))
        if kind == "transfer":
            transfers += 1
            yield _transfer(f"t{transfers}", choice)
        else:
            yield _command(kind, choice)


def _transfer(name: str, choice: Random) -> Asking:
    message = TransferRequested(name, choice.choice(_CARDS), choice.choice(_CARDS), _amount(choice))
    return lambda now_ms: TRANSFER.tell(process=name, message=message, at_ms=now_ms, begins=True)


def _command(kind: str, choice: Random) -> Command:
    card, amount = choice.choice(_CARDS), _amount(choice)
    match kind:
        case "withdraw":
            return Withdraw(card=card, amount=amount, merchant=choice.choice(_MERCHANTS))
        case "repay":
            return Repay(card=card, amount=amount)
        case "open":
            customer = choice.choice(_CUSTOMERS)
            return OpenCard(card=card, limit=amount * 10, customer=customer, holder=customer and customer.title())
        case "limit":
            return ChangeLimit(card=card, limit=amount * 10)
        case "overall":
            customer = choice.choice(("ada", "bob"))
            if choice.randrange(10) == 0:
                return RemoveOverallLimit(customer=customer)
            return SetOverallLimit(customer=customer, limit=amount * 20)
        case "close":
            return CloseCard(card=card)
    return choice.choice((BlockCard(card=card, reason="a test"), UnblockCard(card=card), UnblockCard(card=card)))


def _amount(choice: Random) -> Decimal:
    return Decimal(choice.randint(1, 9_000)) / 100


def limits_hold(sides: Sides) -> Iterator[str]:
    """What is used stays within the limit of a card, and of all cards of a customer together."""
    for row in sides.views.scan(CARD_BALANCE):
        if not 0 <= row.used <= row.card_limit:
            yield f"card {row.id} has used {row.used} of {row.card_limit}"
    used: dict[str | None, int] = defaultdict(int)
    for card in sides.views.scan(CUSTOMER_CARD):
        used[card.customer] += card.used_cents
    for customer in sides.views.scan(CUSTOMER_LIMIT):
        if used[customer.id] > customer.limit_cents:
            yield f"the cards of {customer.id} have used {used[customer.id]} of {customer.limit_cents} cents"


class _Halves(Struct, frozen=True):
    """The events of one transfer, of both cards."""

    out: tuple[Decimal, ...] = ()
    back: tuple[Decimal, ...] = ()
    settled: int = 0


def money_is_not_made(sides: Sides) -> Iterator[str]:
    """Of each transfer both halves have happened, or neither; and all that have begun have come to an end."""
    reader, halves = EventReader(CARD.events), defaultdict[str, _Halves](_Halves)
    for batch in sides.events.read_all():
        for _, event in reader.each([each for each in batch if read_stream(each.stream).category == CARD.category]):
            if isinstance(event, MoneyWithdrawn | MoneyRepaid | TransferSettled) and event.transfer is not None:
                found = halves[event.transfer]
                if isinstance(event, TransferSettled):
                    found = changed(found, settled=found.settled + 1)
                elif isinstance(event, MoneyWithdrawn):
                    found = changed(found, out=(*found.out, event.amount))
                else:
                    found = changed(found, back=(*found.back, event.amount))
                halves[event.transfer] = found
    for name, found in halves.items():
        if len(found.out) != 1 or found.back != found.out or found.settled > 1:
            yield f"transfer {name} has taken {found.out}, and brought {found.back}"
    for row in sides.views.scan(PROCESS):
        if row.manager == TRANSFER.name and row.status != "ended":
            yield f"transfer {row.id} is {row.status} {row.why}"


simulation = Simulation(
    application=replace(application, own=BankSettings(block_after_refusals=3)),
    commands=commands,
    invariants=(limits_hold, money_is_not_made),
    settings=SMALL,
    subjects=("customer:ada", "customer:bob"),
)

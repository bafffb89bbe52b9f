"""A customer, for whom cards are opened: how much all of these may use together."""

from collections.abc import Sequence

from msgspec import Struct

from bank.card import SPENDING_EVENTS, Money, amount_of, evolve_spending, plain
from bank.overall import CUSTOMER_ID, OverallLimitRemoved, OverallLimitSet, Spending, customer_tag
from mainstem import Boundary, Command, Decider, Refused

CustomerEvent = OverallLimitSet | OverallLimitRemoved


class Customer(Struct, frozen=True):
    """The state: what the cards may use together, None where nothing says so."""

    limit: Money | None = None


def evolve(_customer: Customer, event: CustomerEvent) -> Customer:
    """The customer after the event."""
    return Customer(event.limit if isinstance(event, OverallLimitSet) else None)


class SetOverallLimit(Command, frozen=True):
    customer: str
    limit: Money


class RemoveOverallLimit(Command, frozen=True):
    customer: str


CustomerCommand = SetOverallLimit | RemoveOverallLimit


def decide(customer: Customer, command: CustomerCommand) -> Sequence[CustomerEvent]:
    """Without a look at the cards. Raises Refused for what no limit can be."""
    if not CUSTOMER_ID.fullmatch(command.customer):
        raise Refused(
            "invalid-customer", "A customer's id is 1 to 36 letters, digits, '.', '_' or '-', a letter or digit first"
        )
    if isinstance(command, RemoveOverallLimit):
        return [] if customer.limit is None else [OverallLimitRemoved(customer=command.customer)]
    limit = amount_of(command.limit, "limit", zero_allowed=True)
    return [] if limit == customer.limit else [OverallLimitSet(customer=command.customer, limit=limit)]


def decide_over(customer: Customer, command: CustomerCommand, spending: Spending) -> Sequence[CustomerEvent]:
    """The limit is never below what is used, whichever card it is used on."""
    events = decide(customer, command)
    if events and isinstance(command, SetOverallLimit) and command.limit < spending.used:
        text = f"Customer {command.customer} cannot have the overall limit {plain(command.limit)}"
        raise Refused("overall-limit-below-used", f"{text}. Used is {plain(spending.used)}")
    return events


def _tags(_customer: Customer, command: CustomerCommand) -> Sequence[str]:
    """To remove a limit asks for nothing of the cards."""
    asked = isinstance(command, SetOverallLimit) and CUSTOMER_ID.fullmatch(command.customer)
    return (customer_tag(command.customer),) if asked else ()


CUSTOMER: Decider[CustomerCommand, CustomerEvent, Customer] = Decider(
    category="customer",
    initial=Customer(),
    decide=decide,
    evolve=evolve,
    target=lambda command: command.customer,
    commands=(SetOverallLimit, RemoveOverallLimit),
    events=(OverallLimitSet, OverallLimitRemoved),
    boundary=Boundary(
        tags=_tags,
        initial=Spending(),
        evolve=evolve_spending,
        events=SPENDING_EVENTS,
        decide=decide_over,
        tagged=lambda _, event: (customer_tag(event.customer),),
    ),
)

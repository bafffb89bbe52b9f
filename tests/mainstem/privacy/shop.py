"""A small application with personal data in all that it has: commands, events, state, rows, topics, analytics."""

from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from mainstem import (
    AGGREGATE,
    EVENT_TOPIC,
    Application,
    Binding,
    Command,
    Datasource,
    Decider,
    Dimension,
    Event,
    Fold,
    NewRecord,
    Personal,
    Position,
    Recorded,
    Refused,
    Snapshots,
    Stamp,
    StateRow,
    Table,
    Topic,
    iso_time,
    recorded_events,
)

MINE = Personal(of=AGGREGATE)
HERS = Personal(of="id", kind="customer")


class Joined(Event, frozen=True):
    name: Annotated[str, MINE]
    email: Annotated[str | None, MINE] = None


class Moved(Event, frozen=True):
    town: Annotated[str, MINE]


class Join(Command, frozen=True):
    id: str
    name: Annotated[str, MINE]
    email: Annotated[str | None, MINE] = None


class Move(Command, frozen=True):
    """Its field is not marked: the event's is."""

    id: str
    to: str


class Customer(Struct, frozen=True):
    name: str = ""
    email: str | None = None
    towns: tuple[str, ...] = ()


def evolve(customer: Customer, event: Event) -> Customer:
    match event:
        case Joined():
            return Customer(event.name, event.email)
        case Moved():
            return replace(customer, towns=(*customer.towns, event.town))
    raise TypeError(event)


def decide(customer: Customer, command: Command) -> Sequence[Event]:
    match command:
        case Join() if customer.name == command.name:
            return []
        case Join() if customer.name:
            raise Refused("has-joined", f"{command.id} has joined as {customer.name}, not as {command.name}")
        case Join():
            return [Joined(name=command.name, email=command.email)]
        case Move():
            return [Moved(town=command.to)]
    raise TypeError(command)


class CustomerRow(Struct, frozen=True):
    id: str
    name: Annotated[str, HERS]
    version: int


CUSTOMER_ROW = Table("customer_row", CustomerRow, key=("id",))


def _row(customer: Customer, stamp: Stamp) -> CustomerRow:
    return CustomerRow(stamp.aggregate_id, customer.name, stamp.version)


CUSTOMER: Decider[Any, Any, Customer] = Decider(
    category="customer",
    initial=Customer(),
    decide=decide,
    evolve=evolve,
    target=lambda command: command.id,
    commands=(Join, Move),
    events=(Joined, Moved),
    state_row=StateRow(CUSTOMER_ROW, _row),
    snapshots=Snapshots(every_events=2),
)


class Address(Struct, frozen=True):
    id: str
    name: Annotated[str, HERS] = ""
    town: Annotated[str | None, HERS] = None
    version: int = 0


ADDRESS = Table("address", Address, key=("id",))
MOVES = Topic("moves", 1)


def fold(row: Address | None, message: Recorded[Any]) -> Address:
    row = row or Address(message.aggregate_id)
    event = message.payload
    if isinstance(event, Joined):
        return replace(row, name=event.name, version=message.version)
    return replace(row, town=event.town, version=message.version)


def emit(message: Recorded[Any]) -> Sequence[NewRecord]:
    event = message.payload
    text = event.name if isinstance(event, Joined) else event.town
    at_ms = message.occurred_at_ms
    content = {"id": message.aggregate_id, "text": text, "at": iso_time(at_ms)}
    name = f"{message.stream}:{message.version}"
    value = msgspec.json.encode(content)
    key = message.aggregate_id
    return [NewRecord(topic=MOVES.name, key=key, value=value, timestamp_ms=at_ms, identity=name)]


application = Application(
    name="shop",
    deciders=(CUSTOMER,),
    listeners=(
        Binding(
            group="address",
            topic=EVENT_TOPIC,
            decoder=recorded_events(CUSTOMER.events),
            projection=Fold(ADDRESS, lambda message: (message.aggregate_id,), fold),
            emit=emit,
            out=(MOVES,),
            position=lambda message: Position(message.aggregate_id, message.version),
        ),
    ),
    datasources=(
        Datasource("texts", MOVES.name, "at", (Dimension("id"), Dimension("text"), Dimension("at", "timestamp"))),
    ),
    topics=(MOVES,),
)

"""The mini statement: a line for each withdrawal, made of what a change of `debit_card` was before and after."""

from collections.abc import Sequence
from decimal import Decimal

import msgspec
from msgspec import Struct

from mainstem import Binding, Change, NewRecord, Position, Rows, Table, Topic, changes_of, iso_time

GROUP = "mini-statement"

_ENCODER = msgspec.json.Encoder(decimal_format="number")


class UsedLimit(Struct, frozen=True, gc=False):
    """What the statement reads of a row of `debit_card`."""

    id: str
    used_limit: Decimal
    version: int
    occurred_at_ms: int


class MoneyWithdrawal(Struct, frozen=True, gc=False):
    """A line of the statement. Its id is the change's position in its source, so redelivery makes no second line."""

    id: str
    debit_card_id: str
    amount: Decimal
    transaction_date_ms: int


MONEY_WITHDRAWAL = Table("money_withdrawal", MoneyWithdrawal, key=("id",), indexes=(("debit_card_id", "id"),))


class MiniStatement(Struct, frozen=True, gc=False, rename="camel"):
    """The message on topic `ministatement`: the amount a number with two places, the date ISO 8601 in UTC."""

    id: str
    amount: Decimal
    debit_card_id: str
    transaction_date: str


TOPIC = Topic("ministatement", message=MiniStatement, decimals="number")


def lines(change: Change[UsedLimit]) -> Sequence[MoneyWithdrawal]:
    """The line of a change that raised the used limit; a repayment or another limit makes none.

    The date is the event's time. Where somebody changed the row by hand, there was no event: then the change's.
    """
    before, after = change.before, change.after
    if before is None or after is None or after.used_limit <= before.used_limit:
        return ()
    by_event = after.version != before.version
    at_ms = after.occurred_at_ms if by_event else change.source.ts_ms
    return (MoneyWithdrawal(change.source.identity, after.id, after.used_limit - before.used_limit, at_ms),)


def messages(change: Change[UsedLimit]) -> Sequence[NewRecord]:
    """The same line as a message for the analytical store."""
    return [message_of(line) for line in lines(change)]


def message_of(line: MoneyWithdrawal) -> NewRecord:
    """What is told of the line."""
    content = MiniStatement(line.id, line.amount, line.debit_card_id, iso_time(line.transaction_date_ms))
    return NewRecord(
        topic=TOPIC.name,
        key=line.debit_card_id,
        value=_ENCODER.encode(content),
        timestamp_ms=line.transaction_date_ms,
        identity=line.id,
    )


def _position(change: Change[UsedLimit]) -> Position | None:
    return None if change.after is None else Position(change.after.id, change.after.version)


STATEMENT = Binding(
    group=GROUP,
    topic="debit_card",
    decoder=changes_of(UsedLimit),
    projection=Rows(MONEY_WITHDRAWAL, lines),
    emit=messages,
    out=(TOPIC,),
    position=_position,
)

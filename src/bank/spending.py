"""Daily spending: what was withdrawn from each card on each day (UTC), however late a withdrawal comes."""

from collections.abc import Sequence
from typing import Any

from msgspec import Struct

from bank.card import CARD, MoneyWithdrawn
from bank.cents import cents_of
from bank.pace import LINGER_MS
from mainstem import (
    EVENT_TOPIC,
    Binding,
    Position,
    Recorded,
    Table,
    Tumbling,
    Window,
    Windowed,
    by_aggregate,
    recorded_events,
)
from mainstem.view.port import ViewStore

GROUP = "daily-spending"
DAY_MS = 86_400_000


class DailySpending(Struct, frozen=True):
    """A card's day. Cents, since they have the order of the amounts; `version` is that of its last withdrawal.

    `tenant` is empty where there is none.
    """

    card: str
    begin_ms: int
    end_ms: int
    cents: int
    withdrawals: int
    version: int
    tenant: str = ""


DAILY_SPENDING = Table(
    "daily_spending", DailySpending, key=("card", "begin_ms"), indexes=(("tenant", "begin_ms", "cents", "card"),)
)


def make(message: Recorded[Any], window: Window) -> DailySpending | None:
    """The day of one withdrawal alone."""
    event = message.payload
    if not isinstance(event, MoneyWithdrawn):
        return None
    return DailySpending(
        message.aggregate_id, *window, cents_of(event.amount), 1, message.version, message.tenant or ""
    )


def merge(one: DailySpending, other: DailySpending) -> DailySpending:
    """Both together."""
    return DailySpending(
        one.card,
        one.begin_ms,
        one.end_ms,
        one.cents + other.cents,
        one.withdrawals + other.withdrawals,
        max(one.version, other.version),
        one.tenant,
    )


def done(row: DailySpending, message: Recorded[Any]) -> bool:
    """Whether the day has the withdrawal: those of one card come in the order of their versions."""
    return message.version <= row.version


SPENDING = Binding(
    group=GROUP,
    topic=EVENT_TOPIC,
    decoder=recorded_events(CARD.events, categories=(CARD.category,)),
    projection=Windowed(
        DAILY_SPENDING,
        Tumbling(DAY_MS),
        key=by_aggregate,
        at_ms=lambda message: message.occurred_at_ms,
        make=make,
        merge=merge,
        done=done,
    ),
    position=lambda message: Position(message.aggregate_id, message.version),
    linger_ms=LINGER_MS,
)


def days_of(views: ViewStore, card: str, limit: int, after: Sequence[Any] | None = None) -> list[DailySpending]:
    """A card's days, the newest first, behind the day that begins at `after`; by the primary key."""
    return views.find(DAILY_SPENDING, {"card": card}, order=("begin_ms",), descending=True, after=after, limit=limit)


def spenders_of(
    views: ViewStore, tenant: str | None, day_ms: int, limit: int, after: Sequence[Any] | None = None
) -> list[DailySpending]:
    """The tenant's cards from which most was withdrawn on a day, behind `after` (cents, card); by the index."""
    where = {"tenant": tenant or "", "begin_ms": day_ms}
    return views.find(DAILY_SPENDING, where, order=("cents", "card"), descending=True, after=after, limit=limit)

"""Suspicious activity: cards from which money is withdrawn too often, or too much of it.

`velocity`: five withdrawals or more that follow each other within a minute. `amount`: 5000 or more within an hour, of
those that begin every quarter of one. Windows that are not suspicious are kept as long: a late withdrawal may add to
them.
"""

from collections.abc import Sequence
from typing import Any, Literal

from msgspec import Struct

from bank.card import CARD, MoneyWithdrawn
from bank.cents import cents_of
from bank.pace import LINGER_MS
from bank.spending import DAY_MS
from mainstem import (
    EVENT_TOPIC,
    Binding,
    Position,
    Recorded,
    Session,
    Sliding,
    Table,
    Window,
    Windowed,
    by_aggregate,
    recorded_events,
)
from mainstem.view.port import ViewStore

Kind = Literal["velocity", "amount"]

VELOCITY_GROUP, AMOUNT_GROUP = "velocity", "amount-window"
OFTEN = 5
MUCH_CENTS = 500_000
_MINUTE_MS = 60_000
_HOUR_MS = 60 * _MINUTE_MS
_KEPT_MS = 90 * DAY_MS

_INDEXES = (("tenant", "suspicious", "begin_ms", "card"), ("card", "suspicious", "begin_ms"))


class Activity(Struct, frozen=True):
    """What was withdrawn from a card in a window; `version` is that of the last of the withdrawals.

    `tenant` is empty where there is none.
    """

    card: str
    begin_ms: int
    end_ms: int
    withdrawals: int
    cents: int
    suspicious: bool
    version: int
    tenant: str = ""


VELOCITY_WINDOW = Table("velocity_window", Activity, key=("card", "begin_ms"), indexes=_INDEXES)
AMOUNT_WINDOW = Table("amount_window", Activity, key=("card", "begin_ms"), indexes=_INDEXES)
_TABLES = {"velocity": VELOCITY_WINDOW, "amount": AMOUNT_WINDOW}


def _often(withdrawals: int, _cents: int) -> bool:
    return withdrawals >= OFTEN


def _much(_withdrawals: int, cents: int) -> bool:
    return cents >= MUCH_CENTS


def _windowed(kind: Kind) -> Windowed[Recorded[Any], Activity]:
    suspicious = _often if kind == "velocity" else _much

    def make(message: Recorded[Any], window: Window) -> Activity | None:
        event = message.payload
        if not isinstance(event, MoneyWithdrawn):
            return None
        cents = cents_of(event.amount)
        found, tenant = suspicious(1, cents), message.tenant or ""
        return Activity(message.aggregate_id, *window, 1, cents, found, message.version, tenant)

    def merge(one: Activity, other: Activity) -> Activity:
        withdrawals, cents = one.withdrawals + other.withdrawals, one.cents + other.cents
        version = max(one.version, other.version)
        found = suspicious(withdrawals, cents)
        return Activity(one.card, one.begin_ms, one.end_ms, withdrawals, cents, found, version, one.tenant)

    return Windowed(
        _TABLES[kind],
        Session(_MINUTE_MS) if kind == "velocity" else Sliding(_HOUR_MS, _HOUR_MS // 4),
        key=by_aggregate,
        at_ms=lambda message: message.occurred_at_ms,
        make=make,
        merge=merge,
        done=lambda row, message: message.version <= row.version,
        keep_ms=_KEPT_MS,
    )


def _listener(group: str, kind: Kind) -> Binding[Recorded[Any]]:
    return Binding(
        group=group,
        topic=EVENT_TOPIC,
        decoder=recorded_events(CARD.events, categories=(CARD.category,)),
        projection=_windowed(kind),
        position=lambda message: Position(message.aggregate_id, message.version),
        linger_ms=LINGER_MS,
    )


VELOCITY = _listener(VELOCITY_GROUP, "velocity")
AMOUNT = _listener(AMOUNT_GROUP, "amount")


def suspicious_of(
    views: ViewStore,
    kind: Kind,
    tenant: str | None,
    card: str | None,
    limit: int,
    after: Sequence[Any] | None = None,
) -> list[Activity]:
    """Suspicious windows, the newest first, behind `after` (begin, card); each question by an index.

    Those of the card's row key, or, without one, of all cards of the tenant.
    """
    where: dict[str, Any] = {"suspicious": True}
    where |= {"tenant": tenant or ""} if card is None else {"card": card}
    return views.find(_TABLES[kind], where, order=("begin_ms", "card"), descending=True, after=after, limit=limit)

"""CLEANSED: what RAW holds of cards and customers, typed, held against the rules, and each change once.

What breaks a rule is kept too, with the rule and the reason, and goes no further. A refused command's row may be
corrected: then what it said before is taken back, by a row whose `sign` is -1, at the time that it was said for.
"""

from collections.abc import Iterator, Sequence
from decimal import Decimal, InvalidOperation
from hashlib import sha256
from typing import Any

import msgspec
from msgspec import Struct

from bank.card import CARD, MAX_AMOUNT, CardOpened, LimitChanged, MoneyRepaid, MoneyWithdrawn
from bank.cents import cents_of
from bank.customer import CUSTOMER
from bank.layers.topics import LINGER_MS, topic_of
from mainstem import (
    EVENT_TOPIC,
    Binding,
    Change,
    Decoder,
    MainstemError,
    NewRecord,
    Record,
    Recorded,
    Rows,
    Table,
    changes_of,
    recorded_events,
)
from mainstem.codec import Placed
from mainstem.layers import Broken, RawChange
from mainstem.tenancy import qualified, read_stream

REFUSED = "Refused"
"""The kind of a refused command, beside the names of events."""

_AHEAD_MS = 86_400_000
"""How far before its recording an event may claim to be: clocks of clients are not the bank's."""


_REASON_MAX = 500


class Cleansed(Struct, frozen=True):
    """A change of a card or a customer, named by what it is, so that it is there once however often it came.

    `origin` is the raw change's id. `sign` is 1, or -1 where an earlier row of this subject is taken back. Amounts are
    cents. `rule` and `reason` are set where it was rejected.
    """

    id: str
    origin: str
    source: str
    kind: str
    key: str
    tenant: str
    version: int
    sign: int
    at_ms: int
    recorded_at_ms: int
    cents: int | None = None
    limit_cents: int | None = None
    customer: str | None = None
    merchant: str | None = None
    transfer: str | None = None
    command: str | None = None
    refused: str | None = None
    rule: str | None = None
    reason: str | None = None


CLEANSED = Table("cleansed", Cleansed, key=("id",), indexes=(("rule", "id"), ("key", "id")))
TOPIC = topic_of("cleansed", Cleansed)


class _Kept(Struct, frozen=True):
    """The columns of a refused command that count here."""

    id: int
    stream: str
    command: str
    content: str
    reason: str
    refused_at_ms: int


class _Asked(Struct, frozen=True):
    """What counts of a refused command's content."""

    amount: Any = None
    merchant: str | None = None
    transfer: str | None = None


_EVENTS: Decoder[Recorded[Any]] = recorded_events(
    (*CARD.events, *CUSTOMER.events), categories=(CARD.category, CUSTOMER.category)
)
_REFUSALS: Decoder[Change[_Kept]] = changes_of(_Kept)
_ASKED: Decoder[_Asked] = Decoder(_Asked)
_RAW: Decoder[RawChange] = Decoder(RawChange)


def cleansed(raw: RawChange) -> Sequence[Cleansed]:
    """The rows of a raw change: most often one; of a corrected one two; none where it is of neither card nor customer.

    A change that breaks a rule is one row, named by its content where nothing else can be told of it.
    """
    try:
        return [*(_events(raw) if raw.topic == EVENT_TOPIC else _refusals(raw))]
    except Broken as broken:
        return (_rejected(raw, broken),)


def _rejected(raw: RawChange, broken: Broken) -> Cleansed:
    same = sha256((raw.value or b"") + raw.key.encode()).hexdigest()[:32]  # at every delivery, wherever it stands
    made = Cleansed(f"rejected:{raw.topic}:{same}", raw.id, raw.topic, "", raw.key, "", 0, 1, raw.at_ms, raw.at_ms)
    if raw.topic == EVENT_TOPIC:  # whose record's key is its stream
        name = read_stream(raw.key)
        made = msgspec.structs.replace(made, key=name.key, tenant=name.tenant or "")
    return _broken(made, broken)


def _broken(row: Cleansed, broken: Broken) -> Cleansed:
    return msgspec.structs.replace(row, rule=broken.rule, reason=broken.text[:_REASON_MAX])


def _events(raw: RawChange) -> Iterator[Cleansed]:
    try:
        found, _ = _EVENTS.spread([raw.value or b""])
    except MainstemError as error:
        raise Broken("readable", str(error)) from error
    for event in found:
        made = _event(raw, event)
        try:
            _check_event(event)
        except Broken as broken:
            made = _broken(made, broken)
        yield made


def _event(raw: RawChange, event: Recorded[Any]) -> Cleansed:
    payload = event.payload
    amount = payload.amount if isinstance(payload, MoneyWithdrawn | MoneyRepaid) else None
    limit = payload.limit if isinstance(payload, CardOpened | LimitChanged) else None
    customer = payload.customer if isinstance(payload, CardOpened) else None
    return Cleansed(
        f"event:{event.stream}:{event.version:012d}:{event.part}",
        raw.id,
        raw.topic,
        type(payload).__name__,
        event.aggregate_id,
        event.tenant or "",
        event.version,
        1,
        event.occurred_at_ms,
        event.recorded_at_ms,
        cents=cents_or_none(amount),
        limit_cents=cents_or_none(limit),
        customer=None if customer is None else qualified(event.tenant, customer),
        merchant=payload.merchant if isinstance(payload, MoneyWithdrawn) else None,
        transfer=getattr(payload, "transfer", None),
    )


def _check_event(event: Recorded[Any]) -> None:
    payload = event.payload
    if isinstance(payload, MoneyWithdrawn | MoneyRepaid) and (cents_or_none(payload.amount) or 0) <= 0:
        raise Broken("amount", f"the amount {payload.amount!s:.40} is none of money")
    if not 0 <= event.occurred_at_ms <= event.recorded_at_ms + _AHEAD_MS:
        raise Broken("time", f"it occurred at {event.occurred_at_ms}, and was recorded at {event.recorded_at_ms}")


def cents_or_none(amount: Any) -> int | None:
    """Of an amount of money; None of what is none."""
    try:
        value = Decimal(str(amount))
        fits = value.is_finite() and abs(value) <= MAX_AMOUNT and value == value.quantize(Decimal("0.01"))
    except (InvalidOperation, ValueError):
        return None
    return cents_of(value.quantize(Decimal("0.01"))) if fits else None


def _refusals(raw: RawChange) -> Iterator[Cleansed]:
    try:
        change = _REFUSALS.one(raw.value or b"")
        before, after = change.before, change.after
        ours = [None if each is None else read_stream(each.stream) for each in (before, after)]
    except MainstemError as error:
        raise Broken("readable", str(error)) from error
    if before == after:
        return  # another column was changed, which counts for nothing here
    for kept, name, sign in zip((before, after), ours, (-1, 1), strict=True):
        if kept is None or name is None or name.category != CARD.category:
            continue
        of_change = "" if before is None else f":{change.source.identity}:{'-' if sign < 0 else '+'}"
        asked = _asked(kept)
        yield Cleansed(
            f"{raw.topic}:{kept.id:016d}{of_change}",
            raw.id,
            raw.topic,
            REFUSED,
            name.key,
            name.tenant or "",
            0,
            sign,
            kept.refused_at_ms,
            change.source.ts_ms,
            cents=cents_or_none(asked.amount),
            merchant=asked.merchant,
            transfer=asked.transfer,
            command=kept.command,
            refused=kept.reason,
        )


def _asked(kept: _Kept) -> _Asked:
    try:
        return _ASKED.one(kept.content.encode())
    except (MainstemError, UnicodeEncodeError) as error:
        raise Broken("readable", f"the content of refusal {kept.id}: {error}") from error


def _of_record(record: Record) -> Sequence[Cleansed]:
    return cleansed(_RAW.one(record.value or b""))


def _message(row: Cleansed) -> Sequence[NewRecord]:
    value = msgspec.json.encode(row)
    return (NewRecord(topic=TOPIC.name, key=row.key, value=value, timestamp_ms=row.at_ms, identity=row.id),)


def step(raw_topic: str) -> Binding[Cleansed]:
    """Hears what RAW says. A raw change is held against the rules once, where it is read."""
    return Binding(
        group="layer-cleansed",
        topic=raw_topic,
        decoder=Placed(RawChange, _of_record),
        projection=Rows(CLEANSED, lambda row: (row,)),
        emit=_message,
        out=(TOPIC,),
        linger_ms=LINGER_MS,
    )

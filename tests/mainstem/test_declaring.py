"""Listeners declared by typed functions."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from msgspec import Struct

from bank.card import CARD, CardEvent, CardOpened, DebitCard, MoneyWithdrawn, OpenCard, Withdraw
from bank.main import application
from bank.statement import MiniStatement
from mainstem import (
    EVENT_TOPIC,
    Batched,
    Binding,
    Change,
    Event,
    Fold,
    NewRecord,
    Position,
    Recorded,
    Rows,
    Table,
    Topic,
    keeps,
    sends,
)
from mainstem.assembly import embedded
from mainstem.codec import RecordedEvents
from mainstem.errors import ConfigurationError
from mainstem.settings import Settings


class Largest(Struct, frozen=True):
    card: str
    amount: Decimal = Decimal("0.00")


class Line(Struct, frozen=True):
    id: str
    card: str


LARGEST = Table("largest", Largest, key=("card",))
LINE = Table("line", Line, key=("id",))
TOLD = Topic("told", partitions=1)


@keeps(LARGEST, of=CARD, group="largest")
def largest(row: Largest | None, message: Recorded[CardEvent]) -> Largest:
    row = row or Largest(message.aggregate_id)
    if isinstance(message.payload, MoneyWithdrawn) and message.payload.amount > row.amount:
        return Largest(row.card, message.payload.amount)
    return row


@keeps(LINE, topic="debit_card", group="line", batch_max=7)
def lines(change: Change[DebitCard]) -> Sequence[Line]:
    return () if change.after is None else (Line(change.source.identity, change.after.id),)


class Sum(Struct, frozen=True):
    card: str
    amount: Decimal
    version: int


SUM = Table("sum", Sum, key=("card",))
SumsByCard = Mapping[tuple[str], Sum]


@keeps(SUM, of=CARD, group="sum", done="version")
def sums(rows: SumsByCard, messages: Sequence[Recorded[CardEvent]]) -> SumsByCard:
    made = dict(rows)
    for message in messages:
        row = made.get((message.aggregate_id,)) or Sum(message.aggregate_id, Decimal("0.00"), 0)
        amount = message.payload.amount if isinstance(message.payload, MoneyWithdrawn) else 0
        made[message.aggregate_id,] = Sum(row.card, row.amount + amount, message.version)
    return made


@sends(TOLD, topic="ministatement", group="teller")
def tell(line: MiniStatement) -> Sequence[NewRecord]:
    return [NewRecord(topic=TOLD.name, key=line.debit_card_id, value=b"1", timestamp_ms=0, identity=line.id)]


def test_what_a_decorator_makes_is_a_binding() -> None:
    assert (largest.group, largest.topic, largest.out) == ("largest", EVENT_TOPIC, ())
    assert isinstance(largest.projection, Fold)
    assert isinstance(largest.decoder, RecordedEvents)
    assert largest.decoder.categories == {"debit_card"}
    message = Recorded(
        stream="debit_card-a",
        version=3,
        occurred_at_ms=0,
        recorded_at_ms=0,
        actor="a",
        payload=CardOpened(limit=Decimal(1)),
    )
    assert largest.position(message) == Position("a", 3)
    assert largest.projection.key(message) == ("a",)
    assert isinstance(lines.projection, Rows)
    assert isinstance(sums.projection, Batched)
    assert (sums.projection.key(message), sums.projection.done) == (("a",), "version")
    assert isinstance(sums.decoder, RecordedEvents)
    assert (lines.decoder.type, lines.batch_max) == (Change[DebitCard], 7)
    assert (tell.decoder.type, tell.out) == (MiniStatement, (TOLD,))
    assert all(each.declared_at.startswith(f"{__file__}:") for each in (largest, lines, sums, tell))


def test_they_run(tmp_path: Path) -> None:
    own = (largest, lines, sums, tell)
    bank = replace(application, listeners=(*application.listeners, *own), topics=(*application.topics, TOLD))
    with embedded(bank, Settings(data_dir=tmp_path)) as running:
        running.commands.execute(OpenCard(card="anna", limit=Decimal(500)))
        for amount in ("20.00", "80.50", "3.00"):
            running.commands.execute(Withdraw(card="anna", amount=Decimal(amount)))
        assert running.settle()
        assert running.views.find(LARGEST, {}) == [Largest("anna", Decimal("80.50"))]
        assert running.views.find(SUM, {}) == [Sum("anna", Decimal("103.50"), 4)]
        assert len(running.views.find(LINE, {"card": "anna"})) == 4
        assert len(running.log.read(TOLD.name, 0, 0, 10)) == 3


def test_events_that_a_function_names_are_what_it_takes() -> None:
    @sends(TOLD, topic=EVENT_TOPIC, group="teller")
    def told(message: Recorded[CardOpened | MoneyWithdrawn]) -> Sequence[NewRecord]:
        return []

    assert isinstance(told.decoder, RecordedEvents)
    assert told.decoder.events == (CardOpened, MoneyWithdrawn)


def _untyped(message):  # type: ignore[no-untyped-def]
    return ()


def _any(message: Any) -> Sequence[Any]:
    return ()


def _some(message: Recorded[CardOpened]) -> Sequence[Any]:
    return ()


def _every(message: Recorded[Event]) -> Sequence[Any]:
    return ()


def _change(message: Change[DebitCard]) -> Sequence[Any]:
    return ()


def _fold(row: Largest | None, message: Change[DebitCard]) -> Largest | None:
    return row


def _other(row: Line | None, message: Recorded[CardEvent]) -> Line | None:
    return row


def _never(row: Largest, message: Recorded[CardEvent]) -> Largest:
    return row


def _changed(row: Largest | None, message: Recorded[CardEvent]) -> Largest | None:
    return row


async def _later(row: Largest | None, message: Recorded[CardEvent]) -> Largest | None:
    return row


def _a_line(row: Largest | None, message: Recorded[CardEvent]) -> Line:
    return Line("1", "c")


def _largests(message: Recorded[CardEvent]) -> Sequence[Largest]:
    return ()


def _number(message: Recorded[CardEvent]) -> Any:
    return 1


_number.__annotations__["return"] = int
_two: Any = _fold


def _no_mapping(rows: Sequence[Largest], messages: Sequence[Recorded[CardEvent]]) -> Any:
    return rows


def _batch(rows: Mapping[tuple[str], Largest], messages: Sequence[Recorded[CardEvent]]) -> Any:
    return rows


def _three(row: Largest | None, message: Recorded[CardEvent], more: int) -> None:
    return None


@pytest.mark.parametrize(
    ("declare", "text"),
    [
        (lambda: sends(TOLD, topic="t", group="g")(_untyped), "_untyped, .* says nothing of the type of message"),
        (lambda: sends(TOLD, topic="t", group="g")(_any), "_any, .* says nothing of its message's type"),
        (lambda: sends(TOLD, group="g")(_change), "_change, .* names no topic, and no decider with `of`"),
        (
            lambda: sends(TOLD, of=CARD, group="g")(_some),
            "_some, .* takes no MoneyWithdrawn, .* which debit_card has too",
        ),
        (lambda: sends(TOLD, of=CARD, group="g")(_change), r"_change, .* takes Change\[DebitCard\]: events come as"),
        (lambda: sends(TOLD, of=CARD, topic="t", group="g")(_every), "_every, .* hears 't': the events of a decider"),
        (lambda: sends(TOLD, topic=EVENT_TOPIC, group="g")(_every), r"takes Recorded\[Event\]: name the events, or"),
        (lambda: sends(TOLD, topic="t", group="g")(_two), "_fold, .* takes 2 parameters, not 1"),
        (lambda: keeps(LARGEST, topic="t", group="g")(_fold), "_fold, .* needs a key"),
        (lambda: keeps(LARGEST, of=CARD, group="g")(_other), r"folds Line \| None: its rows are Largest \| None"),
        (lambda: keeps(LARGEST, of=CARD, group="g")(_never), r"folds Largest: its rows are Largest \| None"),
        (lambda: keeps(LARGEST, of=CARD, group="g")(_no_mapping), "is given .*: of a batch the rows are a Mapping"),
        (lambda: keeps(LARGEST, topic="t", group="g")(_batch), "_batch, .* needs a key"),
        (lambda: keeps(SUM, of=CARD, group="g")(_batch), r"Mapping of keys to Sum"),
        (lambda: keeps(LARGEST, of=CARD, group="g", done=lambda _row, _message: True)(_batch), "the name of a column"),
        (lambda: keeps(LARGEST, of=CARD, group="g", done="at")(_changed), "here it is a function"),
        (lambda: keeps(LARGEST, of=CARD, group="g")(_later), "_later, .* is asynchronous"),
        (lambda: keeps(LARGEST, of=CARD, group="g")(_a_line), r"_a_line, .* returns Line, not Largest \| None"),
        (lambda: keeps(LINE, of=CARD, group="g")(_largests), r"returns .*Largest.*, not Sequence\[Line\]"),
        (lambda: sends(TOLD, of=CARD, group="g")(_number), r"_number, .* returns int, not Sequence\[NewRecord\]"),
        (lambda: keeps(LARGEST, of=CARD, group="g")(_three), "_three, .* takes 3 parameters, not 2"),
    ],
)
def test_a_function_that_says_too_little_or_something_else(declare: Callable[[], Binding[Any]], text: str) -> None:
    with pytest.raises(ConfigurationError, match=text) as found:
        declare()
    assert f"declared at {__file__}:" in str(found.value)

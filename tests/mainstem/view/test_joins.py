"""Joins: a message meets the row of another view as the transaction that writes sees it, however far that view is."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from msgspec import Struct

from mainstem.application import Application
from mainstem.codec import Decoder, encode
from mainstem.errors import CodecError, ConfigurationError, StoreBusy
from mainstem.listener.binding import Binding
from mainstem.listener.runner import Runner
from mainstem.log.port import Topic
from mainstem.log.scan import scan
from mainstem.log.sqlite import SqliteLog
from mainstem.messages import NewRecord
from mainstem.table import Table
from mainstem.view import apply
from mainstem.view.apply import working
from mainstem.view.projection import Fold, Joined, Rows, With
from mainstem.view.sqlite import SqliteViews


class Rate(Struct, frozen=True):
    """The other view's row."""

    currency: str
    percent: int


class Sale(Struct, frozen=True):
    """A message."""

    id: str
    currency: str
    amount: int


class Priced(Struct, frozen=True):
    """The row of both."""

    id: str
    amount: int


RATE, PRICED = Table("rate", Rate, key=("currency",)), Table("priced", Priced, key=("id",))


def _rows(pair: With[Sale, Rate]) -> list[Priced]:
    return [Priced(pair.message.id, pair.message.amount * (pair.row.percent if pair.row else 100))]


def _fold(row: Priced | None, pair: With[Sale, Rate]) -> Priced:
    (made,) = _rows(pair)
    return Priced(pair.message.currency, made.amount + (row.amount if row else 0))


JOINED: Joined[Sale, Rate] = Joined(RATE, lambda sale: (sale.currency,), Rows(PRICED, _rows))
SUMMED: Joined[Sale, Rate] = Joined(
    RATE, lambda sale: (sale.currency,), Fold(PRICED, lambda pair: (pair.message.currency,), _fold)
)
SALES = [Sale("1", "chf", 1), Sale("2", "eur", 1), Sale("3", "chf", 2)]


@pytest.fixture
def views(tmp_path: Path) -> Iterator[SqliteViews]:
    views = SqliteViews(tmp_path / "views.db")
    views.create(RATE)
    views.create(PRICED)
    _put(views, 110)
    yield views
    views.close()


def _put(views: SqliteViews, percent: int) -> None:
    with views.transaction() as transaction:
        transaction.put(RATE, [Rate("chf", percent)])


def _written(views: SqliteViews) -> dict[str, int]:
    return {row.id: row.amount for row in views.scan(PRICED)}


@pytest.mark.parametrize("one_by_one", [True, False])
@pytest.mark.parametrize(
    ("projection", "before", "after"),
    [
        (JOINED, {"1": 110, "2": 100, "3": 220}, {"1": 120, "2": 100, "3": 240}),
        (SUMMED, {"chf": 330, "eur": 100}, {"chf": 360, "eur": 100}),
    ],
)
def test_the_row_is_that_of_the_transaction_that_writes(
    views: SqliteViews, projection: Joined[Sale, Rate], before: dict[str, int], after: dict[str, int], one_by_one: bool
) -> None:
    for changed, expected in ((False, before), (True, after)):
        with views.transaction() as transaction:
            transaction.remove(PRICED, [(row.id,) for row in views.scan(PRICED)])
        work = working(projection, views.get, views.find_each)
        if one_by_one:
            for sale in SALES:
                work.handle([sale])
        else:
            work.handle_all(SALES, range(3))
        if changed:
            _put(views, 120)
        with views.transaction() as transaction:
            work.write(transaction)
        assert _written(views) == expected


def test_it_waits_until_the_other_view_is_ready(views: SqliteViews, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a limit; nothing is taken then, and the listener begins the batch anew."""
    needed = replace(JOINED, ready=lambda row, _: row is not None)
    monkeypatch.setattr(apply, "_LOOK_S", 0.05)
    work = working(needed, views.get)
    with pytest.raises(StoreBusy, match="waits for rate"):
        work.handle_all(SALES, range(3))
    with pytest.raises(StoreBusy, match="waits for rate"):
        work.handle(SALES)
    looks = 0

    def get(table: Table[Any], keys: Any) -> dict[Any, Any]:
        nonlocal looks
        looks += table is RATE
        if looks == 3:
            with views.transaction() as transaction:
                transaction.put(RATE, [Rate("eur", 90)])
        return views.get(table, keys)

    monkeypatch.setattr(apply, "_LOOK_S", 10.0)
    work = working(needed, get)
    work.handle_all(SALES, range(3))
    with views.transaction() as transaction:
        work.write(transaction)
    assert _written(views) == {"1": 110, "2": 90, "3": 220}


def test_what_joins_nothing_and_what_cannot_join(views: SqliteViews) -> None:
    """A message without a currency has no row beside it; a text is no key."""
    nothing = replace(JOINED, on=lambda sale: (None if sale.currency == "eur" else sale.currency,))
    work = working(nothing, views.get, views.find_each)
    work.handle_all(SALES, range(3))
    with views.transaction() as transaction:
        work.write(transaction)
    assert [row.amount for row in views.scan(PRICED)] == [110, 100, 220]
    wrong: Any = replace(JOINED, on=lambda sale: sale.currency)  # type: ignore[arg-type, return-value]
    with pytest.raises(CodecError, match="'chf' is no key of rate: that is a tuple of currency: str"):
        working(wrong, views.get, views.find_each).handle(SALES[:1])


def test_rows_may_go_to_another_table() -> None:
    """As a rebuilt view's do."""
    built = Table("built", Priced, key=("id",))
    changed = replace(SUMMED, table=built)
    assert (changed.table, changed.into.table, SUMMED.table) == (built, built, PRICED)


def test_a_join_with_no_other_view_is_told_at_the_start() -> None:
    binding = Binding(group="priced", topic="event", decoder=Decoder(Sale), projection=JOINED)
    with pytest.raises(ConfigurationError, match="joins 'rate'"):
        Application(name="shop", deciders=(), listeners=(binding,))


@pytest.mark.parametrize("one_by_one", [True, False])
def test_what_a_join_speaks_is_made_of_both(views: SqliteViews, tmp_path: Path, one_by_one: bool) -> None:
    """Whether the batch is handled at once or, since a record of it fails, one by one."""
    log = SqliteLog(tmp_path / "log.db")
    try:
        sold, priced = Topic("sold", 1), Topic("priced", 1)
        log.create(sold)
        log.create(priced)
        values = [encode(sale) for sale in SALES] + ([b"no JSON"] if one_by_one else [])
        both = replace(JOINED, emits_both=True)
        log.append([NewRecord(topic="sold", key=str(n), value=v, timestamp_ms=1) for n, v in enumerate(values)])
        binding: Binding[Any] = Binding("pricing", "sold", Decoder(Sale), both, emit=_priced, out=(priced,))
        Runner(binding, log, views).step()
        said = [record.value for page in scan(log, "priced") for record in page]
        assert said == [encode(Priced(id_, amount)) for id_, amount in (("1", 110), ("2", 100), ("3", 220))]
        assert _written(views) == {"1": 110, "2": 100, "3": 220}
        assert len(views.parked("pricing")) == one_by_one
    finally:
        log.close()


def _priced(pair: With[Sale, Rate]) -> list[NewRecord]:
    return [
        NewRecord(topic="priced", key=row.id, value=encode(row), timestamp_ms=1, identity=row.id) for row in _rows(pair)
    ]

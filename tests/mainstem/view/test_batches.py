"""Batches, by columns and by a function: however they are cut, and whatever comes again, rows are those of a fold."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Struct
from msgspec.structs import replace as replace_row

from mainstem.errors import CodecError, ConfigurationError
from mainstem.messages import Event, Recorded
from mainstem.table import Table
from mainstem.view.apply import Working, working
from mainstem.view.batched import Batched, Key
from mainstem.view.projection import Fold, Projection
from mainstem.view.sqlite import SqliteViews
from mainstem.view.vectorised import Vectorised


class Paid(Event, frozen=True):
    amount: Decimal
    shop: str | None = None


class Repaid(Event, frozen=True):
    amount: Decimal


class Renamed(Event, frozen=True):
    name: str


class Account(Struct, frozen=True):
    """One row for each account and tenant."""

    account: str
    tenant: str | None
    balance: Decimal
    events: int
    least: Decimal
    first_type: str
    shop: str | None
    version: int


ACCOUNT = Table("account", Account, key=("account",))
_EVENTS = (Paid, Repaid)


def _fold(row: Account | None, message: Recorded[Any]) -> Account | None:
    event, version = message.payload, message.version
    if isinstance(event, Renamed):
        return row
    amount = -event.amount if isinstance(event, Repaid) else event.amount
    shop = getattr(event, "shop", None)
    if row is None:
        return Account(message.aggregate_id, message.tenant, amount, 1, amount, type(event).__name__, shop, version)
    balance, least = row.balance + amount, min(row.least, amount)
    shop = row.shop if shop is None else shop
    return Account(row.account, row.tenant, balance, row.events + 1, least, row.first_type, shop, version)


def _make(batch: Any) -> Any:
    if batch.num_rows and pc.max(batch["amount"]).as_py() > 1_000:
        raise ValueError("nobody pays so much")
    amount = pc.if_else(pc.equal(batch["type"], "Repaid"), pc.negate(batch["amount"]), batch["amount"])
    return pa.table(
        {
            "account": batch["aggregate_id"],
            "tenant": batch["tenant"],
            "balance": amount,
            "events": pa.repeat(1, batch.num_rows),
            "least": amount,
            "first_type": batch["type"],
            "shop": batch["shop"],
            "version": batch["version"],
        }
    )


VECTORISED = Vectorised(
    ACCOUNT,
    events=_EVENTS,
    columns=("aggregate_id", "tenant", "type", "version", "amount", "shop"),
    make=_make,
    merge={
        "tenant": "max",
        "balance": "sum",
        "events": "sum",
        "least": "min",
        "first_type": "first",
        "shop": "last",
        "version": "max",
    },
    done="version",
)
FOLDED = Fold(
    ACCOUNT,
    lambda message: (message.aggregate_id,),
    _fold,
    lambda row, message: message.version <= row.version,
)


def _fold_all(rows: Mapping[Key, Account], messages: Sequence[Recorded[Any]]) -> dict[Key, Account | None]:
    made: dict[Key, Account | None] = {}
    for message in messages:
        key = (message.aggregate_id,)
        row = _fold(made.get(key, rows.get(key)), message)
        if row is not None:
            made[key] = row
    return made


BATCHED: Batched[Recorded[Any], Account] = Batched(ACCOUNT, lambda m: (m.aggregate_id,), _fold_all, "version")

_amounts = st.decimals(0, 999, places=2)
_shops = st.sampled_from([None, "", "café", "zoo"])
_payloads = st.one_of(
    st.builds(Paid, amount=_amounts, shop=_shops), st.builds(Repaid, amount=_amounts), st.builds(Renamed, name=_shops)
)
_streams = st.sampled_from(["account-a", "account-b", "/acme/account-a"])
_records = st.lists(st.tuples(_streams, st.lists(_payloads, min_size=1, max_size=2)), max_size=25)
_sizes = st.lists(st.tuples(st.integers(1, 6), st.booleans()), max_size=30)
_again = st.lists(st.tuples(st.integers(0, 25), st.integers(0, 25)))


def recorded(stream: str, version: int, payload: Event, part: int = 0) -> Recorded[Any]:
    return Recorded(
        stream=stream, version=version, occurred_at_ms=1, recorded_at_ms=2, actor="a", part=part, payload=payload
    )


def _messages(made: Sequence[tuple[str, Sequence[Event]]]) -> list[list[Recorded[Any]]]:
    """Of each record its messages, which have the version that it has within its stream."""
    versions: dict[str, int] = {}
    found = []
    for stream, payloads in made:
        version = versions[stream] = versions.get(stream, 0) + 1
        found.append([recorded(stream, version, payload, part) for part, payload in enumerate(payloads)])
    return found


def _apply(
    views: SqliteViews,
    projection: Projection[Any],
    records: Sequence[Sequence[Recorded[Any]]],
    sizes: Sequence[tuple[int, bool]],
) -> list[Account]:
    """In batches, some of them one by one; a transaction for each two."""
    views.drop(ACCOUNT)
    views.create(ACCOUNT)
    at, work = 0, working(projection, views.get)
    for number, (size, together) in enumerate([*sizes, *([(5, True)] * len(records))]):
        batch = records[at : at + size]
        at += size
        if together:
            flat = [(place, message) for place, each in enumerate(batch) for message in each]
            numbers = [place for place, _ in flat]
            alone = numbers == list(range(len(batch)))
            work.handle_all([message for _, message in flat], range(len(batch)) if alone else numbers)
        else:
            for each in batch:
                work.handle(each)
        if number % 2:
            with views.transaction() as transaction:
                work.write(transaction)
            work = working(projection, views.get)
    with views.transaction() as transaction:
        work.write(transaction)
    return list(views.scan(ACCOUNT))


def _work(views: SqliteViews, projection: Vectorised[Account]) -> Working[Recorded[Any]]:
    return working(projection, views.get)


@pytest.fixture(scope="module")
def views() -> Iterator[SqliteViews]:
    with TemporaryDirectory() as name:
        views = SqliteViews(Path(name) / "views.db")
        yield views
        views.close()


@pytest.mark.parametrize("projection", [VECTORISED, BATCHED], ids=["columns", "function"])
@settings(max_examples=150, deadline=None)
@given(_records, _again, _sizes, _sizes)
def test_the_rows_are_those_of_a_fold(
    views: SqliteViews,
    projection: Projection[Any],
    made: list[tuple[str, list[Event]]],
    again: list[tuple[int, int]],
    sizes: list[tuple[int, bool]],
    others: list[tuple[int, bool]],
) -> None:
    """However the batches are cut, and where a capture goes back to any place and sends from there again."""
    records = _messages(made)
    sent, reached = list[list[Recorded[Any]]](), 0
    for begin, end in [*again, (0, len(records))]:
        sent += records[min(begin, reached) : end]
        reached = max(reached, end)
    assert _apply(views, projection, sent, sizes) == _apply(views, FOLDED, records, others)


@pytest.mark.parametrize("projection", [VECTORISED, BATCHED], ids=["columns", "function"])
@settings(max_examples=50, deadline=None)
@given(_records, _sizes)
def test_without_done_each_counts_as_often_as_it_comes(
    views: SqliteViews,
    projection: Vectorised[Account] | Batched[Any, Account],
    made: list[tuple[str, list[Event]]],
    sizes: list[tuple[int, bool]],
) -> None:
    records = _messages(made)
    twice = [*records, *records]
    plain, folded = replace(projection, done=None), replace(FOLDED, done=None)
    found, expected = _apply(views, plain, twice, sizes), _apply(views, folded, twice, sizes)
    assert [(row.account, row.balance, row.events) for row in found] == [
        (row.account, row.balance, row.events) for row in expected
    ]


def test_what_fails_leaves_no_trace(views: SqliteViews) -> None:
    """What `make` raises, and a sum that no column could hold."""
    most = Decimal("9999999999999999.99")
    views.drop(ACCOUNT)
    views.create(ACCOUNT)
    with views.transaction() as transaction:
        transaction.put(ACCOUNT, [Account("a", None, most, 1, Decimal(1), "Paid", None, 1)])
    work = _work(views, VECTORISED)
    good = [recorded("account-b", 1, Paid(amount=Decimal("2.50")))]
    work.handle_all(good, range(1))
    bad = [recorded("account-b", 2, Paid(amount=Decimal(1))), recorded("account-c", 1, Paid(amount=Decimal(1_001)))]
    with pytest.raises(ValueError, match="nobody pays so much"):
        work.handle_all(bad, range(2))
    for over in (Paid(amount=Decimal("0.01")), Paid(amount=Decimal("0.001")), Paid(amount=Decimal("NaN"))):
        with pytest.raises(CodecError):
            work.handle([recorded("account-a", 2, over)])
    assert work.touched() == {("b",)}
    with views.transaction() as transaction:
        work.write(transaction)
    assert [(row.account, row.balance) for row in views.scan(ACCOUNT)] == [("a", most), ("b", Decimal("2.50"))]


def test_what_a_function_makes_wrongly_leaves_no_trace(views: SqliteViews) -> None:
    """A row of another key, of another table, or one that no column could hold; None takes a row away."""
    views.drop(ACCOUNT)
    views.create(ACCOUNT)
    row = Account("a", None, Decimal(1), 1, Decimal(1), "Paid", None, 1)
    with views.transaction() as transaction:
        transaction.put(ACCOUNT, [row])
    message = recorded("account-a", 2, Paid(amount=Decimal(1)))
    told: list[Mapping[Key, Account]] = []

    def work_of(made: dict[Key, Any]) -> Working[Recorded[Any]]:
        def fold(rows: Mapping[Key, Account], messages: Sequence[Recorded[Any]]) -> dict[Key, Any]:
            assert messages == [message]
            told.append(rows)
            return made

        return working(replace(BATCHED, fold=fold), views.get)

    wrong: list[dict[Key, Any]] = [{("b",): row}, {("a",): Count("a", 1)}, {("a",): replace_row(row, account="b")}]
    for made in wrong:
        work = work_of(made)
        with pytest.raises(CodecError):
            work.handle_all([message], range(1))
        assert work.touched() == set()
    with pytest.raises(CodecError):
        work_of({("a",): replace_row(row, balance=Decimal("0.001"))}).handle([message])
    gone = work_of({("a",): None})
    gone.handle([message])
    with views.transaction() as transaction:
        gone.write(transaction)
    assert (list(views.scan(ACCOUNT)), told) == ([], [{("a",): row}] * 5)


def test_a_batch_has_typed_columns(views: SqliteViews) -> None:
    """Also where every value of one is null."""
    seen: list[Any] = []

    def make(batch: Any) -> Any:
        seen.append(batch)
        return _make(batch)

    projection = replace(VECTORISED, make=make, columns=(*VECTORISED.columns, "stream", "occurred_at_ms"))
    _work(views, projection).handle([recorded("/acme/account-a", 7, Repaid(amount=Decimal("1E+2")))])
    (batch,) = seen
    assert batch.schema.field("amount").type == pa.decimal128(18, 2)
    assert batch.schema.field("shop").type == pa.string()
    assert batch.to_pylist() == [
        {
            "aggregate_id": "/acme/a",
            "tenant": "acme",
            "type": "Repaid",
            "version": 7,
            "amount": Decimal("100.00"),
            "shop": None,
            "stream": "/acme/account-a",
            "occurred_at_ms": 1,
        }
    ]


def test_other_columns_than_the_tables_are_told(views: SqliteViews) -> None:
    wrong = replace(VECTORISED, make=lambda batch: batch)
    with pytest.raises(CodecError, match="were made for account, which has"):
        _work(views, wrong).handle([recorded("account-a", 1, Paid(amount=Decimal(1)))])


class Counted(Event, frozen=True):
    amount: int


class Count(Struct, frozen=True):
    account: str
    amount: int
    share: float = 0.0


_COUNTS = Table("counts", Count, key=("account",))


def test_a_sum_of_more_than_64_bits_is_told(views: SqliteViews) -> None:
    """And one that is not, of numbers of which it could be, is right."""
    counts = Vectorised(
        _COUNTS,
        events=(Counted,),
        columns=("aggregate_id", "amount"),
        make=lambda batch: pa.table(
            {"account": batch["aggregate_id"], "amount": batch["amount"], "share": pa.repeat(0.5, batch.num_rows)}
        ),
        merge={"amount": "sum", "share": "max"},
    )
    views.drop(_COUNTS)
    views.create(_COUNTS)
    work: Working[Recorded[Any]] = working(counts, views.get)
    many = [
        recorded("account-a", n, Counted(amount=amount)) for n, amount in enumerate([2**62, 2**62 - 1, -(2**62)], 1)
    ]
    work.handle_all(many, range(3))
    over = recorded("account-a", 4, Counted(amount=2**62 + 1))
    with pytest.raises(CodecError, match="does not fit"):
        work.handle_all([over], range(1))
    with pytest.raises(CodecError, match="does not fit"):
        work.handle([over])
    work.handle([recorded("account-a", 4, Counted(amount=2**62))])
    with views.transaction() as transaction:
        work.write(transaction)
    assert [row.amount for row in views.scan(_COUNTS)] == [2**63 - 1]


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"columns": ("colour",)}, "no event has"),
        ({"columns": ()}, "of no column"),
        ({"events": (Paid, Counted)}, "different types"),
        ({"merge": {"balance": "sum"}}, "must name"),
        ({"merge": {**VECTORISED.merge, "least": "average"}}, "is merged by"),
        ({"merge": {**VECTORISED.merge, "shop": "sum"}}, "have a sum"),
        ({"done": "least"}, "merged by max"),
        ({"done": "colour"}, "merged by max"),
    ],
)
def test_what_does_not_fit_is_told_when_it_is_declared(change: dict[str, Any], why: str) -> None:
    with pytest.raises(ConfigurationError, match=why):
        replace(VECTORISED, **change)


def test_done_of_a_function_names_an_integer_of_the_row() -> None:
    with pytest.raises(ConfigurationError, match=r"names 'shop'; its integers are \['events', 'version'\]"):
        replace(BATCHED, done="shop")

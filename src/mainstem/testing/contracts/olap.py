"""What every analytical store keeps to. Bind an adapter by subclassing `OlapContract` and implementing `open`."""

import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from datetime import datetime
from decimal import Decimal
from pathlib import Path

import pytest

from mainstem.errors import ConfigurationError, InvalidQuery
from mainstem.messages import Record
from mainstem.olap.port import Datasource, Dimension, Olap

SALES = Datasource(
    "sales",
    topic="sale",
    time="soldAt",
    dimensions=(
        Dimension("id"),
        Dimension("pieces", "integer"),
        Dimension("price", "decimal"),
        Dimension("soldAt", "timestamp"),
        Dimension("shop", source="shopName"),
    ),
)

MISFITS: Sequence[bytes | None] = (
    None,
    b"",
    b"no JSON",
    b"\xff\xfe",
    b"[]",
    b"{}",
    b'{"id":"x","pieces":1,"price":1,"soldAt":"2026-01-31T09:30:00Z"}',
    b'{"id":7,"pieces":1,"price":1,"soldAt":"2026-01-31T09:30:00Z","shopName":"a"}',
    b'{"id":"x","pieces":null,"price":1,"soldAt":"2026-01-31T09:30:00Z","shopName":"a"}',
    b'{"id":"x","pieces":1.5,"price":1,"soldAt":"2026-01-31T09:30:00Z","shopName":"a"}',
    b'{"id":"x","pieces":9223372036854775808,"price":1,"soldAt":"2026-01-31T09:30:00Z","shopName":"a"}',
    b'{"id":"x","pieces":1,"price":1.005,"soldAt":"2026-01-31T09:30:00Z","shopName":"a"}',
    b'{"id":"x","pieces":1,"price":"NaN","soldAt":"2026-01-31T09:30:00Z","shopName":"a"}',
    b'{"id":"x","pieces":1,"price":true,"soldAt":"2026-01-31T09:30:00Z","shopName":"a"}',
    b'{"id":"x","pieces":1,"price":10000000000000000,"soldAt":"2026-01-31T09:30:00Z","shopName":"a"}',
    b'{"id":"x","pieces":1,"price":1E+999999999,"soldAt":"2026-01-31T09:30:00Z","shopName":"a"}',
    b'{"id":"x","pieces":1,"price":1E-77,"soldAt":"2026-01-31T09:30:00Z","shopName":"a"}',
    b'{"id":"x","pieces":1,"price":1E-999999999,"soldAt":"2026-01-31T09:30:00Z","shopName":"a"}',
    b'{"id":"x","pieces":1,"price":1,"soldAt":"2026-02-30T09:30:00Z","shopName":"a"}',
    b'{"id":"x","pieces":1,"price":1,"soldAt":1769851800000,"shopName":"a"}',
)


def sale(offset: int, *, partition: int = 0, price: str = "10.00", at: str = "2026-01-31T09:30:00.125Z") -> Record:
    """A record of the topic; `price` is put into the message as it is, so quoted or not."""
    text = f'{{"id":"{partition}-{offset}","pieces":2,"price":{price},"soldAt":"{at}","shopName":"north"}}'
    return record(offset, text.encode(), partition=partition)


def record(offset: int, value: bytes | None, *, partition: int = 0) -> Record:
    """A record of any content."""
    return Record("sale", partition, offset, "k", value, 0)


class OlapContract(ABC):
    """The suite."""

    @abstractmethod
    def open(self, folder: Path) -> Olap:
        """The store of that folder."""

    @pytest.fixture
    def olap(self, tmp_path: Path) -> Iterator[Olap]:
        """A store with the datasource SALES, empty."""
        olap = self.open(tmp_path)
        olap.create(SALES)
        yield olap
        olap.close()

    def count(self, olap: Olap) -> int:
        """The rows of SALES."""
        return int(olap.ask("SELECT count(*) FROM sales").rows[0][0])

    def test_a_record_becomes_a_row(self, olap: Olap) -> None:
        """Typed, in the order of the dimensions, and a field may have another name than its dimension."""
        assert olap.ingest(SALES, [sale(0)]) == 1
        answer = olap.ask("SELECT * FROM sales")
        assert answer.columns == ("id", "pieces", "price", "soldAt", "shop")
        assert list(answer.rows) == [("0-0", 2, Decimal("10.00"), datetime(2026, 1, 31, 9, 30, 0, 125000), "north")]  # noqa: DTZ001

    @pytest.mark.parametrize(
        ("price", "kept"),
        [
            ("10.00", "10.00"),
            ('"10.00"', "10.00"),
            ("0.1", "0.10"),
            ("-7", "-7.00"),
            ("1e2", "100.00"),
            ("1.5000", "1.50"),
            ("9999999999999999.99", "9999999999999999.99"),
            ('"-9999999999999999.99"', "-9999999999999999.99"),
            ("90071992547409.93", "90071992547409.93"),
        ],
    )
    def test_money_is_exact(self, olap: Olap, price: str, kept: str) -> None:
        """As a number or as text, also where a double could not hold it."""
        olap.ingest(SALES, [sale(0, price=price)])
        assert str(olap.ask("SELECT price FROM sales").rows[0][0]) == kept

    def test_a_sum_of_money_is_exact(self, olap: Olap) -> None:
        """A tenth, ten thousand times."""
        olap.ingest(SALES, [sale(n, price="0.10") for n in range(10_000)])
        assert olap.ask("SELECT sum(price) FROM sales").rows[0][0] == Decimal("1000.00")

    @pytest.mark.parametrize(
        ("at", "kept"),
        [
            ("2026-01-31T09:30:00.125Z", "2026-01-31 09:30:00.125"),
            ("2026-01-31T09:30:00.125999+02:00", "2026-01-31 07:30:00.125"),
            ("2026-01-31T09:30:00", "2026-01-31 09:30:00"),
            ("1969-12-31T23:59:59.999Z", "1969-12-31 23:59:59.999"),
        ],
    )
    def test_times_are_utc_in_milliseconds(self, olap: Olap, at: str, kept: str) -> None:
        """A zone is converted, none means UTC, finer digits are cut off."""
        olap.ingest(SALES, [sale(0, at=at)])
        assert olap.ask("SELECT soldAt FROM sales").rows[0][0] == datetime.fromisoformat(kept)

    def test_what_is_delivered_again_adds_nothing(self, olap: Olap) -> None:
        """The whole batch, a part of it with news, and twice within one batch."""
        batch = [sale(n) for n in range(10)]
        assert olap.ingest(SALES, batch) == 10
        assert olap.ingest(SALES, batch) == 0
        assert olap.ingest(SALES, [*batch[5:], sale(10), sale(10), sale(11), sale(3)]) == 2
        assert self.count(olap) == 12
        assert olap.offsets(SALES) == {("sale", 0): 12}

    def test_offsets_count_by_partition(self, olap: Olap) -> None:
        """Beginning anywhere, and with gaps, as retention and transactions leave them."""
        assert olap.offsets(SALES) == {}
        olap.ingest(SALES, [sale(5), sale(0, partition=3), sale(9), sale(1, partition=3)])
        assert olap.offsets(SALES) == {("sale", 0): 10, ("sale", 3): 2}
        olap.ingest(SALES, [sale(2, partition=3), sale(0, partition=1)])
        assert olap.offsets(SALES) == {("sale", 0): 10, ("sale", 3): 3, ("sale", 1): 1}
        assert self.count(olap) == 6

    def test_nothing_is_nothing(self, olap: Olap) -> None:
        """An empty batch."""
        assert olap.ingest(SALES, []) == 0
        assert olap.offsets(SALES) == {}

    @pytest.mark.parametrize("value", MISFITS)
    def test_a_record_that_does_not_fit_stops_no_other(self, olap: Olap, value: bytes | None) -> None:
        """It is counted once, however often it is delivered, and its offset is done."""
        batch = [sale(0), record(1, value), sale(2)]
        assert olap.ingest(SALES, batch) == 2
        assert olap.ingest(SALES, batch) == 0
        assert (self.count(olap), olap.rejected(SALES)) == (2, 1)
        assert olap.offsets(SALES) == {("sale", 0): 3}

    def test_misfits_are_told_from_their_neighbours(self, olap: Olap) -> None:
        """Values that would be whole only together, and one that holds two, are each rejected."""
        one, two = sale(1).value or b"", sale(2).value or b""
        values = [one[:20], one[20:], one + b"," + two, one + b"\n" + two, one]
        assert olap.ingest(SALES, [record(n, value) for n, value in enumerate(values)]) == 1
        assert olap.rejected(SALES) == 4

    def test_only_misfits(self, olap: Olap) -> None:
        """A batch without any row moves the offsets."""
        assert olap.ingest(SALES, [record(n, b"{") for n in range(100)]) == 0
        assert (olap.rejected(SALES), olap.offsets(SALES)) == (100, {("sale", 0): 100})

    def test_creating_again_leaves_what_stands(self, olap: Olap) -> None:
        """Rows and offsets."""
        olap.ingest(SALES, [sale(0)])
        olap.create(SALES)
        assert self.count(olap) == 1

    @pytest.mark.parametrize(
        "dimensions",
        [
            SALES.dimensions[:-1],
            (*SALES.dimensions, Dimension("more")),
            (Dimension("id", "integer"), *SALES.dimensions[1:]),
            (*SALES.dimensions[:-1], Dimension("shop")),
        ],
    )
    def test_other_dimensions_are_refused(self, olap: Olap, dimensions: tuple[Dimension, ...]) -> None:
        """Fewer, more, of another kind, or from another field."""
        with pytest.raises(ConfigurationError):
            olap.create(Datasource("sales", "sale", "soldAt", dimensions))

    def test_a_datasource_that_nobody_created_is_refused(self, olap: Olap) -> None:
        """It has no offsets, rejects nothing, and takes nothing."""
        other = Datasource("other", "sale", "soldAt", SALES.dimensions)
        for call in (lambda: olap.ingest(other, [sale(0)]), lambda: olap.offsets(other), lambda: olap.rejected(other)):
            with pytest.raises(ConfigurationError):
                call()

    def test_datasources_keep_their_own_offsets(self, olap: Olap) -> None:
        """Two of one topic."""
        other = Datasource("other", "sale", "soldAt", SALES.dimensions)
        olap.create(other)
        olap.ingest(SALES, [sale(0), record(1, b"{")])
        assert (olap.offsets(other), olap.rejected(other)) == ({}, 0)
        assert olap.ingest(other, [sale(0)]) == 1

    def test_parameters_are_bound(self, olap: Olap) -> None:
        """And never read as SQL."""
        olap.ingest(SALES, [sale(n) for n in range(3)])
        sql = "SELECT id FROM sales WHERE id = ? OR price = ? ORDER BY id"
        assert list(olap.ask(sql, ["0-1", Decimal("7.00")]).rows) == [("0-1",)]
        assert list(olap.ask(sql, ["' OR 1=1 --", Decimal("10.00")]).rows) == [("0-0",), ("0-1",), ("0-2",)]
        for wrong in ([], ["a"], ["a", 1, 2], ["a", object()]):
            with pytest.raises(InvalidQuery):
                olap.ask(sql, wrong)

    @pytest.mark.parametrize(
        "sql",
        ["", "SELECT", "SELECT 1; SELECT 2", "SELECT nothing FROM sales", "SELECT * FROM nobody", "DROP TABLE sales"],
    )
    def test_what_is_no_question_is_refused(self, olap: Olap, sql: str) -> None:
        """As the asker's mistake."""
        with pytest.raises(InvalidQuery):
            olap.ask(sql)

    def test_rows_are_limited(self, olap: Olap) -> None:
        """One more than the limit is refused rather than cut off."""
        olap.ingest(SALES, [sale(n) for n in range(11)])
        assert len(olap.ask("SELECT id FROM sales", row_limit=11).rows) == 11
        with pytest.raises(InvalidQuery, match="more than 10 rows"):
            olap.ask("SELECT id FROM sales", row_limit=10)

    def test_asking_goes_on_while_somebody_ingests(self, olap: Olap) -> None:
        """Each answer is of whole batches, and none goes back behind an earlier one."""
        done = threading.Event()

        def feed() -> None:
            for start in range(0, 3000, 100):
                olap.ingest(SALES, [sale(n) for n in range(start, start + 100)])
            done.set()

        feeding = threading.Thread(target=feed)
        feeding.start()
        seen = [0]
        while not done.is_set():
            seen.append(self.count(olap))
        feeding.join()
        assert all(count % 100 == 0 for count in seen)
        assert seen == sorted(seen)
        assert self.count(olap) == 3000

    def test_what_was_ingested_is_there_after_opening_again(self, olap: Olap, tmp_path: Path) -> None:
        """Rows, rejected records and offsets; and closing twice is allowed."""
        olap.ingest(SALES, [sale(0), record(1, b"{")])
        olap.close()
        olap.close()
        again = self.open(tmp_path)
        try:
            again.create(SALES)
            assert (self.count(again), again.rejected(SALES)) == (1, 1)
            assert again.ingest(SALES, [sale(0), record(1, b"{"), sale(2)]) == 1
        finally:
            again.close()

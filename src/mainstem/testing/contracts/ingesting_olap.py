"""What every analytical store keeps to that this house feeds: the questions' contract and more.

Bind an adapter by subclassing `IngestingOlapContract` and implementing `open`.
"""

import threading
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from mainstem.errors import ConfigurationError
from mainstem.messages import Record
from mainstem.olap.asking import answered
from mainstem.olap.options import Compaction, Partitioning, Rollup
from mainstem.olap.port import Datasource, Dimension, IngestingOlap, Olap, Rejects
from mainstem.olap.question import Measure, Question
from mainstem.testing.contracts.olap import MISFITS, SALES, OlapContract, record, sale
from mainstem.testing.contracts.olap_options import KEPT, LATE, ROLLED, aged, logged, rolled
from mainstem.testing.contracts.question_model import check, facts_of


@contextmanager
def ingested(
    store: IngestingOlap, datasources: Sequence[Datasource], records: Sequence[Record]
) -> Iterator[IngestingOlap]:
    """The store, with those datasources, each of them with the records of its topic; closed at the end."""
    with closing(store):
        for datasource in datasources:
            store.create(datasource)
            store.ingest(datasource, [record for record in records if record.topic == datasource.topic])
        yield store


class IngestingOlapContract(OlapContract):
    """The suite of a store that this house feeds: it contains the questions."""

    @abstractmethod
    def open(self, folder: Path) -> IngestingOlap:
        """The store of that folder."""

    def filled(
        self, folder: Path, datasources: Sequence[Datasource], records: Sequence[Record]
    ) -> AbstractContextManager[Olap]:
        """Opened, created, and fed record by record of their topic."""
        return ingested(self.open(folder), datasources, records)

    @pytest.fixture
    def olap(self, tmp_path: Path) -> Iterator[IngestingOlap]:
        """A store with the datasource SALES, empty."""
        olap = self.open(tmp_path)
        olap.create(SALES)
        yield olap
        olap.close()

    def count(self, olap: IngestingOlap) -> int:
        """The rows of SALES."""
        return int(olap.ask("SELECT count(*) FROM sales").rows[0][0])

    def test_a_record_becomes_a_row(self, olap: IngestingOlap) -> None:
        """Typed, in the order of the dimensions, and a field may have another name than its dimension."""
        assert olap.ingest(SALES, [sale(0)]) == 1
        answer = olap.ask('SELECT "id", "pieces", "price", "soldAt", "shop" FROM sales')
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
    def test_money_is_exact(self, olap: IngestingOlap, price: str, kept: str) -> None:
        """As a number or as text, also where a double could not hold it."""
        olap.ingest(SALES, [sale(0, price=price)])
        assert str(olap.ask("SELECT price FROM sales").rows[0][0]) == kept

    def test_a_sum_of_money_is_exact(self, olap: IngestingOlap) -> None:
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
    def test_times_are_utc_in_milliseconds(self, olap: IngestingOlap, at: str, kept: str) -> None:
        """A zone is converted, none means UTC, finer digits are cut off."""
        olap.ingest(SALES, [sale(0, at=at)])
        assert olap.ask("SELECT soldAt FROM sales").rows[0][0] == datetime.fromisoformat(kept)

    def test_what_is_delivered_again_adds_nothing(self, olap: IngestingOlap) -> None:
        """The whole batch, a part of it with news, and twice within one batch."""
        batch = [sale(n) for n in range(10)]
        assert olap.ingest(SALES, batch) == 10
        assert olap.ingest(SALES, batch) == 0
        assert olap.ingest(SALES, [*batch[5:], sale(10), sale(10), sale(11), sale(3)]) == 2
        assert self.count(olap) == 12
        assert olap.offsets(SALES) == {("sale", 0): 12}

    def test_offsets_count_by_partition(self, olap: IngestingOlap) -> None:
        """Beginning anywhere, and with gaps, as retention and transactions leave them."""
        assert olap.offsets(SALES) == {}
        olap.ingest(SALES, [sale(5), sale(0, partition=3), sale(9), sale(1, partition=3)])
        assert olap.offsets(SALES) == {("sale", 0): 10, ("sale", 3): 2}
        olap.ingest(SALES, [sale(2, partition=3), sale(0, partition=1)])
        assert olap.offsets(SALES) == {("sale", 0): 10, ("sale", 3): 3, ("sale", 1): 1}
        assert self.count(olap) == 6

    def test_nothing_is_nothing(self, olap: IngestingOlap) -> None:
        """An empty batch."""
        assert olap.ingest(SALES, []) == 0
        assert olap.offsets(SALES) == {}

    @pytest.mark.parametrize("value", MISFITS)
    def test_a_record_that_does_not_fit_stops_no_other(self, olap: IngestingOlap, value: bytes | None) -> None:
        """It is counted once, however often it is delivered, and its offset is done."""
        batch = [sale(0), record(1, value), sale(2)]
        assert olap.ingest(SALES, batch) == 2
        assert olap.ingest(SALES, batch) == 0
        assert (self.count(olap), olap.rejected(SALES)) == (2, 1)
        assert olap.offsets(SALES) == {("sale", 0): 3}

    def test_misfits_are_told_from_their_neighbours(self, olap: IngestingOlap) -> None:
        """Values that would be whole only together, and one that holds two, are each rejected."""
        one, two = sale(1).value or b"", sale(2).value or b""
        values = [one[:20], one[20:], one + b"," + two, one + b"\n" + two, one]
        assert olap.ingest(SALES, [record(n, value) for n, value in enumerate(values)]) == 1
        assert olap.rejected(SALES) == 4

    def test_only_misfits(self, olap: IngestingOlap) -> None:
        """A batch without any row moves the offsets."""
        assert olap.ingest(SALES, [record(n, b"{") for n in range(100)]) == 0
        assert (olap.rejected(SALES), olap.offsets(SALES)) == (100, {("sale", 0): 100})

    def test_the_first_misfit_is_told(self, olap: IngestingOlap) -> None:
        """With its place and the reason; of all, or of those that came behind so many."""
        assert olap.misfits(SALES) == Rejects()
        olap.ingest(SALES, [sale(0), sale(1, price="1.005"), sale(2, partition=3), record(3, b"{")])
        olap.ingest(SALES, [record(4, None)])
        found = olap.misfits(SALES)
        assert (found.count, found.first) == (
            3,
            "sale/0 at offset 1: a decimal has more than two digits after the point",
        )
        assert olap.misfits(SALES, 2) == Rejects(3, "sale/0 at offset 4: no value")
        assert olap.misfits(SALES, 3) == Rejects(3)

    def test_late_facts_are_no_misfits(self, olap: IngestingOlap) -> None:
        """They are turned away as is declared."""
        olap.create(LATE)
        olap.ingest(LATE, [*logged(), Record("late", 0, 5, "k", b"{", 0)])
        assert (olap.rejected(LATE), olap.misfits(LATE).count) == (3, 1)

    def test_late_facts_are_counted(self, olap: IngestingOlap) -> None:
        """Among those that were turned away, once each."""
        olap.create(LATE)
        batch = [*logged(), Record("late", 0, 5, "k", b"{", 0)]
        assert (olap.ingest(LATE, batch), olap.ingest(LATE, batch)) == (3, 0)
        assert (olap.rejected(LATE), olap.late(LATE)) == (3, 2)
        assert olap.offsets(LATE) == {("late", 0): 6}

    def test_batches_of_a_rollup_are_merged(self, olap: IngestingOlap) -> None:
        """Whatever comes together: a row for each hour and values of its dimensions."""
        olap.create(ROLLED)
        facts = [each for each in rolled() if each.partition == 0]
        assert sum(olap.ingest(ROLLED, facts[n : n + 7]) for n in range(0, len(facts), 7)) == 150
        question = Question(
            ROLLED, measures=(Measure(), Measure("sum", "price"), Measure("max", "weight")), grain="day"
        )
        check(answered(olap, question), question, facts_of(ROLLED, facts))
        alike = 'SELECT count(*) FROM rolled GROUP BY "soldAt", "pieces", "shop" HAVING count(*) > 1'
        assert list(olap.ask(alike).rows) == []

    def test_what_does_not_decide_rows_may_be_declared_otherwise(self, olap: IngestingOlap) -> None:
        """And back; it holds from the next batch on."""
        olap.create(KEPT)
        olap.ingest(KEPT, aged()[:2])
        longer = replace(KEPT, keep_days=None, compaction=Compaction(), partitioning=Partitioning("month"))
        olap.create(longer)
        assert olap.ingest(longer, aged()[:3]) == 1
        olap.create(KEPT)
        assert olap.ingest(KEPT, aged()) == 0
        assert [row[0] for row in olap.ask("SELECT id FROM kept ORDER BY 1").rows] == ["young", "younger"]

    @pytest.mark.parametrize("option", [{"late_after_s": 60}, {"rollup": Rollup("day")}])
    def test_other_rows_are_refused(self, olap: IngestingOlap, option: dict[str, Any]) -> None:
        """They would be of another kind than those that stand."""
        with pytest.raises(ConfigurationError, match="declared is"):
            olap.create(replace(SALES, **option))

    def test_creating_again_leaves_what_stands(self, olap: IngestingOlap) -> None:
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
    def test_other_dimensions_are_refused(self, olap: IngestingOlap, dimensions: tuple[Dimension, ...]) -> None:
        """Fewer, more, of another kind, or from another field."""
        with pytest.raises(ConfigurationError):
            olap.create(Datasource("sales", "sale", "soldAt", dimensions))

    def test_a_datasource_that_nobody_created_is_refused(self, olap: IngestingOlap) -> None:
        """It has no offsets, rejects nothing, and takes nothing."""
        other = Datasource("other", "sale", "soldAt", SALES.dimensions)
        for call in (lambda: olap.ingest(other, [sale(0)]), lambda: olap.offsets(other), lambda: olap.rejected(other)):
            with pytest.raises(ConfigurationError):
                call()

    def test_datasources_keep_their_own_offsets(self, olap: IngestingOlap) -> None:
        """Two of one topic."""
        other = Datasource("other", "sale", "soldAt", SALES.dimensions)
        olap.create(other)
        olap.ingest(SALES, [sale(0), record(1, b"{")])
        assert (olap.offsets(other), olap.rejected(other)) == ({}, 0)
        assert olap.ingest(other, [sale(0)]) == 1

    def test_decimals_may_be_parameters(self, olap: IngestingOlap) -> None:
        """Of questions that only such a store is asked."""
        olap.ingest(SALES, [sale(n) for n in range(3)])
        sql = "SELECT id FROM sales WHERE price = ?"
        assert [len(olap.ask(sql, [Decimal(price)]).rows) for price in ("7.00", "10.00")] == [0, 3]

    def test_asking_goes_on_while_somebody_ingests(self, olap: IngestingOlap) -> None:
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

    def test_what_was_ingested_is_there_after_opening_again(self, olap: IngestingOlap, tmp_path: Path) -> None:
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

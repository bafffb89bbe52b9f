"""What every analytical store keeps to that is asked. Bind one by subclassing `OlapContract` and implementing `filled`.

The questions name only what every engine has. One that this house feeds is bound to `ingesting_olap` instead.
"""

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import ClassVar

import msgspec
import pytest

from mainstem.errors import InvalidQuery, StoreUnavailable
from mainstem.messages import Record
from mainstem.olap.port import Datasource, Dimension, Olap
from mainstem.testing.contracts.olap_questions import OlapQuestions, more_sales

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

UNSOLD = Datasource("unsold", topic="unsold", time="soldAt", dimensions=SALES.dimensions)

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


def questioned() -> list[Record]:
    """What the questions are about: 48 sales, one an hour, and among them some that are special.

    Offsets count from 0 in each of two partitions, without gaps.
    """
    begin = datetime.fromisoformat("2026-01-31T00:30:00Z")
    hourly = [sale(n, price=f'"{n}.10"', at=(begin + timedelta(hours=n)).isoformat()) for n in range(48)]
    special = [
        sale(0, partition=1, price='"9999999999999999.99"', at="2026-03-01T09:30:00.125999+02:00"),
        sale(1, partition=1, price='"-9999999999999999.99"', at="1969-12-31T23:59:59.999Z"),
        record(2, SPECIAL_TEXT, partition=1),
        sale(3, partition=1, price='"90071992547409.93"', at="2026-03-01T09:30:00"),
        sale(4, partition=1, price="10.00", at="2026-03-01T09:30:00Z"),
        record(5, b'{"id":"no price"}', partition=1),
        record(6, b"no JSON", partition=1),
        sale(7, partition=1, price='"1e2"', at="2026-03-01T09:30:00Z"),
    ]
    others = [record(8 + n, text.encode(), partition=1) for n, text in enumerate(more_sales(8))]
    return hourly + special + others


NORTH = 53
ROWS = NORTH + 1 + 72
"""How many of `questioned()` are sales; so many of them in the shop north."""

TEXT = "'; DROP TABLE sales --\n\t\u2028\x85\\ \" é 漢 \U0001f600"
SPECIAL_TEXT = msgspec.json.encode(
    {"id": TEXT, "pieces": -(2**53) - 1, "price": 0.1, "soldAt": "2026-03-01T09:30:00Z", "shopName": ""}
)


class OlapContract(OlapQuestions):
    """The suite of the half that every store has.

    `suffix` is put behind the names of datasources and topics, for a store where they are still there after a test.
    """

    suffix: ClassVar[str] = ""
    sold: ClassVar[Datasource] = SALES
    unsold: ClassVar[Datasource] = UNSOLD
    sales: ClassVar[Sequence[Record]] = questioned()

    @abstractmethod
    def filled(
        self, folder: Path, datasources: Sequence[Datasource], records: Sequence[Record]
    ) -> AbstractContextManager[Olap]:
        """A store of those datasources, into which all of the records have come; closed at the end."""

    @pytest.fixture(scope="class")
    @classmethod
    def asked(cls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Olap]:
        """A store with the datasource SALES, filled with `questioned()`, and the datasource UNSOLD without a row."""
        both = [replace(d, name=d.name + cls.suffix, topic=d.topic + cls.suffix) for d in (SALES, UNSOLD)]
        records = [msgspec.structs.replace(record, topic=both[0].topic) for record in questioned()]
        with cls().filled(tmp_path_factory.mktemp("asked"), both, records) as asked:
            yield asked

    def test_an_answer_is_typed(self, asked: Olap) -> None:
        """Text, integers, cents and the time, under the names that were asked for."""
        sql = (
            f'SELECT "id", "pieces", "price_cents" AS "cents", "__time", "shop" FROM sales{self.suffix} WHERE "id" = ?'
        )
        answer = asked.ask(sql, ["0-1"])
        assert answer.columns == ("id", "pieces", "cents", "__time", "shop")
        at = datetime.fromisoformat("2026-01-31 01:30:00")
        assert list(answer.rows) == [("0-1", 2, 110, at, "north")]
        assert list(asked.ask(sql, ["nobody"]).rows) == []

    @pytest.mark.parametrize(
        ("offset", "cents"),
        [(0, 999999999999999999), (1, -999999999999999999), (3, 9007199254740993), (4, 1000), (7, 10000)],
    )
    def test_an_amount_is_its_cents(self, asked: Olap, offset: int, cents: int) -> None:
        """Exactly, also where a double could not hold it."""
        sql = f"SELECT price_cents FROM sales{self.suffix} WHERE id = ? AND price_cents = ?"
        assert list(asked.ask(sql, [f"1-{offset}", cents]).rows) == [(cents,)]

    def test_a_sum_of_cents_is_exact(self, asked: Olap) -> None:
        """Of tenths, and of what no double holds."""
        figures = "count(*), sum(price_cents), min(price_cents), max(price_cents)"
        sql = f"SELECT {figures} FROM sales{self.suffix} WHERE shop = ?"
        most = 999999999999999999
        assert list(asked.ask(sql, ["north"]).rows) == [
            (NORTH, 48 * 10 + 100 * sum(range(48)) + 9007199254740993 + 1000 + 10000, -most, most)
        ]

    @pytest.mark.parametrize(
        ("offset", "kept"),
        [
            (0, "2026-03-01 07:30:00.125"),
            (1, "1969-12-31 23:59:59.999"),
            (3, "2026-03-01 09:30:00"),
        ],
    )
    def test_an_answers_times_are_utc(self, asked: Olap, offset: int, kept: str) -> None:
        """A zone is converted, none means UTC, finer digits than milliseconds are cut off."""
        at = datetime.fromisoformat(kept)
        sql = f'SELECT "__time" FROM sales{self.suffix} WHERE id = ? AND "__time" = ?'
        assert list(asked.ask(sql, [f"1-{offset}", at]).rows) == [(at,)]

    def test_any_text_is_kept(self, asked: Olap) -> None:
        """Quotes, ends of lines of any kind, letters of any script; and an empty text is a text."""
        sql = f"SELECT id, pieces, shop, price_cents FROM sales{self.suffix} WHERE id = ? AND shop = ?"
        assert list(asked.ask(sql, [TEXT, ""]).rows) == [(TEXT, -(2**53) - 1, "", 10)]

    @pytest.mark.parametrize(
        ("grain", "groups", "newest"),
        [("hour", 48, ("2026-02-01 23:00", 1, 2)), ("day", 2, ("2026-02-01 00:00", 24, 48))],
    )
    def test_groups_by_period(self, asked: Olap, grain: str, groups: int, newest: tuple[str, int, int]) -> None:
        """The unit is a parameter too."""
        sql = (
            f'SELECT date_trunc(?, "__time"), count(*), sum(pieces) FROM sales{self.suffix} WHERE id LIKE ?'
            " GROUP BY 1 ORDER BY 1 DESC LIMIT ?"
        )
        rows = asked.ask(sql, [grain, "0-%", 100]).rows
        assert len(rows) == groups
        assert rows[0] == (datetime.fromisoformat(newest[0]), *newest[1:])

    def test_the_most_come_first(self, asked: Olap) -> None:
        """In exact order, cut off at a limit that is a parameter."""
        sql = (
            f"SELECT id, sum(price_cents) FROM sales{self.suffix} WHERE id LIKE ? GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT ?"
        )
        assert list(asked.ask(sql, ["0-%", 3]).rows) == [("0-47", 4710), ("0-46", 4610), ("0-45", 4510)]

    @pytest.mark.parametrize(("shop", "rows"), [(None, ROWS), ("", 1), ("south", 0)])
    def test_a_condition_may_be_left_out(self, asked: Olap, shop: str | None, rows: int) -> None:
        """By None for its parameter."""
        assert list(
            asked.ask(f"SELECT count(*) FROM sales{self.suffix} WHERE ? IS NULL OR shop = ?", [shop, shop]).rows
        ) == [(rows,)]

    def test_parameters_are_bound(self, asked: Olap) -> None:
        """And never read as SQL; a question mark in a text or a comment is none."""
        sql = f"""SELECT id, '?' FROM sales{self.suffix} -- who?
            WHERE /* ? */ id = ? OR price_cents = ? GROUP BY 1, 2 ORDER BY 1"""
        assert list(asked.ask(sql, ["0-1", 210]).rows) == [("0-1", "?"), ("0-2", "?")]
        assert list(asked.ask(sql, ["' OR 1=1 --", 210]).rows) == [("0-2", "?")]
        for wrong in ([], ["a"], ["a", 1, 2], ["a", object()], ["\ud800", 1]):
            with pytest.raises(InvalidQuery):
                asked.ask(sql, wrong)

    @pytest.mark.parametrize(
        "sql",
        [
            "",
            "SELECT",
            "SELECT 1; SELECT 2",
            "SELECT nothing FROM sales{suffix}",
            "SELECT * FROM nobody",
            "DROP TABLE sales{suffix}",
        ],
    )
    def test_what_is_no_question_is_refused(self, asked: Olap, sql: str) -> None:
        """As the asker's mistake."""
        with pytest.raises(InvalidQuery):
            asked.ask(sql.replace("{suffix}", self.suffix))

    def test_rows_are_limited(self, asked: Olap) -> None:
        """One more than the limit is refused rather than cut off."""
        assert len(asked.ask(f"SELECT id FROM sales{self.suffix}", row_limit=ROWS).rows) == ROWS
        with pytest.raises(InvalidQuery, match=f"more than {ROWS - 1} rows"):
            asked.ask(f"SELECT id FROM sales{self.suffix}", row_limit=ROWS - 1)

    @pytest.mark.parametrize(("rows", "seconds"), [(0, 1.0), (-1, 1.0), (1, 0.0), (1, -1.0)])
    def test_limits_that_leave_nothing_are_refused(self, asked: Olap, rows: int, seconds: float) -> None:
        """Neither no rows nor no time."""
        with pytest.raises(InvalidQuery):
            asked.ask("SELECT 1", row_limit=rows, timeout_s=seconds)

    def test_a_datasource_without_rows_is_empty(self, asked: Olap) -> None:
        """Not unknown."""
        assert list(asked.ask(f"SELECT count(*), sum(price_cents) FROM unsold{self.suffix}").rows) == [(0, None)]
        answer = asked.ask(f'SELECT "id", "__time" FROM unsold{self.suffix} WHERE id = ? ORDER BY 1 LIMIT ?', ["a", 3])
        assert (answer.columns, list(answer.rows)) == (("id", "__time"), [])

    def test_many_ask_at_once(self, asked: Olap) -> None:
        """Each gets its own answer."""

        def ask(n: int) -> object:
            return asked.ask(f"SELECT price_cents FROM sales{self.suffix} WHERE id = ?", [f"0-{n}"]).rows[0][0]

        with ThreadPoolExecutor(8) as pool:
            assert list(pool.map(ask, range(48))) == [100 * n + 10 for n in range(48)]

    def test_nothing_is_answered_after_closing(self, tmp_path: Path) -> None:
        """Closing twice is allowed."""
        with self.filled(tmp_path, (), ()) as olap:
            olap.close()
            olap.close()
            with pytest.raises(StoreUnavailable, match="closed"):
                olap.ask("SELECT 1")

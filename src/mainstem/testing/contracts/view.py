"""What every view store keeps to. Bind an adapter by subclassing `ViewContract` and implementing `open`."""

import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from msgspec import Struct

from mainstem.errors import CodecError, ConfigurationError, Fenced, InvalidQuery, StoreUnavailable
from mainstem.messages import Position
from mainstem.table import Table
from mainstem.view.keeper import check_keeper, keep_keeper
from mainstem.view.port import ViewStore


class Line(Struct, frozen=True):
    """The row of this suite."""

    id: int
    account: str
    amount: Decimal
    paid: bool = False
    note: str | None = None


LINE = Table("line", Line, key=("id",), indexes=(("account", "id"),))
BUILT = Table("line__built", Line, key=LINE.key, indexes=LINE.indexes)
GROUP = "g"


def line(number: int, account: str = "a", amount: str = "1.00") -> Line:
    """A row that can be told from others."""
    return Line(number, account, Decimal(amount))


class Keywords(Struct, frozen=True):
    """A row whose columns are words of SQL."""

    order: int
    limit: str
    group: int | None = None


class Page(Struct, frozen=True):
    """A row of a key of two columns."""

    book: str
    number: int


PAGE = Table("page", Page, key=("book", "number"))
ORDER = Table("select", Keywords, key=("order",), indexes=(("group", "order"),))


class ViewContract(ABC):
    """The suite."""

    @abstractmethod
    def open(self, folder: Path) -> ViewStore:
        """The view store of that folder."""

    @pytest.fixture
    def views(self, tmp_path: Path) -> Iterator[ViewStore]:
        """A store with the table LINE."""
        views = self.open(tmp_path)
        views.create(LINE)
        yield views
        views.close()

    def add(self, views: ViewStore, *rows: Line) -> None:
        """In a transaction of their own."""
        with views.transaction() as transaction:
            transaction.add(LINE, rows)

    def test_rows_come_back_as_they_were(self, views: ViewStore) -> None:
        """Decimals to the digit, booleans, NULL, any text."""
        rows = [
            Line(1, "Zürich \U0001f4b6 ' \"", Decimal("9999999999999999.99"), True, ""),
            Line(-(2**63), "", Decimal("-0.01"), False, None),
            Line(2**63 - 1, "a\nb", Decimal("0.10"), True, "x" * 100_000),
        ]
        self.add(views, *rows)
        assert sorted(views.scan(LINE), key=lambda row: row.id) == sorted(rows, key=lambda row: row.id)
        assert views.get(LINE, [(1,), (5,)]) == {(1,): rows[0]}
        assert views.count(LINE) == 3

    @pytest.mark.parametrize(
        "row",
        [
            Line(2**63, "a", Decimal(1)),
            Line(1, "half a pair \ud800", Decimal(1)),
            Line(1, "a", Decimal("0.001")),
            Line(1, "a", Decimal("NaN")),
            Line(1, None, Decimal(1)),  # type: ignore[arg-type]
            Line(1.5, "a", Decimal(1)),  # type: ignore[arg-type]
            Line("z", "a", Decimal(1)),  # type: ignore[arg-type]
            Line(1, 5, Decimal(1)),  # type: ignore[arg-type]
            Line(1, "a", 0.1),  # type: ignore[arg-type]
            Line(1, "a", "ab.cd"),  # type: ignore[arg-type]
            Line(1, "a", Decimal(1), 2),  # type: ignore[arg-type]
        ],
    )
    def test_a_row_that_no_table_can_hold_is_the_rows_fault(self, views: ViewStore, row: Line) -> None:
        """Not the store's: a listener puts the message aside and goes on."""
        with pytest.raises(CodecError):
            LINE.check(row)
        for method in ("add", "put"):
            with pytest.raises(CodecError), views.transaction() as transaction:
                getattr(transaction, method)(LINE, [row])
        assert views.count(LINE) == 0

    def test_the_same_value_of_another_type_comes_back(self, views: ViewStore) -> None:
        """A whole number where a decimal is wanted, a truth value as a number: nothing is lost by it."""
        rows: list[Any] = [Line(1, "a", 0), Line(True, "a", 7, 1), Line(2, "a", Decimal(1))]  # type: ignore[arg-type]
        with views.transaction() as transaction:
            transaction.put(LINE, rows)
        assert list(views.scan(LINE)) == [Line(1, "a", Decimal(7), True), Line(2, "a", Decimal(1))]

    def test_adding_again_adds_nothing(self, views: ViewStore) -> None:
        """A row is known by its key; what stands stays."""
        self.add(views, line(1, amount="1.00"))
        with views.transaction() as transaction:
            assert transaction.add(LINE, [line(1, amount="2.00"), line(2), line(2)]) == 1
        assert views.get(LINE, [(1,)])[1,].amount == Decimal("1.00")
        assert views.count(LINE) == 2

    def test_putting_replaces_and_removing_removes(self, views: ViewStore) -> None:
        """By key; what is not there is removed without a word."""
        self.add(views, line(1), line(2))
        with views.transaction() as transaction:
            transaction.put(LINE, [line(1, amount="7.00"), line(3)])
            transaction.remove(LINE, [(2,), (99,)])
            assert transaction.get(LINE, [(1,), (2,)]) == {(1,): line(1, amount="7.00")}
        assert [row.id for row in views.scan(LINE)] == [1, 3]

    def test_many_rows_at_once(self, views: ViewStore) -> None:
        """More than any statement could hold."""
        self.add(views, *(line(number) for number in range(5_000)))
        assert len(views.get(LINE, [(number,) for number in range(5_000)])) == 5_000

    def test_rows_and_offsets_stand_or_fall_together(self, views: ViewStore) -> None:
        """A transaction that raises leaves nothing behind."""

        def failing() -> None:
            with views.transaction() as transaction:
                transaction.add(LINE, [line(1)])
                transaction.save(GROUP, {("t", 0): 5}, [Position("k", 3)])
                transaction.park(GROUP, {"k": "broken"}, {"k": 4})
                raise LookupError

        with pytest.raises(LookupError):
            failing()
        assert views.count(LINE) == 0
        assert views.offsets(GROUP) == {}
        assert views.reached(GROUP, "k") == 0
        assert views.parked(GROUP) == {}

    def test_offsets_positions_and_parked_keys_are_each_groups_own(self, views: ViewStore) -> None:
        """A position never goes back; an offset is what was saved last."""
        with views.transaction() as transaction:
            transaction.save(GROUP, {("t", 0): 5, ("t", 1): 9}, [Position("k", 3), Position("k", 2), Position("l", 1)])
            transaction.park(GROUP, {"k": "first"}, {"k": 4})
        with views.transaction() as transaction:
            transaction.save(GROUP, {("t", 0): 4}, [Position("k", 1)])
            transaction.park(GROUP, {"k": "second", "l": "third"}, {"k": 5, "l": 6})
            transaction.release(GROUP, "l")
            transaction.park(GROUP, {"m": "later"}, {"m": 9})
            transaction.park(GROUP, {"m": "earlier"}, {"m": 2})
        assert views.offsets(GROUP) == {("t", 0): 4, ("t", 1): 9}
        assert (views.reached(GROUP, "k"), views.reached(GROUP, "l"), views.reached(GROUP, "m")) == (3, 1, 0)
        assert views.parked(GROUP) == {"k": "first", "m": "earlier"}
        assert views.parked_since(GROUP) == {"k": 4, "m": 2}
        assert (views.offsets("h"), views.reached("h", "k"), views.parked("h")) == ({}, 0, {})

    def test_who_has_been_overtaken_changes_nothing(self, views: ViewStore) -> None:
        """The offsets of places that are not asked about do not matter; one that was never kept is elsewhere."""
        with views.transaction() as transaction:
            transaction.save(GROUP, {("t", 0): 5, ("t", 1): 9})
        with views.transaction() as transaction:
            transaction.check(GROUP, {("t", 0): 5})
            transaction.check("h", {("t", 0): None})
            transaction.save(GROUP, {("t", 0): 6})
        for offsets in ({("t", 0): 5}, {("t", 0): 6, ("t", 1): 8}, {("t", 2): 0}, {("t", 0): None}):
            with pytest.raises(Fenced):
                self._add_checked(views, offsets)
        assert (views.count(LINE), views.offsets(GROUP)) == (0, {("t", 0): 6, ("t", 1): 9})

    def _add_checked(self, views: ViewStore, offsets: Mapping[tuple[str, int], int | None]) -> None:
        with views.transaction() as transaction:
            transaction.add(LINE, [line(1)])
            transaction.check(GROUP, offsets)

    def test_pages_of_an_index(self, views: ViewStore) -> None:
        """In both directions, without a row twice or left out while others are added."""
        self.add(views, *(line(number, "ab"[number % 2]) for number in range(20)))
        found: list[int] = []
        after: tuple[object, ...] | None = None
        while page := views.find(LINE, {"account": "a"}, order=("id",), descending=True, after=after, limit=3):
            found += [row.id for row in page]
            after = (page[-1].id,)
            self.add(views, line(100 + len(found), "a"))
        assert found == list(range(18, -1, -2))
        assert [row.id for row in views.find(LINE, {}, order=("account", "id"), after=("a", 118), limit=2)] == [1, 3]

    def test_a_transaction_finds_what_it_has_written(self, views: ViewStore) -> None:
        """In the order, and from the place on, in which the store finds what is committed."""
        self.add(views, *(line(number, "ab"[number % 2]) for number in range(6)))
        with views.transaction() as transaction:
            transaction.remove(LINE, [(4,)])
            transaction.add(LINE, [line(8, "a")])
            found = transaction.find(LINE, {"account": "a"}, order=("id",), descending=True, limit=2)
            assert [row.id for row in found] == [8, 2]
            assert [row.id for row in transaction.find(LINE, {"account": "a"}, order=("id",), after=(2,))] == [8]
            assert [row.id for row in views.find(LINE, {"account": "a"}, order=("id",), after=(2,))] == [4]
            with pytest.raises(InvalidQuery):
                transaction.find(LINE, {"colour": "red"})

    def test_the_first_and_the_last_rows_of_many_keys(self, views: ViewStore) -> None:
        """Of the store and of a transaction; where the table's key is one column all rows are of one key."""
        views.create(PAGE)
        books = [(f"book {number:03d}",) for number in range(600)]
        with views.transaction() as transaction:
            transaction.put(PAGE, [Page(*book, number) for book in books[::2] for number in range(-2, 3)])
        with views.transaction() as transaction:
            transaction.put(PAGE, [Page("book 002", 3)])
            for rows, last in ((views, 2), (transaction, 3)):
                found = rows.find_each(PAGE, books, descending=True, limit=2)
                assert found == {book: [Page(*book, 2), Page(*book, 1)] for book in books[::2]} | {
                    book: [] for book in books[1::2]
                } | {("book 002",): [Page("book 002", last), Page("book 002", last - 1)]}
                assert rows.find_each(PAGE, books[:3]) == {
                    book: [Page(*book, -2)] * (book in books[::2]) for book in books[:3]
                }
                assert rows.find_each(PAGE, books[:1], after=0, limit=5) == {
                    books[0]: [Page(*books[0], 1), Page(*books[0], 2)]
                }
                assert rows.find_each(PAGE, books[:1], after=1, descending=True) == {books[0]: [Page(*books[0], 0)]}
                assert rows.find_each(PAGE, []) == {}
        self.add(views, *map(line, range(5)))
        assert [row.id for row in views.find_each(LINE, [()], descending=True, limit=3)[()]] == [4, 3, 2]

    def test_any_name_will_do(self, views: ViewStore) -> None:
        """Words of SQL are names like any other."""
        views.create(ORDER)
        with views.transaction() as transaction:
            transaction.add(ORDER, [Keywords(1, "x", 5), Keywords(2, "y", 5)])
            transaction.put(ORDER, [Keywords(2, "z", 5)])
            transaction.remove(ORDER, [(1,)])
        assert views.find(ORDER, {"group": 5}, order=("order",), after=(0,)) == [Keywords(2, "z", 5)]
        assert list(views.scan(ORDER)) == [Keywords(2, "z", 5)]

    def test_what_cannot_be_asked(self, views: ViewStore) -> None:
        """Columns that are not there, and a page behind too few values."""
        with pytest.raises(InvalidQuery, match="no column 'colour'"):
            views.find(LINE, {"colour": "red"})
        with pytest.raises(InvalidQuery, match="no column"):
            views.find(LINE, {}, order=("id; DROP TABLE line",))
        with pytest.raises(InvalidQuery):
            views.find(LINE, {}, order=("account", "id"), after=("a",))

    @pytest.mark.parametrize(
        ("column", "value"),
        [
            ("id", 2**63),
            ("account", "\ud800"),
            ("account", ["a"]),
            ("amount", Decimal("0.001")),
            ("amount", Decimal("NaN")),
        ],
    )
    def test_a_value_that_no_column_could_hold(self, views: ViewStore, column: str, value: object) -> None:
        """Is no row's, and the question's fault."""
        with pytest.raises(InvalidQuery):
            views.find(LINE, {column: value})
        with pytest.raises(InvalidQuery):
            views.find(LINE, {}, order=(column,), after=(value,))

    def test_rows_are_found_by_any_of_their_values(self, views: ViewStore) -> None:
        """As they are in the row: decimals, booleans, None."""
        self.add(views, line(1, amount="1.50"), line(2))
        found = [views.find(LINE, where) for where in ({"amount": Decimal("1.5")}, {"note": None}, {"paid": True})]
        assert [[row.id for row in rows] for rows in found] == [[1], [1, 2], []]

    def test_a_table_stands_as_it_was_declared(self, views: ViewStore) -> None:
        """With other columns, types or keys it has to be rebuilt."""
        views.create(LINE)

        class Wider(Line, frozen=True):
            more: int = 0

        class Other(Line, frozen=True):
            account: int  # type: ignore[assignment]

        others: list[Table[Any]] = [Table("line", row, key=("id",)) for row in (Wider, Other)]
        for table in (*others, Table("line", Line, key=("account",))):
            with pytest.raises(ConfigurationError, match="rebuild"):
                views.create(table)

    def test_readers_see_the_last_commit_while_one_writes(self, views: ViewStore) -> None:
        """And never a part of what is being written."""
        self.add(views, line(1))
        with views.transaction() as transaction:
            transaction.add(LINE, [line(2)])
            seen: list[int] = []
            reader = threading.Thread(target=lambda: seen.append(views.count(LINE)))
            reader.start()
            reader.join(10)
        assert seen == [1]
        assert views.count(LINE) == 2

    def test_a_scan_is_one_picture(self, views: ViewStore) -> None:
        """Whatever is written meanwhile."""
        self.add(views, *(line(number) for number in range(10)))
        scan = views.scan(LINE)
        first = next(scan)
        self.add(views, line(100))
        assert [first.id, *(row.id for row in scan)] == list(range(10))

    def test_commits_are_told(self, views: ViewStore) -> None:
        """After the commit, until it is ended, whatever another listener does."""
        told: list[int] = []

        def broken() -> None:
            raise LookupError

        views.on_commit(broken)
        end = views.on_commit(lambda: told.append(views.count(LINE)))
        self.add(views, line(1))
        end()
        end()
        self.add(views, line(2))
        assert told == [1]

    def test_a_built_table_takes_the_place_of_the_live_one(self, views: ViewStore) -> None:
        """With the offsets, parked keys and mark that are kept under its name; positions are never lowered."""
        self._build(views)
        with views.transaction() as transaction:
            transaction.swap(LINE, BUILT, GROUP)
        assert [row.id for row in views.scan(LINE)] == [2, 3]
        assert (views.offsets(GROUP), views.parked(GROUP)) == ({("t", 0): 7}, {"l": "bad"})
        assert (views.parked_since(GROUP), views.made_by(GROUP)) == ({"l": 3}, "new")
        assert (views.reached(GROUP, "k"), views.reached(GROUP, "l")) == (9, 2)
        assert [row.id for row in views.find(LINE, {"account": "a"}, order=("id",), limit=1)] == [2]
        assert (views.offsets(BUILT.name), views.made_by(BUILT.name), views.parked(BUILT.name)) == ({}, None, {})
        views.create(LINE)

    def test_what_was_replaced_can_be_kept_and_put_back(self, views: ViewStore) -> None:
        """With what was kept of the group; what was kept before goes."""
        kept = Table("line__old", Line, key=LINE.key, indexes=LINE.indexes)
        for _ in range(2):
            self._build(views)
            with views.transaction() as transaction:
                transaction.swap(LINE, BUILT, GROUP, kept)
            assert [row.id for row in views.scan(kept)] == [1]
            assert [row.id for row in views.scan(LINE)] == [2, 3]
            assert (views.offsets(kept.name), views.made_by(kept.name)) == ({("t", 0): 7}, "old")
            assert views.parked(kept.name) == {"k": "broken"}
            with views.transaction() as transaction:
                transaction.swap(LINE, kept, GROUP)
            assert [row.id for row in views.find(LINE, {"account": "a"}, order=("id",))] == [1]
            assert (views.offsets(GROUP), views.made_by(GROUP)) == ({("t", 0): 7}, "old")
            assert (views.parked(GROUP), views.made_by(kept.name)) == ({"k": "broken"}, None)
            views.create(LINE)

    def _build(self, views: ViewStore) -> None:
        """A live table and one beside it, each with what is kept of it."""
        views.create(BUILT)
        with views.transaction() as transaction:
            transaction.put(LINE, [line(1)])
            transaction.save(GROUP, {("t", 0): 7}, [Position("k", 9)])
            transaction.park(GROUP, {"k": "broken"}, {"k": 4})
            transaction.mark(GROUP, "old")
            transaction.add(BUILT, [line(2), line(3)])
            transaction.save(BUILT.name, {("t", 0): 7}, [Position("k", 5), Position("l", 2)])
            transaction.park(BUILT.name, {"l": "bad"}, {"l": 3})
            transaction.mark(BUILT.name, "new")

    def test_an_exchange_stands_or_falls_with_its_transaction(self, views: ViewStore) -> None:
        """One that raises leaves both tables."""
        self._build(views)

        def failing() -> None:
            with views.transaction() as transaction:
                transaction.swap(LINE, BUILT, GROUP)
                raise LookupError

        with pytest.raises(LookupError):
            failing()
        assert [row.id for row in views.scan(LINE)] == [1]
        assert (views.offsets(GROUP), views.made_by(GROUP)) == ({("t", 0): 7}, "old")

    def test_where_a_group_is_held_nobody_moves_it(self, views: ViewStore) -> None:
        """Nor begins another place."""
        with views.transaction() as transaction:
            transaction.save(GROUP, {("t", 0): 5})
        ended: list[str] = []

        def other() -> None:
            try:
                with views.transaction() as transaction:
                    transaction.check(GROUP, {("t", 0): 5, ("t", 1): None})
            except Fenced:
                ended.append("fenced")

        with views.transaction() as transaction:
            assert transaction.hold(GROUP) == {("t", 0): 5}
            assert transaction.hold("h") == {}
            thread = threading.Thread(target=other)
            thread.start()
            thread.join(0.2)
            assert ended == []
            transaction.save(GROUP, {("t", 0): 6})
        thread.join(10)
        assert ended == ["fenced"]

    def test_a_picture_is_of_one_moment(self, views: ViewStore) -> None:
        """Rows and offsets alike, while others are written."""
        self.add(views, *(line(number) for number in range(3)))
        with views.picture() as picture:
            self.add(views, line(9))
            with views.transaction() as transaction:
                transaction.save(GROUP, {("t", 0): 5})
            rows = picture.scan(LINE)
            first = next(rows)
            assert picture.get(LINE, [(1,), (9,)]) == {(1,): line(1)}
            assert [first.id, *(row.id for row in rows)] == [0, 1, 2]
            assert picture.offsets(GROUP) == {}

    def test_by_which_code_a_view_is_made_is_kept(self, views: ViewStore) -> None:
        """The last that was said."""
        assert views.made_by(GROUP) is None
        for text in ("one", "two"):
            with views.transaction() as transaction:
                transaction.mark(GROUP, text)
        assert views.made_by(GROUP) == "two"

    def test_which_group_keeps_a_table_is_kept_until_it_is_dropped(self, views: ViewStore, tmp_path: Path) -> None:
        """Whatever takes its place meanwhile."""
        check_keeper(views, LINE, "h")
        keep_keeper(views, LINE, GROUP)
        self._build(views)
        with views.transaction() as transaction:
            transaction.swap(LINE, BUILT, GROUP)
        views.close()
        again = self.open(tmp_path)
        again.create(LINE)
        keep_keeper(again, LINE, GROUP)
        for ask in (check_keeper, keep_keeper):
            with pytest.raises(ConfigurationError, match="line is kept by the listener g, not by h"):
                ask(again, LINE, "h")
        again.drop(LINE, GROUP)
        again.create(LINE)
        keep_keeper(again, LINE, "h")
        check_keeper(again, LINE, "h")
        again.close()

    def test_dropping_takes_the_groups_offsets_too(self, views: ViewStore) -> None:
        """So that the view can be made anew."""
        with views.transaction() as transaction:
            transaction.add(LINE, [line(1)])
            transaction.save(GROUP, {("t", 0): 9}, [])
            transaction.mark(GROUP, "one")
        views.drop(LINE, GROUP)
        views.create(LINE)
        assert (views.count(LINE), views.offsets(GROUP), views.made_by(GROUP)) == (0, {}, None)

    def test_everything_is_there_after_a_restart(self, views: ViewStore, tmp_path: Path) -> None:
        """Rows and offsets."""
        with views.transaction() as transaction:
            transaction.add(LINE, [line(1)])
            transaction.save(GROUP, {("t", 0): 1}, [Position("k", 1)])
        views.close()
        again = self.open(tmp_path)
        again.create(LINE)
        assert (again.count(LINE), again.offsets(GROUP), again.reached(GROUP, "k")) == (1, {("t", 0): 1}, 1)
        again.close()

    def test_closing_twice_is_allowed(self, views: ViewStore) -> None:
        """The second does nothing; what comes later is told, and waits for nothing."""
        views.close()
        views.close()
        for ask in (lambda: views.count(LINE), lambda: list(views.scan(LINE)), lambda: self.add(views, line(1))):
            with pytest.raises(StoreUnavailable, match="closed"):
                ask()

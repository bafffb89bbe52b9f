"""What view stores that several processes write keep to. Bind an adapter by subclassing `MembersContract`."""

import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from decimal import Decimal
from pathlib import Path

import pytest

from mainstem.errors import Fenced
from mainstem.messages import Position
from mainstem.testing.contracts.view import LINE, line
from mainstem.view.port import ViewStore

Members = tuple[ViewStore, ViewStore]


class MembersContract(ABC):
    """The suite."""

    @abstractmethod
    def open(self, folder: Path) -> ViewStore:
        """The view store of that folder; a second one stands for another process."""

    @pytest.fixture
    def members(self, tmp_path: Path) -> Iterator[Members]:
        """Two, with the table LINE."""
        with closing(self.open(tmp_path)) as one, closing(self.open(tmp_path)) as two:
            one.create(LINE)
            yield one, two

    def test_members_of_one_group_do_not_wait_for_each_other(self, members: Members) -> None:
        """Each locks the places that are its own."""
        one, two = members
        with one.transaction() as transaction:
            transaction.save("g", {("t", 0): 1, ("t", 1): 1})
        with one.transaction() as first, two.transaction() as second:
            first.check("g", {("t", 0): 1})
            second.check("g", {("t", 1): 1})
            first.add(LINE, [line(1)])
            second.add(LINE, [line(2)])
            first.save("g", {("t", 0): 2}, [Position("a", 1)])
            second.save("g", {("t", 1): 2}, [Position("b", 1)])
        assert one.offsets("g") == {("t", 0): 2, ("t", 1): 2}
        assert two.count(LINE) == 2

    def test_a_member_that_was_overtaken_waits_and_is_fenced(self, members: Members) -> None:
        """The one that came first has the place until it commits; then it stands elsewhere."""
        one, two = members
        with one.transaction() as transaction:
            transaction.save("g", {("t", 0): 1})
        checked = threading.Event()

        def zombie() -> None:
            checked.wait(10)
            with two.transaction() as transaction:
                transaction.add(LINE, [line(7)])
                transaction.check("g", {("t", 0): 1})

        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(zombie)
            with one.transaction() as transaction:
                transaction.check("g", {("t", 0): 1})
                checked.set()
                threading.Event().wait(0.2)
                transaction.save("g", {("t", 0): 2})
            with pytest.raises(Fenced):
                waiting.result(10)
        assert one.count(LINE) == 0

    def test_of_two_members_that_begin_a_partition_at_once_one_is_fenced(self, members: Members) -> None:
        """There is no row to lock yet; the second waits for the first, and finds that it has begun."""
        one, two = members
        checked = threading.Event()

        def second() -> None:
            checked.wait(10)
            with two.transaction() as transaction:
                transaction.check("g", {("t", 0): None})
                transaction.save("g", {("t", 0): 0})

        with ThreadPoolExecutor(1) as pool:
            with one.transaction() as transaction:
                transaction.check("g", {("t", 0): None})
                waiting = pool.submit(second)
                checked.set()
                threading.Event().wait(0.2)
                transaction.save("g", {("t", 0): 5})
            with pytest.raises(Fenced):
                waiting.result(10)
        assert one.offsets("g") == {("t", 0): 5}

    def test_any_key_can_be_parked(self, members: Members) -> None:
        """However long it is, and apart from one that differs at its end only."""
        one, _ = members
        keys = {"k" * 100_000 + end: f"reason {end}" for end in "ab"}
        with one.transaction() as transaction:
            transaction.park("g", keys, dict.fromkeys(keys, 3))
            transaction.save("g", {}, [Position(key, 5) for key in keys])
            transaction.release("g", "k" * 100_000 + "a")
        assert one.parked("g") == {"k" * 100_000 + "b": "reason b"}
        assert one.reached("g", "k" * 100_000 + "a") == 5

    def test_decimals_are_ordered_and_compared_as_numbers(self, members: Members) -> None:
        """Also where no double could hold them."""
        one, _ = members
        amounts = ["9.00", "10.00", "9999999999999999.98", "9999999999999999.99"]
        with one.transaction() as transaction:
            transaction.add(LINE, [line(number, amount=amount) for number, amount in enumerate(amounts)])
        assert [row.id for row in one.find(LINE, {"amount": Decimal(amounts[3])})] == [3]
        assert [row.id for row in one.find(LINE, {}, order=("amount",), after=(Decimal(amounts[0]),))] == [1, 2, 3]

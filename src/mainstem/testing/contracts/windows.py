"""What windows are on every view store. Bind an adapter by subclassing `WindowContract` and implementing `open`."""

import random
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from msgspec import Struct

from mainstem.table import Table
from mainstem.view.apply import working
from mainstem.view.port import ViewStore
from mainstem.view.window import Session, Sliding, Tumbling, Window, Windowed

WindowKind = Tumbling | Sliding | Session


class Paid(Struct, frozen=True):
    """A message of this suite."""

    account: str
    at_ms: int
    amount: int
    version: int


class Spent(Struct, frozen=True):
    """The row of this suite."""

    account: str
    begin_ms: int
    end_ms: int
    amount: int
    payments: int
    version: int


SPENT = Table("spent", Spent, key=("account", "begin_ms"))


def _make(message: Paid, window: Window) -> Spent | None:
    if message.amount < 0:
        raise ValueError("nobody pays so")
    if message.amount == 0:
        return None
    return Spent(message.account, *window, message.amount, 1, message.version)


def _merge(one: Spent, other: Spent) -> Spent:
    amount, payments = one.amount + other.amount, one.payments + other.payments
    return Spent(one.account, one.begin_ms, one.end_ms, amount, payments, max(one.version, other.version))


def windowed(kind: WindowKind, *, once: bool = True, keep_ms: int | None = None) -> Windowed[Paid, Spent]:
    """What was paid in each window; `once`: however often a message comes."""
    return Windowed(
        SPENT,
        kind,
        key=lambda message: (message.account,),
        at_ms=lambda message: message.at_ms,
        make=_make,
        merge=_merge,
        done=(lambda row, message: message.version <= row.version) if once else None,
        keep_ms=keep_ms,
    )


def expected(kind: WindowKind, messages: Sequence[Paid], keep_ms: int | None = None) -> list[Spent]:
    """The same by a simple model, over the messages in the order of their time."""
    rows: dict[tuple[str, int], Spent] = {}
    newest: dict[str, int] = {}
    for message in sorted(messages, key=lambda message: message.at_ms):
        for window in kind.of(message.at_ms) if message.amount else ():
            begin = window.begin_ms
            if isinstance(kind, Session):
                last = [row for (account, _), row in rows.items() if account == message.account][-1:]
                begin = last[0].begin_ms if last and message.at_ms < last[0].end_ms else begin
            before = rows.get((message.account, begin), Spent(message.account, begin, 0, 0, 0, 0))
            amount, version = before.amount + message.amount, max(before.version, message.version)
            rows[message.account, begin] = Spent(
                message.account, begin, window.end_ms, amount, before.payments + 1, version
            )
            newest[message.account] = window.end_ms
    kept = (row for row in rows.values() if keep_ms is None or row.end_ms > newest[row.account] - keep_ms)
    return sorted(kept, key=lambda row: (row.account, row.begin_ms))


def apply(views: ViewStore, projection: Windowed[Paid, Spent], messages: Sequence[Paid]) -> None:
    """One batch, in a transaction of its own."""
    work = working(projection, views.get, views.find_each)
    work.handle_all(messages, range(len(messages)))
    with views.transaction() as transaction:
        work.write(transaction)


class WindowContract(ABC):
    """The suite."""

    @abstractmethod
    def open(self, folder: Path) -> ViewStore:
        """The view store of that folder."""

    @pytest.fixture
    def views(self, tmp_path: Path) -> Iterator[ViewStore]:
        """A store with the table SPENT."""
        views = self.open(tmp_path)
        views.create(SPENT)
        yield views
        views.close()

    @pytest.mark.parametrize("kind", [Tumbling(100), Sliding(120, 40), Session(50)])
    def test_late_messages_correct_their_windows(self, views: ViewStore, kind: WindowKind) -> None:
        """In a random order, in batches of many sizes, with what came last sent again."""
        chance = random.Random(7)
        messages = [
            Paid(f"a{chance.randrange(5)}", chance.randrange(3_000), chance.randrange(50), number)
            for number in range(1, 401)
        ]
        at = 0
        while at < len(messages):
            size = chance.randrange(1, 60)
            for _ in range(1 + chance.randrange(2)):
                apply(views, windowed(kind), messages[at : at + size])
            at += size
        assert list(views.scan(SPENT)) == expected(kind, messages)

    @pytest.mark.parametrize("kind", [Tumbling(100), Sliding(120, 40)])
    def test_old_windows_go(self, views: ViewStore, kind: WindowKind) -> None:
        """And what would be in one of them changes nothing."""
        chance = random.Random(11)
        messages = [Paid("ab"[n % 2], chance.randrange(5_000), 1 + n % 3, n) for n in range(1, 201)]
        for at in range(0, len(messages), 17):
            apply(views, windowed(kind, keep_ms=900), messages[at : at + 17])
        assert list(views.scan(SPENT)) == expected(kind, messages, keep_ms=900)

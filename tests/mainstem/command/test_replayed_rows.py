"""An answer that is asked for again has a row, whatever rows were when it was given."""

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from msgspec import Struct

from mainstem import Command, Decider, Event, StateRow, Table
from mainstem.command.bus import CommandBus
from mainstem.command.handler import Handler
from mainstem.decider import Stamp
from mainstem.eventstore.sqlite import SqliteEventStore


class Raised(Event, frozen=True):
    pass


class Raise(Command, frozen=True):
    lamp: str


class Lamp(Struct, frozen=True):
    height: int = 0


class Row(Struct, frozen=True):
    lamp: str
    odd: bool
    height: float


class Grown(Row, frozen=True):
    colour: str


ROWS: Table[Any] = Table("lamp", Row, key=("lamp",))


def _row(state: Lamp, stamp: Stamp) -> Row:
    """With values that are the same in the columns' own types."""
    odd: Any = state.height % 2
    return Row(stamp.aggregate_id, odd, state.height)


@contextmanager
def _writer(folder: Path, table: Table[Any], row: Callable[[Any, Stamp], Any]) -> Iterator[CommandBus]:
    lamp: Decider[Any, Any, Lamp] = Decider(
        category="lamp",
        initial=Lamp(),
        decide=lambda *_: [Raised()],
        evolve=lambda state, _: Lamp(state.height + 1),
        target=lambda command: command.lamp,
        commands=(Raise,),
        events=(Raised,),
        state_row=StateRow(table, row),
    )
    with closing(SqliteEventStore(folder / "events.db", [table], clock_ms=lambda: 1)) as store:
        bus = CommandBus(store, Handler([lamp], clock_ms=lambda: 1))
        bus.start()
        yield bus
        bus.stop()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the lamp `l` was raised by the key `k`, and then once more."""
    with _writer(tmp_path, ROWS, _row) as bus:
        first = bus.execute(Raise(lamp="l"), key="k")
        assert [type(value) for value in (first.row.odd, first.row.height)] == [bool, float]  # type: ignore[union-attr]
        bus.execute(Raise(lamp="l"))
    return tmp_path


def test_a_row_of_other_types_comes_back_as_it_was_answered(folder: Path) -> None:
    with _writer(folder, ROWS, _row) as bus:
        answer = bus.execute(Raise(lamp="l"), key="k")
    assert (answer.replayed, answer.version, answer.row) == (True, 1, Row("l", True, 1.0))


def test_where_rows_have_other_columns_it_is_the_row_of_today(folder: Path) -> None:
    """The command is not carried out again, and the caller is not told of a fault."""
    table: Table[Any] = Table("lamp", Grown, key=("lamp",))

    def grown(state: Lamp, stamp: Stamp) -> Grown:
        return Grown(stamp.aggregate_id, bool(state.height % 2), float(state.height), "red")

    with closing(SqliteEventStore(folder / "events.db", clock_ms=lambda: 1)) as store:
        store.make_anew(table)
    with _writer(folder, table, grown) as bus:
        answer = bus.execute(Raise(lamp="l"), key="k")
    assert (answer.replayed, answer.version, answer.row) == (True, 1, Grown("l", False, 2.0, "red"))

"""A view's past: at any position it is the fold of the log's beginning, on both logs."""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Struct
from typer.testing import CliRunner

from bank.card import OpenCard, Withdraw
from bank.main import application
from mainstem import cli
from mainstem.assembly import embedded
from mainstem.codec import Decoder, position_token
from mainstem.errors import InvalidQuery, OffsetOutOfRange
from mainstem.history import Until, view_then
from mainstem.listener.binding import Binding
from mainstem.listener.runner import Runner
from mainstem.log.kafka import KafkaLog
from mainstem.log.port import Log, Topic
from mainstem.log.sqlite import SqliteLog
from mainstem.messages import NewRecord, Position
from mainstem.settings import Settings
from mainstem.table import Table
from mainstem.view.projection import Fold
from mainstem.view.sqlite import SqliteViews
from tests.stack import Prefixes


class Counted(Struct, frozen=True):
    """A message: how many were counted of a thing, for the how-manieth time."""

    thing: str
    number: int
    times: int


class Total(Struct, frozen=True):
    """How many in all."""

    thing: str
    number: int


TOTAL = Table("total", Total, key=("thing",))


def _fold(row: Total | None, message: Counted) -> Total:
    if message.number < 0:
        raise ValueError("nobody counts so")
    return Total(message.thing, message.number + (row.number if row else 0))


TOTALS = Binding(
    group="totals",
    topic="counted",
    decoder=Decoder(Counted),
    projection=Fold(TOTAL, key=lambda message: (message.thing,), fold=_fold),
    position=lambda message: Position(message.thing, message.times),
    batch_max=2,
)


@pytest.fixture(params=["sqlite", pytest.param("kafka", marks=pytest.mark.stack)])
def log(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Log]:
    if request.param == "sqlite":
        with closing(SqliteLog(tmp_path / "log.db")) as opened:
            yield opened
    else:
        prefixes: Prefixes = request.getfixturevalue("prefixes")
        servers, prefix = prefixes(tmp_path)
        with closing(KafkaLog(servers, prefix=prefix)) as opened:
            yield opened


def _say(log: Log, *messages: Counted) -> None:
    for number, each in enumerate(messages, 1):
        value = msgspec.json.encode(each)
        record = NewRecord(
            topic="counted", key=each.thing, value=value, timestamp_ms=number * 100, identity=f"{number}"
        )
        log.append([record])


def _totals(log: Log, until: Until) -> tuple[dict[str, int], Mapping[str, int]]:
    with TemporaryDirectory() as folder, closing(SqliteViews(Path(folder) / "views.db")) as views:
        parked = view_then(log, TOTALS, views, until).parked
        return {row.thing: row.number for row in views.scan(TOTAL)}, parked


_SAID = (Counted("a", 1, 1), Counted("b", 10, 1), Counted("a", 2, 2), Counted("b", 20, 2), Counted("a", 4, 3))


def test_it_is_made_of_what_came_before(log: Log) -> None:
    """Before an offset, up to a time, and of one aggregate up to a version."""
    log.create(Topic("counted", 1))
    log.create(Topic(TOTALS.dead_letter_topic, 1))
    _say(log, *_SAID)
    assert _totals(log, Until())[0] == {"a": 7, "b": 30}
    assert _totals(log, Until(at_ms=300))[0] == {"a": 3, "b": 10}
    assert _totals(log, Until(at_ms=99))[0] == {}
    assert _totals(log, Until(position=Position("a", 2)))[0] == {"a": 3}
    assert _totals(log, Until(offsets={0: 0}))[0] == {}
    fourth = log.read("counted", 0, 0, 10)[3].offset
    assert _totals(log, Until(offsets={0: fourth}))[0] == {"a": 3, "b": 10}


def test_what_cannot_be_handled_keeps_its_key_where_it_was(log: Log) -> None:
    """As it would the listener's."""
    log.create(Topic("counted", 1))
    log.create(Topic(TOTALS.dead_letter_topic, 1))
    _say(log, Counted("a", 1, 1), Counted("a", -1, 2), Counted("a", 5, 3), Counted("b", 1, 1))
    found, parked = _totals(log, Until())
    assert found == {"a": 1, "b": 1}
    assert list(parked) == ["a"]


def test_what_was_settled_about_dead_letters_holds(tmp_path: Path) -> None:
    """One was dropped, one edited and tried again: it is the live view."""
    with closing(SqliteLog(tmp_path / "log.db")) as log, closing(SqliteViews(tmp_path / "views.db")) as views:
        log.create(Topic("counted", 1))
        views.create(TOTAL)
        _say(log, Counted("a", 1, 1), Counted("a", -1, 2), Counted("b", -2, 1), Counted("a", 4, 3), Counted("b", 8, 2))
        runner = Runner(TOTALS, log, views)
        while runner.step():
            continue
        runner.letters.edit(0, 1, msgspec.json.encode(Counted("a", 2, 2)), "a slip", "ann")
        assert (runner.retry("a"), runner.drop("b", "nobody counts so")) == (2, 2)
        runner.leave()
        assert list(views.scan(TOTAL)) == [Total("a", 7)]
        assert _totals(log, Until()) == ({"a": 7}, {})


@pytest.mark.parametrize(("offsets", "told"), [({0: 6}, "it holds 0 to 5"), ({1: 0}, r"there are \[0\]")])
def test_an_offset_that_is_not_there(tmp_path: Path, offsets: dict[int, int], told: str) -> None:
    with closing(SqliteLog(tmp_path / "log.db")) as log:
        log.create(Topic("counted", 1))
        _say(log, *_SAID)
        with pytest.raises(InvalidQuery, match=told):
            _totals(log, Until(offsets=offsets))


def test_what_retention_has_removed_cannot_be_shown(tmp_path: Path) -> None:
    """Half a view would be no view."""
    with closing(SqliteLog(tmp_path / "log.db")) as log:
        log.create(Topic("counted", 1, retention_ms=250))
        _say(log, *_SAID)
        assert log.apply_retention(500) == 2
        with pytest.raises(OffsetOutOfRange, match="begins at offset 2"):
            _totals(log, Until())


@settings(deadline=None, max_examples=50)
@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 9)), max_size=12),
    st.lists(st.integers(0, 12), min_size=3, max_size=3),
)
def test_at_every_offset_it_is_the_fold_of_the_beginning(said: Sequence[tuple[str, int]], upto: Sequence[int]) -> None:
    with TemporaryDirectory() as folder, closing(SqliteLog(Path(folder) / "log.db")) as log:
        log.create(Topic("counted", 3))
        _say(log, *(Counted(thing, number, times) for times, (thing, number) in enumerate(said, 1)))
        ends = {n: min(upto[n], held.end) for n, held in log.ranges("counted").items()}
        expected: dict[str, int] = {}
        left = dict(ends)
        for thing, number in said:
            place = log.partition_of("counted", thing)
            if left[place]:
                left[place] -= 1
                expected[thing] = expected.get(thing, 0) + number
        assert _totals(log, Until(offsets=ends))[0] == expected


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A bank that has been: a card with 100, of which 30 and 20 were withdrawn."""
    with embedded(application, Settings(data_dir=tmp_path, topic_partitions=1)) as running:
        running.commands.execute(OpenCard(card="anna", limit=Decimal(100)))
        running.commands.execute(Withdraw(card="anna", amount=Decimal(30)))
        running.commands.execute(Withdraw(card="anna", amount=Decimal(20)))
        assert running.settle()
    monkeypatch.setenv("MAINSTEM_DATA_DIR", str(tmp_path))
    return tmp_path


def _shown(*words: str) -> list[dict[str, object]]:
    found = CliRunner().invoke(cli.app, ["view", *words, "--json"])
    assert found.exit_code == 0, found.output
    rows: list[dict[str, object]] = msgspec.json.decode(found.stdout)
    return rows


@pytest.mark.usefixtures("folder")
def test_the_command_line_shows_it() -> None:
    token = position_token(Position("anna", 2))
    assert [row["used"] for row in _shown("card_balance")] == ["50.00"]
    assert [row["used"] for row in _shown("card_balance", "--position", token)] == ["30.00"]
    assert _shown("card_balance", "--at", "2020-01-01T00:00:00Z") == []
    long_ago, now = (position_token(Position("", at_ms)) for at_ms in (1_000, time.time_ns() // 1_000_000))
    assert _shown("card_balance", "--position", long_ago) == []
    assert [row["used"] for row in _shown("card_balance", "--position", now)] == ["50.00"]
    assert _shown("card_balance", "--position", now, "--at", "2020-01-01T00:00:00Z") == []
    assert [row["amount"] for row in _shown("money_withdrawal", "--offset", "0=2")] == ["30.00"]
    assert _shown("money_withdrawal", "--where", "debit_card_id=nobody") == []
    assert len(_shown("money_withdrawal", "--where", "amount=20")) == 1


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    "words",
    [
        ["nothing"],
        ["card_balance", "--at", "yesterday"],
        ["card_balance", "--position", "?"],
        ["card_balance", "--offset", "0"],
        ["card_balance", "--offset", "7=1"],
        ["card_balance", "--where", "colour=red"],
        ["card_balance", "--where", "version=many"],
    ],
)
def test_a_question_that_cannot_be_answered(words: list[str]) -> None:
    found = CliRunner().invoke(cli.app, ["view", *words])
    assert isinstance(found.exception, InvalidQuery)

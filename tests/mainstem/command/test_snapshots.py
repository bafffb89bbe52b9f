"""Snapshots on both engines, and what of them needs no store."""

from pathlib import Path

import pytest
from msgspec import Struct

from bank.card import DEBIT_CARD
from mainstem import Snapshots
from mainstem.command.snapshotting import Due, intact, sealed
from mainstem.errors import CodecError, ConfigurationError
from mainstem.eventstore.mysql import MysqlEventStore
from mainstem.eventstore.sqlite import SqliteEventStore
from tests.mainstem.command.snapshot_suite import SnapshotSuite
from tests.stack import Databases


class TestSnapshotsInSqlite(SnapshotSuite):
    def open(self, folder: Path) -> SqliteEventStore:
        return SqliteEventStore(folder / "events.db", [DEBIT_CARD], clock_ms=lambda: 1000)


@pytest.mark.stack
class TestSnapshotsInMysql(SnapshotSuite):
    @pytest.fixture(autouse=True)
    def _databases(self, databases: Databases) -> None:
        self.databases = databases

    def open(self, folder: Path) -> MysqlEventStore:
        return MysqlEventStore(self.databases(folder), [DEBIT_CARD], clock_ms=lambda: 1000)


def test_any_of_what_a_policy_names_makes_one_due() -> None:
    policy = Snapshots(every_events=100, every_s=60, sourcing_ms=50)
    assert policy.due(100, 0, 0)
    assert policy.due(1, 60_000, 0)
    assert policy.due(1, 0, 50)
    assert not policy.due(99, 59_999, 49.9)
    assert not policy.due(0, 60_000, 50)
    assert Snapshots().never
    assert not Snapshots().due(10**6, 10**12, 10**6)


@pytest.mark.parametrize("name", ["every_events", "every_s", "sourcing_ms"])
@pytest.mark.parametrize("value", [0, -1, float("nan")])
def test_what_can_never_come_is_a_mistake(name: str, value: float) -> None:
    with pytest.raises(ConfigurationError, match=name):
        Snapshots(**{name: value})  # type: ignore[arg-type]


class _Anything(Struct, frozen=True):
    value: object


@pytest.mark.parametrize("value", [(1, 2), float("nan"), {"a": {1, 2}}, b"bytes", object()])
def test_a_state_that_would_come_back_as_another_is_not_kept(value: object) -> None:
    with pytest.raises(CodecError):
        sealed(Due("a-1", "f", 1, 1, 1, _Anything(value)))


def test_the_digest_holds_the_stream_and_all_that_is_kept() -> None:
    snapshot = sealed(Due("a-1", "f", 1, 2, 3, _Anything("text")))
    assert intact("a-1", snapshot)
    assert not intact("a-2", snapshot)

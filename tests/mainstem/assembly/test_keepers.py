"""A listener that is renamed does not begin again in the table that it has filled."""

from dataclasses import replace
from pathlib import Path

import pytest
from msgspec import Struct

from mainstem import EVENT_TOPIC, Application, Binding, Fold, Recorded, Table, by_aggregate, recorded_events
from mainstem.assembly import embedded
from mainstem.assembly.rebuilding import own_rebuilds
from mainstem.assembly.views import make_views
from mainstem.errors import ConfigurationError
from mainstem.settings import Settings
from mainstem.view.port import keeper_mark
from tests.mainstem.process.test_processes import TALLY, Add, Added


class Sum(Struct, frozen=True):
    """What was added to a tally."""

    tally: str
    total: int = 0


SUM = Table("sum", Sum, key=("tally",))


def _fold(row: Sum | None, added: Recorded[Added]) -> Sum:
    before = 0 if row is None else row.total
    return Sum(added.aggregate_id, before + added.payload.number)


def _application(group: str, table: Table[Sum] = SUM) -> Application:
    sums = Binding(
        group=group,
        topic=EVENT_TOPIC,
        decoder=recorded_events(TALLY.events),
        projection=Fold(table, by_aggregate, _fold),
    )
    return Application(name="sums", deciders=(TALLY,), listeners=(sums,))


@pytest.fixture(params=["sqlite", "duckdb"])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    """Of a folder with 1 and 2 in the sum, by the listener `first`."""
    settings = Settings(data_dir=tmp_path, topic_partitions=2, views=request.param)
    assert _add(settings, _application("first"), 1, 2) == 3
    return settings


def _add(settings: Settings, application: Application, *numbers: int) -> int:
    (binding,) = application.listeners
    assert binding.projection is not None
    with embedded(application, settings) as running:
        for number in numbers:
            running.commands.execute(Add(tally="x", number=number))
        assert running.settle()
        (row,) = running.views.find(binding.projection.table, {})
        return int(row.total)


def test_a_start_with_another_group_for_a_table_is_refused_and_changes_nothing(settings: Settings) -> None:
    with pytest.raises(ConfigurationError, match=r"sum is kept by the listener first, not by second.*another name"):
        embedded(_application("second"), settings)
    assert _add(settings, _application("first"), 3) == 6


def test_a_start_with_another_table_of_the_same_group_is_refused_and_changes_nothing(settings: Settings) -> None:
    """It would go on behind what the first table has, and lack that."""
    with pytest.raises(ConfigurationError, match=r"first keeps the view sum, .*sum_2 would lack.*another name"):
        embedded(_application("first", replace(SUM, name="sum_2")), settings)
    assert _add(settings, _application("first"), 3) == 6


@pytest.mark.parametrize(("group", "table"), [("second", SUM), ("first", replace(SUM, name="sum_2"))])
def test_neither_is_it_rebuilt_by_a_process_of_its_own(settings: Settings, group: str, table: Table[Sum]) -> None:
    """Which would put an empty view in its place, and swap it back in at offsets that are not its own."""
    with pytest.raises(ConfigurationError, match="name"), own_rebuilds(_application(group, table), settings, 1):
        raise AssertionError("it was let in")
    assert _add(settings, _application("first"), 3) == 6


def test_a_table_of_another_name_is_filled_from_the_start(settings: Settings) -> None:
    assert _add(settings, _application("second", replace(SUM, name="sum_2")), 3) == 6


def test_who_keeps_a_table_of_before_is_known_from_the_next_start_on(settings: Settings) -> None:
    """As where a folder is of a release that did not keep that."""
    views = make_views(settings)
    name = keeper_mark(SUM)
    views.drop(replace(SUM, name="none"), name)
    assert views.made_by(name) is None
    views.close()
    assert _add(settings, _application("first"), 3) == 6
    with pytest.raises(ConfigurationError, match="kept by the listener first"):
        embedded(_application("second"), settings)

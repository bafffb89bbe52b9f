"""What a look at a stage makes of what the servers say."""

import uuid
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace

import pytest

from bank.analytics import BANKAPP
from bank.main import application
from deploy.configuration import application_settings
from mainstem.assembly.stages import Stages
from mainstem.health import Hop
from mainstem.settings import read_settings
from tests.distributed import Deployed
from tests.process import free_port
from tests.told_druid import Druid, told_druid


@pytest.fixture
def druid(deployed: Deployed) -> Iterator[Druid]:
    """Says what a test wants it to of a datasource that the real broker does not know."""
    with told_druid(f"told_{uuid.uuid4().hex[:8]}") as druid:
        yield druid


@pytest.fixture
def stages(deployed: Deployed, druid: Druid) -> Iterator[Stages]:
    """All parts are the real ones, but for the overlord and its task."""
    overlord = {"MAINSTEM_DRUID_OVERLORD_URL": f"http://127.0.0.1:{druid.port}"}
    settings = read_settings({**application_settings(deployed.place), **overlord})
    told = replace(application, datasources=(replace(BANKAPP, name=druid.datasource),))
    with closing(Stages(told, settings, {})) as stages:
        yield stages


def _seen(stages: Stages) -> Hop:
    stages.look()
    return next(hop for hop in stages.hops() if hop.name.startswith("olap-"))


@pytest.mark.stack
def test_what_tasks_have_read_counts_once_questions_reach_all_their_segments(druid: Druid, stages: Stages) -> None:
    druid.reads("a", {"0": 5}, {"0": 9})
    found = _seen(stages)
    assert (found.state, found.handled, found.trouble) == ("running", 9, None)
    druid.holds("of_which_nobody_has_heard")
    found = _seen(stages)
    assert (found.state, found.lag, found.lag_s, found.handled) == ("running", None, None, None)
    druid.holds()
    assert _seen(stages).handled == 9


@pytest.mark.stack
def test_what_tasks_have_thrown_away_is_told(druid: Druid, stages: Stages) -> None:
    druid.thrown_away = 2
    druid.reads("a", {"0": 5}, {"0": 9})
    found = _seen(stages)
    assert (found.state, found.rejected) == ("running", 2)
    told = "2 records do not fit its declaration and were left out, of those that its tasks have read by now"
    assert found.trouble == told


@pytest.mark.stack
def test_rows_that_are_with_no_task_any_more_are_not_missed(druid: Druid, stages: Stages) -> None:
    """As of one that has published them all, and nothing has come since; unless nobody knows what the tasks have."""
    druid.rows = 7
    druid.reads("a", {"0": 5}, {"0": 9})
    assert _seen(stages).handled == 9
    druid.holds("of_which_nobody_has_heard")
    assert _seen(stages).state == "unserved"
    druid.holds()
    druid.reads("b", {"1": 5}, port=free_port())
    found = _seen(stages)
    assert (found.state, found.trouble) == ("unserved", "what its tasks have read cannot be asked for yet")

"""What a look at a stage makes of what the servers say."""

from contextlib import ExitStack, closing

import pytest

from bank.main import application
from deploy.configuration import application_settings
from mainstem.assembly.stages import Stages
from mainstem.health import Hop
from mainstem.settings import read_settings
from tests.distributed import Deployed
from tests.told_druid import Druid, told_druid


def _seen(stages: Stages) -> Hop:
    stages.look()
    return next(hop for hop in stages.hops() if hop.name == "olap-bankapp")


@pytest.mark.stack
def test_what_a_task_has_read_counts_once_questions_reach_all_its_segments(deployed: Deployed) -> None:
    """All parts are the real ones, but for the overlord and its task."""
    with ExitStack() as stack:
        druid: Druid = stack.enter_context(told_druid("bankapp"))
        overlord = {"MAINSTEM_DRUID_OVERLORD_URL": f"http://127.0.0.1:{druid.port}"}
        settings = read_settings({**application_settings(deployed.place), **overlord})
        stages = stack.enter_context(closing(Stages(application, settings, {})))
        druid.reads("a", {"0": 5}, {"0": 9})
        found = _seen(stages)
        assert (found.state, found.handled, found.trouble) == ("running", 9, None)
        druid.holds("bankapp_that_nobody_serves")
        found = _seen(stages)
        assert (found.state, found.lag, found.lag_s, found.handled) == ("running", None, None, None)
        druid.holds()
        assert _seen(stages).handled == 9

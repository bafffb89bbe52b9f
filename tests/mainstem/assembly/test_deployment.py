"""What is deployed again, by a release that declares a datasource otherwise."""

import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace

import pytest

from bank.analytics import BANKAPP
from bank.main import application
from deploy.configuration import application_settings
from mainstem import Partitioning
from mainstem.assembly.deployment import deploy
from mainstem.assembly.stages import Stages
from mainstem.settings import read_settings
from tests.distributed import Deployed

pytestmark = pytest.mark.stack

_SETTLES_S = 60.0


def test_a_datasource_that_is_declared_otherwise_is_left_and_told(deployed: Deployed) -> None:
    """The rows that are there would stay as they are: later ones of another shape among them were a lie."""
    settings = read_settings(application_settings(deployed.place))
    fewer = replace(BANKAPP, dimensions=tuple(each for each in BANKAPP.dimensions if each.name != "amount"))
    release = replace(application, datasources=(fewer,))
    said = list[str]()
    deploy(release, settings, said.append)
    about = [line for line in said if line.startswith("supervisor bankapp")]
    assert len(about) == 1
    assert "stale, and left as it stands: spec.dataSchema" in about[0]
    assert any("`mainstem rebuild bankapp`" in line for line in said)
    with closing(Stages(release.configured(settings), settings, {})) as stages:
        stages.look()
        hop = next(each for each in stages.hops() if each.name == "olap-bankapp")
    assert (hop.state, "stale: rebuild" in str(hop.trouble)) == ("running", True)
    assert "supervisor bankapp: stands as declared" in deployed.deploy()


def test_segments_that_are_declared_otherwise_are_told_and_deployed(deployed: Deployed) -> None:
    """Without a rebuild; and back again by the release of before."""
    settings = read_settings(application_settings(deployed.place))
    kept = replace(BANKAPP, keep_days=3_000, partitioning=Partitioning("month"))
    release = replace(application, datasources=(kept,))
    assert "compaction and retention of bankapp: stands as declared" in deployed.deploy()
    with closing(Stages(release.configured(settings), settings, {})) as stages:
        _await_trouble(stages, lambda trouble: "undeployed: deploy" in str(trouble))
        said = list[str]()
        deploy(release, settings, said.append)
        assert any("supervisor bankapp: changed: " in line and "MONTH is declared" in line for line in said), said
        assert any("compaction and retention of bankapp: changed: " in line and "P3000D" in line for line in said), said
        _await_trouble(stages, lambda trouble: trouble is None)
    assert any("compaction and retention of bankapp: changed: " in line for line in deployed.deploy().splitlines())
    assert "compaction and retention of bankapp: stands as declared" in deployed.deploy()


def _await_trouble(stages: Stages, wanted: Callable[[str | None], bool]) -> None:
    """Tasks that have just begun, or end, are a trouble of their own for a while."""
    deadline = time.monotonic() + _SETTLES_S
    while True:
        stages.look()
        found = next(each for each in stages.hops() if each.name == "olap-bankapp").trouble
        if wanted(found):
            return
        assert time.monotonic() < deadline, found
        time.sleep(0.2)

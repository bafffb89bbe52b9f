"""Druid keeps to what every analytical store keeps to that is asked, of the version that is the live one too."""

import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar

import pytest

from deploy.configuration import Place
from mainstem.messages import Record
from mainstem.olap.druid_supervisor import Supervisors
from mainstem.olap.port import Datasource, Olap
from mainstem.rebuild.pointing import named, version_of
from mainstem.testing.contracts.olap import OlapContract
from mainstem.testing.contracts.olap_options import OlapOptionsContract
from mainstem.testing.contracts.question_model import facts_of
from tests.druid import asked, fed


class _Versions:
    """Datasources of the stack, of each of which the second version is the live one."""

    suffix: ClassVar[str] = "_" + uuid.uuid4().hex[:8]
    place: ClassVar[Place]
    supervisors: ClassVar[Supervisors]

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def _place(cls, stack: Place) -> None:
        cls.place = stack

    @contextmanager
    def filled(self, folder: Path, datasources: Sequence[Datasource], records: Sequence[Record]) -> Iterator[Olap]:
        versions = [version_of(datasource, 2) for datasource in datasources]
        rows = {each.name: len(facts_of(each, [r for r in records if r.topic == each.topic])) for each in versions}
        with (
            fed(self.place, versions, records, rows=rows) as supervisors,
            asked(self.place, datasources, lambda name: named(name, 2)) as olap,
        ):
            type(self).supervisors = supervisors
            yield olap


@pytest.mark.stack
class TestDruidOlap(_Versions, OlapContract):
    pass


@pytest.mark.stack
class TestDruidOptions(_Versions, OlapOptionsContract):
    forgets_s: ClassVar[float] = 120.0

    def put_away(self, datasource: Datasource) -> None:
        """Its task publishes what it has read, and ends."""
        self.supervisors.keep_up(version_of(datasource, 2))
        self.supervisors.suspend(named(datasource.name, 2))

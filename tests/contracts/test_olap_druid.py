"""Druid keeps to what every analytical store keeps to that is asked, of the version that is the live one too."""

import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar

import pytest

from deploy.configuration import Place
from mainstem.messages import Record
from mainstem.olap.port import Datasource, Olap
from mainstem.rebuild.pointing import named, version_of
from mainstem.testing.contracts.olap import ROWS, OlapContract
from tests.druid import asked, fed


@pytest.mark.stack
class TestDruidOlap(OlapContract):
    suffix: ClassVar[str] = "_" + uuid.uuid4().hex[:8]
    place: ClassVar[Place]

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def _place(cls, stack: Place) -> None:
        cls.place = stack

    @contextmanager
    def filled(self, folder: Path, datasources: Sequence[Datasource], records: Sequence[Record]) -> Iterator[Olap]:
        versions = [version_of(datasource, 2) for datasource in datasources]
        with (
            fed(self.place, versions, records, rows={named("sales" + self.suffix, 2): ROWS}),
            asked(self.place, datasources, lambda name: named(name, 2)) as olap,
        ):
            yield olap

"""Versions of a datasource in Druid, each with a supervisor of its own."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mainstem.olap.druid import DruidOlap
from mainstem.olap.druid_checksum import checksum
from mainstem.olap.druid_spec import Reading, supervisor_spec
from mainstem.olap.druid_supervisor import Difference, Supervisors, differences
from mainstem.olap.druid_upkeep import upkeep_of
from mainstem.olap.port import Datasource, Feeding

_ROWS = ("spec.dataSchema.", "spec.ioConfig.topic")
"""The places of a supervisor that decide which rows it makes."""

_SEGMENTS = "spec.dataSchema.granularitySpec.segmentGranularity"
"""But this one says only how they are put away."""


@dataclass(frozen=True)
class Otherwise:
    """In what a version is declared otherwise than it stands: what makes its rows; its segments and their upkeep."""

    rows: Sequence[str]
    segments: Sequence[str]


class DruidVersions:
    """Both clients are others' to close; `reading` says how Druid reads the topics, once that is needed."""

    def __init__(self, supervisors: Supervisors, olap: DruidOlap, reading: Callable[[], Reading]) -> None:
        self._supervisors = supervisors
        self._olap = olap
        self._reading = reading

    def feed(self, version: Datasource) -> None:
        """Post the supervisor, and what is to be done with its segments; resume it where it is suspended."""
        if self._supervisors.spec(version.name) is None:
            self._supervisors.keep_up(version)
            self._supervisors.post(version, self._reading())
        if self._supervisors.status(version.name).suspended:
            self._supervisors.resume(version.name)

    def differs(self, version: Datasource) -> Sequence[str] | None:
        """By the supervisor's JSON."""
        found = self._differences(version)
        return None if found is None else _texts(found, _of_rows)

    def otherwise(self, version: Datasource) -> Otherwise | None:
        """All in which it is declared otherwise by now; None where Druid does not know it."""
        found = self._differences(version)
        if found is None:
            return None
        upkeep = differences(self._supervisors.upkeep(version.name), upkeep_of(version))
        return Otherwise(_texts(found, _of_rows), [*_texts(found, _of_segments), *map(str, upkeep)])

    def _differences(self, version: Datasource) -> list[Difference] | None:
        stands = self._supervisors.spec(version.name)
        return None if stands is None else list(differences(stands, supervisor_spec(version, self._reading())))

    def feeding(self, version: Datasource) -> Feeding:
        """By the supervisor's status, which is up to five seconds old."""
        found = self._supervisors.status(version.name)
        offsets = {(version.topic, partition): offset for partition, offset in found.offsets.items()}
        trouble = None if found.running else f"{found.state}: {found.reason}" if found.reason else found.state
        return Feeding(offsets, trouble)

    def left_out(self, version: Datasource) -> int:
        """Those that its tasks of the moment have read, the late ones among them."""
        return self._supervisors.ingested(version.name).left_out

    def rest(self, name: str) -> None:
        """Suspend its supervisor, whose tasks publish what they have."""
        if self._supervisors.spec(name) is not None and not self._supervisors.status(name).suspended:
            self._supervisors.suspend(name)

    def drop(self, name: str) -> None:
        """With its segments, which Druid removes for good where it is told to."""
        self._supervisors.drop(name)

    def checksum(self, datasource: Datasource) -> str:
        """Text goes in by its length and its first 48 letters and digits."""
        return checksum(datasource)

    def asked(self, live: Callable[[str], str]) -> DruidOlap:
        """Of the same Druid."""
        return self._olap.asked(live)


def _texts(found: Sequence[Difference], wanted: Callable[[Difference], bool]) -> list[str]:
    return [str(each) for each in found if wanted(each)]


def _of_rows(difference: Difference) -> bool:
    return difference.place.startswith(_ROWS) and not _of_segments(difference)


def _of_segments(difference: Difference) -> bool:
    return difference.place == _SEGMENTS

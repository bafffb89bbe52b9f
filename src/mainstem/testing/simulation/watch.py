"""Positions never go backwards: what a stage has done stays done, whoever dies."""

from collections.abc import Iterator

from mainstem.cdc.relay import producer_of
from mainstem.testing.simulation.declared import Wrong
from mainstem.testing.simulation.life import Life

_Place = tuple[str | int, ...]
_DATASOURCE = "datasource"


class Watch:
    """Looks behind each step."""

    def __init__(self) -> None:
        self._seen: dict[_Place, int] = {}

    def look(self, life: Life) -> None:
        """Raises Wrong where a position is before that of an earlier look."""
        now = dict(_positions(life))
        if life.olap_moved:  # asking DuckDB takes longer than all else
            now |= _of_datasources(life)
            life.olap_moved = False
        else:
            now |= {place: at for place, at in self._seen.items() if place[0] == _DATASOURCE}
        back = [
            f"{each} went from {at} back to {now.get(each)}" for each, at in self._seen.items() if at > now.get(each, 0)
        ]
        if back:
            raise Wrong(*back)
        self._seen = now


def _positions(life: Life) -> Iterator[tuple[_Place, int]]:
    running = life.running
    yield ("capture in the log",), running.log.last_sequence(producer_of(running.application.name)) or 0
    for topic in running.log.topics():
        for partition, held in running.log.ranges(topic).items():
            yield ("end", topic, partition), held.end
    for binding in running.application.all_listeners():
        for (topic, partition), offset in running.views.offsets(binding.group).items():
            yield ("view", binding.group, topic, partition), offset


def _of_datasources(life: Life) -> dict[_Place, int]:
    running = life.running
    return {
        (_DATASOURCE, datasource.name, *place): offset
        for datasource in running.application.datasources
        for place, offset in running.olap.offsets(datasource).items()
    }

"""Where a listener begins that is to take only what comes from now on."""

from collections.abc import Callable, Iterable

from mainstem.log.port import Log, Place
from mainstem.view.port import ViewStore


def begin_now(group: str, topic: str, log: Log, views: ViewStore, bring: Callable[[], None] = lambda: None) -> None:
    """Keep, where the group stands nowhere in its topic, that it begins behind what is there, in all partitions.

    `bring` is called first, where something of before may not have come to the topic yet. Where the views were lost it
    goes on where the log knows it to be. A partition that the topic gets later is read from its begin.
    """
    if _is_there(topic, views.offsets(group)):
        return
    bring()
    known, ranges = log.committed(group), log.ranges(topic)
    began = _is_there(topic, known)
    begins = {
        (topic, partition): known.get((topic, partition), held.begin) if began else held.end
        for partition, held in ranges.items()
    }
    with views.transaction() as transaction:
        if not _is_there(topic, transaction.hold(group)):  # another process may have begun meanwhile
            transaction.save(group, begins)


def _is_there(topic: str, places: Iterable[Place]) -> bool:
    return any(name == topic for name, _ in places)

"""A view as it was at a position: the listener's own fold over the log's beginning, into a store of its own.

The live view is not asked and nothing is emitted, so a view can be seen as it was before a fold was changed, too: what
is shown is what today's fold makes of the records up to then, as was settled about those that were dead letters.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from msgspec import Struct

from mainstem.errors import InvalidQuery, MainstemError, OffsetOutOfRange
from mainstem.listener.batch import Batches
from mainstem.listener.binding import Binding
from mainstem.listener.settled import settled
from mainstem.log.port import Log, Range
from mainstem.log.scan import scan
from mainstem.messages import Position, Record
from mainstem.rebuild.versions import projection_of
from mainstem.view.port import ViewStore
from mainstem.view.projection import Joined


class Until(Struct, frozen=True, kw_only=True):
    """Which records count: all that is named must hold.

    `at_ms` is the last time of a record, in milliseconds since the epoch. `offsets` has for a partition the first
    offset that does not count, as a group's offsets do. A `position` takes the records that brought its aggregate to
    that version, and those of no other aggregate.
    """

    at_ms: int | None = None
    offsets: Mapping[int, int] | None = None
    position: Position | None = None


EVERYTHING = Until()


class ViewThen(Struct, frozen=True):
    """What was read: how many records count, and the keys whose records could not be handled, from which offset on."""

    records: int
    parked: Mapping[str, int]


def view_then(
    log: Log,
    binding: Binding[Any],
    into: ViewStore,
    until: Until = EVERYTHING,
    told: Callable[[int, int], None] = lambda _done, _all: None,
) -> ViewThen:
    """Fill the empty store `into` with the binding's view as it was; `told` hears how many records of all are done.

    Raises InvalidQuery for a binding that keeps no view, and for a partition or an offset that is not there;
    OffsetOutOfRange where retention has removed records that the view was made of.
    """
    projection = projection_of(binding)
    if isinstance(projection, Joined):
        raise InvalidQuery(f"the view of {binding.group} joins {projection.other.name}, whose past is not known")
    ends = _ends(log.ranges(binding.topic), binding.topic, until)
    taken, done, counted, known = _Taken(binding, until), 0, 0, settled(binding, log)

    def pages() -> Iterator[Sequence[Record]]:
        nonlocal done, counted
        for page in scan(log, binding.topic, ends):
            records = taken.of(known.of(page))
            yield records
            done += len(page)
            counted += len(records)
            told(done, sum(ends.values()))

    parked = fill(log, binding, into, pages())
    return ViewThen(counted, parked)


def fill(log: Log, binding: Binding[Any], into: ViewStore, pages: Iterable[Sequence[Record]]) -> dict[str, int]:
    """Fill `into` with what the binding makes of these records; the keys that cannot be handled, from which offset on.

    What the view joins must be in `into` before. Raises InvalidQuery for a binding that keeps no view.
    """
    into.create(projection_of(binding).table)
    batches, parked = Batches(binding, log, into), dict[str, int]()
    for records in pages:
        outcome = batches.handle(records, parked, _wait)
        for key, since in outcome.since.items():
            parked.setdefault(key, since)
        if outcome.working is not None:
            with into.transaction() as transaction:
                outcome.working.write(transaction)
    return parked


def _wait(seconds: float) -> bool:
    """As a listener waits before it tries a transient failure again; nobody stops this one."""
    time.sleep(seconds)
    return False


def _ends(ranges: Mapping[int, Range], topic: str, until: Until) -> Mapping[int, int]:
    """Of each partition the first offset that does not count."""
    for partition, held in ranges.items():
        if held.begin:
            text = f"{topic}/{partition} begins at offset {held.begin}: retention has removed what came before"
            raise OffsetOutOfRange(f"{text}, of which the view was made too")
    ends = {partition: held.end for partition, held in ranges.items()}
    for partition, end in (until.offsets or {}).items():
        if not 0 <= end <= ends.get(partition, -1):
            known = f"it holds 0 to {ends[partition]}" if partition in ends else f"there are {sorted(ends)}"
            raise InvalidQuery(f"{topic}/{partition} has no offset {end}: {known}")
        ends[partition] = end
    return ends


class _Taken:
    """The records that count."""

    def __init__(self, binding: Binding[Any], until: Until) -> None:
        self._binding = binding
        self._until = until

    def of(self, page: Sequence[Record]) -> Sequence[Record]:
        """Those of a page."""
        at_ms, position = self._until.at_ms, self._until.position
        if at_ms is not None:
            page = [record for record in page if record.timestamp_ms <= at_ms]
        if position is not None:
            page = [record for record in page if self._leads_to(record, position)]
        return page

    def _leads_to(self, record: Record, position: Position) -> bool:
        try:
            messages, _ = self._binding.decoder.of([record])
        except MainstemError:
            return False  # no listener could say whose it is
        reached = [found for message in messages if (found := self._binding.position(message)) is not None]
        return any(found.key == position.key and found.version <= position.version for found in reached)

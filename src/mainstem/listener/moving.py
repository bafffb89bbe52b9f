"""Moving a listener to other offsets: what that would do, told before it is done, and what is refused and why.

Going back is for listeners whose effect is the same however often a record comes; going on skips records for good. A
listener is moved while it is paused: what was told holds then, and nobody of the group is at work.
"""

from collections.abc import Callable, Mapping
from typing import Any

from msgspec import Struct

from mainstem.errors import InvalidQuery
from mainstem.listener.binding import Binding
from mainstem.log.port import Log, Place, Range
from mainstem.view.batched import Batched
from mainstem.view.port import ViewStore
from mainstem.view.projection import Fold, Joined, Rows
from mainstem.view.vectorised import Vectorised
from mainstem.view.window import Windowed

_PAGE = 500


class Target(Struct, frozen=True):
    """Where to move to: `begin`, `end`, a time, or offsets by partition (the others stay)."""

    end: str | None = None
    at_ms: int | None = None
    offsets: Mapping[int, int] | None = None


class Moved(Struct, frozen=True):
    """One partition: from where to where; so many offsets are skipped, or read again."""

    partition: int
    before: int
    after: int

    @property
    def skipped(self) -> int:
        """How many offsets will never be handled."""
        return max(0, self.after - self.before)

    @property
    def again(self) -> int:
        """How many offsets come again."""
        return max(0, self.before - self.after)


def ahead_of(view: str) -> str:
    """Under this name stand the offsets up to which a view was made whose listener was moved back."""
    return f"{view}__ahead"


class Plan(Struct, frozen=True):
    """What a move would do, what it means, and why it is refused (empty where it is not)."""

    listener: str
    partitions: list[Moved]
    notes: list[str]
    refused: list[str]


def plan_of(binding: Binding[Any], log: Log, views: ViewStore, target: Target, *, paused: bool, busy: bool) -> Plan:
    """By how the group stands now. Raises InvalidQuery for a partition or an offset that there is not."""
    ranges, kept = log.ranges(binding.topic), views.offsets(binding.group)
    wanted = _wanted(binding.topic, log, ranges, target)
    moved = []
    for partition, offset in sorted(wanted.items()):
        before = kept.get((binding.topic, partition), ranges[partition].begin)
        if before != offset:
            moved.append(Moved(partition, before, offset))
    refused = [] if not moved else _refusals(binding, log, kept, moved, paused=paused, busy=busy)
    return Plan(binding.group, moved, _notes(binding, views, moved), refused)


def _wanted(topic: str, log: Log, ranges: Mapping[int, Range], target: Target) -> dict[int, int]:
    if target.offsets is not None:
        return {partition: _within(topic, ranges, partition, offset) for partition, offset in target.offsets.items()}
    if target.at_ms is not None:
        at_ms = target.at_ms
        return {partition: _since(log, topic, partition, held, at_ms) for partition, held in ranges.items()}
    if target.end not in ("begin", "end"):
        raise InvalidQuery("name where to: begin, end, a time, or offsets")
    return {partition: held.begin if target.end == "begin" else held.end for partition, held in ranges.items()}


def _within(topic: str, ranges: Mapping[int, Range], partition: int, offset: int) -> int:
    held = ranges.get(partition)
    if held is None:
        raise InvalidQuery(f"{topic} has no partition {partition}; it has {', '.join(map(str, sorted(ranges)))}")
    if not held.begin <= offset <= held.end:
        raise InvalidQuery(f"{topic}/{partition} holds the offsets from {held.begin} to {held.end}, not {offset}")
    return offset


def _since(log: Log, topic: str, partition: int, held: Range, at_ms: int) -> int:
    """The offset of the first record of that time or later. Timestamps are taken to rise, as a log's do."""
    low, high = held.begin, held.end
    while high - low > _PAGE:
        middle = (low + high) // 2
        found = log.read(topic, partition, middle, 1)
        if found and found[0].timestamp_ms < at_ms:
            low = found[0].offset
        else:
            high = middle
    for record in log.read(topic, partition, low, _PAGE + 1):
        if record.timestamp_ms >= at_ms:
            return record.offset
    return high


def _refusals(
    binding: Binding[Any], log: Log, kept: Mapping[Place, int], moved: list[Moved], *, paused: bool, busy: bool
) -> list[str]:
    found = []
    if not paused:
        found.append("it runs: pause it first, so that it stands where this was told for")
    elif busy:
        found.append("a process is at its last batch still: try again when it has paused")
    if any(each.again for each in moved):
        checks: tuple[Callable[[], str | None], ...] = (
            lambda: _why_not_again(binding),
            lambda: _unknown_to_the_log(binding, log, kept, moved),
        )
        found += [why for why in (check() for check in checks) if why]
    return found


def _why_not_again(binding: Binding[Any]) -> str | None:
    projection = binding.projection
    if projection is None:
        return "it keeps no view, and what it has sent is not sent again: reading records again would do nothing"
    if isinstance(projection, Joined):
        projection = projection.into
    if isinstance(projection, Rows) and not projection.stays:
        return f"what is in {projection.table.name} goes once it is seen to: it would be seen to a second time"
    if isinstance(projection, Fold | Windowed | Batched | Vectorised) and projection.done is None:
        table = projection.table.name
        return f"its fold would take records into {table} a second time (it has no `done`): fill the view anew instead"
    return None


def _unknown_to_the_log(binding: Binding[Any], log: Log, kept: Mapping[Place, int], moved: list[Moved]) -> str | None:
    """Up to where the group has sent is kept by the log alone."""
    if binding.emit is None or log.takes_identities_once:
        return None
    known = log.committed(binding.group)
    places = [(binding.topic, each.partition) for each in moved if each.again]
    lost = [place for place in places if known.get(place, 0) < kept.get(place, 0)]
    return f"the log has forgotten what was sent of {lost[0][0]}/{lost[0][1]}: it would go out twice" if lost else None


def _notes(binding: Binding[Any], views: ViewStore, moved: list[Moved]) -> list[str]:
    found = []
    skipped, again = sum(each.skipped for each in moved), sum(each.again for each in moved)
    if skipped:
        found.append(f"{skipped} offsets are skipped: what their records lead to never happens")
    if again:
        found.append(f"{again} offsets are read again: rows that hold them stay as they are")
        if binding.emit is not None:
            found.append("what was sent is not sent again")
    parked = len(views.parked_since(binding.group))
    if parked and moved:
        found.append(f"{parked} keys wait behind dead letters, and go on waiting")
    return found

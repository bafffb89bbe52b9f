"""Making the index of tags right again, from what events keep of their tags, which their hashes are over.

An event that keeps its tags says which rows lead to it, and so which do not. Of events of before they kept them the
rows alone say which tags they have: what is gone of these nobody knows. Events are verified before.
"""

from collections.abc import Collection, Mapping, Sequence

from msgspec import Struct

from mainstem.errors import StoreCorrupt
from mainstem.eventstore.chain import HIGHEST, LOWEST
from mainstem.eventstore.diagnosis import Finding
from mainstem.eventstore.integrity import Integrity
from mainstem.eventstore.tagging import TagMend, TagRow, noted_in
from mainstem.eventstore.verifying import event_ranges
from mainstem.eventstore.verifying_tags import whole_rows

_OLDER = "events of an older release have tags in the index alone, so nothing says"

Event = tuple[str, int]
"""A stream and a version."""


class Wrong(Struct, frozen=True):
    """A row, or what a tag is counted to (no number): what stands and what should, None for no row."""

    tag: str
    number: int | None
    stands: str | None
    should: str | None


class Mending(Struct, frozen=True):
    """What is wrong, what mends it, and what cannot be mended, with the reason."""

    wrong: tuple[Wrong, ...]
    mends: tuple[TagMend, ...]
    left: tuple[str, ...]


def mending(integrity: Integrity, findings: Collection[Finding]) -> Mending:
    """Of the tags that these findings name; it changes nothing.

    Holds the rows of these tags in memory. Raises StoreCorrupt where rows tell that an event may be gone.
    """
    tags = sorted({each.stream for each in findings if each.kind == "tag"})
    noted = _Noted(integrity, tags)
    counted = {tag: head for tag, head, _ in integrity.wrong_tag_heads()}
    plans = [_Plan(tag, _rows_of(integrity, tag), noted, counted.get(tag)) for tag in tags]
    return Mending(
        tuple(each for plan in plans for each in plan.wrong),
        tuple(plan.mend() for plan in plans if plan.wrong),
        tuple(each for plan in plans for each in plan.left),
    )


class _Noted:
    """What all events keep of some tags, and from which position on they keep any."""

    def __init__(self, integrity: Integrity, tags: Sequence[str]) -> None:
        self.since: int | None = None
        self.of: dict[str, dict[int, list[Event]]] = {tag: {} for tag in tags}
        """By tag and number the events that have it, in their order: one, unless numbers were given twice."""
        last = integrity.last_seal()
        end = max(integrity.last_position(), 0 if last is None else last.sealed_to)
        for after, upto in event_ranges(integrity, end):
            for each in integrity.placed(after, upto):
                if each.event.tags is not None and self.since is None:
                    self.since = each.position
                for tag, number in noted_in(each.event.tags):
                    if tag in self.of:
                        self.of[tag].setdefault(number, []).append((each.event.stream, each.event.version))


class _Plan:
    """One tag."""

    def __init__(self, tag: str, rows: Sequence[TagRow], noted: _Noted, counted: int | None) -> None:
        self._tag = tag
        self._noted, self._since = noted.of[tag], noted.since
        self._last = max((row.number for row in rows), default=0)
        self._put: list[TagRow] = []
        self._gone: list[int] = []
        self.wrong: list[Wrong] = []
        self.left: list[str] = []
        self._first = min(self._noted, default=HIGHEST)
        older = [row for row in rows if self._is_older(row)]
        stand = {row.number: row for row in rows}
        self._check_numbers()
        self._take_out(stand)
        self._put_in(stand)
        self._look_at(older)
        self._head = max(self._noted or (row.number for row in older), default=0)
        self._count(counted)

    def mend(self) -> TagMend:
        """What makes all of it right that is not left."""
        return TagMend(self._tag, self._last, tuple(self._put), tuple(self._gone), self._head)

    def _is_older(self, row: TagRow) -> bool:
        """Whether it may be of before events kept their tags: all of these have lower numbers than those since."""
        if not 0 < row.number < self._first or row.position is None or row.tags is not None:
            return False
        return self._since is None or row.position < self._since

    def _take_out(self, stand: Mapping[int, TagRow]) -> None:
        for number, row in stand.items():
            if number in self._noted or self._is_older(row):
                continue
            if row.position is None and number > 0:
                raise StoreCorrupt(
                    f"tag {self._tag!r}, number {number}, leads to {row.stream} {row.version}, which is not there:"
                    " either that event is gone, or somebody has made the row, which is to be removed by hand then"
                )
            self._gone.append(number)
            self.wrong.append(Wrong(self._tag, number, f"{row.stream} {row.version}", None))

    def _put_in(self, stand: Mapping[int, TagRow]) -> None:
        for number, events in self._noted.items():
            row = stand.get(number)
            leads = None if row is None else (row.stream, row.version)
            if leads not in events:
                stands = None if leads is None else f"{leads[0]} {leads[1]}"
                leads = events[0]
                self._put.append(TagRow(self._tag, number, *leads))
                self.wrong.append(Wrong(self._tag, number, stands, f"{leads[0]} {leads[1]}"))
            for stream, version in events:
                if (stream, version) != leads:
                    self._leave(
                        number,
                        f"{stream} {version} has it, and so has {leads[0]} {leads[1]}, to which it leads: it was given"
                        " again while the row was gone, and decisions go on without the other",
                    )

    def _look_at(self, older: Sequence[TagRow]) -> None:
        due, before = 1, LOWEST
        for row in older:
            if row.number != due:
                self._leave(due, f"it is gone; {_OLDER} to which event it led")
            if row.position is not None and row.position <= before:
                self._leave(
                    row.number,
                    f"it leads to {row.stream} {row.version}, which is older than the event before it; {_OLDER} which"
                    " of the two is wrong",
                )
            due, before = row.number + 1, row.position or LOWEST
        if due < self._first < HIGHEST:
            self._leave(due, f"it is gone; {_OLDER} to which event it led")

    def _check_numbers(self) -> None:
        for number, due in zip(sorted(self._noted), range(self._first, HIGHEST), strict=False):
            if number != due:
                raise StoreCorrupt(
                    f"tag {self._tag!r}: no event has number {due}, and one has {number}: an event may be gone"
                )

    def _count(self, counted: int | None) -> None:
        if counted is None or counted == self._head:
            return
        if counted > self._head and not self._noted:
            self._leave(None, f"its events are counted to {counted}; {_OLDER} whether it had so many")
            self._head = counted
            return
        self.wrong.append(Wrong(self._tag, None, f"counted to {counted}", f"counted to {self._head}"))

    def _leave(self, number: int | None, why: str) -> None:
        place = f"tag {self._tag!r}" if number is None else f"tag {self._tag!r}, number {number}"
        self.left.append(f"{place}: {why}")


def _rows_of(integrity: Integrity, tag: str) -> Sequence[TagRow]:
    return whole_rows(integrity, (tag, LOWEST + 1), (tag, HIGHEST - 1))

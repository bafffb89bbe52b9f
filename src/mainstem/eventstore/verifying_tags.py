"""Verifying the index of tags: every row leads to the event that has it, and every event with tags has its rows.

Events are looked at first: what they say of their tags is held by their hashes. Each check is one of a range.
"""

from collections.abc import Iterator, Mapping, Sequence

from msgspec import Struct

from mainstem.eventstore.chain import Placed
from mainstem.eventstore.diagnosis import Finding
from mainstem.eventstore.integrity import Integrity
from mainstem.eventstore.tagging import FIRST, TagPlace, TagRow, noted_in

_RANGE = 8_192
_AT_ONCE = 500

Wrong = tuple[TagPlace, str]
"""A row that is not as it was, and why."""


class CheckedTags(Struct, frozen=True):
    """How many rows were looked at, how many of them lead to events that do not say which tags they have, and what is
    wrong.
    """

    rows: int
    unchained: int
    wrong: tuple[Wrong, ...]


def rows_wanted(integrity: Integrity, placed: Sequence[Placed]) -> Iterator[Wrong]:
    """What is missing of the rows that these events should have."""
    wanted = [(place, each.event.stream, each.event.version) for each in placed for place in noted_in(each.event.tags)]
    for start in range(0, len(wanted), _AT_ONCE):
        part = wanted[start : start + _AT_ONCE]
        stand = integrity.tag_rows_at(list({place for place, _, _ in part}))
        for place, stream, version in part:
            row = stand.get(place)
            if row is None:
                yield place, f"it is gone, and {stream} {version} has it"
            elif (row.stream, row.version) != (stream, version):
                yield place, f"it leads to {row.stream} {row.version}, and {stream} {version} has it"


def tag_ranges(integrity: Integrity) -> Iterator[tuple[TagPlace, TagPlace]]:
    """Ranges of so many rows: each begins with the last row of the one before."""
    after = FIRST
    while (upto := integrity.tags_ahead(after, _RANGE)) is not None:
        yield after, upto
        after = upto


def check_tags(
    integrity: Integrity, noted_from: int | None, after: TagPlace, upto: TagPlace
) -> tuple[CheckedTags, int]:
    """The rows behind one, up to another. From position `noted_from` on, events say which tags they have."""
    rows = whole_rows(integrity, after, upto)
    wrong: list[Wrong] = []
    unchained, before = 0, None
    for row in rows:
        if (row.tag, row.number) != after:
            wrong += _wrong_in(integrity, row, before, noted_from)
            unchained += row.position is not None and row.tags is None
        before = row
    looked = sum((row.tag, row.number) != after for row in rows)
    return CheckedTags(looked, unchained, tuple(wrong)), 0


def whole_rows(integrity: Integrity, first: TagPlace, last: TagPlace) -> Sequence[TagRow]:
    """The rows from one place to another, in order, with what the events say, of the archive too."""
    rows = integrity.tag_rows(first, last)
    archived = integrity.archive.noted({(row.stream, row.version) for row in rows if row.position is None})
    return [_with(row, archived) for row in rows]


def findings_of(integrity: Integrity, wrong: Mapping[TagPlace, str]) -> Iterator[Finding]:
    """Each place once; and of other tags, those that are counted to another number than that of their last row."""
    yield from (Finding("tag", tag, number, why) for (tag, number), why in sorted(wrong.items()))
    told = {tag for tag, _ in wrong}
    for tag, head, last in integrity.wrong_tag_heads():
        if tag not in told:
            yield Finding("tag", tag, last, f"its events are counted to {head}, and its last row is {last}")


def _with(row: TagRow, archived: Mapping[tuple[str, int], tuple[int, str | None]]) -> TagRow:
    found = archived.get((row.stream, row.version)) if row.position is None else None
    return row if found is None else TagRow(row.tag, row.number, row.stream, row.version, *found)


def _wrong_in(integrity: Integrity, row: TagRow, before: TagRow | None, noted_from: int | None) -> Iterator[Wrong]:
    same = before is not None and before.tag == row.tag
    due = before.number + 1 if same and before is not None else 1
    if row.number != due:
        yield (row.tag, due), f"it is gone, as number {row.number} behind it shows"
    place, leads = (row.tag, row.number), f"it leads to {row.stream} {row.version}"
    if row.position is None:
        if not integrity.archive.is_lost(row.stream, row.version):
            yield place, f"{leads}, which is not there"
    elif row.tags is not None or (noted_from is not None and row.position >= noted_from):
        if place not in noted_in(row.tags):
            yield place, f"{leads}, which does not have it"
    elif same and before is not None and before.position is not None and before.position >= row.position:
        yield place, f"{leads}, which is older than the event before it"

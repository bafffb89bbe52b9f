"""Archived events and rows put together, as both engines' stores hand them out."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from mainstem.eventstore.archive import Archive, ArchivedEvent
from mainstem.eventstore.port import StoredEvent, TaggedEvent

Placed = tuple[int, TaggedEvent]


def merged(
    page: Callable[[int], Sequence[ArchivedEvent]], archive: Archive | None, batch: int
) -> Iterator[Sequence[StoredEvent]]:
    """All events by position, in batches. `page` reads the rows behind a position, at most so many.

    The last event of all is a row, so that what is archived always comes before a row. Rows are read first: what is
    moved in between is in both then, and the row counts.
    """
    last = 0
    while rows := page(last):
        upto = rows[-1].position
        if archive is None or not archive.files(last, upto):
            yield [each.event for each in rows]
        else:
            yield from _batches(_both(rows, archive.between(last, upto)), batch)
        last = upto


def _both(rows: Sequence[ArchivedEvent], archived: Iterable[ArchivedEvent]) -> Iterator[StoredEvent]:
    at = 0
    places = {each.position for each in rows}
    for each in archived:
        while rows[at].position < each.position:
            yield rows[at].event
            at += 1
        if each.position not in places:
            yield each.event
    yield from (each.event for each in rows[at:])


def _batches(events: Iterable[StoredEvent], size: int) -> Iterator[Sequence[StoredEvent]]:
    batch: list[StoredEvent] = []
    for event in events:
        batch.append(event)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


def tagged(rows: Iterable[Any], stored: Callable[[Any], StoredEvent], archive: Archive | None) -> list[Placed]:
    """Events by their tags, each with its position. A row is tag, number, stream, version, position and the event.

    The event of a tag that is no row any more is looked for in the archive; one that is nowhere is left out.
    """
    all_rows = list(rows)
    gone = {(stream, version) for _, _, stream, version, position, *_ in all_rows if position is None}
    archived = archive.at(gone) if gone and archive is not None else {}
    found: list[Placed] = []
    for tag, number, stream, version, position, *event in all_rows:
        if position is not None:
            found.append((position, TaggedEvent(tag, number, stored(tuple(event)))))
        elif each := archived.get((stream, version)):
            found.append((each.position, TaggedEvent(tag, number, each.event)))
    return found


def in_order(found: Iterable[Placed]) -> list[TaggedEvent]:
    """By position, then by tag."""
    return [each for _, each in sorted(found, key=lambda pair: (pair[0], pair[1].tag))]

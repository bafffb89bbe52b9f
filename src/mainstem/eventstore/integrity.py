"""What verifying and sealing ask of an event store."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Protocol

from mainstem.eventstore.archive_integrity import ArchiveIntegrity
from mainstem.eventstore.chain import NOTHING, Placed, link_of
from mainstem.eventstore.seal import EVENTS_MAX, Entry, Hole, Seal, Unsealed, next_seal, opened
from mainstem.eventstore.tagging import TagMend, TagPlace, TagRow


class Integrity(Protocol):
    """A store whose events are chained and sealed. One thread uses it at a time.

    All methods raise StoreError as the store does.
    """

    archive: ArchiveIntegrity
    """What was moved to the archive; `placed` and `placed_of` hand it out among the rows."""

    def check(self) -> None:
        """Let the engine look at the structure of all that it stores, where it can. Raises StoreCorrupt for damage."""

    def seal(self, limit: int = EVENTS_MAX) -> int:
        """Seal at most so many events that no seal holds yet, in their order; how many. 0 also where another does."""

    def last_seal(self) -> Seal | None:
        """The newest."""

    def seals(self, after: int = 0, limit: int = 100) -> Sequence[Seal]:
        """At most so many with a higher number, in order."""

    def number_of(self, head: bytes) -> int | None:
        """The number of the seal that has this head."""

    def seals_over(self, after: int, upto: int) -> Sequence[Seal]:
        """Those that hold a position above `after` and at most `upto`, or might."""

    def seals_ahead(self, after: int, limit: int) -> tuple[int, int]:
        """How many seals have a higher number, at most so many, and the number of the last of them; 0 and 0 for none.

        It takes as long as there are seals, whatever their numbers are.
        """

    def placed(self, after: int, upto: int) -> Sequence[Placed]:
        """The events at these positions, in order."""

    def seal_ends(self, after: int, limit: int) -> Sequence[tuple[int, int]]:
        """Of at most so many seals that end at a higher position: where, and how many events are in it; in order."""

    def events_ahead(self, after: int, limit: int) -> tuple[int, int]:
        """How many events have a higher position, at most so many, and the position of the last of them; 0 and 0 for
        none.

        It takes as long as there are events, whatever their positions are.
        """

    def placed_of(self, stream: str) -> Iterator[Placed]:
        """The events of one stream, by version."""

    def last_position(self) -> int:
        """The highest; 0 where there is none."""

    def chained_from(self) -> int | None:
        """The position of the first event that has a hash."""

    def tags_ahead(self, after: TagPlace, limit: int) -> TagPlace | None:
        """The place of the last of at most so many rows of the index of tags behind that one; None for none."""

    def tag_rows(self, first: TagPlace, last: TagPlace) -> Sequence[TagRow]:
        """The rows from one place to another, in order, with what the events say that are rows."""

    def tag_rows_at(self, places: Sequence[TagPlace]) -> Mapping[TagPlace, TagRow]:
        """The rows at those places that are there; of their events nothing is said."""

    def wrong_tag_heads(self) -> Sequence[tuple[str, int, int]]:
        """Tags that are counted to another number than that of their last row, and both, where they are counted."""

    def mend_tag(self, mend: TagMend) -> None:
        """Do that to the rows of a tag, in one transaction, in which nobody else appends an event with it.

        Raises TagConflict, and changes nothing, where its last row has another number by now.
        """

    def close(self) -> None:
        """Give everything back. Closing twice is allowed."""


Row = tuple[int, str, int, bytes | None, int]
"""Position, stream, version, hash and recorded at."""


def seal_rows(
    last: Seal | None,
    rows: Sequence[Row],
    whole: Callable[[int, int], Sequence[Placed]],
    now_ms: int,
    *,
    late: bool,
) -> Seal:
    """The next seal of these rows; `whole` reads the events of a range, for those that have no hash."""
    bare = [position for position, _, _, hash_, _ in rows if hash_ is None]
    own = {each.position: link_of(NOTHING, each.event) for each in whole(min(bare) - 1, max(bare))} if bare else {}
    found = [
        Unsealed(Entry(position, stream, version, hash_ or own[position], hash_ is not None), at_ms)
        for position, stream, version, hash_, at_ms in rows
    ]
    return next_seal(last, found, now_ms, late=late)


def holes_of(last: Seal | None) -> Sequence[Hole]:
    """The gaps that the last seal has left open."""
    return () if last is None else opened(last).holes


def ahead(key: str, table: str, marker: str) -> str:
    """The question how many rows have a higher key, at most so many, and which the last of them has."""
    page = f"SELECT {key} AS n FROM {table} WHERE {key} > {marker} ORDER BY {key} LIMIT {marker}"
    return f"SELECT count(*), coalesce(max(n), 0) FROM ({page}) AS page"

"""What was done to a stream whose events do not fit its chain or the seals: told event by event.

A sealed event is known by its position, so what a seal lists is told exactly. An event that no seal holds yet is known
by the chain alone: in the order of their positions, each event's hash must be that of its content behind the event
before it, and where it is not, the events behind it tell which it was.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Literal

from msgspec import Struct

from mainstem.eventstore.chain import NOTHING, Placed, link_of
from mainstem.eventstore.seal import Entry, Hole, within

Kind = Literal["changed", "removed", "inserted", "reordered", "seal", "archive", "tag"]

_SWAPS_MAX = 12
_GAP_MAX = 1_000
_SEARCHED_MAX = 100_000
"""After so many comparisons an event that has another's content is told as changed."""


class Finding(Struct, frozen=True):
    """What is not as it was: which event (of kind `seal`: which seal, by number; of kind `archive`: which file, named
    as the stream; of kind `tag`: which tag, named as the stream, and which number in it), what was done to it, how it
    shows.
    """

    kind: Kind
    stream: str
    version: int
    why: str


class Frame(Struct, frozen=True):
    """What is true of the whole log while it is verified: up to where it is sealed but for some gaps, from where on it
    is chained; the numbers of `damaged` seals, which are not believed, and where what they said is `unknown`.
    """

    sealed_to: int
    holes: tuple[Hole, ...]
    unknown: tuple[Hole, ...]
    chained_from: int | None
    damaged: frozenset[int] = frozenset()

    def is_sealed(self, position: int) -> bool:
        """Whether an event at that position must be in a seal."""
        return position <= self.sealed_to and not within(position, self.holes) and not self.is_unknown(position)

    def is_unknown(self, position: int) -> bool:
        """Whether a damaged seal may have held it."""
        return within(position, self.unknown)

    def must_be_chained(self, position: int) -> bool:
        """Whether an event at that position must have a hash."""
        return self.chained_from is not None and position >= self.chained_from


def diagnose(
    stream: str,
    rows: Sequence[Placed],
    sealed: Mapping[int, Entry],
    frame: Frame,
    at: Callable[[int], Placed | None],
) -> list[Finding]:
    """All that is wrong with one stream. `rows` are its events by version; `sealed` are the seals' entries of it, and
    of its rows' positions; `at` reads the event at any position.
    """
    return sorted(_Stream(stream, rows, sealed, frame, at).findings(), key=lambda found: found.version)


class _Stream:
    def __init__(
        self,
        stream: str,
        rows: Sequence[Placed],
        sealed: Mapping[int, Entry],
        frame: Frame,
        at: Callable[[int], Placed | None],
    ) -> None:
        self._stream = stream
        self._rows = {row.position: row for row in rows}
        self._loose = {row.position: row for row in rows if row.position not in sealed}
        self._sealed = sorted((e for e in sealed.values() if e.stream == stream), key=lambda entry: entry.version)
        self._true = {entry.version: entry for entry in self._sealed}
        self._frame = frame
        self._at = at
        self._found: list[Finding] = []
        self._searched = 0
        self._displaced: list[tuple[int, Placed]] = []

    def findings(self) -> list[Finding]:
        self._judge_sealed()
        tail: list[Placed] = []
        for position, row in sorted(self._loose.items()):
            fits = row.event.hash == link_of(row.previous or NOTHING, row.event)
            if self._frame.is_sealed(position):
                self._tell("inserted", row.event.version, f"no seal has an event at position {position}")
            elif not (fits and self._frame.is_unknown(position)):
                tail.append(row)
        self._judge_tail(tail)
        self._judge_displaced()
        return self._found

    def _tell(self, kind: Kind, version: int, why: str) -> None:
        self._found.append(Finding(kind, self._stream, version, why))

    def _judge_sealed(self) -> None:
        wrong: list[tuple[Entry, Placed]] = []
        for entry in self._sealed:
            row = self._rows.get(entry.position)
            if row is None:
                self._gone(entry)
            elif not self._holds(row, entry):
                wrong.append((entry, row))
            elif row.event.hash != (entry.hash if entry.chained else None):
                self._tell("changed", entry.version, "its hash is not the one that was sealed")
            elif not entry.chained and self._frame.must_be_chained(entry.position):
                self._tell("inserted", entry.version, "it had no hash when it was sealed, as all around it have")
            elif row.event.version != entry.version:
                self._displaced.append((entry.version, row))
        others = [entry for entry, _ in wrong] if len(wrong) <= _SWAPS_MAX else []
        for entry, row in wrong:
            other = next((each for each in others if each is not entry and self._holds(row, each)), None)
            if other is None:
                self._tell("changed", entry.version, "its content is not what was sealed")
            else:
                self._tell("reordered", entry.version, f"it has the content of version {other.version}")

    def _holds(self, row: Placed, entry: Entry) -> bool:
        """Whether the row's content is that of the sealed event, whatever version it has now."""
        if row.event.stream != entry.stream:
            return False
        before = self._true.get(entry.version - 1)
        previous = before.hash if before is not None and before.chained else None
        if before is None and entry.version > 1:
            previous = row.previous
        return link_of((previous or NOTHING) if entry.chained else NOTHING, row.event, entry.version) == entry.hash

    def _gone(self, entry: Entry) -> None:
        """An event that is not where it was sealed."""
        moved = next((row for row in self._loose.values() if row.event.hash == entry.hash), None)
        if moved is not None and self._holds(moved, entry):
            del self._loose[moved.position]
            self._tell("reordered", entry.version, f"it stands at position {moved.position}, not {entry.position}")
            return
        other = self._at(entry.position)
        if other is None:
            self._tell("removed", entry.version, f"it was sealed at position {entry.position}")
        else:
            self._tell("changed", entry.version, f"it stands in the stream {other.event.stream}")

    def _judge_tail(self, tail: Sequence[Placed]) -> None:
        """The events that no seal holds, in the order of their positions."""
        last = self._sealed[-1] if self._sealed else None
        version = last.version if last is not None else 0
        head = last.hash if last is not None and last.chained else NOTHING
        for number, row in enumerate(tail):
            following = tail[number + 1] if number + 1 < len(tail) else None
            version, head = self._step(row, following, version, head)

    def _step(self, row: Placed, following: Placed | None, version: int, head: bytes) -> tuple[int, bytes]:
        """One event behind a version and its hash; what stands behind it then."""
        event, due = row.event, version + 1
        if event.hash is None and not self._frame.must_be_chained(row.position) and event.version == due:
            return due, NOTHING
        if event.hash == (made := link_of(head, event, due)):
            if event.version != due:
                self._displaced.append((due, row))
            return due, made
        other = self._holder(row, due, head)
        if other is not None:
            self._tell("reordered", due, f"it has the content of another: its own is at version {other.event.version}")
            return due, link_of(head, other.event, due)
        missing = self._missing_before(row, following, due)
        if missing:
            for each in range(due, due + missing):
                self._tell("removed", each, "the events around it are not next to each other")
            return due + missing, event.hash or NOTHING
        if self._is_inserted(row, following, version, head):
            self._tell("inserted", event.version, "it is not part of the chain")
            return version, head
        if following is not None and following.event.hash == link_of(made, following.event, due + 1):
            self._tell("changed", due, "its hash is not that of its content")
            return due, made
        self._tell("changed", due, "its content is not that of its hash")
        return due, event.hash or made

    def _holder(self, row: Placed, due: int, head: bytes) -> Placed | None:
        """The event that has the content which belongs into this one's place, with its hash or without."""
        self._searched += len(self._rows)
        if self._searched > _SEARCHED_MAX:
            return None
        for other in self._rows.values():
            if other is not row and link_of(head, other.event, due) in (row.event.hash, other.event.hash):
                return other
        return None

    def _missing_before(self, row: Placed, following: Placed | None, due: int) -> int:
        """How many events are gone before this one, whose place may have been taken by those behind it."""
        gap = row.event.version - due
        if 0 < gap <= _GAP_MAX and row.event.hash is not None:
            return gap
        if following is None or row.event.hash is None or row.event.version != due:
            return 0
        return int(following.event.hash == link_of(row.event.hash, following.event, due + 2))

    def _is_inserted(self, row: Placed, following: Placed | None, version: int, head: bytes) -> bool:
        event = row.event
        if following is not None:
            return following.event.hash == link_of(head, following.event, version + 1)
        same = any(other.event.hash == event.hash for other in self._rows.values() if other is not row)
        return event.hash is None or same or event.version <= version

    def _judge_displaced(self) -> None:
        """Events under another version than they had: in another order, or only pushed by what was told already."""
        stands = [row.event.version for _, row in sorted(self._displaced, key=lambda pair: pair[0])]
        if stands and (stands != sorted(stands) or not self._found):
            kind: Kind = "changed" if stands == sorted(stands) else "reordered"
            for version, row in self._displaced:
                self._tell(kind, version, f"it stands at version {row.event.version}")

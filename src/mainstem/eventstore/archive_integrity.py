"""What verifying asks of the archive: each file, and its events with the hashes before them, among the rows."""

from collections.abc import Collection, Iterator, Sequence
from heapq import merge

from msgspec import Struct

from mainstem.errors import StoreError
from mainstem.eventstore.archive import Archive, ArchivedEvent, ArchivedRange, ArchiveFile, Ask, Place
from mainstem.eventstore.chain import HIGHEST, LOWEST, Placed

_KEPT = 2
_BEFORE = (
    "SELECT p.stream, p.last_version, p.hash FROM archived_stream a"
    " JOIN archived_stream p ON p.stream = a.stream AND p.last_version = a.first_version - 1 WHERE a.name = ?"
)


class _File(Struct, frozen=True):
    by_position: Sequence[Placed]
    by_stream: dict[str, list[Placed]]


class ArchiveIntegrity:
    """The archive of one store, for one thread. A file that cannot be read counts as lost, and its events as well.

    A file is read once for all ranges that follow each other in it.
    """

    def __init__(self, archive: Archive, ask: Ask) -> None:
        self._archive = archive
        self._ask = ask
        self._lost: set[str] = set()
        self._kept: dict[str, _File] = {}

    def files(self) -> Sequence[ArchiveFile]:
        """All that are listed."""
        return self._archive.files(LOWEST, HIGHEST)

    def unlisted(self) -> Sequence[str]:
        """Files that streams are in and that the store does not list."""
        listed = "SELECT 1 FROM event_archive f WHERE f.name = a.name"
        sql = f"SELECT DISTINCT a.name FROM archived_stream a WHERE NOT EXISTS ({listed}) ORDER BY a.name"
        return [str(name) for (name,) in self._ask(sql, ())]

    def left_over(self) -> Sequence[str]:
        """Files that nobody reads: of a run that died, or of another store in the same folder."""
        return self._archive.left_over()

    def trouble(self, file: ArchiveFile) -> str | None:
        """What is wrong with a file, if anything is: its bytes, or what the store says of it."""
        try:
            events = self._archive.whole(file)
        except StoreError as error:
            self._lost.add(file.name)
            return str(error)
        places = (len(events), events[0].position, events[-1].position) if events else (0, 0, 0)
        size = len(self._archive.content(file))
        if (size, *places) != (file.size, file.events, file.first_position, file.last_position):
            return "its events are not those that the store says are in it"
        if _ranges_in(events, file.name) != self._archive.ranges(file.name):
            return "its streams are not those that the store says are in it"
        return None

    def noted(self, places: Collection[Place]) -> dict[Place, tuple[int, str | None]]:
        """Of those of these events that are archived their positions, and what they say of their tags.

        Files that the store says have them are read first, the others only where these do not.
        """
        wanted, found = set(places), dict[Place, tuple[int, str | None]]()
        names = {each.name for stream, version in wanted for each in self._archive.ranges_of(stream, version, version)}
        for file in sorted(self.files() if wanted else (), key=lambda file: file.name not in names):
            if wanted <= found.keys():
                break
            opened = self._opened(file)
            for row in () if opened is None else opened.by_position:
                if (place := (row.event.stream, row.event.version)) in wanted:
                    found[place] = (row.position, row.event.tags)
        return found

    def is_lost(self, stream: str, version: int) -> bool:
        """Whether the event is in a file that could not be read, or that the store does not list."""
        names = {each.name for each in self._archive.ranges_of(stream, version, version)}
        return bool(names) and (bool(names & self._lost) or not names <= {file.name for file in self.files()})

    def among(self, rows: Sequence[Placed], after: int, upto: int) -> Sequence[Placed]:
        """The rows at these positions and what is archived at them, in order."""
        found: list[Sequence[Placed]] = [rows]
        for file in self._archive.files(after, upto):
            if (opened := self._opened(file)) is not None:
                found += [[each for each in opened.by_position if after < each.position <= upto]]
        return rows if len(found) == 1 else list(merge(*found, key=lambda each: each.position))

    def of_stream(self, stream: str) -> Iterator[Placed]:
        """What is archived of one stream, by version."""
        files = {file.name: file for file in self.files()} if self._archive.ranges_of(stream, 1, HIGHEST) else {}
        for each in self._archive.ranges_of(stream, 1, HIGHEST):
            file = files.get(each.name)
            opened = None if file is None else self._opened(file)
            if opened is None:
                self._lost.add(each.name)
            else:
                yield from opened.by_stream.get(stream, ())

    def _opened(self, file: ArchiveFile) -> _File | None:
        if file.name in self._lost:
            return None
        kept = self._kept.get(file.name)
        if kept is None:
            try:
                kept = self._placed(file)
            except StoreError:
                self._lost.add(file.name)
                return None
            self._kept[file.name] = kept
            while len(self._kept) > _KEPT:
                del self._kept[next(iter(self._kept))]
        return kept

    def _placed(self, file: ArchiveFile) -> _File:
        events = self._archive.whole(file)
        hashes = {(stream, version): hash_ for stream, version, hash_ in self._ask(_BEFORE, (file.name,))}
        hashes |= {(each.event.stream, each.event.version): each.event.hash for each in events}
        found: list[Placed] = []
        by_stream: dict[str, list[Placed]] = {}
        for each in events:
            before = (each.event.stream, each.event.version - 1)
            found.append(Placed(each.position, each.event, hashes.get(before), before in hashes))
            by_stream.setdefault(each.event.stream, []).append(found[-1])
        for own in by_stream.values():
            own.sort(key=lambda each: each.event.version)
        return _File(found, by_stream)


def _ranges_in(events: Sequence[ArchivedEvent], name: str) -> list[ArchivedRange]:
    """By stream, in the order of the list that the store has."""
    found: dict[str, ArchivedRange] = {}
    for each in sorted(events, key=lambda each: (each.event.stream.encode(), each.event.version)):
        event = each.event
        first = found[event.stream].first_version if event.stream in found else event.version
        found[event.stream] = ArchivedRange(event.stream, first, event.version, name, event.hash)
    return list(found.values())

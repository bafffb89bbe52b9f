"""Verifying a whole store: every event against its chain and its seal, every seal against those before it.

The work is cut into ranges of events and of seals, which processes check beside each other; what does not fit is told
by the stream that it belongs to. Ranges follow the rows that are there: a position or a number that damage has made
huge costs nothing. It changes nothing, and may run beside writers: what they append is left for the next time.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing

from msgspec import Struct

from mainstem.errors import ConfigurationError
from mainstem.eventstore.archive import ArchiveFile
from mainstem.eventstore.chain import HIGHEST, LOWEST, NOTHING, Placed, link_of
from mainstem.eventstore.diagnosis import Finding, Frame, diagnose
from mainstem.eventstore.integrity import Integrity, holes_of
from mainstem.eventstore.seal import EVENTS_MAX, Entry, Hole, Seal, head_of, is_intact, opened
from mainstem.eventstore.verifying_tags import Wrong, check_tags, findings_of, rows_wanted, tag_ranges
from mainstem.eventstore.working import Open, Ranges

_RANGE = 8_192
_SEALS_RANGE = 16
_ALONE_MAX = 20_000
"""So many events are verified in less time than other processes take to start."""

_STREAMS_TOLD = 1_000
_PAGE = 100
_COUNTED = 1_000_000

Numbers = tuple[int, int]
"""The first and the last number of seals that follow each other."""


class Checked(Struct, frozen=True):
    """What was looked at in a range, and the streams that do not fit; where an event is first that keeps its tags, and
    which of these are not as it says.
    """

    events: int
    unchained: int
    unsealed: int
    suspects: frozenset[str]
    noted_from: int | None = None
    wrong: tuple[Wrong, ...] = ()


class Verified(Struct, frozen=True, rename="camel"):
    """What verifying has found. `head` is that of the last seal, in hexadecimal.

    `unchained` events are of before there was a chain: seals alone hold them. `unsealed` ones are held by the chain
    alone. `tags`: how many rows the index of tags has; `unchained_tags` of them are of events of before these kept
    their tags. `left_over`: files in the archive's folder that are not read, of a run that died or of another store.
    """

    events: int
    unchained: int
    unsealed: int
    seals: int
    head: str | None
    findings: tuple[Finding, ...]
    tags: int = 0
    unchained_tags: int = 0
    left_over: tuple[str, ...] = ()

    @property
    def clean(self) -> bool:
        """Whether all is as it was."""
        return not self.findings


def work_of(integrity: Integrity) -> int:
    """How much there is to be done, as `progress` hears of it: every event, and every one that is sealed, about."""
    events, after, last = 0, LOWEST, integrity.last_seal()
    while (ahead := integrity.events_ahead(after, _COUNTED))[0]:
        events, after = events + ahead[0], ahead[1]
    archived = sum(file.events for file in integrity.archive.files())
    sealed = 0 if last is None else min(events + archived, max(0, last.sealed_to))
    return events + 2 * archived + sealed


def verify(
    open_: Open, *, workers: int = 1, progress: Callable[[int], None] = lambda _: None, root: str | None = None
) -> Verified:
    """Everything. `open_` opens the store, in each worker anew; `root` is a head that one of the seals must have.

    Raises StoreError as the store does, ConfigurationError for a root that is none.
    """
    known = _head_in(root)
    with closing(open_()) as integrity:
        integrity.check()
        last, position = integrity.last_seal(), integrity.last_position()
        findings: list[Finding] = []
        if known is not None and integrity.number_of(known) is None:
            findings.append(Finding("seal", "", 0, f"no seal has the root {root}: what it stood for is not there"))
        few = integrity.events_ahead(LOWEST, _ALONE_MAX + 1)[0] <= _ALONE_MAX
        with Ranges(integrity, open_, 1 if few else workers) as ranges:
            left_over = tuple(integrity.archive.left_over())
            unlisted = integrity.archive.unlisted()
            findings += [
                Finding("archive", name, 0, "the store does not list it, and has streams in it") for name in unlisted
            ]
            files = [(file,) for file in integrity.archive.files()]
            findings += [each for found in ranges.each(check_file, files, progress) for each in found]
            tasks = _seal_ranges(integrity, 0 if last is None else last.number)
            seals = sorted(each for found in ranges.each(check_seals, tasks, progress) for each in found)
            findings += [Finding("seal", "", each[0], _told_of(each)) for each in seals]
            frame = _frame(integrity, last, position, seals)
            end = HIGHEST if last is not None and last.number in frame.damaged else max(position, frame.sealed_to)
            cuts = ((frame, *cut) for cut in event_ranges(integrity, end))
            checked = list(ranges.each(check_events, cuts, progress))
            noted_from = min((each.noted_from for each in checked if each.noted_from is not None), default=None)
            tasks_of_tags = ((noted_from, *places) for places in tag_ranges(integrity))
            tags = list(ranges.each(check_tags, tasks_of_tags, progress))
        suspects = sorted(set().union(*(each.suspects for each in checked)))
        findings += _told(integrity, frame, suspects)
        wrong = [pair for each in tags for pair in each.wrong] + [pair for each in checked for pair in each.wrong]
        findings += findings_of(integrity, dict(wrong))
    return Verified(
        events=sum(each.events for each in checked),
        unchained=sum(each.unchained for each in checked),
        unsealed=sum(each.unsealed for each in checked),
        seals=0 if last is None else last.number,
        head=None if last is None else last.head.hex(),
        findings=tuple(findings),
        tags=sum(each.rows for each in tags),
        unchained_tags=sum(each.unchained for each in tags),
        left_over=left_over,
    )


def check_file(integrity: Integrity, file: ArchiveFile) -> tuple[list[Finding], int]:
    """What is wrong with a file of the archive; and how many events it has."""
    trouble = integrity.archive.trouble(file)
    return [] if trouble is None else [Finding("archive", file.name, 0, trouble)], file.events


def check_seals(integrity: Integrity, after: int, upto: int) -> tuple[list[Numbers], int]:
    """Those that are missing, or not what was sealed; and how many events those hold that are there.

    `after` is the number of a seal that is there, or LOWEST.
    """
    wrong: list[Numbers] = []
    behind, done = max(0, after), 0
    heads = {NOTHING} if behind == 0 else _heads(integrity.seals(behind - 1, 1)[0])
    for seal in _seals_in(integrity, after, upto):
        if seal.number > behind + 1:
            wrong.append((behind + 1, seal.number - 1))
            heads = set()
        if seal.number < 1 or not is_intact(heads, seal):
            wrong.append((seal.number, seal.number))
        heads = _heads(seal) if seal.number > 0 else heads
        behind, done = max(behind, seal.number), done + min(max(0, seal.events), EVENTS_MAX)
    return wrong, done


def _seals_in(integrity: Integrity, after: int, upto: int) -> Iterator[Seal]:
    while after < upto and (page := integrity.seals(after, _SEALS_RANGE)):
        after = page[-1].number
        yield from (seal for seal in page if seal.number <= upto)


def check_events(integrity: Integrity, frame: Frame, after: int, upto: int) -> tuple[Checked, int]:
    """Those at these positions; and how many they are."""
    known = {entry.position: entry for entry in _entries(integrity, frame, after, upto)}
    suspects, unchained, unsealed = set[str](), 0, 0
    rows = integrity.placed(after, upto)
    for row in rows:
        event, position = row.event, row.position
        entry = known.pop(position, None)
        unchained += event.hash is None
        unsealed += entry is None
        hash_ = link_of(NOTHING, event) if event.hash is None else event.hash
        if entry is None:
            fits = not frame.is_sealed(position)
        else:
            fits = hash_ == entry.hash and event.version == entry.version and event.stream == entry.stream
            if not fits or entry.chained is (event.hash is None):
                suspects |= {entry.stream, event.stream}
        if not fits or not _follows(row, frame):
            suspects.add(event.stream)
    suspects |= {each.stream for each in known.values() if not integrity.archive.is_lost(each.stream, each.version)}
    noted_from = next((row.position for row in rows if row.event.tags is not None), None)
    wrong = tuple(rows_wanted(integrity, rows))
    return Checked(len(rows), unchained, unsealed, frozenset(suspects), noted_from, wrong), len(rows)


def _follows(row: Placed, frame: Frame) -> bool:
    """Whether the event follows on from the one before it in its stream."""
    event = row.event
    if event.version > 1 and not row.follows:
        return False
    if event.hash is None:
        return not frame.must_be_chained(row.position)
    return event.hash == link_of(row.previous or NOTHING, event)


def _heads(seal: Seal) -> set[bytes]:
    """What the seal behind this one may be chained to."""
    return {seal.head, head_of(seal)}


def _head_in(root: str | None) -> bytes | None:
    try:
        found = None if root is None else bytes.fromhex(root)
    except ValueError:
        found = b""
    if found is not None and len(found) != len(NOTHING):
        raise ConfigurationError(f"a root is {2 * len(NOTHING)} hexadecimal digits, not {root!r}")
    return found


def _seal_ranges(integrity: Integrity, end: int) -> Iterator[tuple[int, int]]:
    """Ranges of so many seals, up to that number."""
    after = LOWEST
    while after < end and (found := integrity.seals_ahead(after, _SEALS_RANGE))[0]:
        yield after, min(found[1], end)
        after = found[1]


def event_ranges(integrity: Integrity, end: int) -> Iterator[tuple[int, int]]:
    """Ranges up to that position, all next to each other: of so many events, and of not many more that are sealed."""
    after = LOWEST
    while after < end:
        count, last = integrity.events_ahead(after, _RANGE)
        upto = min(last if count == _RANGE else end, _sealed_enough(integrity, after), end)
        yield after, upto
        after = upto


def _sealed_enough(integrity: Integrity, after: int) -> int:
    """Up to where seals hold twice as many events as a range has."""
    sealed = 0
    for last, events in integrity.seal_ends(after, _RANGE):
        sealed += max(1, events)
        if sealed >= 2 * _RANGE:
            return last
    return HIGHEST


def _told_of(numbers: Numbers) -> str:
    first, last = numbers
    if first == last:
        return "it is missing, or not what was sealed"
    return f"it is missing, and so is every seal up to {last}"


def _frame(integrity: Integrity, last: Seal | None, position: int, wrong: Sequence[Numbers]) -> Frame:
    return Frame(
        sealed_to=0 if last is None else last.sealed_to,
        holes=() if last is None or (last.number, last.number) in wrong else tuple(holes_of(last)),
        unknown=tuple(_unknown(integrity, position, wrong)),
        chained_from=integrity.chained_from(),
        damaged=frozenset(first for first, end in wrong if first == end),
    )


def _unknown(integrity: Integrity, position: int, wrong: Sequence[Numbers]) -> Iterator[Hole]:
    """Where damaged seals were: no seal says what has to be there."""
    for first, last in _joined(wrong):
        before = integrity.seals(first - 2, 1) if first > 1 else ()
        behind = integrity.seals(last, 1)
        yield (before[0].sealed_to + 1 if before else 1, behind[0].first_position - 1 if behind else position)


def _joined(wrong: Sequence[Numbers]) -> list[Numbers]:
    """Those next to each other as one; without what is no number of a seal."""
    joined: list[Numbers] = []
    for first, last in wrong:
        if joined and joined[-1][1] + 1 == first:
            joined[-1] = (joined[-1][0], last)
        elif first > 0:
            joined.append((first, last))
    return joined


def _entries(integrity: Integrity, frame: Frame, after: int, upto: int) -> Iterator[Entry]:
    for seal in integrity.seals_over(after, upto):
        if seal.number > 0 and seal.number not in frame.damaged:
            yield from (entry for entry in opened(seal).entries if after < entry.position <= upto)


def _told(integrity: Integrity, frame: Frame, suspects: Sequence[str]) -> Iterator[Finding]:
    """What was done to each of these streams."""
    streams = {stream: list(integrity.placed_of(stream)) for stream in suspects[:_STREAMS_TOLD]}
    sealed = _sealed_of(integrity, frame, streams)

    def at(position: int) -> Placed | None:
        found = integrity.placed(position - 1, position)
        return found[0] if found else None

    for stream, rows in streams.items():
        places = {row.position for row in rows}
        own = {
            position: entry
            for position, entry in sealed.items()
            if position in places or (entry.stream == stream and not integrity.archive.is_lost(stream, entry.version))
        }
        found = diagnose(stream, rows, own, frame, at)
        elsewhere = all(sealed[p].stream != stream for p in places & sealed.keys()) and bool(places & sealed.keys())
        if not found and not elsewhere:
            found = [Finding("changed", stream, 0, "it does not fit its seals, and how cannot be told")]
        yield from found
    for stream in suspects[_STREAMS_TOLD:]:
        yield Finding("changed", stream, 0, f"more than {_STREAMS_TOLD} streams are damaged: this one is not told of")


def _sealed_of(integrity: Integrity, frame: Frame, streams: dict[str, list[Placed]]) -> dict[int, Entry]:
    """The seals' entries of these streams and of the positions of their events."""
    places = {row.position for rows in streams.values() for row in rows}
    found: dict[int, Entry] = {}
    number = 0
    while seals := (integrity.seals(number, _PAGE) if streams else ()):
        number = seals[-1].number
        for seal in seals:
            if seal.number not in frame.damaged:
                entries = opened(seal).entries
                found.update({e.position: e for e in entries if e.stream in streams or e.position in places})
    return found

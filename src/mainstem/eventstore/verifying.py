"""Verifying a whole store: every event against its chain and its seal, every seal against those before it.

The work is cut into ranges of positions and of seals, which processes check beside each other; what does not fit is
told by the stream that it belongs to. It changes nothing, and may run beside writers: what they append is left for the
next time.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing

from msgspec import Struct

from mainstem.errors import ConfigurationError
from mainstem.eventstore.chain import NOTHING, link_of
from mainstem.eventstore.diagnosis import Finding, Frame, diagnose
from mainstem.eventstore.integrity import Integrity, Placed, holes_of
from mainstem.eventstore.seal import Entry, Hole, Seal, head_of, is_intact, opened
from mainstem.eventstore.working import Open, Ranges

_RANGE = 8_192
_SEALS_RANGE = 16
_ALONE_MAX = 20_000
"""So many events are verified in less time than other processes take to start."""

_STREAMS_TOLD = 1_000
_PAGE = 100


class Checked(Struct, frozen=True):
    """What was looked at in a range, and the streams that do not fit."""

    events: int
    unchained: int
    unsealed: int
    suspects: frozenset[str]


class Verified(Struct, frozen=True, rename="camel"):
    """What verifying has found. `head` is that of the last seal, in hexadecimal.

    `unchained` events are of before there was a chain: seals alone hold them. `unsealed` ones are held by the chain
    alone.
    """

    events: int
    unchained: int
    unsealed: int
    seals: int
    head: str | None
    findings: tuple[Finding, ...]

    @property
    def clean(self) -> bool:
        """Whether all is as it was."""
        return not self.findings


def work_of(integrity: Integrity) -> int:
    """How much there is to be done, as `progress` hears of it."""
    last = integrity.last_seal()
    return integrity.last_position() + (last.sealed_to if last is not None else 0)


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
        with Ranges(integrity, open_, workers if position > _ALONE_MAX else 1) as ranges:
            wrong = sorted(n for found in ranges.each(check_seals, _cut(last), progress) for n in found)
            findings += [Finding("seal", "", number, "it is missing, or not what was sealed") for number in wrong]
            frame = _frame(integrity, last, position, frozenset(wrong))
            tasks = [(frame, after, min(after + _RANGE, position)) for after in range(0, position, _RANGE)]
            checked = list(ranges.each(check_events, tasks, progress))
        suspects = sorted(set().union(*(each.suspects for each in checked)))
        findings += _told(integrity, frame, suspects)
    return Verified(
        events=sum(each.events for each in checked),
        unchained=sum(each.unchained for each in checked),
        unsealed=sum(each.unsealed for each in checked),
        seals=0 if last is None else last.number,
        head=None if last is None else last.head.hex(),
        findings=tuple(findings),
    )


def check_seals(integrity: Integrity, after: int, upto: int) -> tuple[list[int], int]:
    """The numbers of those that are missing or not what was sealed; and how many positions were looked at."""
    seals = {seal.number: seal for seal in integrity.seals(max(0, after - 1), upto - max(0, after - 1))}
    before = seals.get(after)
    heads = {NOTHING} if after == 0 else _heads(before)
    wrong = []
    for number in range(after + 1, upto + 1):
        seal = seals.get(number)
        if seal is None or not is_intact(heads, seal):
            wrong.append(number)
        heads = _heads(seal)
    return wrong, sum(seal.events for seal in seals.values() if seal.number > after)


def check_events(integrity: Integrity, frame: Frame, after: int, upto: int) -> tuple[Checked, int]:
    """Those at these positions; and how many positions that are."""
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
    suspects |= {entry.stream for entry in known.values()}
    return Checked(len(rows), unchained, unsealed, frozenset(suspects)), upto - after


def _follows(row: Placed, frame: Frame) -> bool:
    """Whether the event follows on from the one before it in its stream."""
    event = row.event
    if event.version > 1 and not row.follows:
        return False
    if event.hash is None:
        return not frame.must_be_chained(row.position)
    return event.hash == link_of(row.previous or NOTHING, event)


def _heads(seal: Seal | None) -> set[bytes]:
    """What the seal behind this one may be chained to; nothing where that cannot be known."""
    return set() if seal is None else {seal.head, head_of(seal)}


def _head_in(root: str | None) -> bytes | None:
    try:
        found = None if root is None else bytes.fromhex(root)
    except ValueError:
        found = b""
    if found is not None and len(found) != len(NOTHING):
        raise ConfigurationError(f"a root is {2 * len(NOTHING)} hexadecimal digits, not {root!r}")
    return found


def _cut(last: Seal | None) -> list[tuple[int, int]]:
    end = 0 if last is None else last.number
    return [(after, min(after + _SEALS_RANGE, end)) for after in range(0, end, _SEALS_RANGE)]


def _frame(integrity: Integrity, last: Seal | None, position: int, damaged: frozenset[int]) -> Frame:
    return Frame(
        sealed_to=0 if last is None else last.sealed_to,
        holes=() if last is None or last.number in damaged else tuple(holes_of(last)),
        unknown=tuple(_unknown(integrity, position, damaged)),
        chained_from=integrity.chained_from(),
        damaged=damaged,
    )


def _unknown(integrity: Integrity, position: int, damaged: frozenset[int]) -> Iterator[Hole]:
    """Where damaged seals were: no seal says what has to be there."""
    for number in sorted(damaged):
        before = integrity.seals(number - 2, 1) if number > 1 else ()
        behind = integrity.seals(number, 1)
        yield (before[0].sealed_to + 1 if before else 1, behind[0].first_position - 1 if behind else position)


def _entries(integrity: Integrity, frame: Frame, after: int, upto: int) -> Iterator[Entry]:
    for seal in integrity.seals_over(after, upto):
        if seal.number not in frame.damaged:
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
        own = {p: entry for p, entry in sealed.items() if p in places or entry.stream == stream}
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

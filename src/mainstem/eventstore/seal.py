"""Seals: a Merkle root over each interval of the log, chained root to root, and the list of what was in it.

A seal's leaf is SHA-256(0x00 | position | the event's hash), its node SHA-256(0x01 | left | right), the tree that of
RFC 6962. A seal's head is SHA-256(0x02 | the head before, or 32 zero bytes | number | sealed to | sealed at | root |
SHA-256 of the list), numbers in 8 bytes, big-endian: so the last head stands for all that was ever sealed, and whoever
keeps it elsewhere can tell whether the whole is still what it was.

Where several processes write, positions are given before they commit: one may come when higher ones are sealed already.
A seal therefore lists the events that it holds, names the gaps between them that may still be filled, and what fills
one is in a later seal. A gap is given up when what stands behind it was recorded so long ago that no transaction lives
as long.
"""

import zlib
from collections.abc import Collection, Iterable, Iterator, Sequence
from hashlib import sha256

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from mainstem.errors import CodecError
from mainstem.eventstore.chain import NOTHING

LATE_MS = 600_000
"""How long a position may be given before it commits; the limits of a writer's connection are far below."""

EVENTS_MAX = 4_096
_HOLES_MAX = 1_000

Hole = tuple[int, int]
"""The first and last position of a gap that may still be filled."""


class Entry(Struct, frozen=True, array_like=True, gc=False):
    """A sealed event: its place and hash; one that was stored before there was a chain is not `chained`."""

    position: int
    stream: str
    version: int
    hash: bytes
    chained: bool


class Content(Struct, frozen=True, array_like=True):
    """What is in a seal, and the gaps that were open when it was made."""

    entries: tuple[Entry, ...]
    holes: tuple[Hole, ...]


class Seal(Struct, frozen=True):
    """An interval that is closed. `sealed_to` is the highest position in this seal or one before it, `previous` the
    head of that.
    """

    number: int
    first_position: int
    last_position: int
    sealed_to: int
    events: int
    root: bytes
    previous: bytes
    head: bytes
    sealed_at_ms: int
    content: bytes


class Unsealed(Struct, frozen=True, gc=False):
    """An event that no seal holds yet, and when it was recorded."""

    entry: Entry
    recorded_at_ms: int


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Content)


def merkle_root(leaves: Sequence[bytes]) -> bytes:
    """The root of a tree of at least one leaf; a node without a neighbour goes up as it is."""
    level = list(leaves)
    while len(level) > 1:
        above = [sha256(b"\x01" + left + right).digest() for left, right in zip(level[::2], level[1::2], strict=False)]
        if len(level) % 2:
            above.append(level[-1])
        level = above
    return level[0]


def next_seal(last: Seal | None, found: Sequence[Unsealed], now_ms: int, *, late: bool) -> Seal:
    """The seal behind the last one, of at least one event. `late`: whether gaps may still be filled."""
    entries = tuple(sorted((each.entry for each in found), key=lambda entry: entry.position))
    sealed_to = last.sealed_to if last is not None else 0
    holes = _holes(last, sealed_to, found, now_ms) if late else ()
    number, previous = (1, NOTHING) if last is None else (last.number + 1, last.head)
    made = Seal(
        number=number,
        first_position=entries[0].position,
        last_position=entries[-1].position,
        sealed_to=max(sealed_to, entries[-1].position),
        events=len(entries),
        root=_root(entries),
        previous=previous,
        head=b"",
        sealed_at_ms=now_ms,
        content=zlib.compress(_encoder.encode(Content(entries, holes)), 1),
    )
    return replace(made, head=head_of(made))


def opened(seal: Seal) -> Content:
    """What is in it. Raises CodecError where that cannot be read."""
    try:
        return _decoder.decode(zlib.decompress(seal.content))
    except (zlib.error, msgspec.DecodeError) as error:
        raise CodecError(f"the list of seal {seal.number} cannot be read: {error}") from error


def is_intact(heads: Collection[bytes], seal: Seal) -> bool:
    """Whether all of it follows from its list and one of the heads before it; unless any are known, from the list."""
    try:
        entries = opened(seal).entries
    except CodecError:
        return False
    if not entries:
        return False
    places = (entries[0].position, entries[-1].position, len(entries))
    return (
        places == (seal.first_position, seal.last_position, seal.events)
        and seal.root == _root(entries)
        and seal.previous in (heads or {seal.previous})
        and seal.head == head_of(seal)
    )


def head_of(seal: Seal) -> bytes:
    """The head that follows from all else in it."""
    numbers = b"".join(_bytes_of(each) for each in (seal.number, seal.sealed_to, seal.sealed_at_ms))
    list_ = sha256(seal.content).digest()
    return sha256(b"\x02" + seal.previous + numbers + seal.root + list_).digest()


def within(position: int, holes: Iterable[Hole]) -> bool:
    """Whether it is in one of these gaps."""
    return any(first <= position <= last for first, last in holes)


def _root(entries: Sequence[Entry]) -> bytes:
    return merkle_root([sha256(b"\x00" + _bytes_of(each.position) + each.hash).digest() for each in entries])


def _bytes_of(number: int) -> bytes:
    """A damaged file may hold negative ones."""
    return number.to_bytes(8, "big", signed=True)


def _holes(last: Seal | None, sealed_to: int, found: Sequence[Unsealed], now_ms: int) -> tuple[Hole, ...]:
    """The gaps below what is sealed now, the newest of them if there are too many."""
    by_position = sorted(found, key=lambda each: each.entry.position)
    old = opened(last) if last is not None and now_ms - last.sealed_at_ms < LATE_MS else Content((), ())
    filled = [each.entry.position for each in by_position if each.entry.position <= sealed_to]
    holes = [rest for hole in old.holes for rest in _rest_of(hole, filled)]
    before = sealed_to
    for each in by_position:
        if each.entry.position > before + 1 and now_ms - each.recorded_at_ms < LATE_MS:
            holes.append((before + 1, each.entry.position - 1))
        before = max(before, each.entry.position)
    return tuple(holes[-_HOLES_MAX:])


def _rest_of(hole: Hole, filled: Sequence[int]) -> Iterator[Hole]:
    begin, end = hole
    for position in filled:
        if begin <= position <= end:
            if position > begin:
                yield (begin, position - 1)
            begin = position + 1
    if begin <= end:
        yield (begin, end)

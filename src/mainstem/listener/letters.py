"""Dead letters: records that a listener could not handle, with the cause and where they came from."""

import traceback
from collections.abc import Mapping

from mainstem.errors import InvalidQuery
from mainstem.listener.binding import Binding
from mainstem.messages import NewRecord, Record

FAILED = "failed"
"""The record itself could not be handled."""

BEHIND = "behind"
"""An earlier record of its key could not: this one waits behind it, so that the key's order is kept."""

RETRIED = "retried"
"""The key's letters up to this record's origin were handled, and what they lead to was sent together with it."""

DROPPED = "dropped"
"""Somebody has dropped the key's letters up to this record's origin."""

EDITED = "edited"
"""Somebody has given the letter of this record's origin another value, to be handled in the place of the first."""

Headers = tuple[tuple[str, bytes], ...]

_PREFIX = "dead-letter-"
_TRACEBACK_MAX = 8_192
_TEXT_MAX = 1_024
_ID_MAX = 24


def dead_letter(
    binding: Binding[object], record: Record, reason: str, cause: BaseException | str, *, sent: bool
) -> NewRecord:
    """The record as it goes to the dead-letter topic: same key and value, its cause and origin in the headers.

    `sent` says that what the record leads to is on its topic already, so that a retry must not send it again.
    """
    described = {"reason": reason, "cause": str(cause)[:_TEXT_MAX], **_origin(binding, record)}
    if sent:
        described["sent"] = "true"
    if isinstance(cause, BaseException):
        described["exception"] = type(cause).__name__
        described["traceback"] = "".join(traceback.format_exception(cause))[-_TRACEBACK_MAX:]
    return _letter(binding, record, record.value, record.headers, described)


def closing(binding: Binding[object], first: Record, last: Record, reason: str, why: str, by: str = "") -> NewRecord:
    """The record that closes a key's letters from the origin `first` to `last`: RETRIED or DROPPED, why, who wanted it.

    Where a crash has left the letters open, another that closes them follows, and holds.
    """
    return _letter(binding, last, None, (), _noted(binding, last, reason, why, by) | {"first": str(first.offset)})


def edited(binding: Binding[object], origin: Record, value: bytes, why: str, by: str) -> NewRecord:
    """The record that gives the letter of that origin another value."""
    return _letter(binding, origin, value, (), _noted(binding, origin, EDITED, why, by))


def _noted(binding: Binding[object], origin: Record, reason: str, why: str, by: str) -> dict[str, str]:
    told = {"by": by[:_TEXT_MAX]} if by else {}
    return {"reason": reason, "cause": why[:_TEXT_MAX], **told, **_origin(binding, origin)}


def letter_id(partition: int, offset: int) -> str:
    """The name of a listener's letter: the partition and the offset that its record had in the listener's topic."""
    return f"{partition}-{offset}"


def read_letter_id(text: str) -> tuple[int, int]:
    """Partition and offset. Raises InvalidQuery for a text that is no letter's name."""
    partition, dash, offset = text.partition("-")
    if (
        not (dash and partition.isascii() and partition.isdigit() and offset.isascii() and offset.isdigit())
        or len(text) > _ID_MAX
    ):
        raise InvalidQuery(f"{text[:_ID_MAX]!r} is no letter: name PARTITION-OFFSET, as 0-12")
    return int(partition), int(offset)


def _origin(binding: Binding[object], record: Record) -> dict[str, str]:
    place = {"topic": record.topic, "partition": str(record.partition), "offset": str(record.offset)}
    return {"group": binding.group, **place}


def _letter(
    binding: Binding[object], record: Record, value: bytes | None, headers: Headers, described: Mapping[str, str]
) -> NewRecord:
    own = tuple((_PREFIX + name, text.encode(errors="replace")) for name, text in described.items())
    return NewRecord(
        topic=binding.dead_letter_topic,
        key=record.key,
        value=value,
        timestamp_ms=record.timestamp_ms,
        headers=headers + own,
    )


def origin_of(letter: Record) -> Record:
    """The record as it was before it became a dead letter."""
    place = described(letter)
    return Record(
        place["topic"],
        int(place["partition"]),
        int(place["offset"]),
        letter.key,
        letter.value,
        letter.timestamp_ms,
        tuple((name, value) for name, value in letter.headers if not name.startswith(_PREFIX)),
    )


def described(letter: Record) -> Mapping[str, str]:
    """What the headers say of the cause and the origin."""
    return {n.removeprefix(_PREFIX): v.decode(errors="replace") for n, v in letter.headers if n.startswith(_PREFIX)}

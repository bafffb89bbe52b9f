"""Dead letters: records that a listener could not handle, with the cause and where they came from."""

import traceback
from collections.abc import Mapping

from mainstem.listener.binding import Binding
from mainstem.messages import NewRecord, Record

FAILED = "failed"
"""The record itself could not be handled."""

BEHIND = "behind"
"""An earlier record of its key could not: this one waits behind it, so that the key's order is kept."""

DROPPED = "dropped"
"""Somebody has dropped the key's letters before this one."""

_TRACEBACK_MAX = 8_192
_TEXT_MAX = 1_024


def dead_letter(binding: Binding[object], record: Record, reason: str, cause: BaseException | str) -> NewRecord:
    """The record as it goes to the dead-letter topic: same key and value, its cause and origin in the headers."""
    described = {
        "reason": reason,
        "group": binding.group,
        "cause": str(cause)[:_TEXT_MAX],
        "topic": record.topic,
        "partition": str(record.partition),
        "offset": str(record.offset),
    }
    if isinstance(cause, BaseException):
        described["exception"] = type(cause).__name__
        described["traceback"] = "".join(traceback.format_exception(cause))[-_TRACEBACK_MAX:]
    own = tuple((f"dead-letter-{name}", value.encode(errors="replace")) for name, value in described.items())
    return NewRecord(
        topic=binding.dead_letter_topic,
        key=record.key,
        value=record.value,
        timestamp_ms=record.timestamp_ms,
        identity=f"{record.topic}:{record.partition}:{record.offset}",
        headers=record.headers + own,
    )


def dropped(binding: Binding[object], last: Record, why: str) -> NewRecord:
    """The record that says that a key's dead letters up to `last` were dropped, and why."""
    about = {"reason": DROPPED, "group": binding.group, "cause": why[:_TEXT_MAX], "topic": binding.dead_letter_topic}
    about |= {"partition": str(last.partition), "offset": str(last.offset)}
    return NewRecord(
        topic=binding.dead_letter_topic,
        key=last.key,
        value=None,
        timestamp_ms=last.timestamp_ms,
        identity=f"dropped:{last.partition}:{last.offset}",
        headers=tuple((f"dead-letter-{name}", value.encode(errors="replace")) for name, value in about.items()),
    )


def origin_of(letter: Record) -> Record:
    """The record as it was before it became a dead letter."""
    place = {name: value.decode() for name, value in letter.headers if name.startswith("dead-letter-")}
    return Record(
        place["dead-letter-topic"],
        int(place["dead-letter-partition"]),
        int(place["dead-letter-offset"]),
        letter.key,
        letter.value,
        letter.timestamp_ms,
        tuple((name, value) for name, value in letter.headers if not name.startswith("dead-letter-")),
    )


def described(letter: Record) -> Mapping[str, str]:
    """What the headers say of the cause and the origin."""
    prefix = "dead-letter-"
    return {n.removeprefix(prefix): v.decode(errors="replace") for n, v in letter.headers if n.startswith(prefix)}

"""Bytes to messages and back. JSON throughout, typed by msgspec; decimals are exact text."""

import base64
import binascii
import re
from collections.abc import Callable, Collection, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import lru_cache, reduce
from operator import or_
from typing import Any, Generic, TypeVar

import msgspec

from mainstem.errors import CodecError, ConfigurationError, InvalidQuery
from mainstem.evolution import EventData
from mainstem.evolution.upcasting import Place, Upcasting
from mainstem.messages import AsOf, Change, Event, Position, Record, Recorded
from mainstem.newest import Newest
from mainstem.tenancy import MARK, read_stream

E = TypeVar("E", bound=Event)
R = TypeVar("R", bound=msgspec.Struct)
M = TypeVar("M")

_ENCODER = msgspec.json.Encoder()
_PLAIN: msgspec.json.Decoder[dict[str, Any]] = msgspec.json.Decoder(dict[str, Any], float_hook=Decimal)
_EXACT = msgspec.json.Encoder(decimal_format="number")
_POSITION_LIMIT = 1024
_TIME = "a time with its zone, as 2026-01-31T09:30:00Z"
_TEXT = b'"payload":"{'
_AT_ONCE = 500
"""So many items are decoded in one call: what they are and become stays in the processor's cache, a third faster than
thousands at once."""
_EPOCH, _MILLISECOND = datetime(1970, 1, 1, tzinfo=UTC), timedelta(milliseconds=1)

encode = _ENCODER.encode


class Decoder(Generic[M]):
    """Decodes JSON of one type, alone or a whole batch in one pass. Raises CodecError, never the library's own."""

    def __init__(self, type_: Any) -> None:
        self.type = type_
        self._one: msgspec.json.Decoder[M] = msgspec.json.Decoder(type_)
        self._many: msgspec.json.Decoder[list[M]] = msgspec.json.Decoder(list[type_])

    def one(self, data: bytes) -> M:
        """One message."""
        try:
            return self._one.decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise CodecError(f"not the message expected: {error}") from error

    def many(self, data: Sequence[bytes]) -> list[M]:
        """All of a batch, in order: one call of the decoder for hundreds, several times faster than one for each."""
        found = self.whole(data)
        return [self.one(item) for item in data] if found is None else found

    def whole(self, data: Sequence[bytes]) -> list[M] | None:
        """All of a batch, hundreds in one call; None where one of them does not fit."""
        found: list[M] = []
        for begin in range(0, len(data), _AT_ONCE):
            part = data[begin : begin + _AT_ONCE]
            try:
                made = self._many.decode(b"".join((b"[", b",".join(part), b"]")))
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                return None
            if len(made) != len(part):  # an item held a comma of its own outside any value
                return None
            found += made
        return found

    def spread(self, data: Sequence[bytes]) -> tuple[list[M], Sequence[int]]:
        """All messages of a batch, and of each the number of the item that it came in: an item may hold several."""
        found = self.many(data)
        return found, range(len(found))

    def of(self, records: Sequence[Record]) -> tuple[list[M], Sequence[int]]:
        """The same of records, a value that is none read as empty."""
        return self.spread([record.value or b"" for record in records])


class Placed(Decoder[M]):
    """Messages that `make` makes of a record, which tells where it stands in the log; `type_` is that of its value.

    Each delivery is one of its own: a record that came again stands elsewhere.
    """

    def __init__(self, type_: Any, make: Callable[[Record], Sequence[M]]) -> None:
        super().__init__(type_)
        self._make = make

    def spread(self, data: Sequence[bytes]) -> tuple[list[M], Sequence[int]]:
        """As if they stood at the begin of a topic of no name: for values that are only looked at."""
        return self.of([Record("", 0, number, "", value, 0) for number, value in enumerate(data)])

    def of(self, records: Sequence[Record]) -> tuple[list[M], Sequence[int]]:
        """Of each record all, in order. Raises what `make` raises."""
        made = [self._make(record) for record in records]
        numbers = [number for number, messages in enumerate(made) for _ in messages]
        return [message for messages in made for message in messages], numbers


class EventCodec(Generic[E]):
    """Payloads of stored events as today's classes, told apart by name and schema version.

    Raises ConfigurationError where two events share a name, or an upcaster cannot work.
    """

    def __init__(self, events: Sequence[type[E]]) -> None:
        self.upcasting = Upcasting(events)
        self.payloads: Decoder[E] = Decoder(reduce(or_, events))

    def kept(self, event: E) -> tuple[E, bytes]:
        """The event as it will be read, and its payload to store. Raises ConfigurationError where it does not fit.

        The payload is that of the event as it is read: what was a number in a field of a Decimal is exact text in it.
        """
        try:
            read = self.payloads.one(encode(event))
            return read, encode(read)
        except (CodecError, TypeError, ValueError, OverflowError) as error:
            raise ConfigurationError(f"an event {type(event).__name__} does not fit its class: {error}") from error

    def data(self, place: Place, name: str, version: int, payload: bytes) -> EventData:
        """A payload as what upcasters take."""
        try:
            data = _PLAIN.decode(payload)
            del data["type"]
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, LookupError, TypeError) as error:
            text = f"event {name} {version} at version {place.version} of {place.stream}"
            raise CodecError(f"{text} is no JSON object with a type: {error}") from error
        return EventData(name, version, data)

    def event(self, place: Place, event: EventData) -> E:
        """What upcasters have led to, as an event. Raises CodecError where it does not fit its class."""
        try:
            return self.payloads.one(_EXACT.encode({"type": event.name, **event.data}))
        except (CodecError, TypeError, ValueError) as error:
            text = f"event {event.name} {event.version}, made of version {place.version} of {place.stream}"
            raise CodecError(f"{text}, does not fit its class: {error}") from error


class RecordedEvents(Decoder[Recorded[E]]):
    """The payload is an object, or JSON text of one, as an outbox in MySQL has it: there its every character counts."""

    def __init__(self, events: Sequence[type[E]], categories: Collection[str]) -> None:
        self.type = Recorded[reduce(or_, events)]  # type: ignore[misc]
        self.events = tuple(events)
        self.categories = frozenset(categories)
        self._codec = EventCodec(events)
        self._codec.upcasting.check_alone()
        self._prefixes = tuple(f"{category}-" for category in categories)
        self._streams: Decoder[_Streamed] = Decoder(_Streamed)
        self._today = {event: version for event, (_, version) in self._codec.upcasting.keys.items()}
        self._objects: Decoder[Recorded[E]] = Decoder(self.type)
        self._texts: Decoder[Recorded[str]] = Decoder(Recorded[str])
        self._raws: Decoder[Recorded[msgspec.Raw]] = Decoder(Recorded[msgspec.Raw])
        self._names: Decoder[_Named] = Decoder(_Named)
        self._newest: Newest[Recorded[E]] = Newest(self._fresh)

    def of(self, records: Sequence[Record]) -> tuple[list[Recorded[E]], Sequence[int]]:
        """Each of the newest records is decoded once, however many listeners have this decoder."""
        return self._newest.of(records)

    def _fresh(self, records: Sequence[Record]) -> tuple[list[Recorded[E]], Sequence[int]]:
        """The key is the stream: what it tells of other categories is not decoded to be left out then."""
        data = [record.value or b"" for record in records]
        whole = self._whole(data)
        if whole is not None:
            return whole
        numbers = [number for number, record in enumerate(records) if self._is_ours(record.key)]
        if len(numbers) == len(records) or not self._prefixes:
            return self._sorted_out(data)
        return self._of_numbers(data, numbers)

    def _of_numbers(self, data: Sequence[bytes], numbers: Sequence[int]) -> tuple[list[Recorded[E]], Sequence[int]]:
        messages, within = self.spread([data[number] for number in numbers])
        return messages, [numbers[number] for number in within]

    def one(self, data: bytes) -> Recorded[E]:
        """One record, in either form, that is one event today."""
        found, _ = self.spread([data])
        if len(found) != 1:
            raise CodecError(f"the record is {len(found)} events today, not one")
        return found[0]

    def many(self, data: Sequence[bytes]) -> list[Recorded[E]]:
        """All events of a batch, in order: a record may be several today, or none."""
        return self.spread(data)[0]

    def spread(self, data: Sequence[bytes]) -> tuple[list[Recorded[E]], Sequence[int]]:
        """At once where all are of today; else each by itself. Those of other categories are left out."""
        return self._whole(data) or self._sorted_out(data)

    def _whole(self, data: Sequence[bytes]) -> tuple[list[Recorded[E]], range] | None:
        found = self._at_once(data)
        return None if found is None or not self._are_plain(found) else (found, range(len(found)))

    def _sorted_out(self, data: Sequence[bytes]) -> tuple[list[Recorded[E]], Sequence[int]]:
        numbers: Sequence[int] = range(len(data))
        if self._prefixes:
            streams = self._streams.many(data)
            numbers = [number for number in numbers if self._is_ours(streams[number].stream)]
            if len(numbers) < len(data):
                return self._of_numbers(data, numbers)
        made = [(number, event) for number in numbers for event in self._each(self._raws.one(data[number]))]
        return [event for _, event in made], [number for number, _ in made]

    def _are_plain(self, found: Sequence[Recorded[E]]) -> bool:
        """Whether all are of today, and of the categories. Without a call for each: every event comes through here."""
        today, prefixes, is_ours = self._today, self._prefixes or ("",), self._is_ours
        others = [
            True
            for each in found
            if today[type(each.payload)] != each.schema_version
            or not (each.stream.startswith(prefixes) or is_ours(each.stream))
        ]
        return not others

    def _is_ours(self, stream: str) -> bool:
        """Whether it is of the categories, whoever's it is."""
        if stream.startswith(MARK):
            return read_stream(stream).category in self.categories
        return stream.startswith(self._prefixes)

    def _at_once(self, data: Sequence[bytes]) -> list[Recorded[E]] | None:
        """A topic has one form or the other: the first record tells which is worth trying."""
        if not data or _TEXT not in data[0]:
            return self._objects.whole(data)
        texts = self._texts.whole(data)
        if texts is None:
            return None
        try:
            return [_recorded(text, self._codec.payloads.one(text.payload.encode())) for text in texts]
        except CodecError:
            return None

    def _each(self, raw: Recorded[msgspec.Raw]) -> list[Recorded[E]]:
        payload = bytes(raw.payload)
        if payload.startswith(b'"'):
            payload = _text(payload)
        name = self._names.one(payload).type
        upcasting = self._codec.upcasting
        if upcasting.is_today((name, raw.schema_version)):
            return [_recorded(raw, self._codec.payloads.one(payload))]
        data = self._codec.data(raw, name, raw.schema_version, payload)
        events = [self._codec.event(raw, each) for each in upcasting.alone(raw, data)]
        return [_recorded(raw, event, part) for part, event in enumerate(events)]


class _Named(msgspec.Struct):
    type: str


class _Streamed(msgspec.Struct):
    stream: str


def _text(payload: bytes) -> bytes:
    try:
        return msgspec.json.decode(payload, type=str).encode()
    except (msgspec.DecodeError, UnicodeError) as error:
        raise CodecError(f"not the message expected: {error}") from error


def _recorded(found: Recorded[Any], payload: E, part: int = 0) -> Recorded[E]:
    return Recorded(
        stream=found.stream,
        version=found.version,
        occurred_at_ms=found.occurred_at_ms,
        recorded_at_ms=found.recorded_at_ms,
        actor=found.actor,
        correlation_id=found.correlation_id,
        causation_id=found.causation_id,
        schema_version=found.schema_version,
        part=part,
        payload=payload,
    )


def recorded_events(events: Sequence[type[E]], *, categories: Collection[str] = ()) -> Decoder[Recorded[E]]:
    """A decoder of records of the event topic, each brought to today's classes. Events come one at a time.

    The topic has the events of all deciders: records of other categories than those are left out, where any are named.
    Of the same events and categories it is the same decoder, so that listeners share what the newest records are.

    Raises ConfigurationError where two events share a name, or an upcaster cannot work for such a reader.
    """
    return _shared(tuple(events), frozenset(categories))


@lru_cache(maxsize=64)
def _shared(events: tuple[type[Any], ...], categories: frozenset[str]) -> RecordedEvents[Any]:
    return RecordedEvents(events, categories)


def changes_of(row: type[R]) -> Decoder[Change[R]]:
    """A decoder of change events in Debezium's envelope, with rows of that type."""
    return Decoder(Change[row])  # type: ignore[valid-type]


def position_token(position: Position) -> str:
    """The position as the opaque token that clients hold."""
    return base64.urlsafe_b64encode(_ENCODER.encode((position.key, position.version))).decode().rstrip("=")


def read_position_token(token: str) -> Position:
    """The position of a token. Raises InvalidQuery where nobody gave it out."""
    try:
        if len(token) > _POSITION_LIMIT:
            raise ValueError("longer than any token")
        padded = token + "=" * (-len(token) % 4)
        key, version = msgspec.json.decode(
            base64.b64decode(padded, altchars=b"-_", validate=True), type=tuple[str, int]
        )
    except (ValueError, binascii.Error, msgspec.DecodeError) as error:
        raise InvalidQuery(f"the position {token[:40]!r} is not one that a command returned") from error
    return Position(key, version)


def read_moment(text: str, *, recorded: bool = False) -> AsOf:
    """A version (7), or a time of ISO 8601 with its zone (2026-01-31T09:30:00Z). Raises InvalidQuery for others."""
    if re.fullmatch(r"\d{1,9}", text, re.ASCII):
        return AsOf(version=int(text))
    at_ms = _time_ms(text)
    if at_ms is None:
        raise InvalidQuery(f"{text[:40]!r} is no moment: name a version, as 7, or {_TIME}")
    return AsOf(at_ms=at_ms, recorded=recorded)


def read_time(text: str) -> int:
    """A time of ISO 8601 with its zone, in milliseconds since the epoch. Raises InvalidQuery for others."""
    at_ms = _time_ms(text)
    if at_ms is None:
        raise InvalidQuery(f"{text[:40]!r} is no time: name {_TIME}")
    return at_ms


def _time_ms(text: str) -> int | None:
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return None
    return None if at.tzinfo is None else (at - _EPOCH) // _MILLISECOND


def iso_time(at_ms: int) -> str:
    """Milliseconds since the epoch as ISO 8601 in UTC: 2026-01-31T09:30:00.125Z."""
    seconds, rest_ms = divmod(at_ms, 1000)
    return f"{_to_the_second(seconds)}.{rest_ms:03d}Z"


@lru_cache(maxsize=1_024)
def _to_the_second(at_s: int) -> str:
    """Messages that come together are of a few seconds, and the date is most of the work."""
    return datetime.fromtimestamp(at_s, UTC).isoformat().removesuffix("+00:00")

"""Bytes to messages and back, and what is not a message."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mainstem.codec import Decoder, EventCodec, encode, iso_time, position_token, read_position_token, recorded_events
from mainstem.errors import CodecError, ConfigurationError, InvalidQuery
from mainstem.messages import Event, Position, Recorded


class Opened(Event, frozen=True):
    limit: int


class Closed(Event, frozen=True):
    pass


class OpenedAgain(Event, frozen=True, tag="Opened"):
    pass


_HOSTILE = (b"", b"1,2", b"]", b"[", b"null", b"{}", b'{"type":"Opened"}', b"\xff", b" , ", b'"', b"[" * 5_000)
_EVENTS: list[type[Event]] = [Opened, Closed]
_DECODER = EventCodec(_EVENTS).payloads
_ITEMS = st.one_of(st.sampled_from(_HOSTILE), st.integers().map(lambda n: encode(Opened(limit=n))), st.binary())


def _outcome(decode: Any, data: Any) -> Any:
    try:
        return decode(data)
    except CodecError:
        return CodecError


@given(
    st.lists(st.one_of(st.sampled_from(_HOSTILE), st.integers().map(lambda n: encode(Opened(limit=n))), st.binary()))
)
def test_a_batch_is_decoded_as_each_of_it_alone(items: list[bytes]) -> None:
    alone = [_outcome(_DECODER.one, item) for item in items]
    together = _outcome(_DECODER.many, items)
    assert together == (CodecError if CodecError in alone else alone)


@pytest.mark.parametrize("place", [0, 499, 500, 501, 1_299])
@pytest.mark.parametrize("data", _HOSTILE)
def test_one_of_many_is_no_message(data: bytes, place: int) -> None:
    items = [encode(Opened(limit=n)) for n in range(1_300)]
    assert _DECODER.many(items) == [Opened(limit=n) for n in range(1_300)]
    items[place] = data
    with pytest.raises(CodecError):
        _DECODER.many(items)


@pytest.mark.parametrize("data", _HOSTILE)
def test_what_is_no_message(data: bytes) -> None:
    with pytest.raises(CodecError):
        _DECODER.one(data)
    with pytest.raises(CodecError):
        _DECODER.many([encode(Closed()), data, encode(Closed())])


def test_events_are_told_apart_by_their_names() -> None:
    assert _DECODER.many([encode(Closed()), encode(Opened(limit=5))]) == [Closed(), Opened(limit=5)]
    same: list[type[Event]] = [Opened, OpenedAgain]
    with pytest.raises(ConfigurationError, match="share a name"):
        EventCodec(same)


def test_a_recorded_event_round_trips() -> None:
    recorded = Recorded(
        stream="card-7-a", version=3, occurred_at_ms=1, recorded_at_ms=2, actor="teller", payload=Opened(limit=5)
    )
    found = recorded_events(_EVENTS).one(encode(recorded))
    assert found == recorded
    assert found.aggregate_id == "7-a"


@given(
    st.lists(st.one_of(st.integers(-(2**63), 2**63 - 1).map(lambda n: Opened(limit=n)), st.just(Closed())), max_size=5)
)
def test_a_payload_that_is_text_is_the_same_event(payloads: list[Event]) -> None:
    """Alone and in a batch, beside one that is an object."""
    recorded = [
        Recorded(stream="c-1", version=n, occurred_at_ms=1, recorded_at_ms=2, actor="a", payload=payload)
        for n, payload in enumerate(payloads, 1)
    ]
    texts = [encode(msgspec.structs.replace(each, payload=encode(each.payload).decode())) for each in recorded]
    decoder = recorded_events(_EVENTS)
    assert decoder.many(texts) == recorded
    assert [decoder.one(text) for text in texts] == recorded
    both = [text for pair in zip(texts, map(encode, recorded), strict=True) for text in pair]
    assert decoder.many(both) == [each for each in recorded for _ in range(2)]
    assert decoder.many(both[1:]) == [each for each in recorded for _ in range(2)][1:]


def test_text_that_is_no_event_is_told() -> None:
    """As a message that is not what it should be."""
    text = b'{"stream":"a-1","version":1,"occurred_at_ms":1,"recorded_at_ms":1,"actor":"a","payload":"{}"}'
    for decode in (recorded_events(_EVENTS).one, lambda data: recorded_events(_EVENTS).many([data])):
        with pytest.raises(CodecError):
            decode(text)


@given(key=st.text(), version=st.integers(0, 2**63 - 1))
def test_a_position_token_round_trips(key: str, version: int) -> None:
    token = position_token(Position(key, version))
    assert token.replace("-", "").replace("_", "").isalnum()
    if len(token) <= 1024:
        assert read_position_token(token) == Position(key, version)


@pytest.mark.parametrize("token", ["", "x", "nonsense", "=", "W10", "WyJhIl0", "WzEsMl0", "é", "A" * 5_000, "\0"])
def test_a_token_that_nobody_gave_out(token: str) -> None:
    with pytest.raises(InvalidQuery):
        read_position_token(token)


def test_a_decoder_of_any_type() -> None:
    decoder: Decoder[list[int]] = Decoder(list[int])
    assert decoder.many([b"[1]", b"[2,3]"]) == [[1], [2, 3]]


def _record(stream: str, event: dict[str, Any]) -> bytes:
    place = {"stream": stream, "version": 1, "occurred_at_ms": 1, "recorded_at_ms": 1, "actor": "a"}
    return encode({**place, "payload": event})


@pytest.mark.parametrize("foreign", [{"type": "Strange"}, {"type": "Closed"}, {"type": "Opened", "limit": "other"}])
def test_records_of_other_categories_are_left_out(foreign: dict[str, Any]) -> None:
    """Whatever their events are called, and however many come together."""
    decoder = recorded_events(_EVENTS, categories=["account"])
    mine, other = _record("account-1", {"type": "Opened", "limit": 1}), _record("order-1", foreign)
    found, numbers = decoder.spread([other, mine, other, mine])
    assert [(each.stream, each.payload) for each in found] == [("account-1", Opened(limit=1))] * 2
    assert list(numbers) == [1, 3]
    assert decoder.many([other]) == []
    assert list(decoder.spread([mine, mine])[1]) == [0, 1]
    with pytest.raises(CodecError):
        decoder.many([mine, _record("account-1", {"type": "Strange"})])


@pytest.mark.parametrize(
    ("at_ms", "text"),
    [
        (0, "1970-01-01T00:00:00.000Z"),
        (-1, "1969-12-31T23:59:59.999Z"),
        (1_769_848_200_125, "2026-01-31T08:30:00.125Z"),
        (47_910_045_773_812, "3488-03-17T10:02:53.812Z"),
    ],
)
def test_a_time_is_told_to_the_millisecond(at_ms: int, text: str) -> None:
    """However far from the epoch: a float of seconds has lost that behind the year 3000."""
    assert iso_time(at_ms) == text

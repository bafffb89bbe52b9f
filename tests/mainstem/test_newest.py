"""What the newest records are decoded to: as if each were decoded alone, but once."""

from collections.abc import Sequence
from itertools import groupby

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mainstem.errors import CodecError
from mainstem.messages import Record
from mainstem.newest import Newest


class Decoding:
    """Letters to messages, one of each; none and several make a record that is not one message. Counts its records."""

    def __init__(self) -> None:
        self.records: list[Record] = []

    def __call__(self, records: Sequence[Record]) -> tuple[list[str], Sequence[int]]:
        self.records += records
        values = [(record.value or b"").decode() for record in records]
        if any("!" in value for value in values):
            raise CodecError("no letter")
        messages = [f"{letter} {records[n].offset}" for n, value in enumerate(values) for letter in value]
        if all(len(value) == 1 for value in values):
            return messages, range(len(messages))
        return messages, [number for number, value in enumerate(values) for _ in value]


def records_of(values: Sequence[str], partition: int = 0, begin: int = 0) -> list[Record]:
    """Of one partition."""
    return [Record("letters", partition, begin + n, "key", value.encode(), 1) for n, value in enumerate(values)]


VALUES = st.lists(st.sampled_from(["a", "b", "", "cd", "a", "b", "!"]), min_size=1, max_size=12)


@given(data=st.data(), logs=st.lists(st.tuples(VALUES, VALUES), min_size=1, max_size=2))
def test_whatever_is_asked_the_answer_is_that_of_decoding_it(
    data: st.DataObject, logs: list[tuple[list[str], list[str]]]
) -> None:
    """Readers that are ahead and behind, that skip, of several partitions at once, and of another log."""
    newest = Newest(Decoding())
    places = [[records_of(values, partition) for partition, values in enumerate(log)] for log in logs]
    for _ in range(data.draw(st.integers(1, 8))):
        asked: list[Record] = []
        for records in data.draw(st.permutations(data.draw(st.sampled_from(places)))):
            begin = data.draw(st.integers(0, len(records) - 1))
            asked += records[begin : data.draw(st.integers(begin + 1, len(records)))]
        try:
            expected = Decoding()(asked)
        except CodecError:
            with pytest.raises(CodecError):
                newest.of(asked)
            continue
        messages, numbers = newest.of(asked)
        assert (messages, list(numbers)) == (expected[0], list(expected[1]))
        assert isinstance(numbers, range) <= (len(messages) == len(asked))


def test_readers_of_other_batches_share_what_was_decoded() -> None:
    decode = Decoding()
    newest = Newest(decode)
    records = [*records_of("abcabc"), *records_of("xyz", partition=1)]
    newest.of(records[:4])
    newest.of(records)
    newest.of(records[2:])
    assert decode.records == records
    assert [len(list(each)) for _, each in groupby(decode.records, lambda record: record.partition)] == [6, 3]


def test_who_is_far_behind_takes_nothing_from_those_that_are_not() -> None:
    decode = Decoding()
    newest = Newest(decode)
    records = records_of("abc" * 20)
    newest.of(records[40:])
    for begin in range(0, 40, 10):
        newest.of(records[begin : begin + 10])
    decode.records.clear()
    newest.of(records[40:])
    assert decode.records == []


@pytest.mark.parametrize("value", ["a", "a" * 100_000])
def test_what_is_kept_has_a_bound(value: str) -> None:
    decode = Decoding()
    newest = Newest(decode)
    count = 10_000 // len(value) + 100
    records = records_of([value] * count)
    for begin in range(0, count, 10):
        newest.of(records[begin : begin + 10])
    decode.records.clear()
    newest.of(records[:10])
    assert decode.records == records[:10]
    newest.of(records[-10:])
    assert decode.records == records[:10]


def test_more_at_once_than_are_kept_are_decoded_by_themselves() -> None:
    decode = Decoding()
    newest = Newest(decode)
    records = records_of(["a"] * 5_000)
    assert newest.of(records) == newest.of(records)
    assert len(decode.records) == 10_000
    assert newest.of([]) == ([], range(0))

"""What no log takes: the same on every engine."""

from mainstem.errors import CodecError, RecordTooLarge
from mainstem.log.port import Topic
from mainstem.messages import NewRecord

_TYPES: dict[str, tuple[type, ...]] = {
    "key": (str,),
    "value": (bytes, type(None)),
    "timestamp_ms": (int,),
    "identity": (str, type(None)),
}

_encode, _size, _number = str.encode, bytes.__len__, int.__index__
"""Of these types alone, else they raise TypeError: a text has a length, too."""


def check_record(record: NewRecord, topic: Topic) -> None:
    """Raises RecordTooLarge by the limit of the topic, CodecError for what is of another type than a record has it,
    for names that are no text, and for wrong times.
    """
    try:
        size = len(_encode(record.key)) + _size(record.value or b"")
        if record.headers:
            size += sum([len(_encode(name)) + _size(value) for name, value in record.headers])
        if record.identity is not None:
            _encode(record.identity)
        in_time = 0 <= _number(record.timestamp_ms) < 2**63
    except UnicodeEncodeError as error:
        raise CodecError(f"a name in a record for {topic.name} is no text: {error}") from error
    except (TypeError, ValueError) as error:
        raise CodecError(f"a record for {topic.name} has {_misfit(record)}") from error
    if not in_time:
        raise CodecError(f"a record for {topic.name} has the time {record.timestamp_ms}")
    if size > topic.record_max_bytes:
        raise RecordTooLarge(f"a record of {size} bytes for {topic.name}, which takes {topic.record_max_bytes}")


def _misfit(record: NewRecord) -> str:
    for name, types in _TYPES.items():
        value = getattr(record, name)
        if not isinstance(value, types):
            return f"the {name} {value!r:.100}: it is {type(value).__name__}, and a record has {types[0].__name__}"
    return f"the headers {record.headers!r:.100}: a record has pairs of str and bytes"

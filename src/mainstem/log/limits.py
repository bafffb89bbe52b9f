"""What no log takes: the same on every engine."""

from mainstem.errors import CodecError, RecordTooLarge
from mainstem.log.port import Topic
from mainstem.messages import NewRecord


def check_record(record: NewRecord, topic: Topic) -> None:
    """Raises RecordTooLarge by the limit of the topic, CodecError for names that are no text and for wrong times."""
    try:
        size = len(record.key.encode()) + len(record.value or b"")
        if record.headers:
            size += sum(len(name.encode()) + len(value) for name, value in record.headers)
        if record.identity is not None:
            record.identity.encode()
    except UnicodeEncodeError as error:
        raise CodecError(f"a name in a record for {topic.name} is no text: {error}") from error
    if not 0 <= record.timestamp_ms < 2**63:
        raise CodecError(f"a record for {topic.name} has the time {record.timestamp_ms}")
    if size > topic.record_max_bytes:
        raise RecordTooLarge(f"a record of {size} bytes for {topic.name}, which takes {topic.record_max_bytes}")

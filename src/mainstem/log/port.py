"""What the rest of the house asks of a log: topics of partitions, records by offset, groups with committed offsets."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from mainstem.errors import ConfigurationError
from mainstem.messages import NewRecord, Record

Place = tuple[str, int]
"""A topic and a partition of it."""

NAME_MAX = 249
_NAME = re.compile(rf"(?!\.{{1,2}}$|__)[A-Za-z0-9._-]{{1,{NAME_MAX}}}")
"""As Kafka has it, whose own topics begin with `__`."""

PARTITIONS_MAX = 1_024

Assigned = Callable[[Sequence[Place]], Mapping[Place, int]]
"""Called in `poll` with the places that the consumer is given from now on; answers from which offset to read each."""


@dataclass(frozen=True)
class Topic:
    """A declared topic. Retention removes the oldest records; None keeps them for ever.

    `message` is the type of its messages, JSON in which decimals are `decimals`: whoever hears the topic is checked
    against it at the start, and the application's description has it. The log itself does not look at it.
    """

    name: str
    partitions: int = 4
    retention_ms: int | None = None
    retention_bytes: int | None = None
    record_max_bytes: int = 1_048_576
    message: Any = field(default=None, compare=False, kw_only=True)
    decimals: Literal["string", "number"] = field(default="string", compare=False, kw_only=True)

    def __post_init__(self) -> None:
        if not is_topic_name(self.name):
            text = f"1 to {NAME_MAX} of a-z, A-Z, 0-9, '.', '_' and '-', not '.' or '..', and no '__' first"
            raise ConfigurationError(f"{self.name[: NAME_MAX + 1]!r} is no name of a topic: {text}")
        if not 1 <= self.partitions <= PARTITIONS_MAX:
            text = f"{self.partitions} partitions; 1 to {PARTITIONS_MAX} are possible"
            raise ConfigurationError(f"topic {self.name} has {text}")


def is_topic_name(name: str) -> bool:
    """Whether a declared topic may have that name; those that begin with two underscores are the log's own."""
    return _NAME.fullmatch(name) is not None


@dataclass(frozen=True)
class Range:
    """The offsets that a partition holds: from `begin` up to but not including `end`, behind its last record.

    Not every offset between the two has a record: a log may put the ends of transactions there.
    """

    begin: int
    end: int


class Consumer(Protocol):
    """Reads the partitions that its group gives it, each in order of offsets. Not to be shared by threads."""

    def poll(self, limit: int, timeout_s: float) -> Sequence[Record]:
        """At most `limit` records beyond those polled before; waits up to `timeout_s` for the first, without spinning.

        Fewer where they are large: what a poll brings has a bound in bytes too, beyond its first record.

        Raises OffsetOutOfRange where retention has removed what comes next.
        """

    def seek(self, offsets: Mapping[Place, int]) -> None:
        """Go on from those offsets, for the places named."""

    def commit(self, offsets: Mapping[Place, int]) -> None:
        """Keep, for the group, that everything before those offsets is done. Raises Fenced."""

    def send(self, records: Sequence[NewRecord], offsets: Mapping[Place, int]) -> None:
        """Append the records and keep the group's offsets, durably in one transaction: all of it or nothing.

        Raises Fenced where a place is no longer this consumer's, and what `Log.check` raises.
        """

    def places(self) -> Sequence[Place]:
        """The places that are this consumer's; none before the first poll."""

    def close(self) -> None:
        """Stop reading; wakes a poll that waits in another thread."""


class Log(Protocol):
    """An append-only log. Appending is durable when the call returns."""

    takes_identities_once: bool
    """Whether it leaves out a record whose identity its topic has; else whoever appends has to know."""

    def create(self, topic: Topic) -> None:
        """Make the topic, or leave it as it stands. Raises TopicMismatch where the partitions differ."""

    def topics(self) -> Mapping[str, Topic]:
        """All topics by name."""

    def append(self, records: Sequence[NewRecord]) -> int:
        """Append in order, all or none; the number taken. Raises what `check` raises."""

    def check(self, record: NewRecord) -> None:
        """Raises UnknownTopic, RecordTooLarge, or CodecError for what no log could hold: a field of another type than a
        record has it, a name that is no text, a time out of range.
        """

    def read(self, topic: str, partition: int, offset: int, limit: int) -> Sequence[Record]:
        """At most `limit` records from `offset` on, fewer only at the end: what this process has appended is there.

        Raises OffsetOutOfRange for an offset outside of the partition's range.
        """

    def ranges(self, topic: str) -> Mapping[int, Range]:
        """What each partition holds."""

    def lag(self, topic: str, done: Mapping[int, int]) -> Mapping[int, int]:
        """By partition, how many records stand from the offset in `done` on, or in all where it names none.

        Exact where it is 0; where it is large it may count offsets that no record has.
        """

    def partition_of(self, topic: str, key: str) -> int:
        """The partition that holds the records of this key."""

    def consumer(self, group: str, topics: Sequence[str], assigned: Assigned | None = None) -> Consumer:
        """A consumer that goes on from what `assigned` answers, else the group's committed offsets, else the begin."""

    def committed(self, group: str) -> Mapping[Place, int]:
        """The group's committed offsets."""

    def close(self) -> None:
        """Give everything back and wake whoever waits. Closing twice is allowed."""


class LocalLog(Log, Protocol):
    """A log in a file of its own, which one application fills: it remembers how far each producer has come."""

    def append(self, records: Sequence[NewRecord], *, producer: str = "", sequence: int | None = None) -> int:
        """Append in order, all or none; the number taken (a known identity is not taken again).

        With a `sequence` the log remembers it for the `producer` in the same transaction (see `last_sequence`), and
        takes nothing that comes with one not above it; identities are neither looked at nor kept then.
        Raises what `check` raises.
        """

    def last_sequence(self, producer: str) -> int | None:
        """The sequence that came with the producer's last append: where it goes on after a crash."""

    def apply_retention(self, now_ms: int) -> int:
        """Remove what the topics' retention no longer keeps; the number of records removed."""

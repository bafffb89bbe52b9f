"""Reading Kafka as a member of a consumer group, by the group protocol in which the brokers share partitions out.

Source: KIP-848 (the next generation of the consumer rebalance protocol) and KIP-447 (a producer's transaction is fenced
by the epoch of the member whose offsets it carries).
"""

import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from confluent_kafka import Consumer, KafkaError, Message, Producer, TopicPartition

from mainstem.errors import Fenced, LogError, UnknownTopic
from mainstem.log.kafka_client import KafkaServers, mapped, mapped_errors
from mainstem.log.kafka_producer import Ends, Placed, Transactions
from mainstem.log.port import Assigned, Place, Range
from mainstem.messages import NewRecord, Record

_SLICE_S = 0.1
_PASSING = frozenset(
    (
        KafkaError._TRANSPORT,
        KafkaError._ALL_BROKERS_DOWN,
        KafkaError._PARTITION_EOF,
        KafkaError._MAX_POLL_EXCEEDED,
        KafkaError._TIMED_OUT,
    )
)
"""What the driver tells of a connection that it mends by itself, and of a member that it brings back by itself."""


class _Log(Protocol):
    """What a consumer needs of its log."""

    def placed(self, records: Sequence[NewRecord]) -> list[Placed]: ...

    def ranges(self, topic: str) -> Mapping[int, Range]: ...

    def sent(self, ends: Ends) -> None: ...


class KafkaConsumer:
    """One member. Its partitions change within `poll` only."""

    def __init__(
        self,
        servers: KafkaServers,
        group: str,
        topics: Mapping[str, str],
        transactions: Transactions,
        log: _Log,
        assigned: Assigned | None,
        *,
        timeout_s: float,
    ) -> None:
        """`topics` are those to read, by the names that they have in the cluster."""
        self._servers = servers
        self._group = group
        self._names = dict(topics)
        self._wire = {name: wire for wire, name in topics.items()}
        self._transactions = transactions
        self._log = log
        self._assigned = assigned
        self._timeout_s = timeout_s
        self._polling = threading.Lock()
        self._closed = False
        self._places: dict[Place, int] = {}
        self._moved: dict[Place, int] = {}
        self._failure: Exception | None = None
        self._subscribed = False
        self._consumer = Consumer(
            {
                **servers.properties(),
                "group.id": group,
                "group.protocol": "consumer",
                "isolation.level": "read_committed",
                "enable.auto.commit": False,
                "auto.offset.reset": "error",
                "fetch.wait.max.ms": 100,
                "fetch.queue.backoff.ms": 10,
                "queued.min.messages": 50_000,
            }
        )

    def poll(self, limit: int, timeout_s: float) -> Sequence[Record]:
        """Waits for the first record, then takes those that are there."""
        deadline = time.monotonic() + timeout_s
        with self._polling, mapped_errors(self._servers, "be read"):
            if self._closed:
                return []
            if not self._subscribed:
                self._consumer.subscribe(
                    list(self._names), on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_revoke
                )
                self._subscribed = True
            while True:
                left_s = deadline - time.monotonic()
                first = self._consumer.poll(max(0.0, min(left_s, _SLICE_S)))
                self._raise_failure()
                if first is not None:
                    more = self._consumer.consume(limit - 1, 0.0) if limit > 1 else []
                    self._raise_failure()
                    records = self._records([first, *more])
                    if records:
                        return records
                if self.closed or left_s <= 0:
                    return []

    def _records(self, messages: Sequence[Message]) -> list[Record]:
        found: list[Record] = []
        names = self._names
        for message in messages:
            error = message.error()
            if error is not None:
                if error.code() not in _PASSING:
                    raise mapped(self._servers, f"be read by {self._group}", error)
                continue
            record = record_of(names[str(message.topic())], message)
            place = (record.topic, record.partition)
            if place in self._places:  # else it was given away after the record had been fetched
                self._places[place] = record.offset + 1
                found.append(record)
        return found

    def seek(self, offsets: Mapping[Place, int]) -> None:
        """Raises UnknownTopic for a topic that this consumer does not read."""
        for place, offset in offsets.items():
            if place[0] not in self._wire:
                raise UnknownTopic(f"the consumer of {self._group} does not read {place[0]}/{place[1]}")
            self._moved[place] = offset
            if place in self._places:
                with mapped_errors(self._servers, "move a reader"):
                    self._consumer.seek(self._at(place, offset))
                self._places[place] = offset

    def commit(self, offsets: Mapping[Place, int]) -> None:
        """Raises Fenced for a place that is another member's, LogError for an offset beyond the partition's end."""
        self._check_own(offsets)
        if offsets:
            wanted = [self._at(place, offset) for place, offset in offsets.items()]
            with mapped_errors(self._servers, f"keep offsets of {self._group}"):
                for kept in self._consumer.commit(offsets=wanted, asynchronous=False):
                    if kept.error is not None:
                        raise mapped(self._servers, f"keep offsets of {self._group}", kept.error)

    def send(self, records: Sequence[NewRecord], offsets: Mapping[Place, int]) -> None:
        """In one transaction, fenced by this member's epoch."""
        placed = self._log.placed(records)
        self._check_own(offsets)
        wanted = [self._at(place, offset) for place, offset in offsets.items()]

        def add(producer: Producer) -> None:
            producer.send_offsets_to_transaction(wanted, self._consumer.consumer_group_metadata(), self._timeout_s)

        self._log.sent(self._transactions.run(placed, add))

    def places(self) -> Sequence[Place]:
        """Those of this member."""
        return list(self._places)

    def close(self) -> None:
        """Ends a poll that waits, then leaves the group."""
        self._closed = True
        with self._polling:
            self._consumer.close()
        self._transactions.close()

    @property
    def closed(self) -> bool:
        """Whether it was closed."""
        return self._closed

    def _check_own(self, offsets: Mapping[Place, int]) -> None:
        for place, offset in offsets.items():
            if place not in self._places:
                raise Fenced(f"{place[0]}/{place[1]} is not this member's of {self._group}")
            if offset > self._places[place] and offset > self._log.ranges(place[0])[place[1]].end:
                raise LogError(f"offset {offset} of {place[0]}/{place[1]} cannot be committed: it is beyond the end")

    def _on_assign(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        try:
            places = [(self._names[each.topic], each.partition) for each in partitions]
            begin = self._begin(consumer, partitions, places)
            consumer.incremental_assign([self._at(place, begin[place]) for place in places])
            self._places.update(begin)
        except Exception as error:
            self._failure = error

    def _begin(self, consumer: Consumer, partitions: list[TopicPartition], places: Sequence[Place]) -> dict[Place, int]:
        if self._assigned is not None:
            return {**self._assigned(places), **{p: self._moved[p] for p in places if p in self._moved}}
        committed = consumer.committed(partitions, timeout=self._timeout_s)
        begin: dict[Place, int] = {}
        for place, kept in zip(places, committed, strict=True):
            held = self._log.ranges(place[0])[place[1]]
            begin[place] = self._moved.get(place, kept.offset if kept.offset >= 0 else held.begin)
        return begin

    def _on_revoke(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        for each in partitions:
            self._places.pop((self._names[each.topic], each.partition), None)
        try:
            consumer.incremental_unassign(partitions)
        except Exception as error:
            self._failure = error

    def _raise_failure(self) -> None:
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure

    def _at(self, place: Place, offset: int) -> TopicPartition:
        return TopicPartition(self._wire[place[0]], place[1], offset)


def record_of(topic: str, message: Message) -> Record:
    """A message of Kafka; bytes of a key that are no text are shown escaped."""
    key: Any = message.key()
    headers: Any = message.headers()
    return Record(
        topic,
        message.partition(),  # type: ignore[arg-type]
        message.offset(),  # type: ignore[arg-type]
        key.decode(errors="backslashreplace") if key else "",
        message.value(),
        message.timestamp()[1],
        tuple(headers) if headers else (),
    )

"""The log in Kafka: topics as declared, appended to in transactions, read as far as transactions were committed."""

import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from functools import partial
from typing import Any

from confluent_kafka import (
    Consumer,
    IsolationLevel,
    KafkaError,
    TopicPartition,
)
from confluent_kafka.admin import (
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewTopic,
    OffsetSpec,
    ResourceType,
)

from mainstem.errors import LogError, OffsetOutOfRange, StoreUnavailable, TopicMismatch, UnknownTopic
from mainstem.log.kafka_admin import Admin, code_of
from mainstem.log.kafka_client import KafkaServers, mapped, mapped_errors
from mainstem.log.kafka_consumer import KafkaConsumer, record_of
from mainstem.log.kafka_producer import BATCH_BYTES, Ends, Placed, Transactions
from mainstem.log.limits import check_record
from mainstem.log.partitioner import partition_for
from mainstem.log.port import PARTITIONS_MAX, Assigned, Place, Range, Topic, is_topic_name
from mainstem.messages import NewRecord, Record

_ROOM_BYTES = 65_536
"""By how much Kafka's limit, which is of a whole batch with its frame, is above the records'."""

_COUNTED_MAX = 10_000
_LOOK_MAX = 16
"""Up to how many offsets are looked at one by one to know how many records wait."""

_UNDECIDED = (
    "it is away, or a transaction that holds some of them has not ended; one that stays so for minutes is found by"
    " kafka-transactions.sh find-hanging"
)

_INTERNAL = "__"
"""How Kafka's own topics begin."""

_CHECK_S = 0.05
_LOOK_S = 0.005
_MOVING = (KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError.LEADER_NOT_AVAILABLE)
_MOVING_S, _MOVING_AGAIN_S = 1.0, 0.05
"""A broker that was named as a partition's leader may hear of it a moment later than its clients."""


class KafkaLog:
    """A cluster. `prefix` stands before the names of its topics and groups, so that several may share the cluster.

    Each call waits at most about `timeout_s` for Kafka and raises StoreUnavailable then. `copies` is the replication
    factor of topics that are made.
    """

    takes_identities_once = False

    def __init__(self, servers: KafkaServers, *, prefix: str = "", copies: int = 1, timeout_s: float = 10.0) -> None:
        self._servers = servers
        self._prefix = prefix
        self._copies = copies
        self._timeout_s = timeout_s
        self._admin = Admin(servers, timeout_s)
        self._appending = Transactions(servers, f"{prefix}append-{uuid.uuid4()}", timeout_s)
        self._reading = threading.Lock()
        self._reader: Consumer | None = None
        self._topics: dict[str, Topic] = {}
        self._consumers: list[KafkaConsumer] = []
        self._unseen: Ends = {}
        self._counted: dict[tuple[str, int, int], tuple[int, int]] = {}
        self._closed = False

    def create(self, topic: Topic) -> None:
        """Make the topic; limits that are declared otherwise than before are taken over."""
        new = NewTopic(self._prefix + topic.name, topic.partitions, self._copies, config=_config(topic))
        try:
            self._ask(f"make {topic.name}", lambda admin, **limit: admin.create_topics([new], **limit))
        except LogError as error:
            if code_of(error) != KafkaError.TOPIC_ALREADY_EXISTS:
                raise
            self._take_over(topic)
        self._topics[topic.name] = topic
        self._await_leaders(topic)

    def _await_leaders(self, topic: Topic) -> None:
        """A topic that was just made cannot be used at once."""
        deadline = time.monotonic() + self._timeout_s
        while time.monotonic() < deadline:
            found = self._admin.topics(self._prefix + topic.name)
            partitions = found[self._prefix + topic.name].partitions
            if len(partitions) == topic.partitions and all(each.leader >= 0 for each in partitions.values()):
                return
            time.sleep(_LOOK_S)
        raise StoreUnavailable(f"{self._servers}: topic {topic.name} has no leaders after {self._timeout_s} s")

    def _take_over(self, topic: Topic) -> None:
        stands = self._standing().get(topic.name)
        if stands is None:
            raise StoreUnavailable(f"{self._servers}: topic {topic.name} is being removed")
        if stands.partitions != topic.partitions:
            text = f"topic {topic.name} has {stands.partitions} partitions, not {topic.partitions}"
            raise TopicMismatch(f"{text}; keys would change their place, so this needs a new topic")
        if _config(stands) != _config(topic):
            resource = ConfigResource(ResourceType.TOPIC, self._prefix + topic.name)
            for name, value in _config(topic).items():
                resource.add_incremental_config(ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET))
            self._ask(
                f"change {topic.name}", lambda admin, **limit: admin.incremental_alter_configs([resource], **limit)
            )
            self._await_limits(topic)

    def _await_limits(self, topic: Topic) -> None:
        """The controller has taken them; the broker that is asked next hears of it a moment later."""
        deadline = time.monotonic() + self._timeout_s
        while time.monotonic() < deadline:
            stands = self._standing().get(topic.name)
            if stands is None or _config(stands) == _config(topic):
                return
            time.sleep(_LOOK_S)

    def topics(self) -> Mapping[str, Topic]:
        """As they stand; the limit of records that are small is what this process has declared, if it has."""
        standing = self._standing()
        for name, topic in standing.items():
            known = self._topics.get(name)
            if known is None or _config(known) != _config(topic):
                self._topics[name] = topic
        return {name: self._topics[name] for name in standing}

    def _may_be_declared(self, name: str, meta: Any) -> bool:
        """Kafka has topics of its own, and others may have some that nobody could declare here."""
        fits = name.startswith(self._prefix) and is_topic_name(name.removeprefix(self._prefix))
        return fits and len(meta.partitions) <= PARTITIONS_MAX

    def _standing(self) -> dict[str, Topic]:
        found = self._admin.topics()
        own = {name: meta for name, meta in found.items() if meta.error is None and self._may_be_declared(name, meta)}
        if not own:
            return {}
        resources = [ConfigResource(ResourceType.TOPIC, name) for name in own]
        configs = self._ask("describe topics", lambda admin, **limit: admin.describe_configs(resources, **limit))
        return {
            resource.name[len(self._prefix) :]: _declared(
                resource.name[len(self._prefix) :], len(own[resource.name].partitions), values
            )
            for resource, values in configs.items()
        }

    def append(self, records: Sequence[NewRecord]) -> int:
        """In one transaction."""
        placed = self.placed(records)
        if placed:
            self._check_open()
            self.sent(self._appending.run(placed))
        return len(placed)

    def check(self, record: NewRecord) -> None:
        """By the limits of the record's topic."""
        check_record(record, self._topic(record.topic))

    def placed(self, records: Sequence[NewRecord]) -> list[Placed]:
        """Checked, with their topics' names in the cluster and their partitions."""
        for record in records:
            self.check(record)
        prefix, topics = self._prefix, self._topics
        return [(prefix + r.topic, partition_for(r.key, topics[r.topic].partitions), r) for r in records]

    def read(self, topic: str, partition: int, offset: int, limit: int) -> Sequence[Record]:
        """Records of one partition, as far as transactions were committed."""
        held = self._range(topic, partition)
        if not held.begin <= offset <= held.end:
            text = f"{topic}/{partition} holds the offsets from {held.begin} to {held.end}, not {offset}"
            raise OffsetOutOfRange(text)
        if offset == held.end:
            return []
        with self._reading, mapped_errors(self._servers, "be read"):
            return self._read(TopicPartition(self._prefix + topic, partition, offset), topic, limit)

    def _read(self, begin: TopicPartition, topic: str, limit: int) -> list[Record]:
        self._check_open()
        if self._reader is None:
            self._reader = Consumer(_reader(self._servers, self._prefix))
        reader = self._reader
        try:
            reader.assign([begin])
            found = self._taken(reader, topic, limit)
            reader.unassign()
        except BaseException:
            self._reader = None  # what it knows of the cluster may be what it failed with
            reader.close()
            raise
        return found

    def _taken(self, reader: Consumer, topic: str, limit: int) -> list[Record]:
        """What the reader has, up to the limit or the partition's end."""
        found: list[Record] = []
        deadline = time.monotonic() + self._timeout_s
        while len(found) < limit:
            for message in reader.consume(limit - len(found), _CHECK_S):
                error = message.error()
                if error is None:
                    found.append(record_of(topic, message))
                elif error.code() == KafkaError._PARTITION_EOF:
                    return found
                elif not error.retriable():
                    raise mapped(self._servers, f"read {topic}", error)
            if time.monotonic() > deadline:
                raise StoreUnavailable(f"{self._servers} has not answered within {self._timeout_s} s")
        return found

    def ranges(self, topic: str) -> Mapping[int, Range]:
        """By partition; the end is that of the last transaction that is neither open nor behind an open one.

        Kafka lets others see a transaction a moment after it was committed: what this process has sent is waited for.
        """
        places = [TopicPartition(self._prefix + topic, n) for n in range(self._topic(topic).partitions)]
        begins = self._offsets(places, OffsetSpec.earliest())
        deadline = time.monotonic() + self._timeout_s
        while True:
            ends = self._offsets(places, OffsetSpec.latest())
            if all(ends[n] >= self._unseen.get((self._prefix + topic, n), 0) for n in ends):
                break
            if time.monotonic() > deadline:
                raise StoreUnavailable(f"{self._servers} does not show what was sent to {topic}")
            time.sleep(_LOOK_S)
        for place in places:
            self._unseen.pop((place.topic, place.partition), None)
        return {n: Range(begins[n], max(begins[n], ends[n])) for n in begins}

    def sent(self, ends: Ends) -> None:
        """Its transactions end there: reading waits until Kafka shows them."""
        self._unseen.update(ends)

    def _offsets(self, places: Sequence[TopicPartition], which: OffsetSpec) -> dict[int, int]:
        committed, wanted = IsolationLevel.READ_COMMITTED, dict.fromkeys(places, which)
        deadline = time.monotonic() + _MOVING_S
        while True:
            try:
                asked = self._ask(
                    "say its offsets",
                    lambda admin, **limit: admin.list_offsets(wanted, isolation_level=committed, **limit),
                )
            except StoreUnavailable as error:
                if code_of(error) not in _MOVING or time.monotonic() >= deadline:
                    raise
                time.sleep(_MOVING_AGAIN_S)
            else:
                return {place.partition: found.offset for place, found in asked.items()}

    def _range(self, topic: str, partition: int) -> Range:
        if not 0 <= partition < self._topic(topic).partitions:
            raise UnknownTopic(f"topic {topic} has no partition {partition}")
        return self.ranges(topic)[partition]

    def lag(self, topic: str, done: Mapping[int, int]) -> Mapping[int, int]:
        """A few offsets are looked at, since the end of a transaction takes one too."""
        found = {}
        for partition, held in self.ranges(topic).items():
            begin = max(held.begin, done.get(partition, 0))
            behind = max(0, held.end - begin)
            few = 0 < behind <= _LOOK_MAX
            found[partition] = self._few(topic, partition, begin, held.end) if few else behind
        return found

    def _few(self, topic: str, partition: int, begin: int, end: int) -> int:
        """How many records are there. They stay what they are: whoever has nothing to do is not looked for twice."""
        place = (topic, partition, begin)
        kept = self._counted.get(place)
        if kept is not None and kept[0] == end:
            return kept[1]
        number = len(self.read(topic, partition, begin, end - begin))
        if len(self._counted) >= _COUNTED_MAX:
            self._counted.clear()
        self._counted[place] = (end, number)
        return number

    def partition_of(self, topic: str, key: str) -> int:
        """Kafka's default partitioner."""
        return partition_for(key, self._topic(topic).partitions)

    def consumer(self, group: str, topics: Sequence[str], assigned: Assigned | None = None) -> KafkaConsumer:
        """A member of the group; it joins with its first poll."""
        self._check_open()
        for topic in topics:
            self._topic(topic)
        member = f"{self._prefix}{group}-{uuid.uuid4()}"
        consumer = KafkaConsumer(
            self._servers,
            self._prefix + group,
            {self._prefix + topic: topic for topic in topics},
            Transactions(self._servers, member, self._timeout_s),
            self,
            assigned,
            timeout_s=self._timeout_s,
        )
        self._consumers = [each for each in self._consumers if not each.closed] + [consumer]
        return consumer

    def committed(self, group: str) -> Mapping[Place, int]:
        """By topic and partition; none of a transaction that is not decided yet (StoreUnavailable says so).

        Asked by a consumer that does not join: librdkafka's admin client (2.16.0) ends its process by an assertion
        where the group's coordinator comes back while it asks for offsets.
        """
        what, topics = f"say the offsets of {group}", self._admin.topics()
        own = [name for name in topics if name.startswith(self._prefix) and not name.startswith(_INTERNAL)]
        places = [TopicPartition(name, number) for name in own for number in topics[name].partitions]
        asking = {"group.id": self._prefix + group, "isolation.level": "read_committed", "enable.auto.commit": False}
        with (
            mapped_errors(self._servers, what, _UNDECIDED),
            closing(Consumer(self._servers.properties() | asking)) as consumer,
        ):
            found = consumer.committed(places, timeout=self._timeout_s) if places else []
        for each in found:
            if each.error is not None:
                raise mapped(self._servers, what, each.error)
        return {(each.topic[len(self._prefix) :], each.partition): each.offset for each in found if each.offset >= 0}

    def close(self) -> None:
        """With its consumers."""
        self._closed = True
        for consumer in self._consumers:
            consumer.close()
        self._consumers.clear()
        self._appending.close()
        with self._reading:
            reader, self._reader = self._reader, None
            if reader is not None:
                reader.close()

    def _check_open(self) -> None:
        if self._closed:
            raise StoreUnavailable(f"{self._servers}: the log is closed")

    def _topic(self, name: str) -> Topic:
        found = self._topics.get(name)
        if found is None:
            found = self.topics().get(name)
        if found is None:
            raise UnknownTopic(f"no topic is named {name!r}; known are {sorted(self._topics)}")
        return found

    def _ask(self, what: str, call: Callable[..., Mapping[Any, Any]]) -> dict[Any, Any]:
        return self._admin.ask(what, partial(call, request_timeout=self._timeout_s))


def _config(topic: Topic) -> dict[str, str]:
    """Kafka's limit counts a batch, so it is not below what the producer sends at a time."""
    return {
        "cleanup.policy": "delete",
        "retention.ms": str(-1 if topic.retention_ms is None else topic.retention_ms),
        "retention.bytes": str(-1 if topic.retention_bytes is None else topic.retention_bytes),
        "max.message.bytes": str(max(topic.record_max_bytes, BATCH_BYTES) + _ROOM_BYTES),
        "message.timestamp.type": "CreateTime",
    }


def _declared(name: str, partitions: int, values: Mapping[str, Any]) -> Topic:
    def limit(key: str) -> int | None:
        number = int(values[key].value)
        return None if number < 0 else number

    most = max(1, int(values["max.message.bytes"].value) - _ROOM_BYTES)
    return Topic(name, partitions, limit("retention.ms"), limit("retention.bytes"), most)


def _reader(servers: KafkaServers, prefix: str) -> dict[str, Any]:
    """Of single partitions, for no group; it is told where a partition ends."""
    return {
        **servers.properties(),
        "group.id": f"{prefix}reader",
        "isolation.level": "read_committed",
        "enable.auto.commit": False,
        "enable.partition.eof": True,
        "auto.offset.reset": "error",
        "fetch.wait.max.ms": 10,
    }

"""The log in one SQLite file: what Kafka is to the distributed form."""

import threading
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import apsw
import msgspec

from mainstem.errors import LogError, TooManyTopics, TopicMismatch, UnknownTopic
from mainstem.log.limits import check_record
from mainstem.log.partitioner import partition_for
from mainstem.log.port import Assigned, Place, Range, Topic
from mainstem.log.sqlite_consumer import OFFSET_BITS, PLACE, READ, SqliteConsumer, ids, records_of
from mainstem.log.tail import Page, Tail
from mainstem.messages import NewRecord, Record
from mainstem.sqlite import ROWS_MAX, connect, insert_many, mapped_errors, prepare, transaction

_PARTITIONS_MAX = 1024
_TOPICS_MAX = (2**63 >> OFFSET_BITS) // _PARTITIONS_MAX - 2
"""A record's id is bits of topic, partition and offset; the end of the last partition of one more would not fit."""

_DAY_MS = 86_400_000
_RETENTION_CHUNK = 1_000

_MIGRATIONS = (
    """
    CREATE TABLE topic (
        id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, partitions INTEGER NOT NULL,
        retention_ms INTEGER, retention_bytes INTEGER, record_max_bytes INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE place (
        id INTEGER PRIMARY KEY, begin_offset INTEGER NOT NULL, end_offset INTEGER NOT NULL, bytes INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE record (
        place INTEGER NOT NULL, offset INTEGER NOT NULL, key TEXT NOT NULL, value BLOB,
        timestamp_ms INTEGER NOT NULL, headers BLOB,
        PRIMARY KEY (place, offset)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE identity (
        topic INTEGER NOT NULL, identity TEXT NOT NULL, timestamp_ms INTEGER NOT NULL,
        PRIMARY KEY (topic, identity)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE producer (name TEXT PRIMARY KEY, sequence INTEGER NOT NULL) STRICT, WITHOUT ROWID;
    CREATE TABLE group_offset (
        name TEXT NOT NULL, place INTEGER NOT NULL, offset INTEGER NOT NULL, PRIMARY KEY (name, place)
    ) STRICT, WITHOUT ROWID;
    """,
    f"""
    ALTER TABLE record RENAME TO record_of_place;
    CREATE TABLE record (
        id INTEGER PRIMARY KEY, key TEXT NOT NULL, value BLOB, timestamp_ms INTEGER NOT NULL, headers BLOB
    ) STRICT;
    INSERT INTO record
        SELECT (place << {OFFSET_BITS}) + offset, key, value, timestamp_ms, headers FROM record_of_place
        ORDER BY place, offset;
    DROP TABLE record_of_place;
    """,
)

_RECORD = "record (id, key, value, timestamp_ms, headers)"
_END = "UPDATE place SET end_offset = ?, bytes = bytes + ? WHERE id = ?"
_ENCODE = msgspec.msgpack.encode
_TOPIC = "SELECT id, partitions FROM topic WHERE name = ?"


class SqliteLog:
    """Topics, records, producers' sequences and groups' offsets. Safe to be used by many threads and processes."""

    takes_identities_once = True

    def __init__(self, path: Path) -> None:
        prepare(path, "log", _MIGRATIONS)
        self._path = path
        self._writing = threading.Lock()
        self._reading = threading.Lock()
        self._writer = connect(path)
        self._reader = connect(path, read_only=True)
        self._bells: dict[str, set[threading.Event]] = {}
        self.tail = Tail()
        self._closed = False
        self._topics: dict[str, tuple[int, Topic]] = {}
        self._load_topics()

    def create(self, topic: Topic) -> None:
        """Make the topic; limits that are declared otherwise than before are taken over.

        Raises TooManyTopics where the file has as many as it can have.
        """
        limits = (topic.retention_ms, topic.retention_bytes, topic.record_max_bytes)
        with self._writing, transaction(self._writer, self._path):
            found: Any = self._writer.execute(_TOPIC, (topic.name,)).fetchall()
            if found and found[0][1] != topic.partitions:
                text = f"topic {topic.name} has {found[0][1]} partitions, not {topic.partitions}"
                raise TopicMismatch(f"{text}; keys would change their place, so this needs a new topic")
            if found:
                sql = "UPDATE topic SET retention_ms = ?, retention_bytes = ?, record_max_bytes = ? WHERE name = ?"
                self._writer.execute(sql, (*limits, topic.name))
            else:
                sql = "INSERT INTO topic VALUES (NULL, ?, ?, ?, ?, ?)"
                self._writer.execute(sql, (topic.name, topic.partitions, *limits))
                topic_id = self._writer.last_insert_rowid()
                if topic_id > _TOPICS_MAX:
                    raise TooManyTopics(
                        f"{self._path} has {_TOPICS_MAX} topics, the most that a log in one file can have"
                    )
                first = topic_id * _PARTITIONS_MAX
                places = [(first + partition,) for partition in range(topic.partitions)]
                self._writer.executemany("INSERT INTO place VALUES (?, 0, 0, 0)", places)
        self._load_topics()

    def topics(self) -> Mapping[str, Topic]:
        """All topics by name."""
        self._load_topics()
        return {name: topic for name, (_, topic) in self._topics.items()}

    def append(self, records: Sequence[NewRecord], *, producer: str = "", sequence: int | None = None) -> int:
        """Append in one durable transaction."""
        self._check(records)
        with self._writing:
            with transaction(self._writer, self._path):
                if sequence is not None and not self._next_sequence(producer, sequence):
                    return 0
                fresh = self._unknown(records) if sequence is None else records
                pages = self._insert(fresh)
            self.tail.add(pages)
        self._ring({record.topic for record in fresh})
        return len(fresh)

    def send(self, group: str, records: Sequence[NewRecord], offsets: Mapping[Place, int]) -> None:
        """Append, and keep the group's offsets, in one durable transaction."""
        self._check(records)
        with self._writing:
            with transaction(self._writer, self._path):
                pages = self._insert(self._unknown(records))
                self._keep(group, offsets)
            self.tail.add(pages)
        self._ring({record.topic for record in records})

    def _ring(self, topics: Iterable[str]) -> None:
        for topic in topics:
            for bell in tuple(self._bells.get(topic, ())):
                bell.set()

    def check(self, record: NewRecord) -> None:
        """By the limits of the record's topic."""
        check_record(record, self._topic(record.topic)[1])

    def _check(self, records: Sequence[NewRecord]) -> None:
        topic: Topic | None = None
        for record in records:
            if topic is None or topic.name != record.topic:
                topic = self._topic(record.topic)[1]
            check_record(record, topic)

    def _next_sequence(self, producer: str, sequence: int) -> bool:
        found: Any = self._writer.execute("SELECT sequence FROM producer WHERE name = ?", (producer,)).fetchall()
        if found and sequence <= found[0][0]:
            return False
        self._writer.execute("INSERT OR REPLACE INTO producer VALUES (?, ?)", (producer, sequence))
        return True

    def _unknown(self, records: Sequence[NewRecord]) -> Sequence[NewRecord]:
        """The records without those whose identity the log has already; it keeps the identities of the others."""
        by_topic: dict[str, dict[str, NewRecord]] = {}
        for record in records:
            if record.identity is not None:
                by_topic.setdefault(record.topic, {}).setdefault(record.identity, record)
        for topic, fresh in by_topic.items():
            self._remember(self._topics[topic][0], fresh)
        if sum(map(len, by_topic.values())) == len(records):
            return records
        return [r for r in records if r.identity is None or by_topic[r.topic].get(r.identity) is r]

    def _remember(self, topic_id: int, fresh: dict[str, NewRecord]) -> None:
        """Keep the identities; those that were kept before leave `fresh`. Nearly always none was, so none is sought."""
        rows = [(topic_id, identity, record.timestamp_ms) for identity, record in fresh.items()]
        for start in range(0, len(rows), ROWS_MAX):
            part = rows[start : start + ROWS_MAX]
            try:
                insert_many(self._writer, "identity", part)
            except apsw.ConstraintError:  # which has undone this statement alone
                known = self._known(topic_id, [identity for _, identity, _ in part])
                insert_many(self._writer, "identity", [row for row in part if row[1] not in known])
                for identity in known:
                    del fresh[identity]

    def _known(self, topic_id: int, identities: Sequence[str]) -> set[str]:
        sql = f"SELECT identity FROM identity WHERE topic = ? AND identity IN ({', '.join('?' * len(identities))})"
        rows: Any = self._writer.execute(sql, (topic_id, *identities)).fetchall()
        return {identity for (identity,) in rows}

    def _insert(self, records: Sequence[NewRecord]) -> list[Page]:
        """What was inserted of the topics that somebody here reads."""
        by_place: defaultdict[int, list[NewRecord]] = defaultdict(list)
        for record in records:
            topic_id, topic = self._topics[record.topic]
            by_place[topic_id * _PARTITIONS_MAX + partition_for(record.key, topic.partitions)].append(record)
        rows: list[tuple[Any, ...]] = []
        pages = []
        for place, own in by_place.items():
            found: Any = self._writer.execute(PLACE, (place,)).fetchall()
            first, size = found[0][1], sum([len(each.key) + len(each.value or b"") for each in own])
            rows += [
                (n, each.key, each.value, each.timestamp_ms, _ENCODE(each.headers) if each.headers else None)
                for n, each in enumerate(own, ids(place, first)[0])
            ]
            self._writer.execute(_END, (first + len(own), size, place))
            if self._bells.get(own[0].topic):
                topic_name, partition = own[0].topic, place % _PARTITIONS_MAX
                page = [
                    Record(topic_name, partition, n, each.key, each.value, each.timestamp_ms, each.headers)
                    for n, each in enumerate(own, first)
                ]
                pages.append(Page(place, page, size))
        insert_many(self._writer, _RECORD, rows)
        return pages

    def last_sequence(self, producer: str) -> int | None:
        """By the producer's name."""
        rows = self._ask("SELECT sequence FROM producer WHERE name = ?", (producer,))
        return rows[0][0] if rows else None

    def read(self, topic: str, partition: int, offset: int, limit: int) -> Sequence[Record]:
        """Records of one partition."""
        place = self._place(topic, partition)
        with self._reading, mapped_errors(self._path):
            return records_of(self._reader, topic, partition, place, offset, limit)

    def ranges(self, topic: str) -> Mapping[int, Range]:
        """By partition."""
        topic_id, declared = self._topic(topic)
        first = topic_id * _PARTITIONS_MAX
        sql = "SELECT id, begin_offset, end_offset FROM place WHERE id >= ? AND id < ?"
        rows = self._ask(sql, (first, first + declared.partitions))
        return {place - first: Range(begin, end) for place, begin, end in rows}

    def lag(self, topic: str, done: Mapping[int, int]) -> Mapping[int, int]:
        """By the ranges: each offset has a record."""
        ranges = self.ranges(topic)
        return {n: max(0, held.end - max(held.begin, done.get(n, 0))) for n, held in ranges.items()}

    def partition_of(self, topic: str, key: str) -> int:
        """Kafka's default partitioner."""
        return partition_for(key, self._topic(topic)[1].partitions)

    def consumer(self, group: str, topics: Sequence[str], assigned: Assigned | None = None) -> SqliteConsumer:
        """A consumer of all partitions of these topics."""
        committed = self.committed(group)
        offsets = {}
        for topic in topics:
            for partition, held in self.ranges(topic).items():
                offsets[topic, partition] = committed.get((topic, partition), held.begin)
        return SqliteConsumer(self, self._path, group, offsets, assigned)

    def committed(self, group: str) -> Mapping[Place, int]:
        """By topic and partition."""
        names = {topic_id: name for name, (topic_id, _) in self._topics.items()}
        rows = self._ask("SELECT place, offset FROM group_offset WHERE name = ?", (group,))
        return {(names[place // _PARTITIONS_MAX], place % _PARTITIONS_MAX): offset for place, offset in rows}

    def commit(self, group: str, offsets: Mapping[Place, int]) -> None:
        """Keep the group's offsets. Raises LogError for one beyond the end."""
        with self._writing, transaction(self._writer, self._path):
            self._keep(group, offsets)

    def _keep(self, group: str, offsets: Mapping[Place, int]) -> None:
        for (topic, partition), offset in offsets.items():
            place = self._place(topic, partition)
            found: Any = self._writer.execute(PLACE, (place,)).fetchall()
            if not 0 <= offset <= found[0][1]:
                raise LogError(f"offset {offset} of {topic}/{partition} cannot be committed; it ends at {found[0][1]}")
            self._writer.execute("INSERT OR REPLACE INTO group_offset VALUES (?, ?, ?)", (group, place, offset))

    def apply_retention(self, now_ms: int) -> int:
        """Chunk by chunk, so that nobody waits for long."""
        removed = 0
        for topic_id, topic in list(self._topics.values()):
            if topic.retention_ms is not None:
                self._forget_identities(topic_id, now_ms - topic.retention_ms - _DAY_MS)
            for partition in range(topic.partitions):
                place = topic_id * _PARTITIONS_MAX + partition
                while chunk := self._retain(place, topic, now_ms):
                    removed += chunk
        return removed

    def _retain(self, place: int, topic: Topic, now_ms: int) -> int:
        """Remove the oldest records that are too old or too many bytes; at most a chunk."""
        with self._writing, transaction(self._writer, self._path):
            found: Any = self._writer.execute(PLACE, (place,)).fetchall()
            begin, _, size = found[0]
            oldest: Any = self._writer.execute(READ, (*ids(place, begin), _RETENTION_CHUNK)).fetchall()
            gone = 0
            for _, key, value, timestamp_ms, _ in oldest:
                too_old = topic.retention_ms is not None and timestamp_ms < now_ms - topic.retention_ms
                too_large = topic.retention_bytes is not None and size > topic.retention_bytes
                if not (too_old or too_large):
                    break
                gone += 1
                size -= len(key) + len(value or b"")
            self._writer.execute("DELETE FROM record WHERE id >= ? AND id < ?", ids(place, begin, begin + gone))
            sql = "UPDATE place SET begin_offset = ?, bytes = ? WHERE id = ?"
            self._writer.execute(sql, (begin + gone, size, place))
        return gone

    def _forget_identities(self, topic_id: int, before_ms: int) -> None:
        with self._writing, transaction(self._writer, self._path):
            sql = "DELETE FROM identity WHERE topic = ? AND timestamp_ms < ?"
            self._writer.execute(sql, (topic_id, before_ms))

    def close(self) -> None:
        """Wake waiting consumers, then close."""
        self._closed = True
        self._ring(list(self._bells))
        with self._writing, self._reading:
            self._reader.close()
            self._writer.close()

    def listen(self, topics: Iterable[str], bell: threading.Event) -> None:
        """Set the bell whenever this process appends to one of the topics, and at the close."""
        with self._writing:
            for topic in topics:
                self._bells.setdefault(topic, set()).add(bell)

    def forget(self, bell: threading.Event) -> None:
        """Set it no more."""
        with self._writing:
            for bells in self._bells.values():
                bells.discard(bell)

    @property
    def closed(self) -> bool:
        """Whether the log was closed."""
        return self._closed

    def _ask(self, sql: str, values: tuple[Any, ...]) -> list[Any]:
        with self._reading, mapped_errors(self._path):
            return self._reader.execute(sql, values).fetchall()

    def _load_topics(self) -> None:
        sql = "SELECT id, name, partitions, retention_ms, retention_bytes, record_max_bytes FROM topic"
        self._topics = {row[1]: (row[0], Topic(*row[1:])) for row in self._ask(sql, ())}

    def _topic(self, name: str) -> tuple[int, Topic]:
        found = self._topics.get(name)
        if found is None:
            self._load_topics()
            found = self._topics.get(name)
        if found is None:
            raise UnknownTopic(f"no topic is named {name!r}; known are {sorted(self._topics)}")
        return found

    def _place(self, topic: str, partition: int) -> int:
        topic_id, declared = self._topic(topic)
        if not 0 <= partition < declared.partitions:
            raise UnknownTopic(f"topic {topic} has no partition {partition}")
        return topic_id * _PARTITIONS_MAX + partition

    def place_number(self, topic: str, partition: int) -> int:
        """The number under which a partition is stored."""
        return self._place(topic, partition)

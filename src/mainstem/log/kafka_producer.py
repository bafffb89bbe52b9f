"""Records in transactions of Kafka: all of them or none, with a group's offsets where they are given.

A call of librdkafka for a group's offsets may never return once Kafka was away (librdkafka #5511, open): it waits for a
coordinator that it has dropped. So each transaction runs in a thread of its own, which is left behind with its producer
when it takes too long: a producer of the same name, or the group's next member, fences off whatever it may still do.
"""

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Producer

from mainstem.errors import StoreUnavailable
from mainstem.log.kafka_client import KafkaServers, mapped, mapped_errors
from mainstem.messages import NewRecord

BATCH_BYTES = 500_000
"""The most that is sent at a time to one partition, unless one record is larger."""

_TRANSACTION_MS = 10_000
"""After which Kafka gives up the transaction of a process that has died: so long others wait for what is behind it."""

_TAKEN_BACK = frozenset((KafkaError._PURGE_QUEUE, KafkaError._PURGE_INFLIGHT))
"""What is told of a record whose transaction is taken back before it was sent: never why it is."""

_QUEUE_WAIT_S = 0.05

_PATIENCE = 2.0
"""How much longer than one call a whole transaction may take."""

Ends = dict[tuple[str, int], int]
"""The offset behind a topic's (by its name in the cluster) partition's last record."""

Placed = tuple[str, int, NewRecord]
"""A record with its topic's name in the cluster and its partition."""


class Transactions:
    """One transactional producer, made when it is first needed and again where it can no longer be used.

    Threads take turns. `name` is the transactional id: a second producer of it ends the first one's transactions.
    """

    def __init__(self, servers: KafkaServers, name: str, timeout_s: float) -> None:
        self._servers = servers
        self._name = name
        self._timeout_s = timeout_s
        self._turn = threading.Lock()
        self._sender = _Sender(servers, name, timeout_s)
        self._closed = False

    def run(self, records: Sequence[Placed], offsets: Callable[[Producer], None] | None = None) -> Ends:
        """Send records to their partitions; `offsets` adds a group's. Durable when it returns, and seen soon after.

        Returns the offset behind the last record in each partition.

        Raises Fenced where the group has gone on without its consumer, StoreUnavailable where Kafka is away: then it is
        open whether the transaction was taken, until the group's stable offsets tell.
        """
        with self._turn:
            if self._closed:
                raise StoreUnavailable(f"{self._servers}: the log is closed")
            sender, outcome = self._sender, Future[Ends]()
            name = f"transaction-{self._name}"
            threading.Thread(target=_carry, args=(outcome, sender, records, offsets), name=name, daemon=True).start()
            limit_s = _PATIENCE * self._timeout_s
            try:
                return outcome.result(limit_s)
            except TimeoutError:
                self._sender = _Sender(self._servers, self._name, self._timeout_s)
                text = f"{self._servers} cannot take records: no answer within {limit_s:g} s"
                raise StoreUnavailable(text) from None

    def close(self) -> None:
        """Waits a moment for whoever sends."""
        self._closed = True
        if self._turn.acquire(timeout=self._timeout_s):
            self._sender = _Sender(self._servers, self._name, self._timeout_s)
            self._turn.release()


def _carry(
    outcome: "Future[Ends]", sender: "_Sender", records: Sequence[Placed], offsets: Callable[[Producer], None] | None
) -> None:
    try:
        outcome.set_result(sender.run(records, offsets))
    except BaseException as error:
        outcome.set_exception(error)


class _Sender:
    """The producer of one thread at a time."""

    def __init__(self, servers: KafkaServers, name: str, timeout_s: float) -> None:
        self._servers = servers
        self._name = name
        self._timeout_s = timeout_s
        self._producer: Producer | None = None

    def run(self, records: Sequence[Placed], offsets: Callable[[Producer], None] | None) -> Ends:
        """One transaction."""
        producer = self._begun()
        failures: list[Any] = []
        ends: Ends = {}
        try:
            with mapped_errors(self._servers, "take records"):
                self._produce(producer, records, failures, ends)
                if offsets is not None:
                    offsets(producer)
                self._commit(producer)
        except BaseException as error:
            self._give_up(producer, error)
            if failures:
                raise mapped(self._servers, "take a record", failures[0]) from error
            raise
        return ends

    def _begun(self) -> Producer:
        with mapped_errors(self._servers, "begin a transaction"):
            if self._producer is None:
                producer = Producer(
                    {
                        **self._servers.properties(),
                        "transactional.id": self._name,
                        "transaction.timeout.ms": _TRANSACTION_MS,
                        "message.timeout.ms": _TRANSACTION_MS,
                        "message.max.bytes": 64 * 1024 * 1024,
                        "batch.size": BATCH_BYTES,
                        "linger.ms": 1,
                        "compression.type": "lz4",
                    }
                )
                producer.init_transactions(self._timeout_s)
                self._producer = producer
            self._producer.begin_transaction()
            return self._producer

    def _produce(self, producer: Producer, records: Sequence[Placed], failures: list[Any], ends: Ends) -> None:
        def delivered(error: Any, message: Any) -> None:
            if error is None:
                ends[message.topic(), message.partition()] = message.offset() + 1
            elif error.code() not in _TAKEN_BACK:
                failures.append(error)

        deadline = time.monotonic() + self._timeout_s
        for topic, partition, record in records:
            while True:
                try:
                    producer.produce(
                        topic,
                        value=record.value,
                        key=record.key.encode(),
                        partition=partition,
                        timestamp=record.timestamp_ms,
                        headers=list(record.headers) or None,
                        on_delivery=delivered,
                    )
                    break
                except BufferError:
                    if time.monotonic() > deadline:
                        raise KafkaException(KafkaError(KafkaError._TIMED_OUT)) from None
                    producer.poll(_QUEUE_WAIT_S)

    def _commit(self, producer: Producer) -> None:
        deadline = time.monotonic() + self._timeout_s
        while True:
            try:
                producer.commit_transaction(max(0.1, deadline - time.monotonic()))
            except KafkaException as error:
                if not error.args[0].retriable() or time.monotonic() > deadline:
                    raise
            else:
                return

    def _give_up(self, producer: Producer, error: BaseException) -> None:
        """Take the transaction back; where that fails too, the next one begins with a new producer."""
        self._producer = None
        cause = error.__cause__
        fatal = isinstance(cause, KafkaException) and isinstance(cause.args[0], KafkaError) and cause.args[0].fatal()
        if not fatal:
            with suppress(KafkaException):
                producer.abort_transaction(self._timeout_s)
                self._producer = producer

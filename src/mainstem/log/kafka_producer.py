"""Records in transactions of Kafka: all of them or none, with a group's offsets where they are given."""

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Producer

from mainstem.errors import StoreUnavailable
from mainstem.log.kafka_client import KafkaServers, mapped, mapped_errors
from mainstem.messages import NewRecord

BATCH_BYTES = 500_000
"""The most that is sent at a time to one partition, unless one record is larger."""

_TRANSACTION_MS = 10_000
"""After which Kafka gives up the transaction of a process that has died: so long others wait for what is behind it."""

_QUEUE_WAIT_S = 0.05

_GRACE_S = 1.0

Ends = dict[tuple[str, int], int]
"""The offset behind a topic's (by its name in the cluster) partition's last record."""

Placed = tuple[str, int, NewRecord]
"""A record with its topic's name in the cluster and its partition."""


class _Stuck(StoreUnavailable):
    """A call of the driver has not come back. Its producer must not be touched again."""


def _bounded(call: Callable[[], None], servers: KafkaServers, timeout_s: float) -> None:
    """Make a call that the driver may never end, in a thread that is left to it then.

    librdkafka does not look at the time that adding offsets to a transaction was given (its issue 5456): where the
    group's coordinator goes away meanwhile, the call may never end, even though the coordinator comes back. The
    transaction that it leaves open is given up by Kafka after `_TRANSACTION_MS`, or when a producer of its name begins.
    """
    outcome: SimpleQueue[BaseException | None] = SimpleQueue()

    def run() -> None:
        try:
            call()
        except BaseException as error:
            outcome.put(error)
        else:
            outcome.put(None)

    threading.Thread(target=run, name="kafka-offsets", daemon=True).start()
    try:
        error = outcome.get(timeout=timeout_s)
    except Empty:
        raise _Stuck(f"{servers} has not taken a group's offsets within {timeout_s:g} s") from None
    if error is not None:
        raise error


class Transactions:
    """One transactional producer, made when it is first needed and again where it can no longer be used.

    Threads take turns. `name` is the transactional id: a second producer of it ends the first one's transactions.
    """

    def __init__(self, servers: KafkaServers, name: str, timeout_s: float) -> None:
        self._servers = servers
        self._name = name
        self._timeout_s = timeout_s
        self._turn = threading.Lock()
        self._producer: Producer | None = None

    def run(self, records: Sequence[Placed], offsets: Callable[[Producer], None] | None = None) -> Ends:
        """Send records to their partitions; `offsets` adds a group's. Durable when it returns, and seen soon after.

        Returns the offset behind the last record in each partition.

        Raises Fenced where the group has gone on without its consumer, StoreUnavailable where Kafka is away: then it is
        open whether the transaction was taken, until the group's stable offsets tell.
        """
        with self._turn:
            producer = self._begun()
            failures: list[Any] = []
            ends: Ends = {}
            try:
                with mapped_errors(self._servers, "take records"):
                    self._produce(producer, records, failures, ends)
                    if offsets is not None:
                        _bounded(partial(offsets, producer), self._servers, self._timeout_s + _GRACE_S)
                    self._commit(producer)
            except BaseException as error:
                self._give_up(producer, error)
                if failures:
                    raise mapped(self._servers, "take a record", failures[0]) from error
                raise
            return ends

    def close(self) -> None:
        """Waits for whoever sends."""
        with self._turn:
            self._producer = None

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
            if error is not None:
                failures.append(error)
            else:
                ends[message.topic(), message.partition()] = message.offset() + 1

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
        if isinstance(error, _Stuck):
            return
        cause = error.__cause__
        fatal = isinstance(cause, KafkaException) and isinstance(cause.args[0], KafkaError) and cause.args[0].fatal()
        if not fatal:
            with suppress(KafkaException):
                producer.abort_transaction(self._timeout_s)
                self._producer = producer

"""Offsets of a group in a transaction that has not ended: nobody is told them, and why."""

from contextlib import closing
from pathlib import Path

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from mainstem.errors import StoreUnavailable
from mainstem.log.kafka import KafkaLog
from mainstem.log.port import Topic
from tests.stack import Prefixes


@pytest.mark.stack
def test_an_open_transaction_is_named_as_what_is_waited_for(tmp_path: Path, prefixes: Prefixes) -> None:
    servers, prefix = prefixes(tmp_path)
    group = f"{prefix}g"
    with (
        closing(KafkaLog(servers, prefix=prefix, timeout_s=3)) as log,
        closing(Consumer(servers.properties() | {"group.id": group})) as member,
    ):
        log.create(Topic("in", partitions=1))
        producer = Producer(servers.properties() | {"transactional.id": group, "transaction.timeout.ms": 60_000})
        producer.init_transactions(30)
        producer.begin_transaction()
        offsets = [TopicPartition(f"{prefix}in", 0, 7)]
        producer.send_offsets_to_transaction(offsets, member.consumer_group_metadata(), 30)
        with pytest.raises(StoreUnavailable, match=r"the offsets of g: .* has not ended"):
            log.committed("g")
        producer.commit_transaction(30)
        assert log.committed("g") == {("in", 0): 7}

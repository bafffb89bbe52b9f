"""Kafka dies while many transactions are being committed: each ends, and what it has sent is read, once.

Kafka 4.3.0 to 4.4.0 left some of them open for ever (KAFKA-20734): whoever read committed offsets or records waited.
"""

import subprocess
import sys
import time
from collections import Counter, defaultdict
from functools import partial
from pathlib import Path

import pytest

from mainstem.log.kafka import KafkaLog
from mainstem.log.port import Topic
from mainstem.log.scan import scan
from mainstem.messages import NewRecord
from tests.faults.parts import answer_of, eventually, has_offsets, kill_part, start_parts
from tests.stack import Prefixes

pytestmark = [pytest.mark.stack, pytest.mark.slow]

_GROUPS = 12
_BUSY_S = 2.0
_WAIT_S = 60.0

_SENDERS = """
import os
import sys
import threading
from mainstem.log.kafka import KafkaLog
from mainstem.log.kafka_client import KafkaServers
from mainstem.messages import NewRecord

log = KafkaLog(KafkaServers(sys.argv[1]), prefix=sys.argv[2])

def sends(group):
    consumer = log.consumer(group, ["in"])
    while not consumer.poll(1, 1.0):
        continue
    number = 0
    while True:
        record = NewRecord(topic="out", key=group, value=b"%d" % number, timestamp_ms=0)
        consumer.send([record], {("in", 0): number % 2})
        number += 1
        os.write(1, f"{group} {number}\\n".encode())

for group in sys.argv[3:]:
    threading.Thread(target=sends, args=(group,)).start()
"""


def test_transactions_end_though_kafka_dies_in_them(tmp_path: Path, prefixes: Prefixes) -> None:
    servers, prefix = prefixes(tmp_path)
    log = KafkaLog(servers, prefix=prefix)
    for topic in (Topic("in", partitions=1), Topic("out", partitions=4)):
        log.create(topic)
    log.append([NewRecord(topic="in", key="k", value=b"read by all", timestamp_ms=0)])
    groups = [f"g{number}" for number in range(_GROUPS)]
    words = [sys.executable, "-c", _SENDERS, servers.bootstrap, prefix, *groups]
    told = tmp_path / "told"
    with told.open("w") as output, subprocess.Popen(words, stdout=output, stderr=subprocess.DEVNULL) as senders:
        try:
            eventually(lambda: set(_told(told)) == set(groups), "not all groups send", within_s=_WAIT_S)
            time.sleep(_BUSY_S)
            kill_part("kafka")
        finally:
            senders.kill()
    log.close()
    start_parts()
    log = KafkaLog(servers, prefix=prefix)
    for group in groups:
        eventually(partial(has_offsets, log, group), f"the offsets of {group} stay open", within_s=_WAIT_S)
    for group, number in _told(told).items():
        eventually(partial(_has_sent, log, group, number), f"records of {group} are lost", within_s=_WAIT_S)
        sent = _sent(log)[group]
        assert sent == list(range(len(sent)))
        assert len(sent) <= number + 1
    log.close()


def _told(output: Path) -> Counter[str]:
    """How many records each group was told are in the log."""
    found: Counter[str] = Counter()
    for line in output.read_text().splitlines():
        match line.split():
            case [group, number]:
                found[group] = int(number)
    return found


def _has_sent(log: KafkaLog, group: str, number: int) -> bool:
    sent = answer_of(lambda: _sent(log))
    return sent is not None and len(sent[group]) >= number


def _sent(log: KafkaLog) -> dict[str, list[int]]:
    """What each group has sent, in the order of the log."""
    found: dict[str, list[int]] = defaultdict(list)
    for page in scan(log, "out"):
        for record in page:
            found[record.key].append(int(record.value or b""))
    return found

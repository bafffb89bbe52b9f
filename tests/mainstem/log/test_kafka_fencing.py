"""A member of a group that sleeps, loses its partitions, and then sends what it had read: Kafka takes none of it."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mainstem.log.kafka import KafkaLog
from mainstem.log.port import Topic
from mainstem.messages import NewRecord
from tests.stack import Prefixes

_WAIT_S = 60.0
_TOPICS = (Topic("in", partitions=1), Topic("out", partitions=1))

_SLEEPER = """
import sys
from mainstem.errors import MainstemError
from mainstem.log.kafka import KafkaLog
from mainstem.log.kafka_client import KafkaServers
from mainstem.messages import NewRecord

log = KafkaLog(KafkaServers(sys.argv[1]), prefix=sys.argv[2])
consumer = log.consumer("g", ["in"])
while not consumer.poll(10, 1.0):
    continue
print("read", flush=True)
sys.stdin.readline()
many = [NewRecord(topic="out", key="k", value=b"the sleeper's" * 100, timestamp_ms=0)] * 10_000
try:
    consumer.send(many, {("in", 0): 1})
    print("sent", flush=True)
except MainstemError as error:
    print(type(error).__name__, flush=True)
"""


@pytest.mark.stack
def test_what_a_member_sends_after_its_sleep_is_refused(tmp_path: Path, prefixes: Prefixes) -> None:
    """It still takes the partition for its own: only its next poll would tell it otherwise.

    It sends so much that Kafka refuses its membership while most records still wait to be sent.
    """
    servers, prefix = prefixes(tmp_path)
    log = KafkaLog(servers, prefix=prefix)
    for topic in _TOPICS:
        log.create(topic)
    log.append([NewRecord(topic="in", key="k", value=b"to be handled once", timestamp_ms=0)])
    words = [sys.executable, "-c", _SLEEPER, servers.bootstrap, prefix]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as sleeper:
        try:
            assert sleeper.stdin is not None
            assert sleeper.stdout is not None
            assert sleeper.stdout.readline() == "read\n"
            sleeper.send_signal(signal.SIGSTOP)
            consumer = log.consumer("g", ["in"])
            deadline = time.monotonic() + _WAIT_S
            while not consumer.poll(10, 1.0):
                assert time.monotonic() < deadline, "the group keeps a member that sleeps"
            consumer.send([NewRecord(topic="out", key="k", value=b"the other's", timestamp_ms=0)], {("in", 0): 1})
            sleeper.send_signal(signal.SIGCONT)
            sleeper.stdin.write("\n")
            sleeper.stdin.flush()
            assert sleeper.stdout.readline() == "Fenced\n"
        finally:
            sleeper.kill()
    assert [record.value for record in log.read("out", 0, 0, 10)] == [b"the other's"]
    log.close()

"""How long a change takes from Kafka into a view in MySQL, at a steady rate: against peers doing the same inserts.

From the moment the producer is given the change to the commit of its line; the change before it may share the commit.
"""

import time
import uuid
from collections.abc import Callable
from contextlib import closing

from confluent_kafka import Producer

from deploy.configuration import Place
from figures import ROUNDS, Figure, percentile, say, show
from listening import Listening, Told, faststream, mainstem, quix
from mainstem import Topic
from mainstem.log.kafka import KafkaLog
from mainstem.log.kafka_client import KafkaServers
from stack_listener import in_fresh_database, record

RATE = 500
"""A second: as many a peer that commits each message by itself keeps up with."""

EVENTS = 5_000
_FIRST = 50
_CHECKPOINT_S = 0.05
_FLUSH_S = 30


def measure(place: Place) -> None:
    """Rounds in which they take turns; the medians of their percentiles."""
    servers = KafkaServers(f"{place.host}:{place.ports.kafka}")
    events = _FIRST + EVENTS
    contestants: dict[str, Callable[[str], Listening]] = {
        "mainstem": lambda prefix: mainstem(servers, prefix, events),
        "FastStream, one by one": lambda prefix: faststream(servers, f"{prefix}debit_card", events, "one"),
        "FastStream, in batches": lambda prefix: faststream(servers, f"{prefix}debit_card", events, "batch"),
        "Quix Streams, a checkpoint each 50 ms": lambda prefix: quix(
            servers, f"{prefix}debit_card", events, _CHECKPOINT_S
        ),
    }
    found: dict[str, list[list[float]]] = {name: [] for name in contestants}
    for _ in range(ROUNDS):
        for name, begin in contestants.items():
            found[name].append(_round(place, servers, begin))
    figures = list[Figure]()
    for percent in (50, 99):
        ours, *others = (
            sorted(percentile(each, percent) for each in rounds)[ROUNDS // 2] * 1_000 for rounds in found.values()
        )
        figures += [
            Figure(f"change to line, p{percent}", ours, other, "ms", name, "")
            for name, other in zip(list(found)[1:], others, strict=True)
        ]
    say(f"{RATE} changes a second, {EVENTS} of them, one partition")
    show("From a change in Kafka to its line in MySQL", figures)


def _round(place: Place, servers: KafkaServers, begin: Callable[[str], Listening]) -> list[float]:
    """Seconds, of each change in the order in which they were sent."""
    prefix = f"bench-{uuid.uuid4().hex[:8]}."
    with closing(KafkaLog(servers, prefix=prefix)) as log:
        log.create(Topic("debit_card", 1))
    producer, sent = Producer({"bootstrap.servers": servers.bootstrap, "linger.ms": 0}), list[float]()

    def send(number: int) -> None:
        each = record(number)
        producer.produce(f"{prefix}debit_card", each.value, each.key)
        sent.append(time.monotonic())
        producer.poll(0)

    def send_all() -> None:
        began = time.monotonic()
        for number in range(_FIRST, _FIRST + EVENTS):
            due = began + (number - _FIRST) / RATE
            while (left := due - time.monotonic()) > 0:
                time.sleep(left)
            send(number)
        producer.flush(_FLUSH_S)

    for number in range(_FIRST):
        send(number)
    producer.flush(_FLUSH_S)
    told = in_fresh_database(place, lambda server: begin(prefix).run(server, send_all))
    return _delays(told, sent)[_FIRST:]


def _delays(told: Told, sent: list[float]) -> list[float]:
    commits = iter(told.commits)
    done, at = next(commits)
    found = list[float]()
    for number, sent_at in enumerate(sent):
        while done <= number:
            done, at = next(commits)
        found.append(at - sent_at)
    return found

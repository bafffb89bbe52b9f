"""A backlog of changes into a view in MySQL: against peers doing the same inserts, and plain consumption."""

import time
import uuid
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from decimal import Decimal
from typing import TypeVar

import msgspec
import pymysql
from confluent_kafka import Consumer

from bank.card import DebitCard
from bank.statement import MONEY_WITHDRAWAL, STATEMENT
from deploy.configuration import APPLICATION_USER, DEVELOPMENT_PASSWORD, Place
from figures import Figure, medians, show
from listening import Listening, faststream, quix
from mainstem import NewRecord, Topic
from mainstem.listener.runner import Runner
from mainstem.log.kafka import KafkaLog
from mainstem.log.kafka_client import KafkaServers
from mainstem.messages import Change, Source
from mainstem.mysql import MysqlServer
from mainstem.view.mysql import MysqlViews

EVENTS = 200_000
ONE_BY_ONE = 4_000
"""As many are enough for a handler that commits each message by itself."""

T = TypeVar("T")
PARTITIONS = (1, 2, 4)
_CARDS = 1_000
_BATCH = 5_000
_NOW_MS = 1_700_000_000_000
_CHECKPOINT_S = 5.0
"""What Quix Streams takes where it is told nothing."""

LISTENER = replace(STATEMENT, emit=None)


def measure(place: Place) -> None:
    """Each number of partitions; one process each."""
    servers = KafkaServers(f"{place.host}:{place.ports.kafka}")
    figures = []
    for partitions in PARTITIONS:
        prefix = f"bench-{uuid.uuid4().hex[:8]}."
        log, topic = KafkaLog(servers, prefix=prefix), f"{prefix}debit_card"
        _fill(log, partitions)
        one_by_one, in_batches = (
            faststream(servers, topic, ONE_BY_ONE, "one"),
            faststream(servers, topic, EVENTS, "batch"),
        )
        checkpoints = quix(servers, topic, EVENTS, _CHECKPOINT_S)
        ours, one, batch, stream, limit = medians(
            f"{partitions} partitions",
            lambda log=log: in_fresh_database(place, lambda server: _ours(log, server)),
            lambda peer=one_by_one: _rate(place, peer),
            lambda peer=in_batches: _rate(place, peer),
            lambda peer=checkpoints: _rate(place, peer),
            lambda topic=topic: _consume(servers, topic),
        )
        name = f"{partitions} partition{'s' if partitions > 1 else ''}"
        figures += [
            Figure(name, ours, 20_000, "events/s", "the aim", ">= 1"),
            Figure(name, ours, one, "events/s", "FastStream, one by one", ""),
            Figure(name, ours, batch, "events/s", "FastStream, in batches", ""),
            Figure(name, ours, stream, "events/s", "Quix Streams", ""),
            Figure(name, ours, limit, "events/s", "librdkafka, consumption only", ""),
        ]
        log.close()
    show(f"A listener into a view in MySQL, backlog of {EVENTS} changes", figures)


def _fill(log: KafkaLog, partitions: int) -> None:
    log.create(Topic("debit_card", partitions))
    for start in range(0, EVENTS, _BATCH):
        log.append([record(number) for number in range(start, start + _BATCH)])


def record(number: int) -> NewRecord:
    """A withdrawal of 1, of one of a thousand cards."""
    card, version = f"card-{number % _CARDS}", number // _CARDS + 1
    before = DebitCard(card, Decimal(10**9), Decimal(version - 1), "active", version, _NOW_MS)
    after = replace_used(before, version)
    source = Source(
        connector="mysql",
        name="bank",
        ts_ms=_NOW_MS,
        db="inventory",
        table="debit_card",
        file="binlog.000001",
        pos=number,
    )
    change = Change(op="u", before=before, after=after, source=source, ts_ms=_NOW_MS)
    return NewRecord(topic="debit_card", key=card, value=msgspec.json.encode(change), timestamp_ms=_NOW_MS)


def replace_used(card: DebitCard, version: int) -> DebitCard:
    """The row after one more withdrawal of 1."""
    return msgspec.structs.replace(card, used_limit=Decimal(version), version=version + 1)


def _fresh(place: Place) -> MysqlServer:
    name = f"bench_{uuid.uuid4().hex[:12]}"
    port = place.ports.mysql
    with pymysql.connect(host=place.host, port=port, user=APPLICATION_USER, password=DEVELOPMENT_PASSWORD) as made:
        made.cursor().execute(f"CREATE DATABASE {name}")
    return MysqlServer(place.host, port, APPLICATION_USER, DEVELOPMENT_PASSWORD, name)


def in_fresh_database(place: Place, work: Callable[[MysqlServer], T]) -> T:
    """What it says of a database that has the table of lines alone, and goes afterwards."""
    server = _fresh(place)
    try:
        with closing(MysqlViews(server)) as views:
            views.create(MONEY_WITHDRAWAL)
        return work(server)
    finally:
        with pymysql.connect(host=server.host, port=server.port, user=server.user, password=server.password) as made:
            made.cursor().execute(f"DROP DATABASE {server.database}")


def _rate(place: Place, peer: Listening) -> float:
    return in_fresh_database(place, lambda server: peer.run(server).rate)


def _ours(log: KafkaLog, server: MysqlServer) -> float:
    """Rows and offsets written, in one process; the clock starts with the first batch."""
    views = MysqlViews(server)
    runner = Runner(replace(LISTENER, group=f"bench-{uuid.uuid4().hex[:8]}"), log, views)
    first = 0
    while not first:
        first = runner.step(1.0)
    began, done = time.monotonic(), first
    while done < EVENTS:
        done += runner.step(1.0)
    found = (EVENTS - first) / (time.monotonic() - began)
    assert views.count(MONEY_WITHDRAWAL) == EVENTS
    runner.leave()
    views.close()
    return found


def _consume(servers: KafkaServers, topic: str) -> float:
    consumer = Consumer(
        {
            "bootstrap.servers": servers.bootstrap,
            "group.id": f"bench-{uuid.uuid4().hex[:8]}",
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            "isolation.level": "read_committed",
        }
    )
    consumer.subscribe([topic])
    first = 0
    while not first:
        first = len(consumer.consume(_BATCH, 1.0))
    began, done = time.monotonic(), first
    while done < EVENTS:
        done += len(consumer.consume(_BATCH, 1.0))
    found = (EVENTS - first) / (time.monotonic() - began)
    consumer.close()
    return found

"""Datasources of the real Druid, for the tests that need them: fed from topics by supervisors, ended afterwards."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

from deploy.configuration import Place
from mainstem.errors import StoreUnavailable
from mainstem.log.kafka_client import KafkaServers
from mainstem.messages import Record
from mainstem.olap.asking import answered
from mainstem.olap.druid import DruidOlap
from mainstem.olap.druid_spec import Reading
from mainstem.olap.druid_supervisor import Supervisors
from mainstem.olap.port import Datasource
from mainstem.olap.question import Question
from tests.stack import remove_topics

_FILL_S = 60.0


def reading(place: Place) -> Reading:
    """How the stack's Druid reads: as Kafka's clients do, with tasks that last."""
    return Reading(f"{place.host}:{place.ports.kafka}")


@contextmanager
def supervised(place: Place, datasources: Sequence[Datasource]) -> Iterator[Supervisors]:
    """Topics of two partitions, to which the test may write; supervisors that it posts are ended, topics removed."""
    topics = {datasource.topic for datasource in datasources}
    if topics:
        admin = AdminClient({"bootstrap.servers": reading(place).bootstrap_servers})
        for made in admin.create_topics([NewTopic(topic, 2, 1) for topic in topics]).values():
            made.result(10)
    with closing(Supervisors(f"http://{place.host}:{place.ports.coordinator}")) as supervisors:
        try:
            yield supervisors
        finally:
            for datasource in datasources:
                supervisors.terminate(datasource.name)
            if topics:
                remove_topics(KafkaServers(reading(place).bootstrap_servers), lambda topic: topic in topics)


@contextmanager
def fed(
    place: Place, datasources: Sequence[Datasource], records: Sequence[Record], rows: Mapping[str, int]
) -> Iterator[Supervisors]:
    """With those records in their topics, and that many rows in each datasource, or none."""
    with supervised(place, datasources) as supervisors:
        write(place, records)
        for datasource in datasources:
            supervisors.post(datasource, reading(place))
        for datasource in datasources:
            supervisors.await_running(datasource.name)
            await_rows(place, datasource, rows.get(datasource.name, 0))
        yield supervisors


def write(place: Place, records: Sequence[Record]) -> None:
    """To the partitions that the records name, at their times; 0 is now."""
    producer = Producer({"bootstrap.servers": reading(place).bootstrap_servers})
    for record in records:
        producer.produce(record.topic, record.value, record.key, record.partition, timestamp=record.timestamp_ms)
    assert producer.flush(30) == 0


def await_rows(place: Place, datasource: Datasource, rows: int) -> None:
    """Wait until the datasource has that many facts."""
    deadline = time.monotonic() + _FILL_S
    found: int | str = "no"
    with asked(place, [datasource]) as olap:
        while time.monotonic() < deadline:
            try:
                found = answered(olap, Question(datasource)).rows[0][0]
            except StoreUnavailable as error:
                found = str(error)
            if found == rows:
                return
            time.sleep(0.2)
    pytest.fail(f"{found} rows of {rows}")


@contextmanager
def asked(
    place: Place, datasources: Sequence[Datasource], live: Callable[[str], str] = lambda name: name
) -> Iterator[DruidOlap]:
    """Questions to them, by what `live` says that they are called."""
    with (
        closing(Supervisors(f"http://{place.host}:{place.ports.coordinator}")) as supervisors,
        closing(
            DruidOlap(
                f"http://{place.host}:{place.ports.broker}",
                datasources,
                has_no_rows=supervisors.has_no_rows,
                live=live,
            )
        ) as olap,
    ):
        yield olap

"""Druid and its supervisors, the real ones."""

import threading
import uuid
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import msgspec
import pytest
from confluent_kafka import Producer

from deploy.configuration import Place
from mainstem.errors import ConfigurationError, InvalidQuery, StoreUnavailable
from mainstem.olap.druid import DruidOlap
from mainstem.olap.druid_spec import Reading, supervisor_spec
from mainstem.olap.druid_supervisor import Supervisors
from mainstem.olap.port import Datasource
from mainstem.testing.contracts.olap import MISFITS, SALES, record, sale
from tests.druid import await_rows, reading, supervised, write

ENDED = threading.Event()
"""Whether the question was ended in the broken Druid."""


@pytest.fixture
def sales() -> Datasource:
    """A datasource and a topic of its own."""
    name = f"sales_{uuid.uuid4().hex[:8]}"
    return replace(SALES, name=name, topic=name)


@pytest.mark.stack
def test_a_supervisor_is_what_was_declared(stack: Place, sales: Datasource) -> None:
    """Posted again it stays; changed it goes on behind what it has read; what does not fit stops nothing."""
    on_topic = [msgspec.structs.replace(each, topic=sales.topic) for each in (sale(0), sale(1, partition=1))]
    misfits = [msgspec.structs.replace(record(2, v), topic=sales.topic) for v in MISFITS if not _is_changed(v or b"")]
    with supervised(stack, [sales]) as supervisors:
        assert supervisors.spec(sales.name) is None
        assert supervisors.post(sales, reading(stack)).created
        again = supervisors.post(sales, reading(stack))
        assert (again.created, list(map(str, again.differences))) == (False, [])
        states: list[str] = []
        supervisors.await_running(sales.name, progress=lambda status: states.append(status.state))
        assert states[-1] == "RUNNING"
        write(stack, [*on_topic, *misfits])
        _write_aborted(stack, sales)
        await_rows(stack, sales, 2)
        changed = supervisors.post(sales, replace(reading(stack), task_duration_s=1800))
        assert [difference.place for difference in changed.differences] == ["spec.ioConfig.taskDuration"]
        supervisors.await_running(sales.name)
        write(stack, on_topic)
        await_rows(stack, sales, 4)
        assert supervisors.names().count(sales.name) == 1


@pytest.mark.stack
def test_a_suspended_supervisor_stays_so(stack: Place, sales: Datasource) -> None:
    """Whatever is posted, until it is resumed."""
    with supervised(stack, [sales]) as supervisors:
        supervisors.post(sales, reading(stack))
        supervisors.suspend(sales.name)
        supervisors.post(sales, replace(reading(stack), task_duration_s=1800))
        assert supervisors.status(sales.name).suspended
        with pytest.raises(ConfigurationError, match="suspended"):
            supervisors.await_running(sales.name)
        supervisors.resume(sales.name)
        supervisors.await_running(sales.name)
    with closing(Supervisors(f"http://{stack.host}:{stack.ports.coordinator}")) as supervisors:
        supervisors.terminate("nobody_has_posted")
        with pytest.raises(ConfigurationError):
            supervisors.status("nobody_has_posted")
        with pytest.raises(StoreUnavailable, match="has no supervisor nobody_has_posted: see mainstem deploy"):
            supervisors.has_no_rows("nobody_has_posted")


def test_a_druid_that_is_not_there_is_told() -> None:
    """And its name and password are in no text."""
    with closing(DruidOlap("http://user:open-sesame@127.0.0.1:1")) as olap:
        with pytest.raises(StoreUnavailable, match=r"127\.0\.0\.1:1") as caught:
            olap.ask("SELECT 1")
        assert "open-sesame" not in f"{caught.value!r} {olap!r}"
        with pytest.raises(StoreUnavailable, match=r"127\.0\.0\.1:1"):
            olap.check()


@pytest.mark.stack
def test_a_druid_that_is_there_is_known_without_a_question(stack: Place, broken: str) -> None:
    """Something else at its address is told."""
    with closing(DruidOlap(f"http://{stack.host}:{stack.ports.broker}")) as olap:
        olap.check()
    with closing(DruidOlap(broken)) as olap, pytest.raises(StoreUnavailable, match="501"):
        olap.check()


class _BreaksOff(BaseHTTPRequestHandler):
    """Answers as Druid does until it dies: a header and a row, and no end. What asks for `never` waits."""

    def do_POST(self) -> None:
        if b"never" in self.rfile.read(int(self.headers["Content-Length"])):
            ENDED.wait(10)
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b'["n"]\n["LONG"]\n["BIGINT"]\n[1]\n')

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Says nothing."""

    def do_DELETE(self) -> None:
        ENDED.set()
        self.send_response(202)
        self.end_headers()


@pytest.fixture
def broken() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _BreaksOff)
    serving = threading.Thread(target=server.serve_forever)
    serving.start()
    ENDED.clear()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    serving.join(10)
    server.server_close()


def test_an_answer_that_was_broken_off_is_none(broken: str) -> None:
    """Though all that came can be read."""
    with closing(DruidOlap(broken)) as olap, pytest.raises(StoreUnavailable, match="broken an answer off after 1 rows"):
        olap.ask("SELECT 1")


def test_a_question_has_only_so_much_time(broken: str) -> None:
    """Where it is over, it is ended in Druid too."""
    broken_druid = DruidOlap(broken)
    with closing(broken_druid), pytest.raises(InvalidQuery, match=r"longer than 0\.05 s"):
        broken_druid.ask("SELECT never", timeout_s=0.05)
    assert ENDED.is_set()


def test_the_declaration_decides_the_supervisor() -> None:
    """Money as integers of cents, days as segments, no rollup, committed records only, from the beginning on."""
    spec = supervisor_spec(SALES, Reading("kafka:9092"))["spec"]
    schema, io = spec["dataSchema"], spec["ioConfig"]
    assert [(d["name"], d["type"]) for d in schema["dimensionsSpec"]["dimensions"]] == [
        ("id", "string"),
        ("pieces", "long"),
        ("price_cents", "long"),
        ("shop", "string"),
    ]
    assert (schema["granularitySpec"]["segmentGranularity"], schema["granularitySpec"]["rollup"]) == ("DAY", False)
    assert (io["consumerProperties"]["isolation.level"], io["useEarliestOffset"]) == ("read_committed", True)
    with pytest.raises(ConfigurationError):
        Reading("", tasks=1)
    with pytest.raises(ConfigurationError):
        Reading("kafka:9092", tasks=0)


def _is_changed(value: bytes) -> bool:
    """Whether Druid makes another value of it before any expression sees it (see `druid_spec`)."""
    return any(part in value for part in (b'"price":true', b'"price":1E-999999999', b'"soldAt":1769851800000'))


def _write_aborted(stack: Place, sales: Datasource) -> None:
    settings = {"bootstrap.servers": reading(stack).bootstrap_servers, "transactional.id": sales.name}
    producer = Producer(settings)
    producer.init_transactions(10)
    producer.begin_transaction()
    producer.produce(sales.topic, sale(9).value, partition=0)
    producer.flush(10)
    producer.abort_transaction(10)

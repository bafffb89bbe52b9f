"""How far Druid's tasks have read: by their own word where they can be asked, by their supervisor's where not."""

import ssl
import time
import uuid
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from msgspec import structs

from deploy.configuration import Place
from mainstem.olap.asking import answered
from mainstem.olap.druid import DruidOlap
from mainstem.olap.druid_spec import Reading
from mainstem.olap.druid_supervisor import Supervisors
from mainstem.olap.druid_tasks import ReadTo
from mainstem.olap.druid_versions import DruidVersions
from mainstem.olap.question import Question
from mainstem.testing.contracts.olap import SALES, sale
from tests.druid import asked, await_rows, reading, supervised, write
from tests.process import free_port
from tests.secured import Authority
from tests.told_druid import Druid, told_druid

SEGMENT = "sales_2026-03-07"


Druids = Callable[["ssl.SSLContext | None"], Druid]


@pytest.fixture
def druids() -> Iterator[Druids]:
    """Starts one, over TLS where a context is given."""
    with ExitStack() as stack:

        def start(tls: ssl.SSLContext | None) -> Druid:
            return stack.enter_context(told_druid("sales", tls))

        yield start


@pytest.fixture
def druid(druids: Druids) -> Druid:
    return druids(None)


@pytest.fixture
def supervisors(druid: Druid) -> Iterator[Supervisors]:
    with closing(Supervisors(f"http://127.0.0.1:{druid.port}")) as supervisors:
        yield supervisors


def test_what_tasks_have_left_out(druid: Druid, supervisors: Supervisors) -> None:
    """Of those that answer; by the supervisor's word for all of them."""
    druid.thrown_away = 2
    druid.reads("a", {"0": 5})
    druid.reads("b", {"1": 5})
    with closing(DruidOlap(f"http://127.0.0.1:{druid.port}")) as olap:
        versions = DruidVersions(supervisors, olap, lambda: Reading("127.0.0.1:1"))
        assert versions.left_out(SALES) == 4


def look(supervisors: Supervisors) -> ReadTo:
    return supervisors.read_to("sales", supervisors.status("sales"))


def test_what_a_task_says_itself_goes_before_what_its_supervisor_has_heard(
    druid: Druid, supervisors: Supervisors
) -> None:
    """Only of the partitions that it reads; of the others, the supervisor's word stays."""
    druid.reads("a", {"0": 5, "1": 7}, {"0": 9, "3": 99})
    druid.holds(SEGMENT)
    assert look(supervisors) == ReadTo({0: 9, 1: 7}, frozenset({SEGMENT}), told=True)
    assert supervisors.status("sales").offsets == {0: 5, 1: 7}
    druid.reads("a", {"0": 5, "1": 7}, {})  # as it says when it begins
    assert look(supervisors).offsets == {0: 5, 1: 7}


def test_offsets_are_asked_for_before_the_segments_that_have_them(druid: Druid, supervisors: Supervisors) -> None:
    druid.reads("a", {"0": 5}, {"0": 9})
    druid.holds("other_2026-03-07", datasource="other")
    assert look(supervisors).segments == frozenset()
    own = [each for each in druid.asked if "/chat/" in each or "/segments" in each]
    assert own == [
        "/druid/worker/v1/chat/a/offsets/current",
        "/druid-internal/v1/segments?counter=-1&hash=0&timeout=1000",
    ]


def test_places_are_remembered(druid: Druid, supervisors: Supervisors) -> None:
    druid.reads("a", {"0": 5}, {"0": 9})
    for end in range(10, 20):
        druid.reads("a", {"0": 5}, {"0": end})
        assert look(supervisors).offsets == {0: end}
    assert druid.count("/tasks") == 1


@pytest.mark.parametrize(
    "answer",
    [404, 403, 500, b"<html>", b"[1]", b'{"0": "9"}', b'{"0": -1}', b'{"0": null}', b'{"zero": 9}', b""],
)
def test_an_answer_of_no_use_leaves_what_the_supervisor_says(
    druid: Druid, supervisors: Supervisors, answer: bytes | int
) -> None:
    """It is not asked again at once."""
    druid.reads("a", {"0": 5}, answer)
    assert [look(supervisors).offsets for _ in range(3)] == [{0: 5}] * 3
    assert druid.count("/chat/") == 1


def test_who_was_of_no_use_is_asked_again_soon(druid: Druid, supervisors: Supervisors) -> None:
    """A task has a place before it answers there."""
    druid.reads("a", {"0": 5}, 404)
    assert look(supervisors).offsets == {0: 5}
    druid.reads("a", {"0": 5}, {"0": 9})
    _eventually(supervisors, {0: 9})


@pytest.mark.parametrize("answer", [404, b"{}", b'{"requests": [{"action": "load", "dataSource": "sales"}]}'])
def test_who_does_not_say_what_it_serves_is_not_believed(
    druid: Druid, supervisors: Supervisors, answer: bytes | int
) -> None:
    """What it has read may be where no question reaches it."""
    druid.reads("a", {"0": 5}, {"0": 9})
    druid.answers["/druid-internal/v1/segments"] = answer
    assert look(supervisors) == ReadTo({0: 5}, frozenset(), told=False)


def test_a_place_that_does_not_answer_delays_one_look(druid: Druid, supervisors: Supervisors) -> None:
    """And none of the others of that host; a task of another host is asked as before."""
    druid.reads("a", {"0": 5}, -20)
    druid.reads("b", {"1": 5}, {"1": 9})
    druid.reads("c", {"2": 5}, {"2": 9}, host="localhost")
    assert _took(supervisors) < 5
    for _ in range(5):
        assert look(supervisors).offsets == {0: 5, 1: 5, 2: 9}
    assert druid.count("/chat/a/") == 1
    assert _took(supervisors) < 0.5


@pytest.mark.parametrize("host", ["127.0.0.1", "nobody.invalid", "no host", ""])
def test_a_place_that_cannot_be_reached_is_left_alone(druid: Druid, supervisors: Supervisors, host: str) -> None:
    druid.reads("a", {"0": 5}, host=host, port=free_port())
    assert _took(supervisors) < 5
    for _ in range(5):
        assert look(supervisors) == ReadTo({0: 5}, frozenset(), told=False)
    assert _took(supervisors) < 0.5
    assert druid.count("/tasks") == 1


def test_an_overlord_that_lists_no_tasks_fails_no_look(druid: Druid, supervisors: Supervisors) -> None:
    druid.reads("a", {"0": 5}, {"0": 9})
    for answer in (403, b"no JSON", -20):
        druid.answers["/druid/indexer/v1/tasks"] = answer
        with closing(Supervisors(f"http://127.0.0.1:{druid.port}")) as own:
            assert _took(own) < 5
            assert look(own).offsets == {0: 5}


def test_the_next_task_goes_on_where_one_ends(druid: Druid, supervisors: Supervisors) -> None:
    """While that one publishes, how far the next has read counts, and the segments of both."""
    druid.reads("a", {"0": 5}, {"0": 9})
    druid.holds(SEGMENT)
    assert look(supervisors).offsets == {0: 9}
    druid.reads("b", {"0": 9}, {"0": 12})
    druid.moves("b", {"host": None, "port": -1, "tlsPort": -1})
    druid.ends("a", publishing=True)
    assert look(supervisors) == ReadTo({0: 9}, frozenset({SEGMENT}), told=False)
    druid.moves("b", {"host": "127.0.0.1", "port": druid.port, "tlsPort": -1})
    _eventually(supervisors, {0: 12})
    assert look(supervisors) == ReadTo({0: 12}, frozenset({SEGMENT}), told=True)


def test_what_is_read_anew_is_not_hidden_by_what_was_read_before(druid: Druid, supervisors: Supervisors) -> None:
    """By other tasks, after the supervisor was reset; and by the same one, which has begun again where it had saved."""
    druid.reads("a", {"0": 50}, {"0": 90})
    assert look(supervisors).offsets == {0: 90}
    druid.ends("a")
    druid.reads("b", {"0": 0}, {"0": 3})
    _eventually(supervisors, {0: 3})
    druid.reads("b", {"0": 8}, {"0": 2})
    assert look(supervisors).offsets == {0: 2}


def test_of_copies_the_one_that_is_behind_counts(druid: Druid, supervisors: Supervisors) -> None:
    """Questions reach either; of one that says nothing what the supervisor has heard counts."""
    druid.reads("a", {"0": 5}, {"0": 12})
    druid.reads("b", {"0": 4}, {"0": 11})
    assert (look(supervisors).offsets, look(supervisors).told) == ({0: 11}, True)
    assert supervisors.status("sales").offsets == {0: 4}
    druid.reads("b", {"0": 4}, 503)
    assert (look(supervisors).offsets, look(supervisors).told) == ({0: 4}, False)


def test_tasks_are_shown_the_password_that_the_overlord_is(druid: Druid) -> None:
    druid.reads("a", {"0": 5}, {"0": 9})
    with closing(Supervisors(f"http://ann:open-sesame@127.0.0.1:{druid.port}")) as supervisors:
        assert look(supervisors).offsets == {0: 9}
    assert {*druid.shown} == {"Basic " + b64encode(b"ann:open-sesame").decode()}


def test_tasks_behind_https_are_asked_by_it(druids: Druids, tmp_path: Path) -> None:
    """They must show a certificate of the file, as the overlord must; one without is shown no password."""
    authority = Authority("of the servers")
    key, certificate = authority.server(tmp_path)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, key)
    ca = str(authority.write(tmp_path / "ca.pem"))
    overlord, plain = druids(tls), druids(None)
    overlord.reads("a", {"0": 5}, {"0": 9})
    overlord.moves("a", {"host": "localhost", "port": -1, "tlsPort": overlord.port})
    overlord.reads("b", {"1": 5}, port=plain.port)
    plain.reads("b", {}, {"1": 9})
    with closing(Supervisors(f"https://ann:open-sesame@127.0.0.1:{overlord.port}", tls_ca=ca)) as supervisors:
        assert look(supervisors).offsets == {0: 9, 1: 9}
    assert None not in overlord.shown
    assert {*plain.shown} == {None}


@pytest.mark.stack
@pytest.mark.slow
def test_what_the_real_ones_say_that_they_have_read_is_asked_for_with_success(stack: Place) -> None:
    """Each row has a segment of its own, of which nobody has heard before; in the midst of them new tasks take over."""
    name = f"sales_{uuid.uuid4().hex[:8]}"
    sales, first = replace(SALES, name=name, topic=name), datetime.fromisoformat("2026-01-31T09:30:00Z")
    waits: list[float] = []
    with supervised(stack, [sales]) as supervisors, asked(stack, [sales]) as olap:
        supervisors.post(sales, reading(stack))
        supervisors.await_running(name)
        for number in range(20):
            if number == 10:
                supervisors.post(sales, replace(reading(stack), task_duration_s=1800))
            record = sale(number, at=(first + timedelta(days=number)).isoformat())
            write(stack, [structs.replace(record, topic=name)])
            began = time.monotonic()
            if number == 0:
                await_rows(stack, sales, 1)
            while _can_be_asked_for(supervisors, olap, name) <= number:
                assert time.monotonic() < began + 90, supervisors.status(name)
            waits.append(round(time.monotonic() - began, 3))
            assert answered(olap, Question(sales)).rows[0][0] == number + 1
        assert olap.serves(name, olap.served_by_tasks(name))
        assert not olap.serves(name, frozenset({SEGMENT}))
    assert sorted(waits)[len(waits) // 2] < 3, waits


def _can_be_asked_for(supervisors: Supervisors, olap: DruidOlap, name: str) -> int:
    """How many records, as it is found at a look; none where that is not known."""
    found = supervisors.status(name)
    read = supervisors.read_to(name, found)
    if not found.running or supervisors.ingested(name).tasks < found.tasks:
        return 0
    unpublished = olap.served_by_tasks(name)
    return sum(read.offsets.values()) if olap.serves(name, read.segments - unpublished) else 0


def _took(supervisors: Supervisors) -> float:
    began = time.monotonic()
    look(supervisors)
    return time.monotonic() - began


def _eventually(supervisors: Supervisors, offsets: dict[int, int]) -> None:
    deadline = time.monotonic() + 20
    while (found := look(supervisors).offsets) != offsets:
        assert time.monotonic() < deadline, found
        time.sleep(0.1)

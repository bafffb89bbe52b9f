"""A view in MySQL rebuilt from a topic in Kafka, whose offsets have gaps, by several workers."""

import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from mainstem.log.kafka import KafkaLog
from mainstem.log.scan import scan
from mainstem.rebuild import Rebuild
from mainstem.view.mysql import MysqlViews
from tests.mainstem.rebuild.totals import TOLD, TOTAL, TOTALS, Live, Total
from tests.stack import Databases, Prefixes

pytestmark = pytest.mark.stack


@pytest.fixture
def parts(databases: Databases, prefixes: Prefixes, tmp_path: Path) -> Iterator[tuple[Live, list[MysqlViews]]]:
    with ExitStack() as stack:
        servers, prefix = prefixes(tmp_path)
        log = stack.enter_context(closing(KafkaLog(servers, prefix=prefix)))
        stores = [stack.enter_context(closing(MysqlViews(databases(tmp_path)))) for _ in range(2)]
        live = Live(log, stores[0])
        stack.callback(live.runner.leave)
        yield live, stores


def _listen(live: Live, records: int) -> None:
    """Until the listener has done so many more."""
    for _ in range(600):
        records -= live.runner.step(0.1)
        if records <= 0:
            return
    raise AssertionError(f"{records} records did not come")


def test_rebuilt_and_rolled_back(parts: tuple[Live, list[MysqlViews]]) -> None:
    live, stores = parts
    for number in range(60):
        live.say("abcdefg"[number % 7], number)
    _listen(live, 60)
    right, told = live.rows(), sum(map(len, scan(live.log, TOLD.name)))
    with live.views.transaction() as transaction:
        transaction.put(TOTAL, [Total("a", 999, 9)])
    done = Rebuild(TOTALS, live.log, stores).run(threading.Event())
    assert (done.state, done.error, done.records) == ("done", None, done.of)
    assert (done.comparison and done.comparison.differing, live.rows()) == (1, right)
    for number in range(7):
        live.say("abcdefg"[number], 1)
    _listen(live, 7)
    back = Rebuild(TOTALS, live.log, stores).roll_back(threading.Event())
    assert (back.state, back.error) == ("done", None)
    assert {row.thing: row.number for row in live.rows()}["a"] == 1000
    live.say("a", 1)
    _listen(live, 1)
    assert {row.thing: row.number for row in live.rows()}["a"] == 1001
    assert sum(map(len, scan(live.log, TOLD.name))) == told + 8

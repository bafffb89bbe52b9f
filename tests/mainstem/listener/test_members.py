"""Members of one group on the real parts: they share the work, and it moves when one comes or goes."""

import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from mainstem.listener.actions import make_tables
from mainstem.listener.control import Control
from mainstem.listener.runner import Runner
from mainstem.log.kafka import KafkaLog
from mainstem.log.port import Topic
from mainstem.mysql import MysqlServer, Pool
from mainstem.view.mysql import MysqlViews
from tests.adder import OUT, SUMS, Count, Handlers, record_of
from tests.stack import Databases, Prefixes

pytestmark = pytest.mark.stack

_ACCOUNTS = [f"account-{number}" for number in range(12)]
_WAIT_S = 60.0


class Member:
    """A listener with its own clients, as a process of its own has them."""

    def __init__(self, folder: Path, databases: Databases, prefixes: Prefixes) -> None:
        servers, prefix = prefixes(folder)
        self.log = KafkaLog(servers, prefix=prefix)
        for topic in (Topic("counts", partitions=4), OUT):
            self.log.create(topic)
        self.views = MysqlViews(databases(folder))
        self.views.create(SUMS)
        self.runner = Runner(Handlers().binding(batch_max=50), self.log, self.views)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self.runner.run, args=(self._stop,))

    def begin(self) -> None:
        self._thread.start()

    def leave(self) -> None:
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join(30)

    def close(self) -> None:
        self.leave()
        self.log.close()
        self.views.close()


def eventually(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + _WAIT_S
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


def test_work_is_shared_and_moves(tmp_path: Path, databases: Databases, prefixes: Prefixes) -> None:
    members = [Member(tmp_path, databases, prefixes) for _ in range(2)]
    first, second = members
    sent = 0

    def feed() -> None:
        nonlocal sent
        sent += 1
        first.log.append([record_of(Count(account, 1, sent)) for account in _ACCOUNTS])

    def feed_until(condition: Callable[[], bool], what: str) -> None:
        def fed() -> bool:
            feed()
            return condition()

        eventually(fed, what)

    try:
        first.begin()
        feed_until(lambda: first.runner.status().handled > 0, "the first takes all")
        second.begin()
        feed_until(lambda: second.runner.status().handled > 0, "the second takes its share")
        before = first.runner.status().handled
        feed_until(lambda: first.runner.status().handled > before, "the first keeps a share")
        second.leave()
        eventually(lambda: _totals(first) == dict.fromkeys(_ACCOUNTS, (sent, sent)), "the first takes all again")
        feed()
        eventually(lambda: _totals(first) == dict.fromkeys(_ACCOUNTS, (sent, sent)), "nothing is left undone")
        assert [member.runner.status().reason for member in members] == [None, None]
        assert len(first.log.read("out", 0, 0, 100_000)) == 2 * sent * len(_ACCOUNTS)
    finally:
        for member in members:
            member.close()


def _totals(member: Member) -> dict[str, tuple[int, int]]:
    return {row.account: (row.total, row.messages) for row in member.views.scan(SUMS)}


def test_control_looks_over_the_connections_that_are_open(
    tmp_path: Path, databases: Databases, prefixes: Prefixes
) -> None:
    """It looks every second in every process: a connection for each look would cost more than all else that it does."""
    member = Member(tmp_path, databases, prefixes)
    make_tables(member.views)
    control = Control({"g": member.runner}, member.views, lambda: 1_000)
    control.look()
    server = databases(tmp_path)
    before = _connections_made(server)
    for _ in range(5):
        control.look()
    assert _connections_made(server) == before + 1
    member.close()


def _connections_made(server: MysqlServer) -> int:
    """Since the server began, this question's own among them."""
    with closing(Pool(server, 1)) as pool:
        return int(pool.ask("SHOW GLOBAL STATUS LIKE 'Connections'")[0][1])

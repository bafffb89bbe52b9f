"""Parts of the distributed form die, freeze or are removed under load: every fact has its effect exactly once.

One deployment serves all tests. Each begins a load, does one thing to one part, twice, waits until all works again by
itself, ends the load, and holds all accounts against each other and against what clients were told.
"""

import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from decimal import Decimal
from typing import Any

import httpx
import msgspec
import pymysql
import pytest
from confluent_kafka.admin import AdminClient
from pymysql.connections import Connection

from bank.statement import GROUP
from deploy.configuration import CAPTURE_USER
from mainstem import EVENT_TOPIC
from mainstem.cdc.connect import Connect
from mainstem.errors import StoreUnavailable
from mainstem.eventstore.chain import NOTHING, link
from mainstem.log.kafka import KafkaLog
from mainstem.log.kafka_client import KafkaServers
from tests.distributed import Deployed, begin_listening
from tests.druid import asked, fed
from tests.faults.load import Load
from tests.faults.parts import RECOVERY_S, answer_of, eventually, has_offsets, kill_part, sales, start_parts
from tests.stack import run_sql

pytestmark = [pytest.mark.stack, pytest.mark.slow]

_AT_ONCE_S = 5.0
_DEAD_S = 15.0
"""Longer than Druid takes a process that has died for alive."""
_ACCOUNTS = {"events", "debit_card", "money_withdrawal", "ministatement", "bankapp"}
_DECODER = msgspec.json.Decoder(float_hook=Decimal)


class Bank:
    """Two processes that answer HTTP, two that keep the views."""

    def __init__(self, deployed: Deployed) -> None:
        self.deployed = deployed
        self.apis = [deployed.api() for _ in range(2)]
        self.listeners = [deployed.listeners() for _ in range(2)]

    def start(self) -> None:
        for listener in self.listeners:
            begin_listening(listener)
        for api in self.apis:
            api.start()

    def stop(self) -> None:
        for process in (*(api.process for api in self.apis), *self.listeners):
            if process.running():
                process.stop()

    def troubles(self) -> str:
        """What the processes say that does not work; empty where all does."""
        found = []
        for api in self.apis:
            try:
                answer = httpx.get(f"{api.url}/health/ready", timeout=5)
            except httpx.TransportError as error:
                found.append(f"{type(error).__name__}: {error}")
            else:
                if not answer.is_success:
                    found.append(answer.text)
        return "; ".join(found)

    def recovers(self) -> None:
        """All works again, by itself, and nothing waits any more."""
        eventually(lambda: not self.troubles() and not self.behind(), lambda: f"{self.troubles()} {self.behind()}")

    def behind(self) -> dict[str, int | None]:
        """By how many messages each stage is behind, where it is; None where that cannot be asked."""
        try:
            hops = httpx.get(f"{self.apis[0].url}/status", timeout=30).raise_for_status().json()["hops"]
        except httpx.HTTPError:
            return {"status": None}
        return {hop["name"]: hop["lag"] for hop in hops if hop["lag"] != 0}

    @contextmanager
    def load(self) -> Iterator[Load]:
        """A load around a fault; after it everything must agree."""
        load = Load([api.url for api in self.apis])
        load.begin()
        try:
            load.await_more()
            yield load
            load.await_more(within_s=RECOVERY_S)
        finally:
            load.end()
        self.recovers()
        assert not load.surprises, load.surprises[:3]
        found = self.deployed.reconcile()
        assert found.clean, found.differences[:5]
        assert set(found.ledgers) >= _ACCOUNTS
        with self.apis[0].client() as client:
            for card, count in load.acknowledged.items():
                used = _DECODER.decode(client.get(f"/cards/{card}").raise_for_status().content)["used"]
                assert count <= used <= count + load.unanswered[card], f"{card}: {used} used, {count} acknowledged"


@pytest.fixture(scope="module")
def bank(deployed: Deployed) -> Iterator[Bank]:
    with ExitStack() as stack:
        bank = Bank(deployed)
        stack.callback(bank.stop)
        bank.start()
        bank.recovers()
        yield bank


def test_a_listener_is_killed(bank: Bank) -> None:
    with bank.load() as load:
        for victim in bank.listeners:
            victim.kill()
            load.await_more()
            begin_listening(victim)
            load.await_more()


def test_an_api_process_is_killed(bank: Bank) -> None:
    with bank.load() as load:
        for victim in bank.apis:
            victim.process.kill()
            load.await_more()
            victim.start()
            load.await_more()


def test_a_frozen_listener_is_fenced_off(bank: Bank) -> None:
    """It is frozen under load until its group has given its partitions away, and writes when it goes on."""
    admin = AdminClient({"bootstrap.servers": bank.deployed.settings["kafka_bootstrap"]})

    def members() -> int:
        return len(admin.describe_consumer_groups([GROUP])[GROUP].result(10).members)

    with bank.load() as load:
        for frozen in bank.listeners:
            frozen.freeze()
            eventually(lambda: members() == 1, "the group keeps a member that is frozen")
            load.await_more()
            frozen.thaw()
            eventually(lambda: members() == 2, "the member does not come back")
            load.await_more()


def test_the_connector_is_removed_and_made_again(bank: Bank) -> None:
    """It goes on from where it was: its position stays in Connect."""
    with bank.load() as load:
        for _ in range(2):
            with closing(Connect(bank.deployed.settings["connect_url"])) as connect:
                connect.remove("bank")
            load.await_more()
            assert "connector bank: made" in bank.deployed.deploy()
            load.await_more()


def test_a_connector_that_has_failed_is_started_again(bank: Bank) -> None:
    """Its user is not let in for a while: Debezium gives up, and is started again once that may be over."""
    with bank.load() as load, closing(Connect(bank.deployed.settings["connect_url"])) as connect:
        run_sql(bank.deployed.place, f"ALTER USER '{CAPTURE_USER}'@'%' ACCOUNT LOCK")
        try:
            connect.restart("bank", all_of_it=True)
            eventually(lambda: connect.status("bank").failed, "the connector works with a user that is locked out")
            load.await_more()
        finally:
            run_sql(bank.deployed.place, f"ALTER USER '{CAPTURE_USER}'@'%' ACCOUNT UNLOCK")
        eventually(lambda: connect.status("bank").running, "nobody starts the connector again")


def test_the_connector_loses_its_position(bank: Bank) -> None:
    """Debezium takes a new picture and sends every event and refusal again: nothing counts twice."""
    with bank.load() as load, bank.apis[0].client() as client:
        refused = client.post("/moneywithdrawals", json={"debitCard": load.cards[0], "amount": 2_000_000})
        assert refused.status_code == httpx.codes.CONFLICT
    refusals = f"/cards/{load.cards[0]}/refusals"
    with bank.apis[0].client() as client:
        eventually(lambda: len(client.get(refusals).json()) == 1, "the refusal is not there")
        with httpx.Client(base_url=bank.deployed.settings["connect_url"], timeout=30) as connect:
            connect.put("/connectors/bank/stop").raise_for_status()
            eventually(lambda: connect.delete("/connectors/bank/offsets").is_success, "its offsets stay")
            connect.delete("/connectors/bank").raise_for_status()
        assert "connector bank: made" in bank.deployed.deploy()
        with bank.load():
            pass
        assert len(client.get(refusals).json()) == 1


def test_transactions_commit_in_another_order_than_their_numbers(bank: Bank) -> None:
    """The first to take a number commits last, seconds later, behind many others: its event is not skipped."""
    first, second = (f"order-{uuid.uuid4().hex[:12]}" for _ in range(2))
    with bank.load() as load, bank.apis[0].client() as client:
        with sql_client(bank) as slow, sql_client(bank) as quick:
            number = open_by_hand(slow, first)
            assert open_by_hand(quick, second) > number
            quick.commit()
            eventually(lambda: client.get(f"/cards/{second}").is_success, "the second is not there")
            load.await_more(100)
            assert client.get(f"/cards/{first}").status_code == httpx.codes.NOT_FOUND
            slow.commit()
        eventually(lambda: client.get(f"/cards/{first}").is_success, "the event that was committed late is skipped")
        for card in (first, second):
            client.post("/moneywithdrawals", json={"debitCard": card, "amount": 1}).raise_for_status()


def test_the_last_event_of_a_partition_has_not_the_highest_number(bank: Bank) -> None:
    """Two transactions that commit in another order than their numbers, and nothing behind them: nothing waits."""
    with closing(KafkaLog(KafkaServers(bank.deployed.settings["kafka_bootstrap"]))) as log:
        at_hand = [f"last-{uuid.uuid4().hex[:12]}" for _ in range(100)]
        first, second, *_ = [card for card in at_hand if log.partition_of(EVENT_TOPIC, card) == 0]
    with sql_client(bank) as slow, sql_client(bank) as quick:
        number = open_by_hand(slow, first)
        assert open_by_hand(quick, second) > number
        quick.commit()
        with bank.apis[0].client() as client:
            eventually(lambda: client.get(f"/cards/{second}").is_success, "the second is not there")
        slow.commit()
    bank.recovers()


def test_a_plain_sql_client_changes_a_card(bank: Bank) -> None:
    """Its change has its line everywhere; reconciliation shows that no event explains it, until there is one."""
    card = f"by-hand-{uuid.uuid4().hex[:12]}"
    with bank.load(), bank.apis[0].client() as client, sql_client(bank) as sql:
        client.post("/cards", json={"id": card, "limit": 100}).raise_for_status()
        client.post("/moneywithdrawals", json={"debitCard": card, "amount": 1}).raise_for_status()
        run(sql, "UPDATE debit_card SET used_limit = used_limit + 7 WHERE id = %s", card)
        sql.commit()
        for path in (f"/moneywithdrawals?debitCardId={card}", f"/analytics/cards?debitCardId={card}"):
            eventually(lambda path=path: _sum(client.get(path)) == 8, f"{path} lacks it")  # type: ignore[misc]
        found = bank.deployed.reconcile()
        assert {(d.key, d.figure) for d in found.differences if not d.key.startswith("load-")} == {
            (card, figure) for figure in ("used", "withdrawals", "withdrawn")
        }
        at_ms = time.time_ns() // 1_000_000
        add_event(sql, card, 3, "MoneyWithdrawn", '{"amount":"7.00"}', at_ms)
        run(sql, "UPDATE debit_card SET version = 3, occurred_at_ms = %s WHERE id = %s", at_ms, card)
        sql.commit()
        client.post("/moneywithdrawals", json={"debitCard": card, "amount": 1}).raise_for_status()


@contextmanager
def sql_client(bank: Bank) -> "Iterator[Connection[Any]]":
    """Of the database, as anybody's; it commits when told to."""
    settings = bank.deployed.settings
    with closing(
        pymysql.connect(
            host=settings["mysql_host"],
            port=int(settings["mysql_port"]),
            user=settings["mysql_user"],
            password=settings["mysql_password"],
            database=settings["mysql_database"],
        )
    ) as connection:
        yield connection


def run(sql: "Connection[Any]", statement: str, *values: object) -> int:
    """The number that the statement has generated, if it has."""
    with sql.cursor() as cursor:
        cursor.execute(statement, values)
        return int(cursor.lastrowid or 0)


def add_event(sql: "Connection[Any]", card: str, version: int, kind: str, payload: str, at_ms: int) -> int:
    """Its number in the table. It is chained as mainstem's own are: whoever verifies the log finds nothing."""
    stream, content = f"debit_card-{card}", f'{{"type":"{kind}",{payload[1:]}'
    with sql.cursor() as cursor:
        cursor.execute("SELECT hash FROM event WHERE stream = %s AND version = %s", (stream, version - 1))
        before = cursor.fetchone()
    made = link(
        before[0] if before else NOTHING, (stream, version, kind, 1, content.encode(), at_ms, at_ms, "by hand", None)
    )
    columns = "stream, version, type, payload, occurred_at_ms, recorded_at_ms, actor, hash"
    values = (stream, version, kind, content, at_ms, at_ms, "by hand", made)
    return run(sql, f"INSERT INTO event ({columns}) VALUES (%s, %s, %s, %s, %s, %s, %s, %s)", *values)


def open_by_hand(sql: "Connection[Any]", card: str) -> int:
    """An opened card: its event and its state row, not yet committed."""
    at_ms = time.time_ns() // 1_000_000
    number = add_event(sql, card, 1, "CardOpened", '{"limit":"100.00"}', at_ms)
    run(sql, "INSERT INTO debit_card VALUES (%s, 100, 0, 'active', 1, %s)", card, at_ms)
    return number


def _sum(answer: httpx.Response) -> Decimal:
    return sum((row["amount"] for row in _DECODER.decode(answer.raise_for_status().content)), Decimal(0))


@pytest.mark.parametrize(
    ("part", "trouble"),
    [
        ("connect", "connect"),
        ("kafka", "kafka"),
        ("mysql", "mysql"),
        ("druid-indexer", "olap-bankapp"),
        ("zookeeper", "zookeeper"),
    ],
)
def test_a_part_is_killed(bank: Bank, part: str, trouble: str) -> None:
    """The API says what is away and since when, and goes on by itself.

    The clients that live through it are those of the application's processes: an assertion of librdkafka's ends its
    process, which must not be that of the tests.
    """
    servers = KafkaServers(bank.deployed.settings["kafka_bootstrap"])
    with bank.load() as load:
        for _ in range(2):
            kill_part(part)
            if part == "mysql":
                says_so_at_once(bank, "/cards/123456789", "store-unavailable")
            eventually(lambda: is_told(bank, trouble), f"nobody is told of {trouble}")
            start_parts()
            load.await_more(within_s=RECOVERY_S)
            eventually(lambda: _has_offsets(servers), "the log does not come back")


def test_rows_that_nobody_serves_are_missed(bank: Bank) -> None:
    """While the process that holds all rows of a datasource is dead it is not empty, and its stage does not work."""
    held, rows = sales()
    with (
        bank.load(),
        fed(bank.deployed.place, [held], rows, {held.name: 2}),
        asked(bank.deployed.place, [held]) as olap,
    ):
        kill_part("druid-indexer")
        eventually(lambda: "olap-bankapp" in bank.troubles(), "a dead task is taken for one that works")
        until = time.monotonic() + _DEAD_S
        while time.monotonic() < until:
            with pytest.raises(StoreUnavailable):
                olap.ask(f"SELECT count(*) FROM {held.name}")
        start_parts()
        eventually(
            lambda: answer_of(lambda: olap.ask(f"SELECT count(*) FROM {held.name}").rows) == [(2,)], "rows are lost"
        )


def test_a_supervisor_is_ended_while_its_tasks_are_dead(bank: Bank) -> None:
    """No other call takes Druid so long."""
    held, rows = sales()
    with fed(bank.deployed.place, [held], rows, {held.name: 2}) as supervisors:
        kill_part("druid-indexer")
        supervisors.terminate(held.name)
        assert held.name not in supervisors.names()
        start_parts()
    bank.recovers()


def test_analytics_are_away(bank: Bank) -> None:
    """What needs Druid says so; what does not goes on."""
    with bank.load() as load:
        kill_part("druid-broker")
        says_so_at_once(bank, "/analytics/cards", "store-unavailable")
        load.await_more()
        with bank.apis[0].client() as client:
            client.get("/cards/123456789").raise_for_status()
        start_parts()


def says_so_at_once(bank: Bank, question: str, problem: str) -> None:
    """503, with its reason and when to ask again, long before any limit of waiting."""
    for api in bank.apis:
        with api.client() as client:
            began = time.monotonic()
            answer = client.get(question)
            assert time.monotonic() - began < _AT_ONCE_S
        assert (answer.status_code, answer.json()["type"].rpartition(":")[2]) == (503, problem)
        assert int(answer.headers["Retry-After"]) >= 1


def is_told(bank: Bank, name: str) -> bool:
    """Whether each process that answers HTTP says that this does not work, and since when."""
    answers = [httpx.get(f"{api.url}/health/ready", timeout=10) for api in bank.apis]
    found = [answer.json()["troubles"].get(name) for answer in answers if answer.status_code == 503]
    return len(found) == len(bank.apis) and all(each and each["what"] and each["since"] for each in found)


def _has_offsets(servers: KafkaServers) -> bool:
    with closing(KafkaLog(servers)) as log:
        return has_offsets(log, GROUP)

"""The connector's configuration, and what the real connector makes of it."""

import time
import uuid
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from confluent_kafka import Consumer, Message
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from deploy.configuration import CAPTURE_USER, DEVELOPMENT_PASSWORD, Place
from mainstem.cdc.connect import Connect
from mainstem.cdc.debezium import CaptureSource, connector
from mainstem.cdc.port import Captured, Outbox
from mainstem.codec import recorded_events
from mainstem.errors import ConfigurationError, StoreUnavailable
from mainstem.eventstore import mysql
from mainstem.eventstore.mysql import MysqlEventStore
from mainstem.eventstore.port import Refusal
from mainstem.messages import Event
from mainstem.mysql import MysqlServer, Session, execute
from mainstem.mysql_schema import migrate
from tests.stack import Databases

SOURCE = CaptureSource("mysql", 3306, "reader", "open-sesame", "shop", "kafka:9092", 7)
ITEM = Captured("item")
FACT = Captured(
    "fact",
    "facts",
    Outbox("stream", "payload", "at_ms", ("stream", "version", "occurred_at_ms", "recorded_at_ms", "actor")),
)
KEYS = {"item": ("id",), "fact": ("position",)}


class Sold(Event, frozen=True):
    """An event with values that do not survive every way through JSON."""

    amount: str
    sizes: tuple[int | str, ...] = ()
    number: int = 0
    note: str | None = "never given"


def test_secrets_are_in_no_text() -> None:
    assert "open-sesame" not in repr(SOURCE)


@pytest.mark.parametrize("keys", [{"item": ()}, {"item": ("a", "b")}, {}])
def test_a_table_needs_a_key_of_one_column(keys: dict[str, tuple[str, ...]]) -> None:
    with pytest.raises(ConfigurationError, match="captured table item"):
        connector("shop", [ITEM], keys, SOURCE)


def test_a_connect_that_is_not_there_is_told() -> None:
    with closing(Connect("http://127.0.0.1:1")) as connect, pytest.raises(StoreUnavailable, match="cannot be reached"):
        connect.status("shop")
    with pytest.raises(ConfigurationError):
        Connect("127.0.0.1:8083")


class Shop:
    """A database that is captured under a name of its own."""

    def __init__(self, stack: Place, server: MysqlServer) -> None:
        self.name = f"shop-{uuid.uuid4().hex[:8]}"
        self.bootstrap = f"{stack.host}:{stack.ports.kafka}"
        self.database = Session(server)
        self.connect = Connect(f"http://{stack.host}:{stack.ports.connect}")
        self.source = CaptureSource(
            stack.host,
            stack.ports.mysql,
            CAPTURE_USER,
            DEVELOPMENT_PASSWORD,
            server.database,
            self.bootstrap,
            server_id=1_000_000 + uuid.uuid4().int % 1_000_000,
        )
        self.captured = [replace(ITEM, topic=f"{self.name}.items"), replace(FACT, topic=f"{self.name}.facts")]
        self.config = connector(self.name, self.captured, KEYS, self.source)

    def run(self, *statements: str) -> None:
        """Each committed by itself."""
        with self.database.use() as connection:
            for statement in statements:
                execute(connection, statement)

    def records(self, count: int, timeout_s: float = 60.0) -> list[Message]:
        """That many committed records of both topics."""
        settings = {"bootstrap.servers": self.bootstrap, "group.id": self.name, "auto.offset.reset": "earliest"}
        consumer = Consumer({**settings, "isolation.level": "read_committed", "enable.auto.commit": False})
        consumer.subscribe([captured.topic for captured in self.captured])
        found: list[Message] = []
        deadline = time.monotonic() + timeout_s
        while len(found) < count and time.monotonic() < deadline:
            found += [message for message in consumer.consume(count, 0.2) if message.error() is None]
        consumer.close()
        return found


@pytest.fixture
def shop(stack: Place, databases: Databases, tmp_path: Path) -> Iterator[Shop]:
    shop = Shop(stack, databases(tmp_path))
    shop.run(
        "CREATE TABLE item (id VARCHAR(20) PRIMARY KEY, price DECIMAL(18,2), sold TINYINT(1) NOT NULL)",
        "CREATE TABLE fact (position BIGINT AUTO_INCREMENT PRIMARY KEY, stream VARCHAR(255) NOT NULL,"
        " version BIGINT NOT NULL, payload MEDIUMTEXT NOT NULL, occurred_at_ms BIGINT NOT NULL,"
        " recorded_at_ms BIGINT NOT NULL, actor VARCHAR(255) NOT NULL, at_ms BIGINT)",
    )
    admin = AdminClient({"bootstrap.servers": shop.bootstrap})
    topics = [captured.topic for captured in shop.captured]
    for made in admin.create_topics([NewTopic(topic, 1, 1) for topic in topics]).values():
        made.result(10)
    yield shop
    shop.connect.remove(shop.name)
    shop.connect.close()
    shop.database.close()
    own = [*topics, f"{shop.name}.schema-history", f"__debezium-heartbeat.{shop.name}"]
    standing = set(admin.list_topics(timeout=10).topics)
    for removed in admin.delete_topics([topic for topic in own if topic in standing]).values():
        removed.result(10)


@pytest.mark.stack
def test_changes_and_messages_as_the_application_knows_them(shop: Shop) -> None:
    """Keys as text, decimals exact, topics by their own names; payloads to the letter, whatever their shape."""
    shop.run("INSERT INTO item VALUES ('pen', 1.5, 0)")
    assert shop.connect.put(shop.name, shop.config).created
    shop.connect.await_running(shop.name)
    shop.run("UPDATE item SET price = 2, sold = 1", "UPDATE item SET id = 'quill'", "DELETE FROM item")
    payloads = [
        '{"type":"Sold","amount":"10.00","sizes":[],"note":null}',
        '{"type":"Sold","amount":"0.10","sizes":[1,"XL"],"number":9007199254740993}',
        '{"type":"Sold","amount":"9999999999999999.99","sizes":["\\u00fc \\ud83d\\ude00"]}',
    ]
    for version, payload in enumerate(payloads, 1):
        with shop.database.use() as connection:
            sql = (
                "INSERT INTO fact (stream, version, payload, occurred_at_ms, recorded_at_ms, actor)"
                " VALUES ('sale-1', %s, %s, 5, 6, 'till')"
            )
            execute(connection, sql, (version, payload))
    records = shop.records(8)
    changes = [msgspec.json.decode(r.value() or b"") for r in records if (r.topic() or "").endswith(".items")]
    keys = [r.key() for r in records if (r.topic() or "").endswith(".items")]
    pen, dear = {"id": "pen", "price": "1.50", "sold": False}, {"id": "pen", "price": "2.00", "sold": True}
    quill = {**dear, "id": "quill"}
    assert [(change["op"], change["before"], change["after"]) for change in changes] == [
        ("r", None, pen),
        ("u", pen, dear),
        ("d", dear, None),
        ("c", None, quill),
        ("d", quill, None),
    ]
    assert keys == [b"pen", b"pen", b"pen", b"quill", b"quill"]
    facts = [r for r in records if (r.topic() or "").endswith(".facts")]
    assert {r.key() for r in facts} == {b"sale-1"}
    found = recorded_events([Sold]).many([r.value() or b"" for r in facts])
    assert [event.payload for event in found] == [msgspec.json.decode(payload, type=Sold) for payload in payloads]
    assert [(event.stream, event.version, event.recorded_at_ms, event.actor) for event in found][-1] == (
        "sale-1",
        3,
        6,
        "till",
    )


@pytest.mark.stack
def test_a_connector_goes_on_where_it_stopped(shop: Shop) -> None:
    """Put again it stays; changed it says what; removed and made again it delivers what came meanwhile, once."""
    shop.connect.put(shop.name, shop.config)
    shop.connect.await_running(shop.name)
    again = shop.connect.put(shop.name, shop.config)
    assert (again.created, again.differences) == (False, ())
    changed = shop.connect.put(shop.name, {**shop.config, "poll.interval.ms": "11", "some.password": "open-sesame"})
    assert changed.differences == (
        "poll.interval.ms: 10 stands, 11 is declared",
        "some.password: nothing stands, *** is declared",
    )
    shop.run("INSERT INTO item VALUES ('a', 1, 0)")
    shop.connect.remove(shop.name)
    with pytest.raises(ConfigurationError, match="no connector"):
        shop.connect.status(shop.name)
    shop.run("INSERT INTO item VALUES ('b', 1, 0)")
    assert shop.connect.put(shop.name, shop.config).created
    shop.connect.await_running(shop.name)
    shop.run("INSERT INTO item VALUES ('c', 1, 0)")
    assert sorted(record.key() or b"" for record in shop.records(4, 3.0)) == [b"a", b"b", b"c"]


@pytest.mark.stack
def test_a_connector_that_cannot_work_is_told(shop: Shop) -> None:
    """And nothing is made. Connect 4.3 answers some wrong configurations with an error of its own (status 500)."""
    wrong = {**shop.config, "database.password": "open-sesame"}
    with pytest.raises((ConfigurationError, StoreUnavailable), match="Connect at") as caught:
        shop.connect.put(shop.name, wrong)
    assert shop.connect.config(shop.name) is None
    assert "open-sesame" not in str(caught.value)


@pytest.mark.stack
def test_refused_commands_are_captured_while_their_table_is_brought_forward(shop: Shop) -> None:
    """By a connector that has begun with the table of an older release."""
    server = shop.database.server
    migrate(server, "events", mysql._MIGRATIONS[:4])
    captured = [Captured("refused_command", f"{shop.name}.items")]
    shop.connect.put(shop.name, connector(shop.name, captured, {"refused_command": ("id",)}, shop.source))
    shop.connect.await_running(shop.name)
    shop.run(
        "INSERT INTO refused_command (stream, command, content, reason, text, refused_at_ms, actor)"
        " VALUES ('a-1', 'Count', '{}', 'old', 'no', 1, 'till')"
    )
    refusal = Refusal(
        stream="a-1", command="Count", content=b"{}", reason="new", text="no", refused_at_ms=2, actor="till", retry_of=1
    )
    with closing(MysqlEventStore(server, clock_ms=lambda: 1)) as store, store.transaction() as transaction:
        transaction.keep_refusal(refusal)
    rows = [msgspec.json.decode(record.value() or b"")["after"] for record in shop.records(2)]
    assert [(row["id"], row["reason"], row.get("retry_of")) for row in rows] == [(1, "old", None), (2, "new", 1)]

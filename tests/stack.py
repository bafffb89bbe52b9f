"""The real stack, for the tests that need it: one for the whole run, beside any that the user has started."""

import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pymysql
import pytest
from confluent_kafka.admin import AdminClient

from deploy.configuration import APPLICATION_USER, DEVELOPMENT_PASSWORD, Place
from deploy.downloads import StackUnavailable
from deploy.stack import down, processes_of, up
from mainstem.log.kafka_client import KafkaServers
from mainstem.mysql import MysqlServer

SHIFT = int(os.environ.get("STACK_TEST_SHIFT", "10000"))
"""Its ports are that much higher than the usual ones; another shift lets two checkouts be tested at a time."""

FOLDER = Path(__file__).parents[1] / ".stack-test"
"""Where its data, logs and configuration are."""


@pytest.fixture(scope="session")
def stack() -> Iterator[Place]:
    """Where it runs. One that runs already is used and left running; without Java and Maven the tests are skipped.

    With MAINSTEM_REQUIRE_STACK=1 its absence is a failure.
    """
    ran = any(processes_of(FOLDER).pid(name) for name in processes_of(FOLDER).names())
    try:
        yield up(FOLDER, SHIFT, print)
    except StackUnavailable as error:
        if os.environ.get("MAINSTEM_REQUIRE_STACK") == "1":
            raise
        pytest.skip(str(error))
    finally:
        if not ran:
            down(FOLDER, print)


Databases = Callable[[Path], MysqlServer]
"""A database for each folder, the same one whenever it is asked for, empty at first."""


@pytest.fixture
def databases(stack: Place) -> Iterator[Databases]:
    """Databases of one test; they are dropped after it."""
    made: dict[str, MysqlServer] = {}

    def database(folder: Path) -> MysqlServer:
        name = "test_" + hashlib.sha256(str(folder).encode()).hexdigest()[:24]
        if name not in made:
            run_sql(stack, f"CREATE DATABASE {name}")
            made[name] = MysqlServer(stack.host, stack.ports.mysql, APPLICATION_USER, DEVELOPMENT_PASSWORD, name)
        return made[name]

    yield database
    for name in made:
        run_sql(stack, f"DROP DATABASE {name}")


def run_sql(stack: Place, *statements: str) -> None:
    """As any client of the database would, each committed by itself."""
    with (
        closing(
            pymysql.connect(
                host=stack.host,
                port=stack.ports.mysql,
                user=APPLICATION_USER,
                password=DEVELOPMENT_PASSWORD,
                autocommit=True,
            )
        ) as connection,
        connection.cursor() as cursor,
    ):
        for statement in statements:
            cursor.execute(statement)


Prefixes = Callable[[Path], tuple[KafkaServers, str]]
"""A prefix for each folder's topics and groups, the same one whenever it is asked for."""


@pytest.fixture
def prefixes(stack: Place) -> Iterator[Prefixes]:
    """Prefixes of one test; the topics are removed after it."""
    servers = KafkaServers(f"{stack.host}:{stack.ports.kafka}")
    made: set[str] = set()

    def prefix(folder: Path) -> tuple[KafkaServers, str]:
        name = f"t{hashlib.sha256(str(folder).encode()).hexdigest()[:12]}."
        made.add(name)
        return servers, name

    yield prefix
    remove_topics(servers, lambda topic: topic.startswith(tuple(made)))


def remove_topics(servers: KafkaServers, which: Callable[[str], bool]) -> None:
    """Those that a test has made."""
    admin = AdminClient({"bootstrap.servers": servers.bootstrap})
    own = [name for name in admin.list_topics(timeout=10).topics if which(name)]
    if own:
        for removed in admin.delete_topics(own).values():
            removed.result(10)

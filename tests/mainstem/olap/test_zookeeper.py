"""What a look at ZooKeeper tells: against the real one, and against members that are away or do not serve."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from deploy.configuration import Place
from mainstem.errors import ConfigurationError, StoreUnavailable
from mainstem.olap.zookeeper import ZooKeeper
from tests.process import free_port

SERVES = b"Zookeeper version: 3.8.6\nMode: follower\nNode count: 5\n"
WITHOUT_QUORUM = b"This ZooKeeper instance is not currently serving requests\n"


@contextmanager
def member(answer: bytes) -> Iterator[str]:
    """One that answers each connection so."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.1)
        over = threading.Event()

        def serve() -> None:
            while not over.is_set():
                try:
                    connection, _ = server.accept()
                except TimeoutError:
                    continue
                with connection:
                    connection.settimeout(5)
                    connection.recv(4)
                    connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"127.0.0.1:{server.getsockname()[1]}"
        finally:
            over.set()
            thread.join(5)


@pytest.fixture
def nobody() -> str:
    """An address where nothing listens."""
    return f"127.0.0.1:{free_port()}"


def test_one_that_serves() -> None:
    with member(SERVES) as one:
        assert ZooKeeper(one).look() is None


def test_one_that_is_away_is_told_while_another_serves(nobody: str) -> None:
    with member(SERVES) as one:
        assert (ZooKeeper(f"{nobody}, {one}").look() or "").startswith(f"{nobody} cannot be reached: ")


def test_none_serves(nobody: str) -> None:
    with member(WITHOUT_QUORUM) as one, pytest.raises(StoreUnavailable) as raised:
        ZooKeeper(f"{one},{nobody}").look()
    assert "does not serve: This ZooKeeper instance is not currently serving requests" in str(raised.value)
    assert f"ZooKeeper at {nobody} cannot be reached: " in str(raised.value)


def test_what_serves_something_else_does_not_serve() -> None:
    with member(b"HTTP/1.1 400 Bad Request\r\n\r\n") as one, pytest.raises(StoreUnavailable, match="400 Bad Request"):
        ZooKeeper(one).look()


@pytest.mark.parametrize("address", ["", ":2181", "host:", "host:nan", "host:70000", "one:2181,,two:2181"])
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(ConfigurationError, match="the address of ZooKeeper must be as"):
        ZooKeeper(address)


@pytest.mark.stack
def test_the_real_one(stack: Place) -> None:
    assert ZooKeeper(f"{stack.host}:{stack.ports.zookeeper}").look() is None

"""Serving, and what a user sees of its end."""

import os
import signal
import socket
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from mainstem.codec import position_token
from mainstem.errors import ConfigurationError
from mainstem.messages import Position
from mainstem.query.server import check_address, serve_http
from tests.process import BankProcess, bank_process


def test_a_bank_that_is_stopped_says_nothing_more(tmp_path: Path) -> None:
    """What is left at the end of its process is given back, of which DuckDB would tell each piece otherwise."""
    with bank_process(tmp_path / "data") as bank:
        before = _welcome(bank)
        assert bank.stop() == 0
    assert bank.text() == before


def test_a_bank_whose_last_command_was_refused_says_nothing_more(tmp_path: Path) -> None:
    """What its error has come through is given back too."""
    with bank_process(tmp_path / "data") as bank:
        before = _welcome(bank)
        with bank.client() as client:
            answer = client.post("/moneywithdrawals", json={"debitCard": "123456789", "amount": 99_999})
            assert answer.status_code == 409
        assert bank.stop() == 0
    assert bank.text() == before


def test_many_who_wait_keep_nobody_from_being_answered(tmp_path: Path) -> None:
    """More wait for a position that there is not than a server has connections, unless it is told how many."""
    position = position_token(Position("123456789", 1_000_000))
    waiting = f"GET /cards/123456789?position={position} HTTP/1.1\r\nHost: 127.0.0.1\r\nPrefer: wait=14\r\n\r\n"
    with bank_process(tmp_path / "data") as bank, ExitStack() as stack:
        place = urlsplit(bank.url)
        for _ in range(300):
            connection = socket.create_connection((place.hostname or "", place.port or 0), timeout=10)
            stack.enter_context(connection).sendall(waiting.encode())
        with httpx.Client(base_url=bank.url, timeout=10) as client:
            answer = client.post("/moneywithdrawals", json={"debitCard": "123456789", "amount": 1})
        assert answer.status_code == 201


def _welcome(bank: BankProcess) -> str:
    """What it says once it listens, whole: it is printed a moment after connections are taken."""
    deadline = time.monotonic() + 10
    while "Ctrl-C stops it" not in bank.text() or not bank.text().endswith("\n\n"):
        assert time.monotonic() < deadline, bank.text()
        time.sleep(0.02)
    return bank.text()


async def _nothing(scope: Any, receive: Any, send: Any) -> None:
    """An application that answers nobody."""


def _stop() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


def test_a_port_that_another_server_took_while_this_one_started() -> None:
    """Both have found it free; the second would have a part of the first one's callers."""
    port = check_address("127.0.0.1", 0, authenticated=False)
    with socket.create_server(("127.0.0.1", port), reuse_port=True), pytest.raises(ConfigurationError, match="listen"):
        serve_http(_nothing, "127.0.0.1", port, listening=_stop)


def test_nobody_finds_a_port_free_that_is_served() -> None:
    port = check_address("127.0.0.1", 0, authenticated=False)
    found: list[str] = []

    def listening() -> None:
        try:
            check_address("127.0.0.1", port, authenticated=False)
        except ConfigurationError as error:
            found.append(str(error))
        _stop()

    serve_http(_nothing, "127.0.0.1", port, listening=listening)
    assert len(found) == 1
    assert "choose another with MAINSTEM_HTTP_PORT" in found[0]


@pytest.mark.parametrize("sent", [b"", b"GET / HTTP/1.1\r\nHost", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"])
def test_a_connection_on_which_no_request_comes_is_closed(sent: bytes) -> None:
    """Also one on which nothing has come: who opens many would have all that the process may open."""
    port = check_address("127.0.0.1", 0, authenticated=False)
    found: list[str] = []

    def wait() -> None:
        with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
            connection.sendall(sent)
            try:
                while connection.recv(1_024):
                    pass
                found.append("closed")
            except TimeoutError:
                found.append("still open")
            except ConnectionResetError:
                found.append("closed")
        _stop()

    serve_http(_nothing, "127.0.0.1", port, listening=threading.Thread(target=wait).start, headers_s=0.2)
    assert found == ["closed"]

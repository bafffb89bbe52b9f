"""What Connect answers while its connectors are shared out, as a cluster of it does now and then."""

import threading
from collections.abc import Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from mainstem.cdc.connect import Connect
from mainstem.errors import StoreUnavailable

_WAIT = b'{"error_code":500,"message":"Request cannot be completed because a rebalance is expected"}'
_BROKEN = b'{"error_code":500,"message":"the worker is broken"}'


@pytest.fixture
def answers() -> list[tuple[int, bytes]]:
    """What is answered, one after the other; the last one again and again."""
    return []


@pytest.fixture
def url(answers: list[tuple[int, bytes]]) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, content = answers.pop(0) if len(answers) > 1 else answers[0]
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("status", [409, 500])
def test_it_is_asked_again(url: str, answers: list[tuple[int, bytes]], status: int) -> None:
    answers += [(status, _WAIT), (status, _WAIT), (200, b'{"tasks.max":"1"}')]
    with closing(Connect(url)) as connect:
        assert connect.config("bank") == {"tasks.max": "1"}


def test_another_fault_is_told_at_once(url: str, answers: list[tuple[int, bytes]]) -> None:
    answers += [(500, _BROKEN), (200, b"{}")]
    with closing(Connect(url)) as connect, pytest.raises(StoreUnavailable, match="the worker is broken"):
        connect.config("bank")

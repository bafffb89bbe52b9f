"""A key set from a real server: bounded in size and time, fetched once for many, believed for a while."""

import asyncio
import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from mainstem.errors import KeysUnavailable
from mainstem.query.access import jwks
from mainstem.query.access.jwks import KeySet, download
from mainstem.query.access.keys import PUBLIC
from tests.tokens import KeyServer, jwk, key_server, rsa_key, server_certificate

_KEY = rsa_key()
_SOON_S = 5.0


@pytest.fixture
def keys() -> Iterator[KeyServer]:
    with key_server() as server:
        server.serve(jwk(_KEY, "a"))
        yield server


@pytest.fixture
def tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
    """That of a server whose certificate is trusted as long as the environment says so."""
    certificate = tmp_path / "server.pem"
    certificate.write_bytes(server_certificate())
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


def key_set(keys: KeyServer, clock: Clock) -> KeySet:
    return KeySet(keys.url, PUBLIC, age_s=100, pause_s=10, clock_s=clock)


def test_a_large_set_is_not_read(keys: KeyServer) -> None:
    keys.content = b" " * (300 * 1024)
    with pytest.raises(KeysUnavailable, match="bytes"):
        download(keys.url)


def test_a_redirection_is_not_followed(keys: KeyServer) -> None:
    keys.status, keys.headers = 302, {"Location": keys.url + "?elsewhere"}
    with pytest.raises(KeysUnavailable):
        download(keys.url)
    assert keys.asked == 1


@contextmanager
def dripping(begin: bytes, tls: ssl.SSLContext | None) -> Iterator[str]:
    """The address of a server that begins its answer so and then sends a byte now and then, each soon enough."""
    ended = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:

        def drip() -> None:
            plain, _ = server.accept()
            with contextlib.suppress(OSError), tls.wrap_socket(plain, True) if tls else plain as connection:
                connection.recv(4096)
                connection.sendall(begin)
                while not ended.wait(0.05):
                    connection.sendall(b" ")

        thread = threading.Thread(target=drip)
        thread.start()
        try:
            yield f"http{'s' if tls else ''}://127.0.0.1:{server.getsockname()[1]}/"
        finally:
            ended.set()
            thread.join()


_BEGUN = [b"HTTP/1.1 200", b"HTTP/1.1 200 OK\r\nSlow: ", b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n"]


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("begin", _BEGUN, ids=["status", "header", "body"])
def test_a_slow_server_is_not_waited_for(
    begin: bytes, scheme: str, tls: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever part of its answer is slow: no byte of it is later than the socket's own limit."""
    monkeypatch.setattr(jwks, "_DOWNLOAD_S", 0.3)
    with dripping(begin, tls if scheme == "https" else None) as url:
        began = time.monotonic()
        with pytest.raises(KeysUnavailable, match="within"):
            download(url)
        assert time.monotonic() - began < _SOON_S


def test_callers_do_not_wait_for_a_fetch_that_does_not_end(keys: KeyServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """As where the name of the server is not resolved: nothing but the resolver can end that."""
    ended = threading.Event()

    def hangs(_: str) -> bytes:
        ended.wait(30)
        raise KeysUnavailable("at last")

    async def ask() -> None:
        known = key_set(keys, Clock())
        known.load()
        monkeypatch.setattr(jwks, "download", hangs)
        monkeypatch.setattr(jwks, "_DOWNLOAD_S", 0.1)
        try:
            with pytest.raises(KeysUnavailable):
                await asyncio.wait_for(known.find("new"), _SOON_S)
            assert await known.find("a")
        finally:
            ended.set()

    asyncio.run(ask())


def test_a_set_comes_by_tls_from_a_server_that_is_trusted(
    keys: KeyServer, tls: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    with key_server(tls) as server:
        server.content = keys.content
        assert download(server.url) == keys.content
        monkeypatch.delenv("SSL_CERT_FILE")
        with pytest.raises(KeysUnavailable):
            download(server.url)


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"garbage\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{",
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 99_999,
    ],
)
def test_a_server_that_speaks_no_http(said: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def speak() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(said)

        thread = threading.Thread(target=speak)
        thread.start()
        known = KeySet(f"http://127.0.0.1:{server.getsockname()[1]}/", PUBLIC, age_s=100, pause_s=10)
        with pytest.raises(KeysUnavailable):
            asyncio.run(known.find("a"))
        thread.join()


def test_the_way_to_this_machine_is_through_no_proxy(keys: KeyServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    assert download(keys.url) == keys.content


def test_many_that_ask_at_once_fetch_once(keys: KeyServer) -> None:
    async def ask() -> None:
        known = key_set(keys, Clock())
        found = await asyncio.gather(*(known.find("a") for _ in range(50)))
        assert all(found)

    asyncio.run(ask())
    assert keys.asked == 1


def test_unknown_names_fetch_once_in_a_pause(keys: KeyServer) -> None:
    async def ask() -> None:
        clock = Clock()
        known = key_set(keys, clock)
        assert await known.find("a")
        for number in range(50):
            assert await known.find(f"made-up-{number}") is None
        assert keys.asked == 1
        clock.now += 11
        for number in range(50):
            assert await known.find(f"made-up-{number}") is None
        assert keys.asked == 2

    asyncio.run(ask())


def test_a_set_that_cannot_be_fetched_is_believed_for_a_while(keys: KeyServer) -> None:
    async def ask() -> None:
        clock = Clock()
        known = key_set(keys, clock)
        assert await known.find("a")
        keys.status = 500
        clock.now += 101
        assert await known.find("a")
        clock.now += 100 * 12
        with pytest.raises(KeysUnavailable):
            await known.find("a")
        keys.status = 200
        clock.now += 11
        assert await known.find("a")

    asyncio.run(ask())


def test_a_token_that_names_no_key_means_the_only_one(keys: KeyServer) -> None:
    async def ask() -> None:
        clock = Clock()
        known = key_set(keys, clock)
        assert await known.find(None) is await known.find("a")
        generation = known.generation
        keys.serve(jwk(_KEY, "a"), jwk(_KEY, "b"))
        clock.now += 11
        assert await known.find("b")
        assert await known.find(None) is None
        assert known.generation != generation

    asyncio.run(ask())


@pytest.mark.parametrize("status", [503, 302])
def test_what_an_address_may_let_in_by_is_not_logged(keys: KeyServer, status: int) -> None:
    """At the start, and later."""
    keys.status = status
    clock = Clock()
    known = KeySet(f"{keys.url}?token=open-sesame#open-sesame", PUBLIC, age_s=100, pause_s=10, clock_s=clock)
    with capture_logs() as logged:
        known.load()
        with pytest.raises(KeysUnavailable) as caught:
            asyncio.run(known.find("a"))
    assert [line["url"] for line in logged] == [keys.url, keys.url]
    assert "open-sesame" not in f"{logged} {caught.value}"


def test_a_name_and_password_in_an_address_are_in_no_error() -> None:
    with pytest.raises(KeysUnavailable, match=r"https://127\.0\.0\.1:1/keys cannot be read") as caught:
        download("https://me:open-sesame@127.0.0.1:1/keys?open-sesame")
    assert "open-sesame" not in str(caught.value)


def test_a_server_that_is_not_there_is_asked_again_later(keys: KeyServer) -> None:
    keys.status = 503

    async def ask() -> None:
        clock = Clock()
        known = key_set(keys, clock)
        known.load()
        with pytest.raises(KeysUnavailable):
            await known.find("a")
        keys.status = 200
        clock.now += 11
        assert await known.find("a")

    asyncio.run(ask())

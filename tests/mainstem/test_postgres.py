"""Connections to PostgreSQL: errors in mainstem's names, lost connections, silent writers, certificates."""

import socket
import ssl
import struct
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest

from deploy.postgres import Postgres
from mainstem.errors import CodecError, ConfigurationError, StoreBusy, StoreUnavailable, WriteConflict
from mainstem.postgres import PostgresServer, Session, Writer, ask, connect, execute
from tests.postgres import PostgresDatabases
from tests.secured import Authority


@pytest.fixture
def server(postgres_databases: PostgresDatabases, tmp_path: Path) -> PostgresServer:
    return postgres_databases(tmp_path)


@pytest.fixture
def writer(server: PostgresServer) -> Iterator[Writer]:
    """With a table of two things."""
    writer = Writer(server)
    with writer.transaction() as connection:
        execute(connection, "CREATE TABLE thing (id bigint PRIMARY KEY, name varchar(10) NOT NULL)")
        execute(connection, "INSERT INTO thing VALUES (1, 'a'), (2, 'a')")
    yield writer
    writer.close()


def test_the_password_is_in_no_text(server: PostgresServer) -> None:
    secret = replace(server, password="open-sesame")  # noqa: S106
    assert "open-sesame" not in f"{secret} {secret!r}"
    with pytest.raises(ConfigurationError, match="does not let mainstem in") as caught:
        connect(secret)
    assert "open-sesame" not in str(caught.value)


def test_who_is_not_there_is_told(server: PostgresServer) -> None:
    with pytest.raises(StoreUnavailable, match=r"127\.0\.0\.1:1 "):
        connect(PostgresServer("127.0.0.1", 1, "nobody", "", "nothing"))
    with pytest.raises(ConfigurationError, match="nothing_there"):
        connect(replace(server, database="nothing_there"))


@pytest.mark.parametrize("row", [(3, "longer than ten"), (2**63, "a"), (3, None), (3, "\ud800"), (3, "\0")])
def test_a_value_without_a_place_is_the_values_fault(writer: Writer, row: tuple[object, ...]) -> None:
    with pytest.raises(CodecError), writer.transaction() as connection:
        execute(connection, "INSERT INTO thing VALUES (?, ?)", row)
    with writer.transaction() as connection:
        assert ask(connection, "SELECT count(*) FROM thing") == [(2,)]


def test_two_that_wait_for_each_other_are_a_conflict(server: PostgresServer, writer: Writer) -> None:
    """The server ends one of them, and only that."""
    met = threading.Barrier(2)

    def work(first: int) -> str:
        own = Writer(server)
        try:
            with own.transaction() as connection:
                for number in (first, 3 - first):
                    execute(connection, "UPDATE thing SET name = ? WHERE id = ?", (str(first), number))
                    if number == first:
                        met.wait(10)
        except WriteConflict:
            return "conflict"
        finally:
            own.close()
        return "done"

    with ThreadPoolExecutor(2) as pool:
        assert sorted(pool.map(work, (1, 2))) == ["conflict", "done"]


def test_a_writer_that_is_silent_in_a_transaction_loses_its_locks(server: PostgresServer, writer: Writer) -> None:
    """As a process that is frozen is; it hears of it when it goes on."""
    frozen = Writer(server, idle_s=1)
    with pytest.raises(StoreUnavailable):
        _freeze_and_pass(frozen, writer)
    with frozen.transaction() as connection:
        assert ask(connection, "SELECT name FROM thing WHERE id = 1") == [("c",)]
    frozen.close()


def _freeze_and_pass(frozen: Writer, other: Writer) -> None:
    with frozen.transaction() as connection:
        execute(connection, "UPDATE thing SET name = 'b' WHERE id = 1")
        with other.transaction() as waiting:  # waits for the lock, for a second
            execute(waiting, "UPDATE thing SET name = 'c' WHERE id = 1")
        ask(connection, "SELECT 1")


def test_what_takes_too_long_ends(server: PostgresServer) -> None:
    session = Session(server, call_s=1)
    with pytest.raises(StoreBusy), session.use() as connection:
        ask(connection, "SELECT pg_sleep(20)")
    session.close()


def test_a_lost_connection_is_made_again(server: PostgresServer, writer: Writer, postgres: Postgres) -> None:
    """One lost in the middle fails what it was doing, once."""

    def interrupted() -> None:
        with writer.transaction() as connection:
            execute(connection, "INSERT INTO thing VALUES (3, 'lost')")
            kill = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{server.database}'"
            postgres.run_sql(kill)
            execute(connection, "INSERT INTO thing VALUES (4, 'lost')")

    with pytest.raises(StoreUnavailable):
        interrupted()
    with writer.transaction() as connection:
        assert ask(connection, "SELECT id FROM thing ORDER BY id") == [(1,), (2,)]


def test_a_server_must_show_a_certificate_that_is_known(server: PostgresServer, tmp_path: Path) -> None:
    """Of the file, for the host that it is called by; one that shows none is not spoken to."""
    authority = Authority("of the server")
    key, certificate = authority.server(tmp_path)
    known, unknown = authority.write(tmp_path / "known.pem"), Authority("of others").write(tmp_path / "unknown.pem")
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, key)
    with _with_tls(server.port, tls) as port:
        secured = replace(server, port=port, tls_ca=str(known))
        with connect(secured) as connection:
            assert ask(connection, "SELECT 1") == [(1,)]
            assert connection.pgconn.ssl_in_use
        with pytest.raises(StoreUnavailable, match="certificate"):
            connect(replace(secured, tls_ca=str(unknown)))
    with _with_tls(server.port, tls, "127.0.0.2") as port, pytest.raises(StoreUnavailable, match="certificate"):
        connect(replace(secured, host="127.0.0.2", port=port))
    with pytest.raises(StoreUnavailable, match="SSL"):
        connect(replace(server, tls_ca=str(known)))


@contextmanager
def _with_tls(port: int, tls: ssl.SSLContext, host: str = "127.0.0.1") -> Iterator[int]:
    """The port of what takes TLS off in front of a server: the build that the tests have speaks it not itself."""
    listening = socket.create_server((host, 0))

    def serve() -> None:
        with suppress(OSError):
            while True:
                client, _ = listening.accept()
                threading.Thread(target=pass_on, args=(client,), daemon=True).start()

    def pass_on(client: socket.socket) -> None:
        with suppress(OSError), client, socket.create_connection(("127.0.0.1", port)) as own:
            assert client.recv(8) == struct.pack("!ii", 8, 80877103)  # "SSLRequest"
            client.sendall(b"S")
            with tls.wrap_socket(client, server_side=True) as inside:
                threading.Thread(target=copy, args=(own, inside), daemon=True).start()
                copy(inside, own)

    def copy(source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while content := source.recv(65_536):
                target.sendall(content)

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield listening.getsockname()[1]
    finally:
        listening.close()

"""Connect and Druid by HTTPS: only a server that an authority of the file has signed is spoken to."""

import ssl
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from mainstem.cdc.connect import Connect
from mainstem.errors import ConfigurationError, InvalidQuery, StoreUnavailable
from mainstem.olap.druid import DruidOlap
from mainstem.olap.druid_supervisor import Supervisors
from tests.secured import Authority
from tests.tokens import key_server


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[str, str, str]]:
    """Its address, the file of the authority that has signed its certificate, and that of another."""
    authority = Authority("of the server")
    key, certificate = authority.server(tmp_path)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, key)
    own = authority.write(tmp_path / "own.pem")
    another = Authority("of others").write(tmp_path / "another.pem")
    with key_server(tls) as served:
        served.content = b'["bank"]'
        yield served.url.removesuffix("/keys.json"), str(own), str(another)


def _connect(url: str, tls_ca: str | None) -> Any:
    with closing(Connect(url, tls_ca=tls_ca)) as client:
        return client.names()


def _overlord(url: str, tls_ca: str | None) -> Any:
    with closing(Supervisors(url, tls_ca=tls_ca)) as client:
        return client.names()


Ask = Callable[[str, "str | None"], Any]
_CLIENTS = pytest.mark.parametrize("ask", [_connect, _overlord])


@_CLIENTS
def test_the_authority_of_the_file_is_trusted_and_no_other(server: tuple[str, str, str], ask: Ask) -> None:
    url, own, another = server
    assert ask(url, own) == ("bank",)
    for authorities in (another, None):
        with pytest.raises(StoreUnavailable, match="CERTIFICATE_VERIFY_FAILED"):
            ask(url, authorities)


def test_questions_of_druid_too(server: tuple[str, str, str]) -> None:
    """This server answers no question: it is reached with the one file, and not with the other."""
    url, own, another = server
    with closing(DruidOlap(url, tls_ca=another)) as olap, pytest.raises(StoreUnavailable, match="CERTIFICATE_VERIFY"):
        olap.ask("SELECT 1")
    with closing(DruidOlap(url, tls_ca=own)) as olap, pytest.raises((StoreUnavailable, InvalidQuery)) as caught:
        olap.ask("SELECT 1")
    assert "CERTIFICATE" not in str(caught.value)


@_CLIENTS
@pytest.mark.parametrize("content", [None, "no certificate"])
def test_a_file_that_holds_none_is_told(tmp_path: Path, ask: Ask, content: str | None) -> None:
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ConfigurationError, match=r"no certificates can be read from .*ca\.pem"):
        ask("https://127.0.0.1:1", str(path))

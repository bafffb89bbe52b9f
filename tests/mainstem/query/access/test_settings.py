"""What the settings ask for is checked at the start: contradictions and weak keys end it, with what to do."""

from collections.abc import Mapping
from pathlib import Path

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from mainstem.errors import ConfigurationError
from mainstem.query.access import access_of
from mainstem.query.access.keys import PUBLIC, fitting_algorithms, key_of_set
from mainstem.query.server import check_address
from mainstem.settings import read_settings
from tests.tokens import SECRET, jwk, pem, rsa_key

_ED = ed25519.Ed25519PrivateKey.generate()
_PRIVATE = _ED.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
_DSA = (
    dsa.generate_private_key(2048).public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
)


def given(**settings: str) -> Mapping[str, str]:
    return {f"MAINSTEM_{name.upper()}": value for name, value in settings.items()}


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        (given(auth_key=SECRET, auth_jwks_url="https://a/b"), "leave one out"),
        (given(auth_key="x" * 31), "31 bytes"),
        (given(auth_key=""), "0 bytes"),
        (given(auth_key=_PRIVATE), "private"),
        (given(auth_key=_DSA), "RSA, ECDSA or Ed25519"),
        (given(auth_key="-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----"), "no public key"),
        (given(auth_key=pem(rsa_key(1024))), "kind or size"),
        (given(auth_key=SECRET, auth_algorithms="none"), "none"),
        (given(auth_key=SECRET, auth_algorithms="hs256"), "known are"),
        (given(auth_key=SECRET, auth_algorithms=""), "known are"),
        (given(auth_key=SECRET, auth_algorithms="RS256"), "does not fit|not fit"),
        (given(auth_key=SECRET, auth_algorithms="HS512"), "not fit"),
        (given(auth_key=pem(_ED), auth_algorithms="HS256"), "not fit"),
        (given(auth_jwks_url="https://a/b", auth_algorithms="RS256,HS256"), "HS256"),
        (given(auth_jwks_url="http://example.com/keys"), "https://"),
        (given(auth_jwks_url="ftp://127.0.0.1/keys"), "https://"),
        (given(auth_jwks_url="keys.json"), "https://"),
        (given(auth_jwks_url="file://server/keys"), "https://"),
        (given(auth_jwks_url="https://me:word@example.com/keys"), "password"),
        (given(auth_jwks_url="https://[::1/keys"), "no URL"),
        (given(auth_jwks_url="file:/nowhere/keys.json"), "cannot be read"),
        (given(auth_audience="bank"), "MAINSTEM_AUTH_KEY"),
        (given(rate_limit_burst="5"), "MAINSTEM_RATE_LIMIT_PER_MINUTE"),
    ],
)
def test_what_cannot_work_is_told(settings: Mapping[str, str], told: str) -> None:
    with pytest.raises(ConfigurationError, match=told) as caught:
        access_of(read_settings(settings), {})
    assert SECRET not in str(caught.value)
    assert "word" not in str(caught.value).replace("password", "")


@pytest.mark.parametrize(
    "content", [b"", b"{}", b"[]", b'{"keys":[]}', b'{"keys":[{"kty":"oct","k":"AAAA"}]}', b"\xff"]
)
def test_a_file_that_is_no_key_set_ends_the_start(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "keys.json").write_bytes(content)
    with pytest.raises(ConfigurationError, match="MAINSTEM_AUTH_JWKS_URL"):
        access_of(read_settings(given(auth_jwks_url=f"file:{tmp_path}/keys.json")), {})


def test_nothing_is_asked_for_unless_set() -> None:
    access = access_of(read_settings({}), {})
    assert (access.tokens, access.rates) == (None, None)
    assert access.names == {"localhost", "127.0.0.1", "[::1]"}


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "bank.example.com", "127.0.0.1.example.com"])  # noqa: S104
def test_beyond_loopback_nothing_starts_without_authentication(host: str) -> None:
    with pytest.raises(ConfigurationError, match="MAINSTEM_AUTH_JWKS_URL"):
        check_address(host, 0, authenticated=False)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "127.0.0.2"])
def test_loopback_needs_none(host: str) -> None:
    assert check_address(host, 0, authenticated=False) > 0


def test_a_key_is_used_by_algorithms_of_its_kind_only() -> None:
    key = rsa_key()
    assert set(fitting_algorithms(key.public_key())) == {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"}
    assert fitting_algorithms(ec.generate_private_key(ec.SECP384R1()).public_key()) == ("ES384",)
    assert fitting_algorithms(ec.generate_private_key(ec.SECP256K1()).public_key()) == ()
    assert fitting_algorithms(_ED.public_key()) == ("EdDSA",)
    assert fitting_algorithms(_ED) == ()
    assert fitting_algorithms(b"x" * 32) == ("HS256",)
    assert not {name for name in PUBLIC if name.startswith("HS") or name == "none"}


def test_a_key_of_a_set_is_for_signatures_and_public() -> None:
    key = rsa_key()
    named = key_of_set(jwk(key, "a", alg="RS256"), PUBLIC)
    assert named is not None
    assert named.algorithms == ("RS256",)
    assert key_of_set(jwk(key, "a", use="enc"), PUBLIC) is None
    assert key_of_set(jwk(key, "a", alg="HS256"), PUBLIC) is None
    assert key_of_set(jwk(key, "a", n="no number"), PUBLIC) is None
    assert key_of_set(jwk(rsa_key(1024), "a"), PUBLIC) is None
    assert key_of_set({"kty": "oct", "k": "A" * 64, "kid": "a"}, PUBLIC) is None
    assert key_of_set({**jwt.algorithms.RSAAlgorithm.to_jwk(key, as_dict=True), "kid": "a"}, PUBLIC) is None
    assert key_of_set(jwk(key, "a"), ("ES256",)) is None

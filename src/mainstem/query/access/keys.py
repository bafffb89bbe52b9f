"""The keys that tokens are checked with, and the algorithms that fit each."""

from collections.abc import Mapping
from typing import Any, Protocol

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from msgspec import Struct

from mainstem.errors import ConfigurationError

_SECRET_MIN_BYTES = 32
_RSA_MIN_BITS = 2_048

_HMAC = {"HS256": 32, "HS384": 48, "HS512": 64}
_RSA = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
_EC = {"secp256r1": "ES256", "secp384r1": "ES384", "secp521r1": "ES512"}
_EDWARDS = ("EdDSA",)
PUBLIC = (*_RSA, *_EC.values(), *_EDWARDS)
"""The algorithms whose keys may be known to everybody: the only ones for a key set."""
KNOWN = (*_HMAC, *PUBLIC)
"""All algorithms that can be allowed. `none` is not one."""

Material = rsa.RSAPublicKey | ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey | bytes


class Key(Struct, frozen=True):
    """A key and the algorithms that a token checked with it may name: never of another kind than the key is."""

    material: Material
    algorithms: tuple[str, ...]

    def __repr__(self) -> str:
        return f"Key({', '.join(self.algorithms)})"


class Keys(Protocol):
    """Where keys come from. `generation` is another number whenever a key may have gone."""

    @property
    def generation(self) -> int: ...

    async def find(self, name: str | None) -> Key | None:
        """The key of that name (`kid`); None where there is none. Raises KeysUnavailable where that is not known."""


class OneKey:
    """The key of the settings, whatever name a token gives it."""

    generation = 0

    def __init__(self, key: Key) -> None:
        self._key = key

    async def find(self, name: str | None) -> Key | None:  # noqa: ARG002 - the port's form
        """The key."""
        return self._key


def read_key(text: str, allowed: tuple[str, ...] | None) -> Key:
    """The setting's key: a public key as PEM, or a secret. Raises ConfigurationError where it cannot be used."""
    material = _public(text) if "-----BEGIN" in text else _secret(text)
    fitting = fitting_algorithms(material)
    if not fitting:
        raise ConfigurationError("MAINSTEM_AUTH_KEY is of a kind or size that no algorithm here can use")
    wrong = [name for name in allowed or () if name not in fitting]
    if wrong:
        text = f"MAINSTEM_AUTH_ALGORITHMS names {', '.join(wrong)}, which the key does not fit: it is for "
        raise ConfigurationError(text + ", ".join(fitting))
    return Key(material, allowed or fitting)


def key_of_set(description: Mapping[str, Any], allowed: tuple[str, ...]) -> Key | None:
    """A public key as a key set describes it; None for one that is not for signatures, or not usable here."""
    if description.get("use", "sig") != "sig" or description.get("kty") not in ("RSA", "EC", "OKP"):
        return None
    try:
        # The algorithm only chooses the reader of the key's kind; what a token may name is decided below.
        material = jwt.PyJWK({**description, "alg": None}).key
    except (jwt.PyJWTError, ValueError, TypeError, KeyError, OverflowError, UnsupportedAlgorithm):
        return None
    named = description.get("alg")
    algorithms = tuple(a for a in fitting_algorithms(material) if a in allowed and named in (None, a))
    return Key(material, algorithms) if algorithms else None


def fitting_algorithms(material: object) -> tuple[str, ...]:
    """The algorithms for a key of its kind and size; none for a weak one or a private one."""
    match material:
        case bytes():
            return tuple(name for name, least in _HMAC.items() if len(material) >= least)
        case rsa.RSAPublicKey():
            return _RSA if material.key_size >= _RSA_MIN_BITS else ()
        case ec.EllipticCurvePublicKey():
            name = _EC.get(material.curve.name)
            return (name,) if name else ()
        case ed25519.Ed25519PublicKey():
            return _EDWARDS
    return ()


def _public(text: str) -> Material:
    if "PRIVATE KEY" in text:
        raise ConfigurationError("MAINSTEM_AUTH_KEY is a private key; give the public one, and keep that one away")
    try:
        key = load_pem_public_key(text.encode())
    except (ValueError, UnsupportedAlgorithm) as error:
        raise ConfigurationError("MAINSTEM_AUTH_KEY begins like a PEM file but holds no public key") from error
    if not isinstance(key, rsa.RSAPublicKey | ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey):
        raise ConfigurationError("MAINSTEM_AUTH_KEY must be a key of RSA, ECDSA or Ed25519")
    return key


def _secret(text: str) -> bytes:
    secret = text.encode()
    if len(secret) < _SECRET_MIN_BYTES:
        size = f"{_SECRET_MIN_BYTES} bytes at least, or a public key as PEM"
        raise ConfigurationError(f"MAINSTEM_AUTH_KEY has {len(secret)} bytes; a secret needs {size}")
    return secret

"""Tokens: what stands in a marked field at rest. ``pd1.`` + the key's id + ``.`` + AES-SIV of the text, in base64.

AES-SIV (RFC 5297) with a key of 512 bits of each subject's own. It is deterministic: a text of one subject and one
kind of datum has one token. So a repeated command is the same command, and an unchanged text is seen to be unchanged;
that two texts of one subject are equal is all that a token shows without its key, beside the length in steps of 32.
"""

import base64
import re
import secrets

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

KEY_BYTES = 64
TEXT_MAX_BYTES = 8_192
"""How long a personal text may be."""

_PREFIX = "pd1"
_PADDED_TO = 32
_END = b"\x80"
_KEY_ID_BYTES = 10
_TOKEN = re.compile(rf"{_PREFIX}\.([a-z2-7]{{16}})\.([A-Za-z0-9_-]{{64,16384}})")


class NotOpened(ValueError):
    """A token that is not what was made with that key for that kind of datum."""


def new_key() -> bytes:
    """A key that nobody has."""
    return secrets.token_bytes(KEY_BYTES)


def new_key_id() -> str:
    """A name for a key, which tells nothing of whose it is."""
    return base64.b32encode(secrets.token_bytes(_KEY_ID_BYTES)).decode().lower()


def marker_of(key_id: str) -> str:
    """What all tokens of a key begin with, and nothing else does."""
    return f"{_PREFIX}.{key_id}."


def in_bytes(marker: str) -> tuple[bytes, ...]:
    """How a marker looks in bytes: as it is, and in Base64 by where it begins, as JSON carries bytes in a field."""
    plain, found = marker.encode(), [marker.encode()]
    for before in range(3):
        text = base64.b64encode(bytes(before) + plain)
        found.append(text[-(-before * 4 // 3) : (before + len(plain)) * 4 // 3])
    return tuple(found)


def key_id_of(text: object) -> str | None:
    """The id of the key that a text names, if it has a token's form."""
    found = _TOKEN.fullmatch(text) if isinstance(text, str) else None
    return None if found is None else found[1]


def seal(key: bytes, key_id: str, what: str, text: str) -> str:
    """The token of a text. Raises ValueError for one that is too long, or no Unicode."""
    content = text.encode() + _END
    if len(content) > TEXT_MAX_BYTES:
        raise ValueError(f"it is longer than {TEXT_MAX_BYTES - 1} bytes")
    padded = content.ljust(-(-len(content) // _PADDED_TO) * _PADDED_TO, b"\0")
    sealed = AESSIV(key).encrypt(padded, _bound_to(key_id, what))
    return marker_of(key_id) + base64.urlsafe_b64encode(sealed).decode().rstrip("=")


def unseal(key: bytes, what: str, token: str) -> str:
    """The text of a token. Raises NotOpened."""
    found = _TOKEN.fullmatch(token)
    if found is None:
        raise NotOpened("it has not the form of a token")
    try:
        sealed = base64.b64decode(found[2] + "=" * (-len(found[2]) % 4), altchars=b"-_", validate=True)
        padded = AESSIV(key).decrypt(sealed, _bound_to(found[1], what))
    except (InvalidTag, ValueError) as error:
        raise NotOpened("it was changed, or made for something else") from error
    return padded[: padded.rindex(_END)].decode()


def _bound_to(key_id: str, what: str) -> list[bytes]:
    return [_PREFIX.encode(), key_id.encode(), what.encode()]

"""Bearer tokens (JWT): checked, then known for a while, but not beyond their end or a change of the keys."""

import hashlib
import time
from collections.abc import Callable
from typing import Annotated, Any

import jwt
import msgspec
from msgspec import Meta, Struct

from mainstem.errors import InvalidToken
from mainstem.query.access.caller import Caller
from mainstem.query.access.keys import Key, Keys

TOKEN_MAX = 8_192
"""The longest token, in characters."""

_LEEWAY_S = 30
_REMEMBERED_MAX = 4_096
_REMEMBERED_S = 60
"""How long a token is believed without being checked again: a key that was withdrawn ends its tokens soon after."""

_Name = Annotated[str, Meta(min_length=1, max_length=200)]


class _Claims(Struct, frozen=True):
    sub: _Name
    exp: float
    scope: str | list[str] = ""


class _Known(Struct, frozen=True):
    caller: Caller
    until_s: float


class Tokens:
    """Reads tokens. `owned_claim` names the claim that lists what belongs to the caller; it may be absent.

    So may the one that `tenant_claim` names, where tenants are served: the caller is then of none.
    """

    def __init__(
        self,
        keys: Keys,
        *,
        audience: str | None,
        issuer: str | None,
        owned_claim: str,
        tenant_claim: str | None = None,
        clock_s: Callable[[], float] = time.time,
    ) -> None:
        self._keys = keys
        self._audience = audience
        self._issuer = issuer
        self._owned_claim = owned_claim
        self._tenant_claim = tenant_claim
        self._clock_s = clock_s
        self._known: dict[bytes, _Known] = {}
        self._generation = keys.generation
        required = ["exp", "sub"] + ["aud"] * (audience is not None) + ["iss"] * (issuer is not None)
        self._options: Any = {"require": required, "enforce_minimum_key_length": True}

    async def caller(self, token: str) -> Caller:
        """Who the token says is calling. Raises InvalidToken, or KeysUnavailable where that cannot be told."""
        if self._generation != self._keys.generation:
            self._known.clear()
            self._generation = self._keys.generation
        name = hashlib.sha256(token.encode()).digest()  # no token stays in memory
        known = self._known.get(name)
        if known is not None and self._clock_s() < known.until_s:
            return known.caller
        read = await self._read(token)
        self._known.pop(name, None)
        self._known[name] = read
        if len(self._known) > _REMEMBERED_MAX:
            del self._known[next(iter(self._known))]
        return read.caller

    async def _read(self, token: str) -> _Known:
        if len(token) > TOKEN_MAX:
            raise InvalidToken(f"the token has more than {TOKEN_MAX} characters")
        key = await self._keys.find(_key_name(token))
        if key is None:
            raise InvalidToken("the token is signed by a key that is not known")
        claims = self._claims(token, key)
        try:
            read = msgspec.convert(claims, _Claims)
            owned = msgspec.convert(claims.get(self._owned_claim, []), list[str])
            tenant = msgspec.convert(claims.get(self._tenant_claim), str | None) if self._tenant_claim else None
        except msgspec.ValidationError as error:
            raise InvalidToken("a claim of the token is not of the type that it should be") from error
        if not read.sub.isprintable():
            raise InvalidToken("the token's subject has characters that cannot be printed")
        scopes = read.scope.split() if isinstance(read.scope, str) else read.scope
        return _Known(
            Caller(read.sub, frozenset(scopes), frozenset(owned), tenant),
            min(read.exp, self._clock_s() + _REMEMBERED_S),
        )

    def _claims(self, token: str, key: Key) -> dict[str, Any]:
        try:
            return jwt.decode(
                token,
                key.material,
                algorithms=list(key.algorithms),
                audience=self._audience,
                issuer=self._issuer,
                leeway=_LEEWAY_S,
                options=self._options,
            )
        except jwt.PyJWTError as error:
            raise InvalidToken(_reason(error)) from error
        except _STUMBLES as error:
            raise InvalidToken(_UNREADABLE) from error


_STUMBLES = (ValueError, TypeError, KeyError, OverflowError, RecursionError)
"""What the library may raise for content that it did not expect; content is the caller's."""

_UNREADABLE = "this is no token"
_REASONS: tuple[tuple[type[jwt.PyJWTError], str], ...] = (
    (jwt.ExpiredSignatureError, "the token has expired"),
    (jwt.ImmatureSignatureError, "the token is not valid yet"),
    (jwt.InvalidAudienceError, "the token was made for another audience"),
    (jwt.InvalidIssuerError, "the token was made by another issuer"),
    (jwt.MissingRequiredClaimError, "the token lacks a claim that it needs"),
    (jwt.InvalidAlgorithmError, "the token is signed by an algorithm that is not allowed"),
    (jwt.InvalidSignatureError, "the token's signature is not right"),
)


def _reason(error: jwt.PyJWTError) -> str:
    """In words of our own: the library's may repeat what the token holds."""
    return next((text for kind, text in _REASONS if isinstance(error, kind)), _UNREADABLE)


def _key_name(token: str) -> str | None:
    try:
        name = jwt.get_unverified_header(token).get("kid")
    except (jwt.PyJWTError, *_STUMBLES) as error:
        raise InvalidToken(_UNREADABLE) from error
    return name if isinstance(name, str) else None

"""Tokens are checked once, then known for a while, in bounded memory; and nothing that is shown breaks the reader."""

import asyncio
import json
from typing import Any

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mainstem.errors import InvalidToken
from mainstem.query.access import Caller
from mainstem.query.access import tokens as module
from mainstem.query.access.keys import Key, OneKey, read_key
from mainstem.query.access.tokens import Tokens
from tests.tokens import AUDIENCE, SECRET, claims, token


class Keys(OneKey):
    """Counts how often a key is asked for."""

    def __init__(self, key: Key) -> None:
        super().__init__(key)
        self.asked = 0
        self.generation = 0

    async def find(self, name: str | None) -> Key | None:
        self.asked += 1
        return await super().find(name)


def reader(clock_s: Any = None) -> tuple[Tokens, Keys]:
    keys = Keys(read_key(SECRET, None))
    more = {} if clock_s is None else {"clock_s": clock_s}
    return Tokens(keys, audience=AUDIENCE, issuer=None, owned_claim="cards", **more), keys


def read(tokens: Tokens, text: str) -> Caller:
    return asyncio.run(tokens.caller(text))


def test_who_calls_and_what_is_theirs() -> None:
    tokens, _ = reader()
    shown = token(sub="carla", scope="customer other", cards=["1", "2"])
    assert read(tokens, shown) == Caller("carla", frozenset({"customer", "other"}), frozenset({"1", "2"}))


def test_a_token_is_checked_once() -> None:
    tokens, keys = reader()
    shown = token()
    for _ in range(5):
        read(tokens, shown)
    assert keys.asked == 1


def test_a_known_token_ends_with_its_time_and_with_the_keys() -> None:
    now = [float(claims()["iat"])]
    tokens, keys = reader(lambda: now[0])
    shown = token(exp=int(now[0]) + 3600)
    read(tokens, shown)
    now[0] += 61
    read(tokens, shown)
    assert keys.asked == 2
    keys.generation += 1
    read(tokens, shown)
    assert keys.asked == 3


def test_a_token_is_not_known_beyond_its_end() -> None:
    now = [float(claims()["iat"])]
    tokens, keys = reader(lambda: now[0])
    shown = token(exp=int(now[0]) + 10)
    read(tokens, shown)
    now[0] += 11
    read(tokens, shown)
    assert keys.asked == 2


def test_known_tokens_are_few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_REMEMBERED_MAX", 3)
    tokens, keys = reader()
    shown = [token(sub=f"caller {number}") for number in range(5)]
    for each in [*shown, *shown[2:]]:
        read(tokens, each)
    assert keys.asked == 5
    read(tokens, shown[0])
    assert keys.asked == 6


def test_a_bad_token_is_never_known() -> None:
    tokens, keys = reader()
    for _ in range(2):
        with pytest.raises(InvalidToken):
            read(tokens, token(aud="shop"))
    assert keys.asked == 2


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@given(st.text(st.characters(codec="ascii"), max_size=200))
def test_any_text_is_no_token(text: str) -> None:
    tokens, _ = reader()
    with pytest.raises(InvalidToken):
        read(tokens, text)


@given(st.sampled_from(["sub", "exp", "iat", "nbf", "aud", "iss", "jti", "scope", "cards"]), _JSON)
def test_any_claim_is_read_or_turned_away(name: str, value: object) -> None:
    """Signed by the right key: nothing but a caller or InvalidToken comes of it."""
    tokens, _ = reader()
    signed = jwt.PyJWS().encode(_dumped({**claims(), name: value}), SECRET, "HS256")
    try:
        caller = read(tokens, signed)
    except InvalidToken:
        return
    assert caller.subject
    assert caller.subject.isprintable()


@given(st.dictionaries(st.sampled_from(["alg", "kid", "typ", "crit", "b64", "jwk", "x5u"]), _JSON, max_size=3))
def test_any_header_is_read_or_turned_away(header: dict[str, object]) -> None:
    tokens, _ = reader()
    good = token().split(".")
    shown = ".".join((jwt.utils.base64url_encode(_dumped(header)).decode(), *good[1:]))
    with pytest.raises(InvalidToken):
        read(tokens, shown)


def _dumped(content: object) -> bytes:
    return json.dumps(content).encode()

"""Tokens open as what they were made of, with their key, for their purpose, and otherwise not at all."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mainstem.privacy.tokens import (
    TEXT_MAX_BYTES,
    NotOpened,
    key_id_of,
    marker_of,
    new_key,
    new_key_id,
    seal,
    unseal,
)

KEY, ID = new_key(), new_key_id()
TEXTS = st.text(st.characters(codec="utf-8"), max_size=200)


@given(text=TEXTS)
@settings(max_examples=200, deadline=None)
def test_a_token_opens_as_its_text(text: str) -> None:
    """One text has one token; its length is told in steps only."""
    token = seal(KEY, ID, "name", text)
    assert unseal(KEY, "name", token) == text
    assert seal(KEY, ID, "name", text) == token
    assert key_id_of(token) == ID
    assert token.startswith(marker_of(ID))
    assert text == "" or text not in token or len(text) < 4
    shorter = seal(KEY, ID, "name", "x" * (len(text.encode()) // 32 * 32))
    assert len(shorter) == len(token)


@given(text=TEXTS, at=st.integers(min_value=0), letter=st.sampled_from("AZaz09-_."))
@settings(max_examples=200, deadline=None)
def test_a_token_that_was_changed_does_not_open(text: str, at: int, letter: str) -> None:
    """Wherever."""
    token = seal(KEY, ID, "name", text)
    place = at % len(token)
    changed = token[:place] + letter + token[place + 1 :]
    if changed != token and not _same_bits(token, changed):
        with pytest.raises(NotOpened):
            unseal(KEY, "name", changed)


def _same_bits(token: str, changed: str) -> bool:
    """The last letter of base64 may have bits that count for nothing."""
    return token[:-1] == changed[:-1]


@given(text=TEXTS)
@settings(max_examples=50, deadline=None)
def test_a_token_opens_with_its_key_for_its_purpose(text: str) -> None:
    token = seal(KEY, ID, "name", text)
    other = seal(KEY, new_key_id(), "name", text)
    for key, what, given_ in (
        (new_key(), "name", token),
        (KEY, "email", token),
        (KEY, "name", other[:20] + token[20:]),
    ):
        with pytest.raises(NotOpened):
            unseal(key, what, given_)


def test_what_cannot_be_a_token() -> None:
    with pytest.raises(ValueError, match="longer than"):
        seal(KEY, ID, "name", "x" * TEXT_MAX_BYTES)
    with pytest.raises(UnicodeEncodeError):
        seal(KEY, ID, "name", "\ud800")
    assert len(seal(KEY, ID, "name", "x" * (TEXT_MAX_BYTES - 1))) < 16_384
    for text in ("", "pd1.", "Ada", f"pd1.{ID}.short", None, 7):
        assert key_id_of(text) is None

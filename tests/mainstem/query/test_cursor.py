"""Cursors: each goes with the query that has given it out."""

import pytest

from mainstem.errors import InvalidQuery
from mainstem.query.cursor import cursor_token, read_cursor


def test_a_cursor_comes_back() -> None:
    assert read_cursor(cursor_token(["a", 7], "/things?of=x"), (str, int), "/things?of=x") == ["a", 7]


@pytest.mark.parametrize("query", ["/things?of=y", "/others?of=x", "/things"])
def test_a_cursor_of_another_query_is_told(query: str) -> None:
    with pytest.raises(InvalidQuery, match="is of another query"):
        read_cursor(cursor_token(["a", 7], "/things?of=x"), (str, int), query)


@pytest.mark.parametrize("token", ["", "x", "A" * 5_000, "W10", cursor_token(["a"], "/q"), cursor_token([-1], "/q")])
def test_what_is_no_cursor_is_told(token: str) -> None:
    with pytest.raises(InvalidQuery, match=r"the cursor .{0,42} is"):
        read_cursor(token, (int,), "/q")

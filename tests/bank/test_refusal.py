"""Refusals: one row for each, however often the capture sends it."""

from bank.refusal import REFUSALS, rows
from mainstem.codec import encode
from mainstem.messages import Change, Source

_ROW = {
    "id": 7,
    "stream": "debit_card-anna",
    "command": "Withdraw",
    "content": "{}",
    "reason": "limit-exceeded",
    "text": "no",
    "refused_at_ms": 1,
    "actor": "a",
    "correlation_id": None,
}


def _change(op: str, pos: int) -> bytes:
    source = Source(connector="mysql", name="bank", ts_ms=1, db="d", table="refused_command", file="b.1", pos=pos)
    return encode(Change(op=op, before=None, after=_ROW, source=source, ts_ms=1))  # type: ignore[arg-type]


def test_a_capture_that_begins_anew_makes_the_same_row() -> None:
    """It sends every row again, as a picture, from another place in its source."""
    first, again = REFUSALS.decoder.many([_change("c", 10), _change("r", 999)])
    assert rows(first) == rows(again)
    assert len(rows(first)) == 1

"""The balances: an event counts once, however often the capture sends it."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from bank.balance import BALANCE, CardBalance
from bank.card import CardOpened, MoneyRepaid, MoneyWithdrawn
from mainstem import Event, Recorded
from mainstem.view.apply import working

_HISTORY: list[Event] = [CardOpened(limit=Decimal(100))]
_HISTORY += [MoneyWithdrawn(amount=Decimal(n)) for n in (10, 20, 5)]
_HISTORY += [MoneyRepaid(amount=Decimal(7))]


def _recorded(version: int) -> Recorded[Any]:
    payload = _HISTORY[version - 1]
    stream = "debit_card-anna"
    return Recorded(
        stream=stream, version=version, occurred_at_ms=version, recorded_at_ms=version, actor="a", payload=payload
    )


class _Written:
    """Takes what a batch writes."""

    def put(self, _: object, rows: Sequence[CardBalance]) -> None:
        self.rows = list(rows)


_ONCE = CardBalance("anna", Decimal(100), Decimal(28), "active", Decimal(35), 3, 5, 5)


@given(st.lists(st.integers(1, 5), max_size=8), st.booleans())
def test_events_that_come_again_change_nothing(again: list[int], one_by_one: bool) -> None:
    assert BALANCE.projection is not None
    written = _Written()
    work = working(BALANCE.projection, lambda _, __: {})
    seen = 0
    for version in [*again, *range(1, 6), *again]:
        if version > seen + 1:
            continue  # a stream never comes with a gap
        seen = max(seen, version)
        if one_by_one:
            work.handle([_recorded(version)])
        else:
            work.handle_all([_recorded(version), _recorded(version)], range(2))
    work.write(written)  # type: ignore[arg-type]
    assert written.rows == [_ONCE]

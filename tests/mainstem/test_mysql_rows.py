"""What is written many to a statement stands there as the driver itself writes it."""

from contextlib import closing
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mainstem.mysql import connect
from mainstem.mysql_rows import literal
from tests.stack import Databases

pytestmark = pytest.mark.stack

_SELDOM = (1.5, Decimal("1.50"), datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC))
_VALUES = st.one_of(st.none(), st.booleans(), st.integers(), st.text(), st.binary(), st.sampled_from(_SELDOM))


class _Colour(StrEnum):
    RED = "it's red\\"


def test_values_stand_as_the_driver_writes_them(databases: Databases, tmp_path: Path) -> None:
    with closing(connect(databases(tmp_path))) as connection, connection.cursor() as cursor:

        @given(_VALUES)
        @example("a'b\"c\\d\0e\nf\rg\x1ah%s\ud800")
        @example(b"\x00'\\\xff")
        @example(_Colour.RED)
        def same(value: Any) -> None:
            assert literal(cursor, value) == cursor.mogrify("%s", (value,))

        same()

"""A batch is sorted out as its records would be one by one, and only names that engines can hold are declared."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mainstem.errors import ConfigurationError
from mainstem.messages import Record
from mainstem.olap.columns import Columns
from mainstem.olap.port import Datasource, Dimension
from mainstem.testing.contracts.olap import MISFITS, SALES, record, sale

COLUMNS = Columns(SALES)
FITTING = [sale(0).value, sale(1, price="1e2").value, sale(2, at="2026-01-31T09:30:00").value]


def sorted_out(records: Sequence[Record]) -> tuple[list[object], list[tuple[int, str]]]:
    table, misfits = COLUMNS.sort_out(records)
    return table.to_pylist(), [(misfit.record.offset, misfit.reason) for misfit in misfits]


@given(st.lists(st.sampled_from([*FITTING, *MISFITS]) | st.binary(max_size=40), max_size=40))
def test_a_batch_is_sorted_out_like_its_records(values: list[bytes | None]) -> None:
    records = [record(offset, value) for offset, value in enumerate(values)]
    alone = [sorted_out([one]) for one in records]
    expected = [row for rows, _ in alone for row in rows], [misfit for _, misfits in alone for misfit in misfits]
    assert sorted_out(records) == expected


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, "no value"),
        (b"", "no value"),
        (b"{}", "missing required field `id`"),
        (sale(0, price="1.005").value, "more than two digits after the point"),
        (sale(0, price="1e16").value, "out of range"),
        (sale(0, at="yesterday").value, "Failed to parse string: 'yesterday'"),
    ],
)
def test_the_reason_says_what_does_not_fit(value: bytes | None, reason: str) -> None:
    _, [(_, found)] = sorted_out([record(0, value)])
    assert reason in found


def test_a_reason_is_of_bounded_length() -> None:
    _, [(_, reason)] = sorted_out([sale(0, at="x" * 5000)])
    assert len(reason) == 200


@pytest.mark.parametrize(
    ("name", "dimensions", "text"),
    [
        ("a b", (Dimension("t", "timestamp"),), "no identifier"),
        ('a"; DROP TABLE b; --', (Dimension("t", "timestamp"),), "no identifier"),
        ("a" * 64, (Dimension("t", "timestamp"),), "no identifier"),
        ("Mainstem_offset", (Dimension("t", "timestamp"),), "kept back"),
        ("a", (Dimension("t", "timestamp"), Dimension('x"')), "no identifier"),
        ("a", (Dimension("t", "timestamp"), Dimension("T")), "two dimensions of one name"),
        ("a", (Dimension("t", "timestamp"), Dimension("u", source="t")), "two dimensions of one field"),
    ],
)
def test_names_are_checked(name: str, dimensions: tuple[Dimension, ...], text: str) -> None:
    with pytest.raises(ConfigurationError, match=text):
        Columns(Datasource(name, "topic", "t", dimensions))

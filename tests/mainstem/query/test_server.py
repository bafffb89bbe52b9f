"""Serving, and what a user sees of its end."""

from pathlib import Path

from tests.process import bank_process


def test_a_bank_that_is_stopped_says_nothing_more(tmp_path: Path) -> None:
    """What is left at the end of its process is given back, of which DuckDB would tell each piece otherwise."""
    with bank_process(tmp_path / "data") as bank:
        before = bank.text()
        assert bank.stop() == 0
    assert bank.text() == before

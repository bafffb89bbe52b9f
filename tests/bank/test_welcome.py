"""What the bank says when it listens."""

from pathlib import Path

import pytest

from bank.main import welcome
from mainstem.settings import Settings


@pytest.mark.parametrize(
    ("settings", "place"),
    [
        (Settings(data_dir=Path("kept")), "the folder kept"),
        (Settings(form="distributed", mysql_host="db"), "MySQL at db:3306, database inventory"),
    ],
)
def test_it_says_where_everything_stays(settings: Settings, place: str) -> None:
    """In the distributed form nothing is in the folder of the embedded one."""
    told = welcome("http://127.0.0.1:8080", settings)
    assert told.endswith(f"everything stays in {place}.\n")
    assert "http://127.0.0.1:8080/moneywithdrawals" in told

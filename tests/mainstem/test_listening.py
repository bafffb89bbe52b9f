"""What the command line does with what is typed, before anybody is asked."""

from pathlib import Path

import pytest

from bank.main import application
from mainstem.errors import Refused
from mainstem.listening import edit
from mainstem.settings import Settings


@pytest.mark.parametrize("value", [b"{", b"\xff", b"[" * 5_000])
def test_a_value_that_is_no_json(tmp_path: Path, value: bytes) -> None:
    with pytest.raises(Refused, match="The value is no JSON: "):
        edit(application, Settings(data_dir=tmp_path), "card-balance", "0-0", value, "a test")
    assert list(tmp_path.iterdir()) == []

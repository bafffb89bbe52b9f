"""Operations on an application that is not there, or does not answer."""

import time
from pathlib import Path

import pytest

from bank.main import application
from mainstem.errors import StoreUnavailable
from mainstem.operations import reconciliation, status
from mainstem.settings import Settings
from tests.process import bank_process

_AT_ONCE_S = 15.0


def test_a_folder_without_a_bank_does_not_agree(tmp_path: Path) -> None:
    """It is the wrong one, most likely; and it is left as it is."""
    with pytest.raises(StoreUnavailable, match="nothing to reconcile"):
        reconciliation(application, Settings(data_dir=tmp_path / "data"))
    assert list(tmp_path.iterdir()) == []


def test_a_process_that_does_not_answer_is_told(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path / "data")
    with bank_process(settings.data_dir) as bank:
        bank.process.freeze()
        try:
            for ask in (status, reconciliation):
                began = time.monotonic()
                with pytest.raises(StoreUnavailable, match="does not answer"):
                    ask(application, settings)
                assert time.monotonic() - began < _AT_ONCE_S
        finally:
            bank.process.thaw()

"""What the writer's tests share."""

import pytest

from mainstem import log_lines


@pytest.fixture(autouse=True)
def _plain_log() -> None:
    """Faults are logged as lines: drawing each with what its frames hold takes seconds, in which the writer stands."""
    log_lines.configure("warning", json=True)

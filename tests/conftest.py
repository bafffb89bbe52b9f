"""What all tests share."""

from collections.abc import Iterator

import pytest
import structlog

pytest.register_assert_rewrite("mainstem.testing.contracts")

pytest_plugins = [
    "tests.stack",
    "tests.distributed",
    "tests.secured",
    "tests.postgres",
    "tests.browser",
    "tests.pages",
    "tests.superset",
]


@pytest.fixture(autouse=True)
def _log_of_its_own() -> Iterator[None]:
    """A test that runs the command line sets up a log to an output that is closed behind it."""
    yield
    structlog.reset_defaults()

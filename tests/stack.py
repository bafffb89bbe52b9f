"""The real stack, for the tests that need it: one for the whole run, beside any that the user has started."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.configuration import Place
from deploy.downloads import StackUnavailable
from deploy.stack import down, processes_of, up

SHIFT = 10_000
"""Its ports are that much higher than the usual ones."""

FOLDER = Path(__file__).parents[1] / ".stack-test"
"""Where its data, logs and configuration are."""


@pytest.fixture(scope="session")
def stack() -> Iterator[Place]:
    """Where it runs. One that runs already is used and left running; without Java and Maven the tests are skipped.

    With MAINSTEM_REQUIRE_STACK=1 its absence is a failure.
    """
    ran = any(processes_of(FOLDER).pid(name) for name in processes_of(FOLDER).names())
    try:
        yield up(FOLDER, SHIFT, print)
    except StackUnavailable as error:
        if os.environ.get("MAINSTEM_REQUIRE_STACK") == "1":
            raise
        pytest.skip(str(error))
    finally:
        if not ran:
            down(FOLDER, print)

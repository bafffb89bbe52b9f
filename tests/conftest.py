"""What all tests share."""

import pytest

pytest.register_assert_rewrite("mainstem.testing.contracts")

pytest_plugins = ["tests.stack", "tests.distributed", "tests.secured"]

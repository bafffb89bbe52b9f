"""Settings: typed, limited, and no name is taken that does not exist."""

from pathlib import Path

import pytest

from mainstem.errors import ConfigurationError
from mainstem.settings import Settings, read_settings


def test_nothing_given_is_the_default() -> None:
    assert read_settings({"PATH": "/bin", "MAINSTEM_REQUIRE_STACK": "1"}) == Settings()


def test_what_is_given_is_typed() -> None:
    found = read_settings({"MAINSTEM_DATA_DIR": "/x/y", "MAINSTEM_HTTP_PORT": "0", "MAINSTEM_LOG_JSON": "true"})
    assert found == Settings(data_dir=Path("/x/y"), http_port=0, log_json=True)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("HTTP_PORT", "eighty"),
        ("HTTP_PORT", "65536"),
        ("HTTP_PORT", "-1"),
        ("HTTP_PORT", ""),
        ("COMMAND_QUEUE_MAX", "0"),
        ("COMMAND_TIMEOUT_MS", "1.5"),
        ("LOG_LEVEL", "loud"),
        ("LOG_JSON", "perhaps"),
        ("DATA_DIR", ""),
        ("QUERY_WAIT_MAX_MS", "99999999999"),
    ],
)
def test_an_unusable_value_is_named(name: str, value: str) -> None:
    with pytest.raises(ConfigurationError, match=name.lower()):
        read_settings({f"MAINSTEM_{name}": value})


def test_an_unknown_setting_is_named() -> None:
    with pytest.raises(ConfigurationError, match="MAINSTEM_HTTP_PROT"):
        read_settings({"MAINSTEM_HTTP_PROT": "80"})

"""Settings: typed, limited, and no name is taken that does not exist."""

import json
from pathlib import Path
from typing import Annotated

import pytest
from msgspec import Meta, Struct
from typer.testing import CliRunner

from mainstem import Application, cli
from mainstem.errors import ConfigurationError
from mainstem.settings import Secret, Settings, read_settings


def test_nothing_given_is_the_default() -> None:
    told = {f"MAINSTEM_REQUIRE_{what}": "1" for what in ("STACK", "BROWSER", "SUPERSET")}
    assert read_settings({"PATH": "/bin", **told}) == Settings()


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
    with pytest.raises(ConfigurationError, match=f"MAINSTEM_{name}"):
        read_settings({f"MAINSTEM_{name}": value})


def test_a_secret_is_never_shown(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("geheim\n")
    found = read_settings({"MAINSTEM_MYSQL_PASSWORD_FILE": str(tmp_path / "password")})
    assert found.mysql_password == Secret("geheim")
    assert "geheim" not in repr(found) + str(found.mysql_password) + f"{found.mysql_password}"
    assert read_settings({"MAINSTEM_MYSQL_PASSWORD": "geheim"}) == found


def test_a_secret_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="MAINSTEM_MYSQL_PASSWORD_FILE"):
        read_settings({"MAINSTEM_MYSQL_PASSWORD_FILE": str(tmp_path / "nowhere")})


def test_an_unknown_setting_is_named() -> None:
    with pytest.raises(ConfigurationError, match="MAINSTEM_HTTP_PROT"):
        read_settings({"MAINSTEM_HTTP_PROT": "80"})


def test_what_lets_somebody_in_is_not_printed() -> None:
    environment = {
        "MAINSTEM_AUTH_JWKS_URL": "https://keys:open@k.test/set?token=sesame",
        "MAINSTEM_CONNECT_URL": "http://me:open@c.test:1",
        "MAINSTEM_AUTH_TOKEN": "sesame",
    }
    text = CliRunner().invoke(cli.app, ["settings"], env=environment).stdout
    assert "https://k.test/set" in text
    assert "http://c.test:1" in text
    assert "sesame" not in text
    assert "open" not in text


class _Own(Struct, frozen=True, kw_only=True):
    days: Annotated[int, Meta(ge=1, le=7)] = 3


def _shop(**environment: str) -> Application:
    return Application(name="corner-shop", deciders=(), own=_Own()).with_environment(environment)


def test_an_application_has_settings_of_its_own() -> None:
    assert _shop(PATH="/bin", MAINSTEM_HTTP_PORT="1").own == _Own()
    assert _shop(CORNER_SHOP_DAYS="5").own == _Own(days=5)
    with pytest.raises(ConfigurationError, match="CORNER_SHOP_DAYS"):
        _shop(CORNER_SHOP_DAYS="8")
    with pytest.raises(ConfigurationError, match="no setting is named CORNER_SHOP_DAY; known are CORNER_SHOP_DAYS"):
        _shop(CORNER_SHOP_DAY="5")


def test_the_banks_own_are_shown_and_checked() -> None:
    environment = {"BANK_BLOCK_AFTER_REFUSALS": "5"}
    found = CliRunner().invoke(cli.app, ["settings", "--json"], env=environment)
    assert json.loads(found.stdout)["BANK_BLOCK_AFTER_REFUSALS"] == 5
    for wrong in ({"BANK_BLOCK_WITHIN_MS": "0"}, {"MAINSTEM_BLOCK_WITHIN_MS": "1"}):
        assert CliRunner().invoke(cli.app, ["settings"], env=wrong).exit_code != 0

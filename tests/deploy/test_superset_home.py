"""The folder of a Superset belongs to one process, and has secrets that are made once."""

import socket
import stat
from pathlib import Path

import pytest

from deploy.downloads import StackUnavailable
from deploy.superset.serve import Home, opened
from tests.process import free_port


def test_secrets_are_made_once_for_their_owner_alone(tmp_path: Path) -> None:
    home = Home(tmp_path / "home", free_port())
    with opened(home):
        made = {name: (home.folder / name).read_text() for name in ("password", "secret_key")}
    with opened(home):
        assert {name: (home.folder / name).read_text() for name in made} == made
    assert made["password"] != made["secret_key"]
    assert {stat.S_IMODE((home.folder / name).stat().st_mode) for name in made} == {0o600}
    assert stat.S_IMODE(home.folder.stat().st_mode) == 0o700


def test_two_processes_do_not_share_a_folder(tmp_path: Path) -> None:
    home = Home(tmp_path / "home", free_port())
    with opened(home), pytest.raises(StackUnavailable, match="another process"), opened(home):
        pytest.fail("it has been opened twice")


def test_a_taken_port_is_told_at_once(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        home = Home(tmp_path / "home", other.getsockname()[1])
        with pytest.raises(StackUnavailable, match="choose --port"), opened(home):
            pytest.fail("the port is another's")


def test_the_applications_settings_do_not_reach_superset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor what the user's own environment would say of another Superset."""
    monkeypatch.setenv("MAINSTEM_AUTH_TOKEN", "a secret")
    monkeypatch.setenv("SUPERSET_SECRET_KEY", "another")
    environment = Home(tmp_path, 1).environment()
    assert not {"a secret", "another"} & set(environment.values())

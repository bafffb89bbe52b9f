"""What a machine must have for the stack without an engine is said before anything is fetched."""

from pathlib import Path

import pytest

from deploy.downloads import missing_tools


def _have(folder: Path, version: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with these tools, whose Java says that it is of that version."""
    for tool in ("mvn", "apt-get", "dpkg"):
        _tool(folder / tool, "")
    _tool(folder / "java", f"echo 'openjdk version \"{version}\" 2026-01-20' >&2")
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")


def _tool(path: Path, script: str) -> None:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


@pytest.mark.parametrize("version", ["17", "17.0.15", "21.0.2"])
def test_java_from_17_on_will_do(version: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _have(tmp_path, version, monkeypatch)
    assert missing_tools() == []


@pytest.mark.parametrize("version", ["1.8.0_392", "11.0.21", "16-ea", "what"])
def test_an_older_java_is_told(version: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a part would end at its start, with an error of Java's own."""
    _have(tmp_path, version, monkeypatch)
    assert missing_tools() == ["Java 17"]


def test_all_that_is_missing_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert missing_tools() == ["Java 17", "Maven", "apt-get and dpkg (for MySQL)", "dpkg (for MySQL)"]

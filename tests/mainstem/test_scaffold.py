"""The application that `mainstem new` writes: it is tested, typed and formed as it is; a bad name writes nothing."""

import subprocess
import sys
from pathlib import Path

import pytest

from mainstem.errors import ConfigurationError
from mainstem.scaffold import write_application
from tests.process import bank_process

_PROJECT = Path(__file__).parents[2] / "pyproject.toml"
_RUN_S = 120


@pytest.fixture(scope="module")
def application(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its folder."""
    parent = tmp_path_factory.mktemp("new")
    write_application("corner_shop", parent)
    return parent / "corner_shop"


@pytest.mark.parametrize(
    "words",
    [
        ("pytest", "-q", "-W", "error", "-p", "no:cacheprovider"),
        ("mypy", "--strict", "corner_shop", "tests"),
        ("ruff", "check", "--config", str(_PROJECT), "."),
        ("ruff", "format", "--check", "--config", str(_PROJECT), "."),
    ],
    ids=["tests", "types", "lint", "form"],
)
def test_it_is_in_order(application: Path, words: tuple[str, ...]) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", *words], cwd=application, capture_output=True, text=True, timeout=_RUN_S, check=False
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr


def test_it_answers_over_http(application: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With nothing to say of what it uses, and without taking what cannot be right."""
    monkeypatch.setenv("PYTHONPATH", str(application))
    monkeypatch.setenv("PYTHONWARNINGS", "error")
    with bank_process(tmp_path / "data", app="corner_shop.main:application") as shop, shop.client() as client:
        sent = client.post("/received", json={"item": "lamp", "count": 3}).raise_for_status()
        for body in ('{"item":"lamp","count":1,"count":2}', '{"item":"lamp","count":0}', '{"item":"lamp"', "[]"):
            answer = client.post("/taken", content=body, headers={"Content-Type": "application/json"})
            assert (answer.status_code, answer.json()["type"]) == (400, "urn:mainstem:problem:malformed-request"), body
        assert client.post("/taken", content='{"item":"lamp","count":1}').status_code == 415
        stock = client.get("/stock", headers={"Mainstem-Position": sent.headers["Mainstem-Position"]})
        assert [client.get(path).status_code for path in ("/bindings", "/dead-letters", "/rebuilds")] == [200] * 3
        assert stock.json() == [{"item": "lamp", "count": 3, "taken": 0}]


def test_nothing_of_the_template_is_left(application: Path) -> None:
    files = [path for path in application.rglob("*") if path.is_file()]
    assert {path.suffix for path in files} >= {".py", ".toml", ".md"}
    assert not [path for path in files if path.suffix == ".tmpl" or "__app__" in path.name]
    assert not [path for path in files if path.suffix in (".py", ".toml", ".md") and "__app__" in path.read_text()]


@pytest.mark.parametrize(
    "name", ["", "1shop", "Shop", "a-b", "a.b", "../shop", "/shop", "class", "é", "__init__", "x" * 41]
)
def test_a_name_that_no_package_has_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigurationError):
        write_application(name, tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["json", "mainstem", "bank", "msgspec"])
def test_a_name_that_is_taken_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigurationError, match="another package"):
        write_application(name, tmp_path)


def test_what_is_there_stays(tmp_path: Path) -> None:
    (tmp_path / "shop").mkdir()
    with pytest.raises(ConfigurationError, match="is there already"):
        write_application("shop", tmp_path)
    assert list((tmp_path / "shop").iterdir()) == []


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be written"):
        write_application("shop", tmp_path / "missing")

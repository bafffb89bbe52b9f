"""Where views live: by the settings; what cannot live there is refused by name, before anything is changed."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path

import pytest
from msgspec.structs import replace

from bank.card import OpenCard, Withdraw
from bank.main import application
from deploy.postgres import Postgres
from mainstem.assembly import Embedded, embedded
from mainstem.assembly.backup import back_up, restore
from mainstem.assembly.rebuilding import own_rebuilds
from mainstem.assembly.stages import Stages
from mainstem.assembly.views import engine_of, make_views, open_views
from mainstem.errors import ConfigurationError, StoreCorrupt, StoreUnavailable
from mainstem.operations import reconciliation
from mainstem.rebuild.desk import Standing
from mainstem.settings import Secret, Settings

_SETTLE_S = 60.0


@pytest.mark.parametrize(
    ("form", "views", "engine"),
    [
        ("embedded", None, "sqlite"),
        ("embedded", "duckdb", "duckdb"),
        ("embedded", "postgres", "postgres"),
        ("distributed", None, "mysql"),
        ("distributed", "postgres", "postgres"),
    ],
)
def test_the_engine_of_a_form(form: str, views: str | None, engine: str) -> None:
    assert engine_of(Settings(form=form, views=views)) == engine


@pytest.mark.parametrize(
    ("form", "views"), [("embedded", "mysql"), ("distributed", "sqlite"), ("distributed", "duckdb")]
)
def test_an_engine_that_a_form_cannot_have(tmp_path: Path, form: str, views: str) -> None:
    with pytest.raises(ConfigurationError, match=f"of the {form} form live in .*, not in {views}"):
        make_views(Settings(form=form, views=views, data_dir=tmp_path))


@pytest.mark.parametrize(("views", "servers"), [(None, {"mysql"}), ("postgres", {"mysql", "postgres"})])
def test_the_server_that_views_live_in_is_a_part(views: str | None, servers: set[str]) -> None:
    stages = Stages(application, Settings(form="distributed", views=views), {})
    try:
        assert {part.name for part in stages.parts()} & {"mysql", "postgres"} == servers
    finally:
        stages.close()


def test_without_its_driver_an_engine_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [
        name for name in sys.modules if name.startswith(("psycopg", "mainstem.postgres", "mainstem.view.pos"))
    ]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'mainstem\[postgres\]'"):
        make_views(Settings(views="postgres", data_dir=tmp_path))


def test_views_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable, match=r"no views\.duckdb"):
        open_views(Settings(views="duckdb", data_dir=tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_a_backup_of_views_elsewhere_is_refused(tmp_path: Path) -> None:
    settings = Settings(views="duckdb", data_dir=tmp_path / "data")
    with embedded(application, settings):
        pass
    with pytest.raises(ConfigurationError, match="these live in duckdb"):
        back_up(application, settings, tmp_path / "backup")
    with pytest.raises(ConfigurationError, match="these live in duckdb"):
        restore(application, settings, tmp_path / "backup")
    assert not (tmp_path / "backup").exists()


@pytest.fixture
def used(tmp_path: Path) -> Settings:
    """A bank with its views in DuckDB, on which somebody has used a card."""
    settings = Settings(views="duckdb", data_dir=tmp_path / "data")
    with embedded(application, settings) as running:
        running.commands.execute(OpenCard(card="a", limit=Decimal(100)))
        running.commands.execute(Withdraw(card="a", amount=Decimal(10)))
        assert running.settle()
    return settings


def test_operations_where_no_process_runs(used: Settings) -> None:
    """What looks at the views, and what makes them anew."""
    assert reconciliation(application, used).clean
    with own_rebuilds(application, used, 1) as rebuilds:
        rebuilds.begin("card_balance")
        assert eventually(lambda: _state_of(rebuilds.look("card_balance")), "done")
        assert rebuilds.look("card_balance").kept
    assert reconciliation(application, used).clean


def _state_of(standing: Standing) -> str | None:
    return None if standing.progress is None else standing.progress.state


def eventually(question: Callable[[], object], expected: object, within_s: float = 20.0) -> bool:
    deadline = time.monotonic() + within_s
    while question() != expected and time.monotonic() < deadline:
        time.sleep(0.02)
    return question() == expected


def test_one_process_has_the_file_for_itself(used: Settings) -> None:
    code = "import sys, pathlib; from mainstem.view.duckdb import DuckdbViews; DuckdbViews(pathlib.Path(sys.argv[1]))"
    path = used.data_dir / "views.duckdb"
    with embedded(application, used):
        command = [sys.executable, "-c", code, str(path)]
        ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert "StoreBusy: views.duckdb is in use by another" in ended.stderr


def test_views_without_their_log_are_told(used: Settings) -> None:
    """By the name of the place that they are in."""
    for path in used.data_dir.glob("*.db*"):
        path.unlink()
    with pytest.raises(StoreCorrupt, match=r"or remove views\.duckdb to have"):
        embedded(application, used)


def test_views_that_are_lost_are_made_again(used: Settings) -> None:
    (used.data_dir / "views.duckdb").unlink()
    with embedded(application, used) as running:
        assert running.settle()
        assert running.reconcile().clean


@pytest.fixture
def own_postgres() -> Iterator[Postgres]:
    postgres = Postgres()
    try:
        postgres.start()
        yield postgres
    finally:
        postgres.remove()


def test_commands_go_on_while_the_views_server_is_away(tmp_path: Path, own_postgres: Postgres) -> None:
    """Whoever asks how things are is told; once it is back all is made up for, by itself."""
    server = own_postgres.database()
    settings = Settings(
        views="postgres",
        data_dir=tmp_path / "data",
        postgres_port=server.port,
        postgres_database=server.database,
        postgres_password=Secret(server.password),
    )
    with embedded(application, settings) as running:
        running.commands.execute(OpenCard(card="a", limit=Decimal(100)))
        assert running.settle(_SETTLE_S)
        with pytest.raises(ConfigurationError, match="views of another events"):
            embedded(application, replace(settings, data_dir=tmp_path / "other"))
        own_postgres.stop()
        running.commands.execute(Withdraw(card="a", amount=Decimal(10)))
        own_postgres.start()
        _settles(running)
        found = running.reconcile()
        assert found.clean, found.differences


def _settles(running: Embedded) -> None:
    """Whoever asks before the server is there again, or by a connection of before, is told that it is away."""
    deadline = time.monotonic() + _SETTLE_S
    while True:
        try:
            assert running.settle(_SETTLE_S)
        except StoreUnavailable:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        else:
            return

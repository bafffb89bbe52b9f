"""The tenants of an installation, of the settings and of what is stored; and the command line that asks for them."""

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from bank.card import CARD, OpenCard, Withdraw
from bank.main import application
from bank.overall import customer_tag
from bank.transfer import TRANSFER, TransferRequested
from mainstem.application import Application
from mainstem.assembly import embedded
from mainstem.cli import app
from mainstem.errors import ConfigurationError, InvalidCommand, Refused, UnknownTenant
from mainstem.messages import Origin
from mainstem.settings import Settings
from mainstem.tenancy import Tenants

PLAIN = Application(name="plain", deciders=(CARD,))


def _open(running: Any, card: str, tenant: str | None = None, customer: str | None = None) -> None:
    command = OpenCard(card=card, limit=Decimal(10), customer=customer)
    running.commands.execute(command, origin=Origin(tenant=tenant))


def _append_marked(folder: Path) -> None:
    """A refused command is enough: its stream is there."""
    with embedded(PLAIN, Settings(data_dir=folder)) as running, pytest.raises(Refused):
        running.commands.execute(Withdraw(card="/acme/1", amount=Decimal(1)))


def test_tenants_are_those_of_the_settings_and_those_with_events(tmp_path: Path) -> None:
    with embedded(PLAIN, Settings(data_dir=tmp_path, tenants="acme,globex")) as running:
        assert running.tenants == Tenants(("acme", "globex"), frozenset({"acme", "globex"}))
        _open(running, "1", "acme")
    with embedded(PLAIN, Settings(data_dir=tmp_path, tenants="globex")) as running:
        assert running.tenants == Tenants(("globex",), frozenset({"acme", "globex"}))
        with pytest.raises(InvalidCommand, match="no tenant"):
            _open(running, "1", "initech")
    with embedded(PLAIN, Settings(data_dir=tmp_path)) as running:
        assert running.tenants.apart
        with pytest.raises(InvalidCommand, match="begins with a slash"):
            _open(running, "/acme/1")


def test_an_installation_without_tenants_keeps_nothing_apart(tmp_path: Path) -> None:
    with embedded(PLAIN, Settings(data_dir=tmp_path)) as running:
        assert not running.tenants.apart
        assert not running.application.apart


def test_ids_that_begin_with_a_slash_and_tenants_do_not_go_together(tmp_path: Path) -> None:
    """Found at the start, before anything is served."""
    _append_marked(tmp_path)
    with pytest.raises(ConfigurationError, match=r"debit_card-/acme/1 is of no tenant"):
        embedded(PLAIN, Settings(data_dir=tmp_path, tenants="acme"))
    with embedded(PLAIN, Settings(data_dir=tmp_path)) as running:
        assert not running.tenants.apart


def test_a_setting_that_names_no_tenants_ends_the_start(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="MAINSTEM_TENANTS"):
        embedded(PLAIN, Settings(data_dir=tmp_path, tenants="Acme"))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Of a bank that has stopped: one card of no tenant, two of acme's, of which a transfer has failed."""
    monkeypatch.setenv("MAINSTEM_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("MAINSTEM_TENANTS", "acme,globex")
    monkeypatch.setenv("MAINSTEM_SEAL_EVERY_MS", "0")
    with embedded(application, Settings(data_dir=tmp_path, tenants="acme,globex,left")) as running:
        _open(running, "1", customer="c")
        _open(running, "1", "acme", customer="c")
        _open(running, "2", "acme")
        _open(running, "1", "left")
        for tenant, amount in ((None, 100), ("acme", 200)):
            command = Withdraw(card="1", amount=Decimal(amount))
            with pytest.raises(Refused):
                running.commands.execute(command, origin=Origin(tenant=tenant))
        asked = TransferRequested("t", "1", "none", Decimal(5))
        running.commands.execute(running.processes.beginning(TRANSFER, "t", asked), origin=Origin(tenant="acme"))
        assert running.settle(30)
    return tmp_path


def _asked(*arguments: str) -> Any:
    done = CliRunner().invoke(app, [*arguments, "--json"], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


@pytest.mark.usefixtures("folder")
def test_tenants_are_listed_with_what_they_have() -> None:
    found = {each["tenant"]: (each["served"], each["streams"], each["refused"]) for each in _asked("tenants")}
    assert found == {None: (True, 1, 1), "acme": (True, 3, 2), "globex": (True, 0, 0), "left": (False, 1, 0)}
    shown = CliRunner().invoke(app, ["tenants"], catch_exceptions=False).stdout
    assert "(none)" in shown
    assert "globex" in shown


@pytest.mark.usefixtures("folder")
def test_each_command_asks_for_one_tenant() -> None:
    """Or for what is of none."""
    assert [each["type"] for each in _asked("history", "1")] == ["CardOpened"]
    own = _asked("history", "1", "--tenant", "acme")
    assert [each["type"] for each in own] == ["CardOpened", "MoneyWithdrawn", "MoneyRepaid"]
    assert own[1]["correlationId"] == "/acme/transfer-t"
    assert _asked("history", "1", "1", "--tenant", "acme")["id"] == "/acme/1"
    assert _asked("history", "1", "--tenant", "globex") == []
    tag = customer_tag("c")
    assert [each["stream"] for each in _asked("events", "tagged", tag)] == ["debit_card-1"]
    assert {each["stream"] for each in _asked("events", "tagged", tag, "--tenant", "acme")} == {"/acme/debit_card-1"}
    amounts = [each["content"].get("amount") for each in _asked("refusals", "list")]
    assert amounts == ["100"]
    theirs = _asked("refusals", "list", "--tenant", "acme")
    assert [(each["reason"], each["stream"]) for each in theirs] == [
        ("card-unknown", "/acme/debit_card-none"),
        ("insufficient-balance", "/acme/debit_card-1"),
    ]
    assert _asked("refusals", "count", "--tenant", "acme", "--category", "debit_card") == [
        {"reason": "card-unknown", "refusals": 1},
        {"reason": "insufficient-balance", "refusals": 1},
    ]
    assert _asked("processes", "list") == []
    assert [each["id"] for each in _asked("processes", "list", "--tenant", "acme")] == ["t"]


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    "arguments",
    [
        ("history", "1"),
        ("refusals", "list"),
        ("refusals", "count"),
        ("events", "tagged", "customer:c"),
        ("processes", "list"),
        ("processes", "resume", "transfer", "t"),
    ],
)
def test_a_tenant_that_is_not_there_is_an_error(arguments: tuple[str, ...]) -> None:
    for name in ("initech", "", "/acme"):
        with pytest.raises(UnknownTenant, match="there is no tenant"):
            CliRunner().invoke(app, [*arguments, "--tenant", name], catch_exceptions=False)


@pytest.mark.usefixtures("folder")
def test_one_that_is_not_served_can_still_be_looked_at() -> None:
    assert [each["type"] for each in _asked("history", "1", "--tenant", "left")] == ["CardOpened"]

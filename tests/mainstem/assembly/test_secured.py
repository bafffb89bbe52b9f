"""The bank on parts that all ask for TLS and SASL: what Connect and Druid are told, and that they can work with it."""

import time
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import httpx
import pytest

from bank.card import OpenCard, Withdraw
from bank.main import application
from bank.statement import MONEY_WITHDRAWAL
from deploy.configuration import APPLICATION_USER, CAPTURE_SECRET, CAPTURE_USER, DATABASE, DEVELOPMENT_PASSWORD
from mainstem.assembly import Distributed, distributed
from mainstem.assembly.deployment import declared_connector, deploy, supervisor_specs
from mainstem.assembly.places import capture_source, druid_reading, mysql_server
from mainstem.cdc.connect import Connect
from mainstem.errors import ConfigurationError, StoreUnavailable
from mainstem.mysql import Session, execute
from mainstem.olap.druid_supervisor import Supervisors, differences
from mainstem.settings import Settings, read_settings
from tests.secured import PASSWORD, USER, Readers, Secured

_PATIENCE_S = 60.0
_SASL = {
    "MAINSTEM_KAFKA_SECURITY": "SASL_SSL",
    "MAINSTEM_KAFKA_SASL_MECHANISM": "SCRAM-SHA-512",
    "MAINSTEM_KAFKA_SASL_USERNAME": 'a"b',
    "MAINSTEM_KAFKA_SASL_PASSWORD": "open-sesame",
    "MAINSTEM_KAFKA_TLS_CA": "/here/ca.pem",
    "MAINSTEM_CONNECT_KAFKA_PASSWORD": "${file:/run/secrets/kafka:password}",
}


def test_connect_is_told_where_the_passwords_are() -> None:
    source = capture_source(read_settings({**_SASL, "MAINSTEM_CONNECT_KAFKA_TLS_CA": "/there/ca.pem"}))
    config = declared_connector(application, read_settings(_SASL))
    for side in ("producer", "consumer"):
        prefix = f"schema.history.internal.{side}."
        told = {name.removeprefix(prefix): value for name, value in config.items() if name.startswith(prefix)}
        assert told == {
            "security.protocol": "SASL_SSL",
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": "/here/ca.pem",
            "sasl.mechanism": "SCRAM-SHA-512",
            "sasl.jaas.config": "org.apache.kafka.common.security.scram.ScramLoginModule required"
            ' username="a\\"b" password="${file:/run/secrets/kafka:password}";',
        }
    assert "open-sesame" not in str(config)
    assert source.kafka_security["ssl.truststore.location"] == "/there/ca.pem"


def test_druid_is_told_a_variable_of_its_own() -> None:
    (spec,) = supervisor_specs(application, read_settings(_SASL)).values()
    assert spec["spec"]["ioConfig"]["consumerProperties"] == {
        "bootstrap.servers": "127.0.0.1:9092",
        "isolation.level": "read_committed",
        "security.protocol": "SASL_SSL",
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": "/here/ca.pem",
        "sasl.mechanism": "SCRAM-SHA-512",
        "druid.dynamic.config.provider": {
            "type": "environment",
            "variables": {"sasl.jaas.config": "KAFKA_JAAS_CONFIG"},
        },
    }


def test_nothing_is_told_where_nothing_is_asked_for() -> None:
    config = declared_connector(application, Settings())
    assert [name for name in config if "ssl" in name or "sasl" in name or "security" in name] == []
    assert druid_reading(Settings()).security == {}


@pytest.mark.parametrize(
    ("other", "told"),
    [
        ({"MAINSTEM_CONNECT_KAFKA_PASSWORD": "open-sesame"}, "MAINSTEM_CONNECT_KAFKA_PASSWORD"),
        ({"MAINSTEM_CONNECT_KAFKA_PASSWORD": ""}, "MAINSTEM_CONNECT_KAFKA_PASSWORD"),
        ({"MAINSTEM_KAFKA_SASL_USERNAME": ""}, "name"),
        ({"MAINSTEM_KAFKA_SASL_MECHANISM": "GSSAPI"}, "SCRAM-SHA-256"),
    ],
)
def test_what_would_show_a_password_or_cannot_work_is_refused(other: Mapping[str, str], told: str) -> None:
    """Before anything is made: nobody listens where these settings lead."""
    settings = read_settings({**_SASL, **other, "MAINSTEM_MYSQL_PORT": "1"})
    with pytest.raises(ConfigurationError, match=told) as caught:
        deploy(application, settings, lambda _: None)
    assert "open-sesame" not in str(caught.value)


def test_mysql_shows_connect_a_certificate_where_it_shows_us_one() -> None:
    def told(**settings: str) -> dict[str, str]:
        named = {f"MAINSTEM_{name.upper()}": value for name, value in settings.items()}
        config = declared_connector(application, read_settings(named))
        return {name: value for name, value in config.items() if ".ssl." in name}

    assert told(mysql_tls_ca="/ca.pem") == {"database.ssl.mode": "verify_identity"}
    assert told(capture_truststore="/t.p12", capture_truststore_password="${file:/s:p}") == {  # noqa: S106
        "database.ssl.mode": "verify_identity",
        "database.ssl.truststore": "/t.p12",
        "database.ssl.truststore.password": "${file:/s:p}",
    }


def test_what_is_left_over_in_a_supervisor_is_told_without_secrets() -> None:
    """Somebody may have posted one with a password in it."""
    declared = supervisor_specs(application, Settings())["bankapp"]
    stands = supervisor_specs(application, Settings())["bankapp"]
    consumer = stands["spec"]["ioConfig"]["consumerProperties"]
    consumer["sasl.jaas.config"] = 'password="open-sesame"'
    consumer["druid.dynamic.config.provider"] = {"type": "map", "config": {"sasl.jaas.config": "open-sesame"}}
    texts = [str(each) for each in differences(stands, declared)]
    place = "spec.ioConfig.consumerProperties"
    assert texts == [
        f"{place}.sasl.jaas.config: *** stands, None is declared",
        f"{place}.druid.dynamic.config.provider: *** stands, None is declared",
    ]


@dataclass(frozen=True)
class _Bank:
    settings: Settings
    readers: Readers


@pytest.fixture
def bank(secured: Secured, secured_readers: Readers, tmp_path: Path) -> _Bank:
    """Every part by its secured way; Debezium's account may use no other."""
    (tmp_path / "password").write_text(PASSWORD)
    readers = secured_readers
    settings = read_settings(
        {
            "MAINSTEM_FORM": "distributed",
            "MAINSTEM_MYSQL_HOST": secured.host,
            "MAINSTEM_MYSQL_PORT": str(secured.mysql),
            "MAINSTEM_MYSQL_DATABASE": DATABASE,
            "MAINSTEM_MYSQL_USER": APPLICATION_USER,
            "MAINSTEM_MYSQL_PASSWORD": DEVELOPMENT_PASSWORD,
            "MAINSTEM_MYSQL_TLS_CA": str(secured.authority),
            "MAINSTEM_CAPTURE_USER": CAPTURE_USER,
            "MAINSTEM_CAPTURE_PASSWORD": f"${{file:{secured.place.secrets / CAPTURE_SECRET}:password}}",
            "MAINSTEM_CAPTURE_TRUSTSTORE": str(readers.truststore),
            "MAINSTEM_CAPTURE_TRUSTSTORE_PASSWORD": readers.truststore_password,
            "MAINSTEM_KAFKA_BOOTSTRAP": f"{secured.host}:{secured.kafka}",
            "MAINSTEM_KAFKA_SECURITY": "SASL_SSL",
            "MAINSTEM_KAFKA_SASL_MECHANISM": "PLAIN",
            "MAINSTEM_KAFKA_SASL_USERNAME": USER,
            "MAINSTEM_KAFKA_SASL_PASSWORD_FILE": str(tmp_path / "password"),
            "MAINSTEM_KAFKA_TLS_CA": str(secured.authority),
            "MAINSTEM_CONNECT_URL": readers.connect,
            "MAINSTEM_CONNECT_KAFKA_PASSWORD": readers.kafka_password,
            "MAINSTEM_DRUID_URL": readers.overlord,
            "MAINSTEM_DRUID_OVERLORD_URL": readers.overlord,
        }
    )
    session = Session(mysql_server(settings))
    with session.use() as connection:
        execute(connection, f"ALTER USER {CAPTURE_USER} REQUIRE SSL")
    session.close()
    return _Bank(settings, readers)


@pytest.mark.stack
def test_the_whole_flow_is_secured(bank: _Bank) -> None:
    """From a command to the view and to Druid; and who can read connector and supervisor reads no password."""
    said: list[str] = []
    deploy(application, bank.settings, said.append)
    assert said[-1] == "all of it runs"
    deploy(application, bank.settings, said.append)
    assert said[-1] == "all of it runs"
    assert "connector bank: stands as declared" in said
    assert "supervisor bankapp: stands as declared" in said
    with distributed(application, bank.settings) as running:
        running.commands.execute(OpenCard(card="anna", limit=Decimal(100)))
        running.commands.execute(Withdraw(card="anna", amount=Decimal(10)))
        deadline = time.monotonic() + _PATIENCE_S
        with closing(Supervisors(bank.readers.overlord)) as supervisors:
            while not _arrived(running, supervisors):
                assert time.monotonic() < deadline, (running.status(), supervisors.status("bankapp"))
                time.sleep(0.2)
    read = (
        f"{bank.readers.connect}/connectors/bank",
        f"{bank.readers.connect}/connectors/bank/tasks",
        f"{bank.readers.overlord}/druid/indexer/v1/supervisor/bankapp",
        f"{bank.readers.overlord}/druid/indexer/v1/supervisor/bankapp/status",
    )
    for url in read:
        assert PASSWORD not in httpx.get(url).raise_for_status().text


def _arrived(running: Distributed, supervisors: Supervisors) -> bool:
    """Whether the withdrawal is in the statement, and a task of Druid's has read it."""
    lines = running.views.find(MONEY_WITHDRAWAL, {"debit_card_id": "anna"})
    return bool(lines) and supervisors.ingested("bankapp").rows == 1


@pytest.mark.stack
def test_debezium_does_not_trust_a_mysql_of_others(bank: _Bank, secured: Secured) -> None:
    """Without the truststore, only what Java trusts by itself. Connect answers with a fault of its own (500)."""
    source = {**declared_connector(application, bank.settings), "topic.prefix": "untrusting"}
    for name in ("database.ssl.truststore", "database.ssl.truststore.password"):
        del source[name]
    with closing(Connect(bank.readers.connect)) as connect:
        with pytest.raises((ConfigurationError, StoreUnavailable), match="Connect at"):
            connect.put("untrusting", source)
        assert connect.config("untrusting") is None
    assert "does not chain with any of the trust anchors" in secured.processes.output("connect").read_text()

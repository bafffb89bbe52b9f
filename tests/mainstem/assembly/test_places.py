"""TLS and SASL from the settings to real servers: who is not let in gets a clear error, without secrets."""

from pathlib import Path

import pytest

from deploy.configuration import APPLICATION_USER, DATABASE, DEVELOPMENT_PASSWORD
from mainstem.assembly.places import kafka_servers, mysql_server
from mainstem.errors import ConfigurationError, MainstemError, StoreUnavailable
from mainstem.log.kafka import KafkaLog
from mainstem.log.port import Topic
from mainstem.messages import NewRecord
from mainstem.mysql import Session, ask
from mainstem.settings import Settings, read_settings
from tests.secured import PASSWORD, USER, Secured

pytestmark = pytest.mark.stack


def _kafka(secured: Secured, tmp_path: Path, password: str = PASSWORD, authority: Path | None = None) -> Settings:
    secret = tmp_path / "password"
    secret.write_text(password + "\n")
    return read_settings(
        {
            "MAINSTEM_KAFKA_BOOTSTRAP": f"{secured.host}:{secured.kafka}",
            "MAINSTEM_KAFKA_SECURITY": "SASL_SSL",
            "MAINSTEM_KAFKA_SASL_MECHANISM": "PLAIN",
            "MAINSTEM_KAFKA_SASL_USERNAME": USER,
            "MAINSTEM_KAFKA_SASL_PASSWORD_FILE": str(secret),
            "MAINSTEM_KAFKA_TLS_CA": str(authority or secured.authority),
        }
    )


def _mysql(secured: Secured, authority: Path) -> Settings:
    return read_settings(
        {
            "MAINSTEM_MYSQL_HOST": secured.host,
            "MAINSTEM_MYSQL_PORT": str(secured.mysql),
            "MAINSTEM_MYSQL_DATABASE": DATABASE,
            "MAINSTEM_MYSQL_USER": APPLICATION_USER,
            "MAINSTEM_MYSQL_PASSWORD": DEVELOPMENT_PASSWORD,
            "MAINSTEM_MYSQL_TLS_CA": str(authority),
        }
    )


def test_kafka_with_tls_and_sasl(secured: Secured, tmp_path: Path) -> None:
    log = KafkaLog(kafka_servers(_kafka(secured, tmp_path)))
    try:
        log.create(Topic("secured", partitions=1))
        log.append([NewRecord(topic="secured", key="k", value=b"v", timestamp_ms=1)])
        assert [record.value for record in log.read("secured", 0, 0, 10)] == [b"v"]
        consumer = log.consumer("g", ["secured"])
        found = consumer.poll(10, 20)
        consumer.commit({("secured", 0): found[-1].offset + 1})
        consumer.close()
        assert [record.value for record in found] == [b"v"]
    finally:
        log.close()


def test_kafka_lets_nobody_in_with_another_password(secured: Secured, tmp_path: Path) -> None:
    log = KafkaLog(kafka_servers(_kafka(secured, tmp_path, "another")), timeout_s=5)
    with pytest.raises(MainstemError) as error:
        log.ranges("secured")
    assert isinstance(error.value, ConfigurationError | StoreUnavailable)
    assert "another" not in str(error.value)
    log.close()


def test_a_kafka_with_a_certificate_of_others_is_not_spoken_to(secured: Secured, tmp_path: Path) -> None:
    log = KafkaLog(kafka_servers(_kafka(secured, tmp_path, authority=secured.another)), timeout_s=5)
    with pytest.raises(MainstemError) as error:
        log.ranges("secured")
    assert isinstance(error.value, ConfigurationError | StoreUnavailable)
    assert PASSWORD not in str(error.value)
    log.close()


def test_mysql_with_tls(secured: Secured) -> None:
    session = Session(mysql_server(_mysql(secured, secured.authority)))
    with session.use() as connection:
        ((_, cipher),) = ask(connection, "SHOW STATUS LIKE 'Ssl_cipher'")
    session.close()
    assert cipher


def test_a_mysql_with_a_certificate_of_others_is_not_spoken_to(secured: Secured) -> None:
    session = Session(mysql_server(_mysql(secured, secured.another)))
    with pytest.raises(StoreUnavailable, match="certificate"), session.use():
        pass
    assert "password" not in repr(session.server)

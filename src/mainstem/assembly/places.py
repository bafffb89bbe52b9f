"""Where the parts of the distributed form are, from the settings; and what is deployed to them."""

from pathlib import Path

from mainstem.application import Application
from mainstem.assembly.java_clients import connect_kafka, connect_mysql, druid_kafka
from mainstem.cdc.debezium import CaptureSource
from mainstem.log.kafka_client import KafkaServers
from mainstem.mysql import MysqlServer
from mainstem.olap.druid_spec import Reading
from mainstem.settings import Secret, Settings

KEYS, MASTER_KEY = "keys.db", "master.key"


def _open(secret: Secret | None) -> str:
    return "" if secret is None else secret.value


def mysql_server(settings: Settings) -> MysqlServer:
    """The database of events, state and views."""
    return MysqlServer(
        settings.mysql_host,
        settings.mysql_port,
        settings.mysql_user,
        _open(settings.mysql_password),
        settings.mysql_database,
        tls_ca=settings.mysql_tls_ca,
    )


def key_files(settings: Settings) -> tuple[Path, Path]:
    """The keys of personal data and their master key, embedded."""
    keys = settings.privacy_keys_file or settings.data_dir / KEYS
    return keys, settings.privacy_master_key_file or settings.data_dir / MASTER_KEY


def archive_folder(settings: Settings) -> Path:
    """Where archived events are."""
    return settings.archive_dir or settings.data_dir / "archive"


def raw_folder(settings: Settings) -> Path:
    """Where RAW's changes are as files."""
    return settings.layers_archive_dir or settings.data_dir / "raw"


def kafka_servers(settings: Settings) -> KafkaServers:
    """The cluster that holds the log."""
    return KafkaServers(
        settings.kafka_bootstrap,
        security_protocol=settings.kafka_security,
        sasl_mechanism=settings.kafka_sasl_mechanism,
        sasl_username=settings.kafka_sasl_username,
        sasl_password=None if settings.kafka_sasl_password is None else settings.kafka_sasl_password.value,
        tls_ca=settings.kafka_tls_ca,
    )


def capture_source(settings: Settings) -> CaptureSource:
    """MySQL and Kafka as Connect sees them. Raises ConfigurationError where Connect could not speak to them."""
    host, _, port = (settings.connect_mysql or f"{settings.mysql_host}:{settings.mysql_port}").rpartition(":")
    return CaptureSource(
        host,
        int(port),
        settings.capture_user,
        _open(settings.capture_password),
        settings.mysql_database,
        settings.connect_kafka or settings.kafka_bootstrap,
        settings.capture_server_id,
        mysql_security=connect_mysql(settings),
        kafka_security=connect_kafka(settings),
        topic_copies=settings.kafka_copies,
    )


def druid_reading(settings: Settings) -> Reading:
    """Kafka as Druid sees it. Raises ConfigurationError where Druid could not speak to it."""
    return Reading(settings.connect_kafka or settings.kafka_bootstrap, druid_kafka(settings))


def connector_name(application: Application) -> str:
    """The connector has the application's name."""
    return application.name

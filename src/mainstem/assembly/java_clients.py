"""What the Java clients of the distributed form are told of TLS and SASL: Debezium on Connect, and Druid.

They run in processes and on machines of others, and their configuration can be read by whoever reaches Connect or
Druid. So no password stands in it: Connect and Druid are told where they find it.
"""

import re
from collections.abc import Mapping

from mainstem.errors import ConfigurationError
from mainstem.olap.druid_spec import Json
from mainstem.settings import Settings

_MODULES = {
    "PLAIN": "org.apache.kafka.common.security.plain.PlainLoginModule",
    "SCRAM-SHA-256": "org.apache.kafka.common.security.scram.ScramLoginModule",
    "SCRAM-SHA-512": "org.apache.kafka.common.security.scram.ScramLoginModule",
}
_REFERENCE = re.compile(r"\$\{[^${}]+\}")


def connect_kafka(settings: Settings) -> Mapping[str, str]:
    """The properties of Debezium's own clients of Kafka; none where Kafka asks for nothing.

    Raises ConfigurationError for a mechanism that is not known here, or a password that would stand in the connector.
    """
    found = _common(settings)
    if "SASL" in settings.kafka_security:
        user = settings.connect_kafka_username or settings.kafka_sasl_username
        password = settings.connect_kafka_password
        if not user or password is None or not _REFERENCE.fullmatch(password.value):
            text = "MAINSTEM_CONNECT_KAFKA_PASSWORD must be a reference that Connect resolves, as ${file:/path:name}"
            raise ConfigurationError(f"Kafka asks who calls: {text}, and a user's name be set")
        login = f'username="{_quoted(user)}" password="{password.value}"'
        found["sasl.jaas.config"] = f"{_module(settings)} required {login};"
    return found


def druid_kafka(settings: Settings) -> Mapping[str, Json | str]:
    """The same of Druid's consumer: its processes find user and password in a variable of their environment."""
    found: dict[str, Json | str] = dict(_common(settings))
    if "SASL" in settings.kafka_security:
        variables = {"sasl.jaas.config": settings.druid_kafka_variable}
        found["druid.dynamic.config.provider"] = {"type": "environment", "variables": variables}
    return found


def connect_mysql(settings: Settings) -> Mapping[str, str]:
    """The properties of the connector by which MySQL must show it a certificate; none where it need not."""
    store, password = settings.capture_truststore, settings.capture_truststore_password
    if settings.mysql_tls_ca is None and store is None:
        return {}
    found = {"database.ssl.mode": "verify_identity"}
    if store is not None:
        found["database.ssl.truststore"] = store
    if password is not None:
        found["database.ssl.truststore.password"] = password.value
    return found


def _common(settings: Settings) -> dict[str, str]:
    if settings.kafka_security == "PLAINTEXT":
        return {}
    found = {"security.protocol": settings.kafka_security}
    authority = settings.connect_kafka_tls_ca or settings.kafka_tls_ca
    if authority is not None and "SSL" in settings.kafka_security.split("_"):
        found |= {"ssl.truststore.type": "PEM", "ssl.truststore.location": authority}
    if "SASL" in settings.kafka_security:
        _module(settings)
        found["sasl.mechanism"] = str(settings.kafka_sasl_mechanism)
    return found


def _module(settings: Settings) -> str:
    module = _MODULES.get(settings.kafka_sasl_mechanism or "")
    if module is None:
        known = ", ".join(_MODULES)
        raise ConfigurationError(f"MAINSTEM_KAFKA_SASL_MECHANISM must be one of {known} for Connect and Druid")
    return module


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')

"""Clients of Kafka as every adapter makes them: their properties, and their errors in mainstem's names."""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from confluent_kafka import KafkaError, KafkaException

from mainstem.errors import (
    ConfigurationError,
    Fenced,
    LogError,
    MainstemError,
    OffsetOutOfRange,
    RecordTooLarge,
    StoreUnavailable,
    UnknownTopic,
)

_LOGGER = logging.getLogger("mainstem.kafka")

_FENCED = frozenset(
    (
        KafkaError._FENCED,
        KafkaError.INVALID_PRODUCER_EPOCH,
        KafkaError.PRODUCER_FENCED,
        KafkaError.FENCED_INSTANCE_ID,
        KafkaError.FENCED_MEMBER_EPOCH,
        KafkaError.STALE_MEMBER_EPOCH,
        KafkaError.ILLEGAL_GENERATION,
        KafkaError.UNKNOWN_MEMBER_ID,
    )
)
_UNKNOWN = frozenset((KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC, KafkaError._UNKNOWN_PARTITION))
_OUT_OF_RANGE = frozenset((KafkaError.OFFSET_OUT_OF_RANGE, KafkaError._AUTO_OFFSET_RESET))
_AWAY = frozenset(
    (
        KafkaError._TRANSPORT,
        KafkaError._ALL_BROKERS_DOWN,
        KafkaError._TIMED_OUT,
        KafkaError._MSG_TIMED_OUT,
        KafkaError._RESOLVE,
        KafkaError._WAIT_COORD,
        KafkaError._PURGE_QUEUE,
        KafkaError._PURGE_INFLIGHT,
        KafkaError.UNSTABLE_OFFSET_COMMIT,
        KafkaError.CONCURRENT_TRANSACTIONS,
        KafkaError.BROKER_NOT_AVAILABLE,
        KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
        KafkaError.COORDINATOR_NOT_AVAILABLE,
        KafkaError.FENCED_LEADER_EPOCH,
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.NETWORK_EXCEPTION,
        KafkaError.NOT_CONTROLLER,
        KafkaError.NOT_COORDINATOR,
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.OFFSET_NOT_AVAILABLE,
        KafkaError.REQUEST_TIMED_OUT,
        KafkaError.UNKNOWN_LEADER_EPOCH,
    )
)
_DENIED = frozenset(
    (
        KafkaError._AUTHENTICATION,
        KafkaError._SSL,
        KafkaError.SASL_AUTHENTICATION_FAILED,
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.GROUP_AUTHORIZATION_FAILED,
        KafkaError.CLUSTER_AUTHORIZATION_FAILED,
        KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
    )
)


@dataclass(frozen=True)
class KafkaServers:
    """A Kafka cluster, and who asks. `security_protocol` is PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL."""

    bootstrap: str
    security_protocol: str = "PLAINTEXT"
    sasl_mechanism: str | None = None
    sasl_username: str | None = None
    sasl_password: str | None = field(default=None, repr=False)
    tls_ca: str | None = None

    def __str__(self) -> str:
        return f"Kafka at {self.bootstrap}"

    def properties(self) -> dict[str, Any]:
        """What any client of librdkafka is told."""
        named = {
            "sasl.mechanism": self.sasl_mechanism,
            "sasl.username": self.sasl_username,
            "sasl.password": self.sasl_password,
            "ssl.ca.location": self.tls_ca,
        }
        found: dict[str, Any] = {name: value for name, value in named.items() if value is not None}
        own = {"bootstrap.servers": self.bootstrap, "security.protocol": self.security_protocol}
        return {**own, **found, "logger": _LOGGER, "reconnect.backoff.max.ms": 1_000}


@contextmanager
def mapped_errors(servers: KafkaServers, what: str, overdue: str | None = None) -> Iterator[None]:
    """Turn the driver's errors into mainstem's, naming the cluster, what was asked and why that may be `overdue`."""
    try:
        yield
    except KafkaException as error:
        found = mapped(servers, what, error.args[0])
        if overdue is None or error.args[0].code() != KafkaError._TIMED_OUT:
            raise found from error
        raise type(found)(f"{found} ({overdue})") from error
    except RuntimeError as error:  # what the driver raises of a client that is closed
        raise StoreUnavailable(f"{servers} cannot {what}: {error}") from error


def mapped(servers: KafkaServers, what: str, error: Any) -> MainstemError:
    """The error that it is."""
    if not isinstance(error, KafkaError):
        return LogError(f"{servers} cannot {what}: {error}")
    code, text = error.code(), f"{servers} cannot {what}: {error.str()}"
    kinds: Mapping[type[MainstemError], frozenset[int]] = {
        Fenced: _FENCED,
        UnknownTopic: _UNKNOWN,
        OffsetOutOfRange: _OUT_OF_RANGE,
        ConfigurationError: _DENIED,
        StoreUnavailable: _AWAY,
        RecordTooLarge: frozenset((KafkaError.MSG_SIZE_TOO_LARGE,)),
    }
    for kind, codes in kinds.items():
        if code in codes:
            return kind(text)
    return StoreUnavailable(text) if error.retriable() else LogError(text)

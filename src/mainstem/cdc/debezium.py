"""The configuration of Debezium's MySQL connector for what an application captures.

Source of the names: Debezium's documentation of the MySQL connector and of the outbox event router, Kafka Connect's of
its transformations.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from mainstem.cdc.port import Captured
from mainstem.errors import ConfigurationError

_EXTRACT = "org.apache.kafka.connect.transforms.ExtractField$Key"
_ROUTE = "org.apache.kafka.connect.transforms.RegexRouter"
_OUTBOX = "io.debezium.transforms.outbox.EventRouter"
_MATCHES = "org.apache.kafka.connect.transforms.predicates.TopicNameMatches"
_BOOLEAN = "io.debezium.connector.binlog.converters.TinyIntOneToBooleanConverter"


@dataclass(frozen=True)
class CaptureSource:
    """MySQL and Kafka as Connect sees them. `server_id` must be that of no other reader of the server's log.

    The password may be a reference that Connect resolves, such as ``${file:/run/secrets/mysql:password}``.
    `kafka_security` are the properties of a Kafka client, for the topic that holds the history of the tables;
    `mysql_security` those of the connector by which it trusts the server. Both may hold such references.
    """

    host: str
    port: int
    user: str
    password: str = field(repr=False)
    database: str
    bootstrap_servers: str
    server_id: int
    mysql_security: Mapping[str, str] = field(default_factory=dict, repr=False)
    kafka_security: Mapping[str, str] = field(default_factory=dict, repr=False)
    poll_ms: int = 10
    topic_copies: int = 1


def connector(
    name: str, captured: Sequence[Captured], keys: Mapping[str, Sequence[str]], source: CaptureSource
) -> dict[str, str]:
    """The connector's configuration. `keys` has the primary key's columns of each captured table.

    A change's topic is the table's own, its key the key's value as text, its value the envelope as JSON with decimals
    as text; a row of an outbox is its message. Raises ConfigurationError for a key of none or several columns.
    """
    for table in captured:
        if len(keys.get(table.table, ())) != 1:
            text = "has no primary key" if not keys.get(table.table) else "has a key of several columns"
            raise ConfigurationError(f"the captured table {table.table} {text}; a record's key needs one")
    return {
        **_connection(name, source),
        **_reading(name, captured, source),
        **_writing(source),
        **_transforms(f"{name}.{source.database}", captured, keys),
    }


def _connection(name: str, source: CaptureSource) -> dict[str, str]:
    return {
        "connector.class": "io.debezium.connector.mysql.MySqlConnector",
        "tasks.max": "1",
        "database.hostname": source.host,
        "database.port": str(source.port),
        "database.user": source.user,
        "database.password": source.password,
        "database.server.id": str(source.server_id),
        "database.include.list": source.database,
        "topic.prefix": name,
        "driver.allowPublicKeyRetrieval": "true",
        # How often a lost connection to the server's log is noticed: a minute, unless named.
        "connect.keep.alive.interval.ms": "1000",
        **source.mysql_security,
    }


def _reading(name: str, captured: Sequence[Captured], source: CaptureSource) -> dict[str, str]:
    """From the server's log, looked at often. A history of the captured tables only keeps restarts short."""
    history = "schema.history.internal"
    sides = (f"{history}.producer", f"{history}.consumer")
    security = {f"{side}.{name}": value for side in sides for name, value in source.kafka_security.items()}
    return {
        "table.include.list": ",".join(f"{source.database}.{table.table}" for table in captured),
        "snapshot.mode": "initial",
        "include.schema.changes": "false",
        "decimal.handling.mode": "string",
        "tombstones.on.delete": "false",
        "converters": "boolean",
        "boolean.type": _BOOLEAN,
        "poll.interval.ms": str(source.poll_ms),
        "heartbeat.interval.ms": "1000",
        "event.processing.failure.handling.mode": "fail",
        f"{history}.kafka.bootstrap.servers": source.bootstrap_servers,
        f"{history}.kafka.topic": f"{name}.schema-history",
        f"{history}.store.only.captured.tables.ddl": "true",
        **security,
    }


def _writing(source: CaptureSource) -> dict[str, str]:
    """Each poll's changes in one transaction with the position behind them, or not at all."""
    return {
        "exactly.once.support": "required",
        "transaction.boundary": "poll",
        "key.converter": "org.apache.kafka.connect.storage.StringConverter",
        "value.converter": "org.apache.kafka.connect.json.JsonConverter",
        "value.converter.schemas.enable": "false",
        "topic.creation.default.partitions": "1",
        "topic.creation.default.replication.factor": str(source.topic_copies),
        "errors.tolerance": "none",
    }


def _transforms(prefix: str, captured: Sequence[Captured], keys: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """In this order: keys of rows as text, rows of outboxes as messages, and last the topics' own names."""
    chain: dict[str, dict[str, str]] = {}
    predicates: dict[str, str] = {}
    for table in captured:
        topic = re.escape(f"{prefix}.{table.table}")
        if table.outbox is None:
            chain[f"key_{table.table}"] = {
                "type": _EXTRACT,
                "field": keys[table.table][0],
                "predicate": f"is_{table.table}",
            }
        else:
            chain[f"outbox_{table.table}"] = {**_outbox(table, keys[table.table][0]), "predicate": f"is_{table.table}"}
        predicates[f"is_{table.table}"] = topic
    for table in captured:
        if table.outbox is None:
            regex = re.escape(f"{prefix}.{table.table}")
            chain[f"route_{table.table}"] = {"type": _ROUTE, "regex": regex, "replacement": table.topic}
    found = {"transforms": ",".join(chain), "predicates": ",".join(predicates)}
    found |= {f"transforms.{step}.{name}": value for step, values in chain.items() for name, value in values.items()}
    for predicate, pattern in predicates.items():
        found[f"predicates.{predicate}.type"] = _MATCHES
        found[f"predicates.{predicate}.pattern"] = pattern
    return found


def _outbox(table: Captured, identity: str) -> dict[str, str]:
    """The payload stays the text that it is: made into fields, it would lose empty lists and the digits of large
    numbers, and a payload of another shape than the one before would end the connector.
    """
    outbox = table.outbox
    if outbox is None:
        raise ConfigurationError(f"{table.table} is no outbox")
    return {
        "type": _OUTBOX,
        "table.field.event.id": identity,
        "table.field.event.key": outbox.key,
        "table.field.event.payload": outbox.payload,
        "table.fields.additional.placement": ",".join(f"{column}:envelope" for column in outbox.columns),
        # A row that was written before a column was added does not have it.
        "table.fields.additional.error.on.missing": "false",
        "route.by.field": outbox.key,
        "route.topic.replacement": table.topic,
    }

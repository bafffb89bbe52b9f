"""The document as a whole: servers, channels, operations, and the messages they share.

A channel is a topic, an operation what one listener, capture or datasource does with it. What a Kafka topic is made
with is told of both forms, since the embedded log has the same topics, partitions and groups.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mainstem.application import EVENT_TOPIC, Application
from mainstem.asyncapi.messages import Message, all_messages, messages_of, taken
from mainstem.asyncapi.schemas import schemas_of
from mainstem.listener.binding import Binding
from mainstem.log.port import Topic
from mainstem.settings import Settings

VERSION = "3.0.0"
"""Of the specification."""

Json = dict[str, Any]

_BINDING = "0.5.0"
_LETTER = "DeadLetter"
_LOG = "embedded"


def asyncapi_document(application: Application, settings: Settings) -> Json:
    """The application's document for the form that the settings name."""
    application = application.configured(settings)
    by_topic, topics = messages_of(application), _topics(application, settings)
    messages = all_messages(by_topic)
    schemas, components = schemas_of(messages, text_payloads=settings.form == "distributed")
    return {
        "asyncapi": VERSION,
        "info": {
            "title": application.name,
            "version": application.version,
            "description": "Topics, their messages, and the listeners between them.",
        },
        "defaultContentType": "application/json",
        "servers": _servers(settings),
        "channels": {t.name: _channel(t, _kept(application, t, by_topic), settings) for t in topics.values()},
        "operations": dict(_operations(application, by_topic)),
        "components": {
            "schemas": dict(sorted(components.items())),
            "messages": {
                **{each.id: _message(each, schemas[each.id]) for each in messages},
                **({_LETTER: _dead_letter()} if application.all_listeners() else {}),
            },
            **_security(settings),
        },
    }


def _topics(application: Application, settings: Settings) -> dict[str, Topic]:
    """Those of dead letters too: each has the partitions of what its listener hears."""
    found = {topic.name: topic for topic in application.all_topics(settings.topic_partitions)}
    letters = [Topic(b.dead_letter_topic, found[b.topic].partitions) for b in application.all_listeners()]
    return found | {topic.name: topic for topic in letters if topic.name not in found}


def _servers(settings: Settings) -> Json:
    if settings.form == "embedded":
        text = "The log of the embedded form: a file of the process itself, which no other program reads."
        return {_LOG: {"host": "log.db", "protocol": "mainstem", "description": text}}
    secure = settings.kafka_security in ("SSL", "SASL_SSL")
    server: Json = {"protocol": "kafka-secure" if secure else "kafka"}
    if settings.kafka_security.startswith("SASL"):
        server["security"] = [{"$ref": "#/components/securitySchemes/kafka"}]
    hosts = [host.strip() for host in settings.kafka_bootstrap.split(",")]
    names = ["kafka"] if len(hosts) == 1 else [f"kafka-{number}" for number in range(1, len(hosts) + 1)]
    return {name: {"host": host, **server} for name, host in zip(names, hosts, strict=True)}


def _security(settings: Settings) -> Json:
    if settings.form == "embedded" or not settings.kafka_security.startswith("SASL"):
        return {}
    kinds = {"SCRAM-SHA-256": "scramSha256", "SCRAM-SHA-512": "scramSha512", "GSSAPI": "gssapi"}
    kind = kinds.get(settings.kafka_sasl_mechanism or "PLAIN", "plain")
    return {"securitySchemes": {"kafka": {"type": kind}}}


def _kept(application: Application, topic: Topic, by_topic: Mapping[str, Sequence[Message]]) -> tuple[str, list[str]]:
    """What a topic is, and the names of its messages."""
    names = [each.id for each in by_topic.get(topic.name, ())]
    letters = {b.dead_letter_topic: b.group for b in application.all_listeners()}
    if topic.name in letters:
        return f"Records that {letters[topic.name]} could not handle, and what became of them.", [_LETTER]
    tables = {each.topic: each.table for each in application.all_captured()}
    if topic.name == EVENT_TOPIC:
        return "Every event, keyed by its stream: category-id, of a tenant /tenant/category-id.", names
    if topic.name in tables:
        return f"Changes of the table {tables[topic.name]} in Debezium's envelope, keyed by its primary key.", names
    return "Sent by listeners; the key keeps the order.", names


def _channel(topic: Topic, kept: tuple[str, list[str]], settings: Settings) -> Json:
    text, names = kept
    configuration: Json = {
        "cleanup.policy": ["delete"],
        "retention.ms": -1 if topic.retention_ms is None else topic.retention_ms,
        "retention.bytes": -1 if topic.retention_bytes is None else topic.retention_bytes,
        "max.message.bytes": topic.record_max_bytes,
    }
    kafka: Json = {"partitions": topic.partitions, "topicConfiguration": configuration, "bindingVersion": _BINDING}
    if settings.form == "distributed":
        kafka["replicas"] = settings.kafka_copies
    return {
        "address": topic.name,
        "description": text,
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in names},
        "bindings": {"kafka": kafka},
    }


def _message(message: Message, schema: Json) -> Json:
    kafka = {"key": {"type": "string"}, "bindingVersion": _BINDING}
    found: Json = {"name": message.name, "title": message.name, "payload": schema, "bindings": {"kafka": kafka}}
    if message.summary is not None:
        found["summary"] = message.summary
    if message.schema_version is not None:
        found["x-schema-version"] = message.schema_version
    return found


def _dead_letter() -> Json:
    text = {"type": "string"}
    names = ("reason", "cause", "group", "topic", "partition", "offset", "exception", "traceback", "sent", "by")
    headers: Json = {f"dead-letter-{name}": dict(text) for name in names}
    headers["dead-letter-reason"]["enum"] = ["failed", "behind", "retried", "dropped", "edited"]
    return {
        "name": _LETTER,
        "title": "dead letter",
        "summary": "The record as it was; why, and where it stood, are in the headers",
        "headers": {
            "type": "object",
            "properties": headers,
            "required": [f"dead-letter-{name}" for name in names[:6]],
        },
        "payload": {},
        "bindings": {"kafka": {"key": text, "bindingVersion": _BINDING}},
    }


def _operations(application: Application, by_topic: Mapping[str, list[Message]]) -> Iterator[tuple[str, Json]]:
    for captured in application.all_captured():
        summary = f"The capture of the table {captured.table}"
        yield f"capture.{captured.topic}", _operation("send", captured.topic, summary, by_topic[captured.topic])
    for binding in application.all_listeners():
        yield from _of_listener(binding, by_topic)
    for datasource in application.datasources:
        summary = f"Fills the datasource {datasource.name}"
        name = f"olap-{datasource.name}"
        yield f"{name}.receive", _operation("receive", datasource.topic, summary, by_topic[datasource.topic])


def _of_listener(binding: Binding[Any], by_topic: Mapping[str, list[Message]]) -> Iterator[tuple[str, Json]]:
    group = binding.group
    view = None if binding.projection is None else binding.projection.table.name
    heard = _operation(
        "receive",
        binding.topic,
        f"Keeps the view {view}" if view else f"Heard by {group}",
        taken(binding.decoder, by_topic[binding.topic]),
    )
    id_ = {"type": "string", "enum": [group]}
    yield f"{group}.receive", {**heard, "bindings": {"kafka": {"groupId": id_, "bindingVersion": _BINDING}}}
    for topic in binding.out:
        yield f"{group}.send.{topic.name}", _operation("send", topic.name, f"Sent by {group}", by_topic[topic.name])
    letters = {**_operation("send", binding.dead_letter_topic, f"What {group} could not handle", ())}
    letters["messages"] = [{"$ref": f"#/channels/{binding.dead_letter_topic}/messages/{_LETTER}"}]
    yield f"{group}.dead-letters", letters


def _operation(action: str, topic: str, summary: str, messages: Sequence[Message]) -> Json:
    return {
        "action": action,
        "channel": {"$ref": f"#/channels/{topic}"},
        "summary": summary,
        "messages": [{"$ref": f"#/channels/{topic}/messages/{each.id}"} for each in messages],
    }

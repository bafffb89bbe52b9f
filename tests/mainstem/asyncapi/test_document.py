"""The AsyncAPI document: valid by the official schema, complete, and true of what is on the topics."""

import json
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from bank.card import OpenCard, Withdraw
from bank.main import application
from bank.statement import TOPIC
from mainstem import Captured, Topic
from mainstem.assembly import embedded
from mainstem.asyncapi import asyncapi_document
from mainstem.settings import Secret, Settings

_OFFICIAL = json.loads(Path(__file__).with_name("asyncapi-3.0.0.json").read_text())
_SECURED = Settings(
    form="distributed",
    kafka_bootstrap="one:9092,two:9092",
    kafka_security="SASL_SSL",
    kafka_sasl_mechanism="SCRAM-SHA-512",
    kafka_sasl_username="bank",
    kafka_sasl_password=Secret("not-to-be-seen"),
    kafka_copies=3,
)
_FORMS = {"embedded": Settings(), "distributed": Settings(form="distributed"), "secured": _SECURED}


@pytest.fixture(params=[*_FORMS.values()], ids=[*_FORMS])
def document(request: pytest.FixtureRequest) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(json.dumps(asyncapi_document(application, request.param)))
    return found


def references(part: Any) -> Iterator[str]:
    if isinstance(part, dict):
        if isinstance(part.get("$ref"), str):
            yield part["$ref"]
        for each in part.values():
            yield from references(each)
    elif isinstance(part, list):
        for each in part:
            yield from references(each)


def resolved(document: dict[str, Any], reference: str) -> Any:
    found: Any = document
    for step in reference.removeprefix("#/").split("/"):
        found = found[step]
    return found


def test_it_is_valid_by_the_official_schema(document: dict[str, Any]) -> None:
    jsonschema.Draft7Validator(_OFFICIAL).validate(document)


def test_the_schema_would_see_what_is_wrong(document: dict[str, Any]) -> None:
    document["operations"]["mini-statement.receive"]["action"] = "eat"
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft7Validator(_OFFICIAL).validate(document)


def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    found = set(references(document))
    assert found
    for reference in found:
        assert isinstance(resolved(document, reference), dict), reference


def test_every_schema_is_one(document: dict[str, Any]) -> None:
    for schema in document["components"]["schemas"].values():
        jsonschema.Draft7Validator.check_schema(schema)


def test_every_topic_and_every_listener_is_in_it(document: dict[str, Any]) -> None:
    listeners = application.all_listeners()
    topics = {topic.name for topic in application.all_topics(1)}
    assert set(document["channels"]) == topics | {each.dead_letter_topic for each in listeners}
    for each in listeners:
        heard = document["operations"][f"{each.group}.receive"]
        assert heard["channel"] == {"$ref": f"#/channels/{each.topic}"}
        assert heard["messages"], each.group
        assert heard["bindings"]["kafka"]["groupId"]["enum"] == [each.group]
    sent = document["operations"]["mini-statement.send.ministatement"]
    assert sent["messages"] == [{"$ref": "#/channels/ministatement/messages/ministatement.MiniStatement"}]
    events = {
        f"{decider.category}.{e.__struct_config__.tag}"
        for decider in application.all_deciders()
        for e in decider.events
    }
    assert set(document["channels"]["event"]["messages"]) == events


def test_a_listener_of_a_category_hears_its_events_alone(document: dict[str, Any]) -> None:
    heard = document["operations"]["card-balance.receive"]["messages"]
    assert {"$ref": "#/channels/event/messages/debit_card.CardOpened"} in heard
    assert all("/debit_card." in each["$ref"] for each in heard)


def test_what_a_topic_is_made_with() -> None:
    topic = replace(TOPIC, partitions=7, retention_ms=5_000, retention_bytes=6_000, record_max_bytes=7_000)
    found = asyncapi_document(replace(application, topics=(topic,)), _SECURED)["channels"]
    assert found["ministatement"]["bindings"]["kafka"] == {
        "partitions": 7,
        "replicas": 3,
        "topicConfiguration": {
            "cleanup.policy": ["delete"],
            "retention.ms": 5_000,
            "retention.bytes": 6_000,
            "max.message.bytes": 7_000,
        },
        "bindingVersion": "0.5.0",
    }
    captured = found["debit_card"]["bindings"]["kafka"]
    assert (captured["partitions"], captured["topicConfiguration"]["retention.ms"]) == (4, -1)


def test_servers_are_told_and_no_secret() -> None:
    found = asyncapi_document(application, _SECURED)
    security = [{"$ref": "#/components/securitySchemes/kafka"}]
    assert found["servers"] == {
        "kafka-1": {"host": "one:9092", "protocol": "kafka-secure", "security": security},
        "kafka-2": {"host": "two:9092", "protocol": "kafka-secure", "security": security},
    }
    assert found["components"]["securitySchemes"] == {"kafka": {"type": "scramSha512"}}
    assert "not-to-be-seen" not in json.dumps(found)
    assert list(asyncapi_document(application, Settings())["servers"]) == ["embedded"]


def test_personal_data_are_marked(document: dict[str, Any]) -> None:
    holder = document["components"]["schemas"]["CardOpened"]["properties"]["holder"]
    assert holder["x-personal-data"] == {"of": "customer", "what": "holder"}
    assert "x-personal-data" not in document["components"]["schemas"]["CardOpened"]["properties"]["limit"]


def test_events_come_in_the_form_of_the_engine() -> None:
    embedded_form, distributed_form = (
        asyncapi_document(application, Settings(form=f)) for f in ("embedded", "distributed")
    )
    record = resolved(embedded_form, "#/components/messages/debit_card.CardOpened")
    assert record["x-schema-version"] == 3
    properties = resolved(embedded_form, record["payload"]["$ref"])["properties"]
    assert properties["payload"] == {"$ref": "#/components/schemas/CardOpened"}
    assert "part" not in properties
    properties = resolved(distributed_form, record["payload"]["$ref"])["properties"]
    assert properties["payload"]["x-content-schema"] == {"$ref": "#/components/schemas/CardOpened"}
    assert properties["payload"]["type"] == "string"


def _validator(document: dict[str, Any], schema: dict[str, Any]) -> jsonschema.Draft7Validator:
    return jsonschema.Draft7Validator({**schema, "components": document["components"]})


def test_what_is_on_the_topics_is_what_it_says(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, topic_partitions=1)
    with embedded(replace(application, topics=(replace(TOPIC, partitions=1),)), settings) as running:
        document = asyncapi_document(running.application, settings)
        running.commands.execute(OpenCard(card="anna", limit=Decimal(500)))
        running.commands.execute(Withdraw(card="anna", amount=Decimal("7.50"), merchant="Shop"))
        running.settle()
        for topic in ("event", "debit_card", "ministatement"):
            records = running.log.read(topic, 0, 0, 100)
            assert records
            schemas = [
                resolved(document, m["$ref"])["payload"] for m in document["channels"][topic]["messages"].values()
            ]
            for record in records:
                value = json.loads(record.value or b"")
                assert sum(_validator(document, schema).is_valid(value) for schema in schemas) == 1, value


def test_a_table_without_a_row_is_as_its_listener_reads_it() -> None:
    found = asyncapi_document(
        replace(application, captured=(Captured("customer"),), topics=(TOPIC, Topic("free"))), Settings()
    )
    assert found["channels"]["customer"]["messages"] == {}
    assert found["operations"]["capture.customer"]["messages"] == []

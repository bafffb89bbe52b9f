"""The messages of each topic, as far as their types are declared."""

import inspect
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from msgspec import Struct

from mainstem.application import EVENT_TOPIC, Application
from mainstem.codec import RecordedEvents
from mainstem.decider import Decider
from mainstem.evolution.declaring import stored_as
from mainstem.messages import Change, Recorded
from mainstem.misfit import members, shown


@dataclass(frozen=True)
class Message:
    """A message of a topic: `id` names it among all, `content` is the type of its JSON, `about` the struct in it.

    `kind` is the kind of the subject that personal data in it belong to, where the struct's marks do not say it.
    """

    id: str
    name: str
    content: Any
    about: type[Struct] | None
    decimals: Literal["string", "number"] = "string"
    kind: str = ""
    schema_version: int | None = None

    @property
    def summary(self) -> str | None:
        """The first line of what the struct says of itself."""
        text = None if self.about is None else self.about.__doc__
        return inspect.cleandoc(text).partition("\n")[0] if text else None


def messages_of(application: Application) -> dict[str, list[Message]]:
    """The messages by topic; none of a topic of which nothing is known."""
    found: dict[str, list[Message]] = {topic.name: [] for topic in application.all_topics(1)}
    for decider in application.all_deciders():
        found[EVENT_TOPIC] += _events(decider)
    for captured in application.all_captured():
        if captured.row is not None:
            table, row = captured.table, captured.row
            kind = next((d.category for d in application.deciders if d.state_row and d.state_row.table.row is row), "")
            found[captured.topic] = [Message(table, f"change of {table}", Change[row], row, kind=kind)]  # type: ignore[valid-type]
    for topic in application.topics:
        if topic.message is not None:
            found[topic.name] = [_declared(topic.name, each, topic.decimals) for each in members(topic.message)]
    for binding in application.all_listeners():
        if not found[binding.topic] and not isinstance(binding.decoder, RecordedEvents):
            found[binding.topic] = [_heard(binding.group, binding.decoder.type)]
    return found


def all_messages(by_topic: Mapping[str, Iterable[Message]]) -> list[Message]:
    """Each once."""
    return list({each.id: each for messages in by_topic.values() for each in messages}.values())


def taken(decoder: Any, messages: list[Message]) -> list[Message]:
    """Those of a topic's messages that a listener's decoder takes."""
    if not isinstance(decoder, RecordedEvents):
        return messages
    names: Mapping[str, object] = {stored_as(event)[0]: event for event in decoder.events}
    return [
        each
        for each in messages
        if each.name in names and (not decoder.categories or each.id.partition(".")[0] in decoder.categories)
    ]


def _events(decider: Decider[Any, Any, Any]) -> Iterator[Message]:
    for event in decider.events:
        name, version = stored_as(event)
        id_ = f"{decider.category}.{name}"
        recorded: Any = Recorded[event]  # type: ignore[valid-type]
        yield Message(id_, name, recorded, event, kind=decider.category, schema_version=version)


def _declared(topic: str, type_: Any, decimals: Literal["string", "number"]) -> Message:
    about = type_ if isinstance(type_, type) and issubclass(type_, Struct) else None
    return Message(f"{topic}.{shown(type_)}", shown(type_), type_, about, decimals)


def _heard(group: str, type_: Any) -> Message:
    """Of a topic that says nothing of its messages: what a listener reads of them."""
    return Message(f"{group}.read", f"what {group} reads", type_, None)

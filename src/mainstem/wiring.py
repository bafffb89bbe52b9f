"""The wiring of an application, checked when it is declared: each error names the line to fix."""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from msgspec import inspect

from mainstem.cdc.port import Captured
from mainstem.codec import RecordedEvents
from mainstem.decider import Decider
from mainstem.errors import ConfigurationError
from mainstem.evolution.declaring import stored_as
from mainstem.listener.binding import Binding
from mainstem.log.port import NAME_MAX
from mainstem.messages import Event
from mainstem.misfit import misfit, shown
from mainstem.olap.port import Datasource
from mainstem.table import Table
from mainstem.view.projection import Joined

_Bindings = Sequence[Binding[Any]]
_Deciders = Iterable[Decider[Any, Any, Any]]
_KEPT_BACK = ("__ahead", "__built", "__old")
_OURS = (
    "archived_stream",
    "event",
    "event_archive",
    "event_seal",
    "event_tag",
    "kept_answer",
    "refused_command",
    "retried_refusal",
    "snapshot",
    "tag_head",
)
"""Tables of event stores, which stand beside those of an application."""

_OF_OTHERS = ("mainstem_", "pg_", "sqlite_")
_APPLICATION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


def check_names(listeners: _Bindings, datasources: Iterable[Datasource], deciders: _Deciders) -> None:
    """Listeners, views, datasources and categories have names of their own, and a join finds its view."""
    unique("listener", [(b.group, b.declared_at) for b in listeners])
    unique("datasource", [(each.name, "") for each in datasources])
    unique("category", [(each.category, "") for each in deciders])
    views = [(b.projection.table.name, b.declared_at) for b in listeners if b.projection is not None]
    unique("view", views)
    _check_kept_back("listener", [(b.group, b.declared_at) for b in listeners])
    _check_kept_back("view", views)
    _check_kept_back("datasource", [(each.name, "") for each in datasources])
    _check_joins(listeners)


def check_application(name: str) -> None:
    """A name that Kafka Connect's connector can have, too."""
    if not _APPLICATION.fullmatch(name):
        text = "letters, digits, '.', '_' and '-', a letter or digit first, at most 128"
        raise ConfigurationError(f"{name[:129]!r} is no name of an application: {text}")


def check_tables(listeners: _Bindings, states: Iterable[Table[Any]], captured: Iterable[Captured]) -> None:
    """Views and states have names of their own: in the distributed form all tables are of one database."""
    found = [(f"state {table.name}", table.name) for table in states]
    found += [
        (f"view {b.projection.table.name} of the {_named(b)}", b.projection.table.name)
        for b in listeners
        if b.projection is not None
    ]
    known: dict[str, str] = {}
    for what, name in found:
        if name in _OURS or name.startswith(_OF_OTHERS):
            kept = f"{', '.join(_OURS)}, and all that begins with {', '.join(_OF_OTHERS)}"
            raise ConfigurationError(f"the {what} needs another name: these are kept back: {kept}")
        if name in known:
            raise ConfigurationError(f"the {what} has the name of the {known[name]}")
        known[name] = what
    tables = list(captured)
    unique("captured table", [(each.table, "") for each in tables])
    unique("topic of a captured table", [(each.topic, "") for each in tables])


def check_topics(listeners: _Bindings, datasources: Iterable[Datasource], known: Collection[str]) -> None:
    """Somebody makes each topic that is heard or spoken on."""
    heard = [(b.topic, f" that {b.group} hears, declared at {b.declared_at}") for b in listeners]
    spoken = [
        (topic.name, f" that {b.group} speaks on, declared at {b.declared_at}") for b in listeners for topic in b.out
    ]
    for topic, who in (*heard, *spoken, *((d.topic, f" of the datasource {d.name}") for d in datasources)):
        if topic not in known:
            raise ConfigurationError(f"nobody makes the topic {topic!r}{who}; known are {sorted(known)}")
    for binding in listeners:
        if binding.emit is not None and not binding.out:
            raise ConfigurationError(f"{_named(binding)} emits, and names no topic in `out`")
        if len(binding.dead_letter_topic) > NAME_MAX:
            text = f"the topic of its dead letters would have {len(binding.dead_letter_topic)} characters"
            raise ConfigurationError(f"{_named(binding)} needs a shorter name: {text}, {NAME_MAX} are possible")
    _check_told_apart(listeners, known)


def _check_told_apart(listeners: _Bindings, known: Collection[str]) -> None:
    """No two topics have names that are one to Kafka, in whose metrics `.` is `_`; no two listeners one for letters."""
    topics = [(name, f"the topic {name!r}") for name in sorted(known)]
    letters = [
        (b.dead_letter_topic, f"the topic {b.dead_letter_topic!r} for dead letters of the {_named(b)}")
        for b in listeners
    ]
    there: dict[str, tuple[str, str]] = {}
    for name, what in (*topics, *letters):
        first, said = there.setdefault(name.replace(".", "_"), (name, what))
        if said != what and (first != name or first not in known):
            text = "are one to Kafka, to which '.' and '_' are the same"
            raise ConfigurationError(f"{said} and {what} {text}" if first != name else f"{said} is {what} too")


def check_messages(
    listeners: Iterable[Binding[Any]],
    datasources: Iterable[Datasource],
    deciders: _Deciders,
    carried: Mapping[str, Any],
    events: str,
) -> None:
    """Each listener takes what its topic carries, as far as both are known, and a datasource finds its fields.

    `carried` has the type of the messages by topic; the topic `events` has those of all deciders.
    """
    for binding in listeners:
        if binding.topic == events and isinstance(binding.decoder, RecordedEvents):
            _check_events(binding, binding.decoder, {each.category: each for each in deciders})
        elif binding.topic in carried:
            _check_type(binding, carried[binding.topic])
    for datasource in datasources:
        if datasource.topic in carried:
            _check_fields(datasource, carried[datasource.topic])


def unique(what: str, named: Iterable[tuple[str, str]]) -> None:
    """No two have one name. Each comes with the place where it was declared, if that is known."""
    places: dict[str, list[str]] = {}
    for name, place in named:
        places.setdefault(name, []).append(place)
    twice = sorted(name for name, found in places.items() if len(found) > 1)
    if twice:
        where = [place for name in twice for place in places[name] if place]
        declared = f", declared at {' and at '.join(where)}" if where else ""
        raise ConfigurationError(f"two of one name: {what} {', '.join(twice)}{declared}")


def _check_kept_back(what: str, named: Iterable[tuple[str, str]]) -> None:
    """What stands beside a view or a datasource has names that are made of its own."""
    for name, place in named:
        if name.lower().endswith(_KEPT_BACK):
            declared = f", declared at {place}" if place else ""
            text = f"names that end with {', '.join(_KEPT_BACK)} are kept back for versions of views"
            raise ConfigurationError(f"the {what} {name}{declared}: {text}")


def _check_joins(listeners: _Bindings) -> None:
    tables = {each.projection.table.name for each in listeners if each.projection is not None}
    for binding in listeners:
        projection = binding.projection
        if isinstance(projection, Joined) and projection.other.name not in tables - {projection.table.name}:
            others = sorted(tables - {projection.table.name})
            raise ConfigurationError(f"{_named(binding)} joins {projection.other.name!r}; the other views are {others}")


def _check_events(
    binding: Binding[Any], decoder: RecordedEvents[Any], deciders: Mapping[str, Decider[Any, Any, Any]]
) -> None:
    """It takes every event of the categories that it hears, and no event that nobody has."""
    unknown = sorted(decoder.categories - deciders.keys())
    if unknown:
        raise _wrong(binding, f"hears the category {unknown[0]!r}, which no decider has; known are {sorted(deciders)}")
    heard = [each for name, each in deciders.items() if not decoder.categories or name in decoder.categories]
    there = {stored_as(event)[0]: event for each in heard for event in each.events}
    taken: dict[str, type[Event]] = {stored_as(event)[0]: event for event in decoder.events}
    for name, event in taken.items():
        if name not in there:
            raise _wrong(binding, f"takes the event {name}, which no decider of what it hears has")
        if (why := misfit(event, there[name])) is not None:
            raise _wrong(binding, f"takes the event {name} otherwise than its decider has it: {why}")
    missing = sorted(there.keys() - taken.keys())
    if missing:
        text = f"takes no {', '.join(missing[:3])}, which its topic carries too: take all events of the categories"
        raise _wrong(binding, f"{text} that it names, {sorted(decoder.categories) or 'which are all of them'}")


def _check_type(binding: Binding[Any], carried: Any) -> None:
    why = misfit(binding.decoder.type, carried)
    if why is not None:
        text = f"takes {shown(binding.decoder.type)}, and its topic {binding.topic!r} carries {shown(carried)}"
        raise _wrong(binding, f"{text}: {why}")


def _check_fields(datasource: Datasource, carried: Any) -> None:
    found = inspect.type_info(carried)
    if not isinstance(found, inspect.StructType):
        return
    there = {field.encode_name for field in found.fields}
    missing = sorted({each.source for each in datasource.dimensions} - there)
    if missing:
        text = f"the datasource {datasource.name} reads {missing[0]!r} of the topic {datasource.topic!r}"
        raise ConfigurationError(f"{text}, which carries {shown(carried)} with {sorted(there)}")


def _wrong(binding: Binding[Any], text: str) -> ConfigurationError:
    return ConfigurationError(f"{_named(binding)} {text}")


def _named(binding: Binding[Any]) -> str:
    declared = f", declared at {binding.declared_at}," if binding.declared_at else ""
    return f"listener {binding.group}{declared}"

"""Wrong wiring fails where the application is declared, and names the line to fix."""

import inspect
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from msgspec import Struct

from bank.analytics import BANKAPP
from bank.balance import BALANCE
from bank.card import CARD, DebitCard, LimitChanged
from bank.main import application
from bank.statement import TOPIC
from mainstem import (
    EVENT_TOPIC,
    Application,
    Binding,
    Captured,
    Decoder,
    Dimension,
    Event,
    Fold,
    Topic,
    changes_of,
    recorded_events,
)
from mainstem.cli.begin import application_of
from mainstem.errors import ConfigurationError


def with_listener(binding: Binding[Any]) -> Application:
    return replace(application, listeners=(*application.listeners, binding))


def line() -> int:
    """The line that calls."""
    frame = inspect.currentframe()
    assert frame is not None
    assert frame.f_back is not None
    return frame.f_back.f_lineno


def test_a_topic_that_nobody_makes() -> None:
    wrong, at = replace(BALANCE, group="mine", topic="evnt", projection=None, emit=lambda _: []), line()
    with pytest.raises(ConfigurationError, match="nobody makes the topic 'evnt' that mine hears") as found:
        with_listener(wrong)
    assert f"declared at {__file__}:{at};" in str(found.value)


def test_two_owners_of_one_view() -> None:
    wrong, at = replace(BALANCE, group="mine"), line()
    with pytest.raises(ConfigurationError, match="two of one name: view card_balance, declared at ") as found:
        with_listener(wrong)
    assert f" and at {__file__}:{at}" in str(found.value)
    assert "bank/balance.py:" in str(found.value)


def test_two_listeners_of_one_name() -> None:
    with pytest.raises(ConfigurationError, match=r"two of one name: listener card-balance, declared at .*balance\.py:"):
        with_listener(BALANCE)


@pytest.mark.parametrize("suffix", ["__built", "__old", "__ahead"])
def test_names_that_stand_beside_another(suffix: str) -> None:
    """A rebuild makes and drops them."""
    assert isinstance(BALANCE.projection, Fold)
    table = replace(BALANCE.projection.table, name=f"card_balance{suffix}")
    view = replace(BALANCE, group="mine", projection=replace(BALANCE.projection, table=table))
    with pytest.raises(ConfigurationError, match=f"the view card_balance{suffix}, declared at {__file__}:"):
        with_listener(view)
    with pytest.raises(ConfigurationError, match=f"the listener mine{suffix}, declared at {__file__}:"):
        with_listener(tells("debit_card", changes_of(DebitCard), group=f"mine{suffix}"))
    with pytest.raises(ConfigurationError, match=f"the datasource bankapp{suffix}: names that end with"):
        replace(application, datasources=(replace(BANKAPP, name=f"bankapp{suffix}"),))


def wrong(binding: Binding[Any]) -> str:
    """What is wrong with the bank that has that listener too; the error names the line where it was declared."""
    with pytest.raises(ConfigurationError) as found:
        with_listener(binding)
    text = str(found.value)
    assert binding.declared_at.startswith(f"{__file__}:")
    place = f"listener {binding.group}, declared at {binding.declared_at}, "
    assert text.startswith(place)
    return text.removeprefix(place)


def tells(topic: str, decoder: Decoder[Any], **more: Any) -> Binding[Any]:
    """A listener that hears the topic, and speaks on the bank's."""
    told: dict[str, Any] = {"group": "mine", "out": (TOPIC,), **more}
    return Binding(topic=topic, decoder=decoder, emit=lambda _: [], **told)


def test_a_listener_that_speaks_on_a_topic_that_nobody_makes() -> None:
    binding = tells("debit_card", changes_of(DebitCard), out=(Topic("nowhere"),))
    with pytest.raises(ConfigurationError, match="nobody makes the topic 'nowhere' that mine speaks on") as found:
        with_listener(binding)
    assert f"declared at {binding.declared_at};" in str(found.value)


def test_a_listener_that_speaks_and_does_not_say_where() -> None:
    binding = tells("debit_card", changes_of(DebitCard), out=())
    assert wrong(binding) == "emits, and names no topic in `out`"


def test_events_where_the_topic_has_changes_of_a_table() -> None:
    binding = tells("debit_card", recorded_events(CARD.events))
    text = "takes Recorded[CardOpened | MoneyWithdrawn | MoneyRepaid | …], and its topic 'debit_card' carries"
    assert wrong(binding) == f"{text} Change[DebitCard]: it has no stream"


def test_changes_of_a_table_where_the_topic_has_events() -> None:
    binding = tells(EVENT_TOPIC, changes_of(DebitCard))
    assert wrong(binding).endswith(": it has no op")


class Customer(Struct, frozen=True):
    id: str
    name: str


def test_changes_of_another_table() -> None:
    binding = tells("debit_card", changes_of(Customer))
    text = "takes Change[Customer], and its topic 'debit_card' carries Change[DebitCard]: it has no before.name"
    assert wrong(binding) == text


class OnlyUsed(Struct, frozen=True):
    used_limit: Decimal
    note: str = ""


def test_some_columns_of_a_table_are_enough() -> None:
    with_listener(tells("debit_card", changes_of(OnlyUsed)))


class UsedAsFlag(Struct, frozen=True):
    used_limit: bool


def test_a_column_of_another_type() -> None:
    binding = tells("debit_card", changes_of(UsedAsFlag))
    assert wrong(binding).endswith(": before.used_limit is a number or a text, not a truth value")


class Spoken(Struct, frozen=True, rename="camel"):
    debit_card_id: str
    merchant: str


def test_a_message_that_another_listener_does_not_send() -> None:
    binding = tells(TOPIC.name, Decoder(Spoken))
    text = "takes Spoken, and its topic 'ministatement' carries MiniStatement: it has no merchant"
    assert wrong(binding) == text


class CardLost(Event, frozen=True):
    pass


def test_an_event_that_nobody_has() -> None:
    binding = tells(EVENT_TOPIC, recorded_events((*CARD.events, CardLost), categories=(CARD.category,)))
    assert wrong(binding) == "takes the event CardLost, which no decider of what it hears has"


class LimitRaised(Event, frozen=True, tag="LimitChanged"):
    by: Decimal


def test_an_event_that_its_decider_has_otherwise() -> None:
    events: list[type[Event]] = [*(each for each in CARD.events if each is not LimitChanged), LimitRaised]
    binding = tells(EVENT_TOPIC, recorded_events(events, categories=(CARD.category,)))
    assert wrong(binding) == "takes the event LimitChanged otherwise than its decider has it: it has no by"


def test_a_category_that_nobody_has() -> None:
    binding = tells(EVENT_TOPIC, recorded_events(CARD.events, categories=("card",)))
    assert wrong(binding).startswith("hears the category 'card', which no decider has; known are [")


def test_events_that_would_become_dead_letters() -> None:
    """Without categories it hears those of all deciders."""
    binding = tells(EVENT_TOPIC, recorded_events(CARD.events))
    assert wrong(binding).startswith("takes no ")
    binding = tells(EVENT_TOPIC, recorded_events(CARD.events[1:], categories=(CARD.category,)))
    assert wrong(binding).startswith("takes no CardOpened, which its topic carries too")


def test_a_captured_table_whose_row_is_told() -> None:
    captured = Captured("customer", row=Customer)
    replace(application, captured=(captured,), listeners=(tells("customer", changes_of(Customer)),), ledgers=())
    with pytest.raises(ConfigurationError, match=r"carries Change\[Customer\]: it has no before\.id_number"):
        replace(application, captured=(captured,), listeners=(tells("customer", changes_of(Numbered)),))


class Numbered(Struct, frozen=True):
    id_number: str


def test_a_topic_of_which_nothing_is_told_carries_anything() -> None:
    heard = replace(application, topics=(*application.topics, Topic("free")))
    replace(heard, listeners=(*application.listeners, tells("free", Decoder(Spoken))))


def test_a_datasource_that_reads_what_its_topic_does_not_have() -> None:
    dimensions = (*BANKAPP.dimensions, Dimension("merchant"))
    with pytest.raises(ConfigurationError, match="the datasource bankapp reads 'merchant' of the topic"):
        replace(application, datasources=(replace(BANKAPP, dimensions=dimensions),))


@pytest.mark.parametrize(
    "name", ["", "ä", "кот", "²", "a b", "a'b", 'a"b', "a/b", "a\n", ".", "..", "__consumer_offsets", "a" * 250]
)
def test_a_topic_that_kafka_cannot_have(name: str) -> None:
    with pytest.raises(ConfigurationError, match="is no name of a topic: 1 to 249 of"):
        Topic(name)


@pytest.mark.parametrize("name", ["a", "A.b_c-9", "...", "_a", "a" * 249])
def test_a_topic_that_kafka_can_have(name: str) -> None:
    assert Topic(name).name == name


def test_a_topic_that_leaves_no_room_for_its_dead_letters() -> None:
    topic = Topic("a" * 240)
    binding: Binding[Any] = Binding(
        group="mine", topic=topic.name, decoder=Decoder(Spoken), emit=lambda _: [], out=(topic,)
    )
    with pytest.raises(ConfigurationError) as found:
        replace(application, listeners=(*application.listeners, binding), topics=(*application.topics, topic))
    place = f"listener mine, declared at {binding.declared_at}, needs a shorter name"
    assert str(found.value) == f"{place}: the topic of its dead letters would have 250 characters, 249 are possible"


def test_two_topics_that_kafka_takes_for_one() -> None:
    with pytest.raises(
        ConfigurationError, match=r"the topic 'debit\.card' and the topic 'debit_card' are one to Kafka"
    ):
        replace(application, topics=(*application.topics, Topic("debit.card")))


def test_two_listeners_with_one_topic_for_dead_letters() -> None:
    one, two = Topic("a"), Topic("a.b")
    heard: dict[str, Any] = {"decoder": Decoder(Spoken), "emit": lambda _: [], "out": (TOPIC,)}
    first: Binding[Any] = Binding(group="b.c", topic="a", **heard)
    second: Binding[Any] = Binding(group="c", topic="a.b", **heard)
    with pytest.raises(
        ConfigurationError, match=r"of the listener b\.c, declared at .* of the listener c, declared at .*, too$"
    ):
        replace(
            application,
            listeners=(*application.listeners, first, second),
            topics=(*application.topics, one, two),
        )


def test_a_topic_of_dead_letters_may_be_declared() -> None:
    """Its retention, say."""
    replace(application, topics=(*application.topics, Topic(BALANCE.dead_letter_topic, retention_ms=1_000)))


@pytest.mark.parametrize("name", ["event", "snapshot", "refused_command", "mainstem_action", "sqlite_x", "pg_x"])
def test_tables_of_names_that_are_kept_back(name: str) -> None:
    """The house has some, an engine others."""
    assert isinstance(BALANCE.projection, Fold)
    view = replace(BALANCE, projection=replace(BALANCE.projection, table=replace(BALANCE.projection.table, name=name)))
    with pytest.raises(ConfigurationError, match=f"the view {name} of the listener card-balance, declared at "):
        replace(application, listeners=(view,), ledgers=())
    assert CARD.state_row is not None
    state = replace(CARD.state_row, table=replace(CARD.state_row.table, name=name))
    with pytest.raises(ConfigurationError, match=f"the state {name} needs another name"):
        Application(name="bank", deciders=(replace(CARD, state_row=state),))


def test_a_view_of_the_name_of_a_state() -> None:
    """In one database of MySQL they would be one table, and a rebuild would replace it."""
    assert isinstance(BALANCE.projection, Fold)
    table = replace(BALANCE.projection.table, name="debit_card")
    binding, at = replace(BALANCE, group="mine", projection=replace(BALANCE.projection, table=table)), line()
    with pytest.raises(ConfigurationError) as found:
        with_listener(binding)
    text = (
        f"the view debit_card of the listener mine, declared at {__file__}:{at}, has the name of the state debit_card"
    )
    assert str(found.value) == text


@pytest.mark.parametrize(
    ("captured", "said"),
    [
        (Captured("event"), "two of one name: captured table event"),
        (Captured("debit_card", "cards"), "two of one name: captured table debit_card"),
        (Captured("audit", "event"), "two of one name: topic of a captured table event"),
    ],
)
def test_a_table_that_is_captured_twice(captured: Captured, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        replace(application, captured=(*application.captured, captured))


@pytest.mark.parametrize("name", ["", "a b", "a/b", "ä", "x\ny", "a" * 129])
def test_a_name_that_no_connector_can_have(name: str) -> None:
    with pytest.raises(ConfigurationError, match="is no name of an application: letters"):
        replace(application, name=name)


@pytest.mark.parametrize("tag", ["", "a\nb", "a\x00b", "\ud800", "x" * 201])
def test_an_event_that_cannot_be_kept_under_its_name(tag: str) -> None:
    class Named(Event, frozen=True, tag=tag):
        pass

    with pytest.raises(ConfigurationError, match=r"decider debit_card keeps the event Named under .*: a name has 1 to"):
        replace(CARD, events=(*CARD.events, Named))


@pytest.mark.parametrize("category", ["", "a b", "a-b", "a" * 55])
def test_a_category_that_no_stream_can_begin_with(category: str) -> None:
    with pytest.raises(ConfigurationError, match="category "):
        replace(CARD, category=category)


def test_the_command_line_names_the_line_to_fix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "misnamed.py").write_text("from mainstem import Topic\n\nTOPIC = Topic('a topic')\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ConfigurationError) as found:
        application_of("misnamed:application")
    assert str(found.value).endswith(f" (declared at {tmp_path / 'misnamed.py'}:3)")

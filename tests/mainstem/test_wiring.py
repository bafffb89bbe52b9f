"""Wrong wiring fails where the application is declared, and names the line to fix."""

import inspect
from dataclasses import replace
from decimal import Decimal
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

"""The sums of every layer, and of the event store, that must agree."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Protocol

import msgspec

from bank.card import CARD, MoneyRepaid, MoneyWithdrawn
from bank.cents import cents_of
from bank.layers.aggregated import AGGREGATED
from bank.layers.cleansed import cents_or_none
from bank.layers.curated import CURATED
from bank.layers.integrated import INTEGRATED
from mainstem import EventReader
from mainstem.eventstore.port import EventStore
from mainstem.refusals import EVERY_REFUSAL, place_of
from mainstem.tenancy import read_stream
from mainstem.view.port import ViewStore

Sums = Mapping[str, tuple[int, int]]
"""How many facts of a kind, and of how many cents together."""

_PAGE = 1_000
_GRAINS = ("minute", "hour", "day")


class Both(Protocol):
    """The command side's store and the views."""

    @property
    def events(self) -> EventStore:
        """The events and the refused commands."""

    @property
    def views(self) -> ViewStore:
        """The layers' tables."""


def sums_of_events(events: EventStore) -> Sums:
    """Of the events and the refused commands, without a look at any layer."""
    return _sums([*_moved(events), *_refused(events)])


def sums_of_layers(views: ViewStore) -> Mapping[str, Sums]:
    """Of the facts, and of the sums in each grain."""
    rolled = list(views.scan(AGGREGATED))
    found: dict[str, Sums] = {
        "curated": _sums((row.fact, row.facts, row.cents) for row in views.scan(CURATED)),
        "integrated": _sums((row.fact, row.facts, row.cents) for row in views.scan(INTEGRATED)),
    }
    for grain in _GRAINS:
        found[grain] = _sums((row.fact, row.facts, row.cents) for row in rolled if row.grain == grain)
    return found


def layers_agree(sides: Both) -> Iterator[str]:
    """What does not hold: nothing, where every layer has what the events say."""
    expected = sums_of_events(sides.events)
    for name, found in sums_of_layers(sides.views).items():
        if found != expected:
            yield f"{name} has {dict(found)}, and the events {dict(expected)}"


def _sums(facts: Iterable[tuple[str, int, int]]) -> Sums:
    found: dict[str, tuple[int, int]] = {}
    for fact, number, cents in facts:
        before = found.get(fact, (0, 0))
        found[fact] = before[0] + number, before[1] + cents
    return found


def _moved(events: EventStore) -> Iterator[tuple[str, int, int]]:
    reader = EventReader(CARD.events)
    for batch in events.read_all():
        for _, event in reader.each([each for each in batch if read_stream(each.stream).category == CARD.category]):
            if isinstance(event, MoneyWithdrawn | MoneyRepaid):
                fact = "withdrawal" if isinstance(event, MoneyWithdrawn) else "repayment"
                yield fact, 1, cents_of(event.amount)


def _refused(events: EventStore) -> Iterator[tuple[str, int, int]]:
    after = None
    while page := events.refusals.page(EVERY_REFUSAL, after, _PAGE):
        for kept in page:
            if read_stream(kept.refusal.stream).category == CARD.category:
                content: dict[str, Any] = msgspec.json.decode(kept.refusal.content)
                yield "refusal", 1, cents_or_none(content.get("amount")) or 0
        after = place_of(page[-1])

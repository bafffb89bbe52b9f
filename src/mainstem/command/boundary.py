"""What a decision over tags is made on: folded from their events, remembered for the next command, never trusted."""

from collections import Counter, OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from msgspec import Struct

from mainstem.boundary import Boundary
from mainstem.errors import CodecError, StoreCorrupt
from mainstem.eventstore.port import StoreTransaction, TaggedEvent
from mainstem.eventstore.reader import EventReader
from mainstem.messages import Event

Tags = tuple[str, ...]
Tagged = tuple[Event, Tags]


class Over(Struct, frozen=True):
    """The fold of the events with some tags, and the number that each tag stands at."""

    state: Any
    numbers: Mapping[str, int]


class Boundaries:
    """Loads what the commands of one decider are decided over.

    A remembered fold is that of the first events of its tags: loading reads what came after, and forgets it where one
    of the tags has fewer events in the store.
    """

    def __init__(self, boundary: Boundary[Any, Any, Any, Any], *, remembered: int) -> None:
        self.declared = boundary
        self._remembered_max = remembered
        self._reader: EventReader[Event] = EventReader(boundary.events)
        self._reader.check_alone()
        self._known: OrderedDict[Tags, Over] = OrderedDict()

    def tags(self, state: Any, command: Any) -> Tags:
        """The tags that the command is decided over, in an order of their own."""
        return tuple(sorted(self.declared.tags_over(state, command)))

    def load(self, transaction: StoreTransaction, tags: Tags) -> Over:
        """The fold as of now, which holds until the transaction ends. Raises StoreCorrupt for an unreadable event."""
        known = self._known.get(tags)
        numbers = dict.fromkeys(tags, 0) if known is None else known.numbers
        found = transaction.load_tagged(numbers)
        if found is None:
            self._known.pop(tags, None)
            known, numbers = None, dict.fromkeys(tags, 0)
            found = transaction.load_tagged(numbers) or ()
        state = self.declared.initial if known is None else known.state
        return self._advance(Over(state, numbers), found) if found else Over(state, numbers)

    def after(self, over: Over, appended: Iterable[Tagged]) -> Over:
        """The fold after events that were appended: those with one of its tags change it."""
        state, numbers = over.state, dict(over.numbers)
        for event, tags in appended:
            shared = numbers.keys() & tags
            if shared:
                state = self.declared.fold(state, (event,))
                numbers.update({tag: numbers[tag] + 1 for tag in shared})
        return Over(state, numbers)

    def remember(self, tags: Tags, over: Over) -> None:
        """Keep it for the next command; the one that was used least recently goes."""
        self._known[tags] = over
        self._known.move_to_end(tags)
        if len(self._known) > self._remembered_max:
            self._known.popitem(last=False)

    def forget(self, tags: Tags) -> None:
        """The next load begins at the first event."""
        self._known.pop(tags, None)

    def _advance(self, over: Over, found: Sequence[TaggedEvent]) -> Over:
        """An event stands beside itself where it has several of the tags."""
        each_once = list({(one.event.stream, one.event.version): one.event for one in found}.values())
        try:
            events = [event for _, event in self._reader.each(each_once)]
        except CodecError as error:
            raise StoreCorrupt(f"an event with the tag {found[0].tag} or beside it cannot be read: {error}") from error
        numbers = {**over.numbers, **{each.tag: each.number for each in found}}
        counted = Counter(each.tag for each in found)
        for tag, number in over.numbers.items():
            if numbers[tag] != number + counted[tag]:
                raise StoreCorrupt(f"events with the tag {tag} are missing behind number {number}: see mainstem verify")
        return Over(self.declared.fold(over.state, events), numbers)

"""A listener with a fault, among those of the bank: whatever goes wrong beside, its dead letters are there once."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest
from msgspec import Struct

from bank.card import CARD
from bank.simulation import simulation
from mainstem import EVENT_TOPIC, Binding, Fold, NewRecord, Recorded, Sides, Table, Topic, recorded_events, scan
from mainstem.listener.batch import Batches
from mainstem.listener.dead_letters import DeadLetters
from mainstem.listener.letters import DROPPED, described
from mainstem.testing.simulation import Fault, simulate

pytestmark = pytest.mark.slow

HEARD = Topic("heard", partitions=2)


class Activity(Struct, frozen=True):
    """The versions of a card's events, in the order in which they were handled."""

    card: str
    versions: str = ""
    last: int = 0


ACTIVITY = Table("activity", Activity, key=("card",))


_mended: list[bool] = []
"""Whether the fault is mended: from the first rest on, where there is something in it."""


def _fold(row: Activity | None, message: Recorded[Any]) -> Activity:
    if message.version % 4 == 0 and message.aggregate_id in ("card-1", "card-3") and not _mended:
        raise ValueError(f"{message.stream}@{message.version} is too much")
    before = "" if row is None else f"{row.versions} "
    return Activity(message.aggregate_id, f"{before}{message.version}", message.version)


def _emit(message: Recorded[Any]) -> Sequence[NewRecord]:
    value, identity = b"%d" % message.version, f"{message.stream}@{message.version}"
    at_ms = message.occurred_at_ms
    return [NewRecord(topic=HEARD.name, key=message.aggregate_id, value=value, timestamp_ms=at_ms, identity=identity)]


_DECODER = recorded_events(CARD.events, categories=(CARD.category,))
LISTENER = Binding(
    group="activity",
    topic=EVENT_TOPIC,
    decoder=_DECODER,
    projection=Fold(
        ACTIVITY, lambda message: (message.aggregate_id,), _fold, lambda row, message: message.version <= row.last
    ),
    emit=_emit,
    out=(HEARD,),
    batch_max=7,
)


def _dropped(sides: Sides) -> Mapping[str, int]:
    """Of each key the offset up to which letters were dropped."""
    found = dict[str, int]()
    for page in scan(sides.log, LISTENER.dead_letter_topic):
        for each in page:
            told = described(each)
            if told["reason"] == DROPPED:
                found[each.key] = max(found.get(each.key, 0), int(told["offset"]))
    return found


def _dropped_and_come_again(sides: Sides) -> set[str]:
    """Cards of which letters were dropped, and a change came twice: what was dropped may have come again, and late."""
    came = Counter[tuple[str, int]]()
    for page in scan(sides.log, EVENT_TOPIC):
        for each in page:
            came.update((each.key, message.version) for message in _DECODER.spread([each.value or b""])[0])
    twice = {key for (key, _), times in came.items() if times > 1}
    return {key.removeprefix("debit_card-") for key in twice & _dropped(sides).keys()}


def heard_once(sides: Sides) -> Iterator[str]:
    """What was sent is what the rows tell, once and in its order."""
    again = _dropped_and_come_again(sides)
    sent = defaultdict[str, list[str]](list)
    for page in scan(sides.log, HEARD.name):
        for record in page:
            sent[record.key].append((record.value or b"").decode())
    told = {row.card: row.versions for row in sides.views.scan(ACTIVITY) if row.card not in again}
    if told != {card: " ".join(versions) for card, versions in sent.items() if card not in again}:
        yield f"rows tell {told}, sent was {dict(sent)}"


def letters_once(sides: Sides) -> Iterator[str]:
    """Each record of a parked key, from the one that failed on, is a dead letter once."""
    letters = DeadLetters(LISTENER, sides.log, sides.views, Batches(LISTENER, sides.log, sides.views))
    for key, since in sides.views.parked_since(LISTENER.group).items():
        origins = [int(letter.origin.rpartition("@")[2]) for letter in letters.of(key, 10_000)]
        records = [each for page in scan(sides.log, EVENT_TOPIC) for each in page if each.key == key]
        expected = [each.offset for each in records if each.offset >= since]
        if origins != expected:
            yield f"of {key} wait {origins}, and should {expected}"


def in_order(sides: Sides) -> Iterator[str]:
    """Of each card the versions are handled in their order, each once; what is missing waits, or was dropped."""
    letters = DeadLetters(LISTENER, sides.log, sides.views, Batches(LISTENER, sides.log, sides.views))
    waiting = {(each.key, each.origin) for each in letters.of(None, 100_000)}
    dropped, again = _dropped(sides), _dropped_and_come_again(sides)
    rows = {row.card: [int(each) for each in row.versions.split()] for row in sides.views.scan(ACTIVITY)}
    for card, versions in rows.items():
        if versions != sorted(set(versions)):
            yield f"of {card} the versions were handled as {versions}"
    for page in scan(sides.log, EVENT_TOPIC):
        for each in page:
            for message in _DECODER.spread([each.value or b""])[0]:
                handled = message.version in rows.get(message.aggregate_id, [])
                waits = (each.key, f"{EVENT_TOPIC}/{each.partition}@{each.offset}") in waiting
                lost = not handled and not waits and message.aggregate_id not in again
                if lost and each.offset > dropped.get(each.key, -1):
                    yield f"{message.stream}@{message.version} is neither handled, nor waits, nor was dropped"


FAULTY = replace(
    simulation,
    application=replace(
        simulation.application,
        listeners=(*simulation.application.listeners, LISTENER),
        topics=(*simulation.application.topics, HEARD),
    ),
    invariants=(*simulation.invariants, heard_once, letters_once, in_order),
    faults=(Fault.CRASH, Fault.REBALANCE, Fault.DUPLICATE, Fault.OFFSETS_BACK, Fault.REORDER, Fault.FULL_DISK),
)


@pytest.mark.parametrize("seed", range(6))
def test_dead_letters_and_messages_are_there_once(seed: int) -> None:
    parked: list[str] = []
    _mended.clear()

    def look(sides: Sides) -> Iterator[str]:
        parked.extend(sides.views.parked_since(LISTENER.group))
        _mended.append(True)
        yield from ()

    try:
        run = simulate(replace(FAULTY, invariants=(*FAULTY.invariants, look)), seed)
    finally:
        _mended.clear()
    put_aside = any("activity: retry" in line or "activity: drop" in line for line in run.trace)
    assert parked or put_aside, "nothing was put aside"

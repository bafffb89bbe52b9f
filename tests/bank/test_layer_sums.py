"""The layers' own functions: whatever the order, and however often a change comes, the sums are those of the facts."""

import itertools
from collections import Counter
from collections.abc import Sequence
from random import Random
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from bank.layers.aggregated import STEP, Aggregated
from bank.layers.cleansed import Cleansed, cleansed
from bank.layers.curated import facts
from bank.layers.integrated import Integrated, Shared, integrated
from bank.layers.terms import CardTerms, fold, terms_at
from mainstem import EVENT_TOPIC, REFUSAL_TOPIC, Record, With
from mainstem.layers import RawChange
from mainstem.layers.raw import raw_change
from mainstem.view.apply import working

_DAY_MS = 86_400_000
_at_ms = st.integers(0, 3 * _DAY_MS)
_moved = st.tuples(st.sampled_from(("MoneyWithdrawn", "MoneyRepaid")), st.integers(1, 10_000), _at_ms)
_refused = st.tuples(st.integers(1, 10_000), _at_ms, st.lists(st.tuples(st.integers(1, 99), _at_ms), max_size=3))


def _event(version: int, kind: str, cents: int, at_ms: int) -> bytes:
    payload = {"type": kind, "amount": f"{cents / 100:.2f}"}
    stamp = {"version": version, "occurred_at_ms": at_ms, "recorded_at_ms": 3 * _DAY_MS}
    return msgspec.json.encode({"stream": "debit_card-a", **stamp, "actor": "x", "payload": payload})


def _row(number: int, cents: int, at_ms: int) -> dict[str, Any]:
    content = msgspec.json.encode({"amount": f"{cents / 100:.2f}"}).decode()
    named = {"id": number, "stream": "debit_card-a", "command": "Withdraw", "content": content}
    return {**named, "reason": "card-blocked", "refused_at_ms": at_ms}


def _changes(number: int, cents: int, at_ms: int, corrections: Sequence[tuple[int, int]]) -> list[bytes]:
    """A row that is inserted, and then corrected as often as that."""
    rows = [None, _row(number, cents, at_ms), *(_row(number, *each) for each in corrections)]
    found = []
    for pos, (before, after) in enumerate(itertools.pairwise(rows)):
        source = {"connector": "c", "name": "n", "ts_ms": 1, "db": "d", "table": "t", "file": "f"}
        source |= {"pos": number * 100 + pos}
        op = "c" if before is None else "u"
        found.append({"op": op, "before": before, "after": after, "source": source, "ts_ms": 1})
    return [msgspec.json.encode(each) for each in found]


def _raws(topic: str, values: Sequence[bytes]) -> list[RawChange]:
    return [raw_change(Record(topic, 0, offset, "debit_card-a", value, 0)) for offset, value in enumerate(values)]


class _Written:
    rows: Sequence[Aggregated] = ()

    def put(self, _: object, rows: Sequence[Aggregated]) -> None:
        self.rows = rows


def _aggregated(rows: Sequence[Integrated]) -> Counter[tuple[str, str, int]]:
    assert STEP.projection is not None
    work, written = working(STEP.projection, lambda _, __: {}), _Written()
    records = [
        Record("t", number % 2, number, row.card, msgspec.json.encode(row), 0) for number, row in enumerate(rows)
    ]
    work.handle_all(*STEP.decoder.of(records))
    work.write(written)  # type: ignore[arg-type]
    found = Counter[tuple[str, str, int]]()
    for row in written.rows:
        found[row.fact, row.grain, row.begin_ms] += row.cents
        found[row.fact, row.grain + " facts", row.begin_ms] += row.facts
    return +found


def _expected(facts_: Sequence[tuple[str, int, int]]) -> Counter[tuple[str, str, int]]:
    found = Counter[tuple[str, str, int]]()
    for fact, cents, at_ms in facts_:
        for grain, size_ms in (("minute", 60_000), ("hour", 3_600_000), ("day", _DAY_MS)):
            found[fact, grain, at_ms - at_ms % size_ms] += cents
            found[fact, grain + " facts", at_ms - at_ms % size_ms] += 1
    return found


@given(st.lists(_moved, max_size=8), st.lists(_refused, max_size=4), st.randoms(use_true_random=False))
def test_sums_are_those_of_the_facts_as_they_were_last_corrected(
    moved: list[tuple[str, int, int]], refused: list[tuple[int, int, list[tuple[int, int]]]], chance: Random
) -> None:
    raws = _raws(EVENT_TOPIC, [_event(n, *each) for n, each in enumerate(moved, 1)])
    raws += _raws(REFUSAL_TOPIC, [value for n, each in enumerate(refused, 1) for value in _changes(n, *each)])
    delivered = [*raws, *chance.choices(raws, k=3)] if raws else []
    chance.shuffle(delivered)
    once: dict[str, Cleansed] = {row.id: row for raw in delivered for row in cleansed(raw)}
    assert all(row.rule is None for row in once.values())
    entries = [fact for row in once.values() for fact in facts(row)]
    whole = [row for fact in entries for row in integrated(With(Shared(fact, 0), CardTerms("a", 99, None, "[]")))]
    last = [each[2][-1] if each[2] else each[:2] for each in refused]
    names = {"MoneyWithdrawn": "withdrawal", "MoneyRepaid": "repayment"}
    expected = [(names[kind], cents, at_ms) for kind, cents, at_ms in moved]
    expected += [("refusal", cents, at_ms) for cents, at_ms in last]
    assert _aggregated(whole) == _expected(expected)


@given(st.lists(st.sampled_from(("LimitChanged", "MoneyWithdrawn", "CardBlocked", "CardUnblocked")), max_size=12))
def test_terms_are_those_of_the_time_whenever_they_are_asked_for(kinds: list[str]) -> None:
    row: CardTerms | None = None
    then: list[tuple[int, str]] = []
    limit, status = 1, "active"
    for version, kind in enumerate(["CardOpened", *kinds], 1):
        limit = version if kind in ("CardOpened", "LimitChanged") else limit
        status = {"CardBlocked": "blocked", "CardUnblocked": "active"}.get(kind, status)
        told = version if kind in ("CardOpened", "LimitChanged") else None
        change = Cleansed(str(version), "", EVENT_TOPIC, kind, "a", "", version, 1, 0, 0, limit_cents=told)
        row = fold(fold(row, change), change)  # what comes again changes nothing
        then.append((limit, status))
    assert row is not None
    for version, expected in enumerate(then, 1):
        found = terms_at(row, version)
        assert found is not None
        assert (found.limit_cents, found.status) == expected

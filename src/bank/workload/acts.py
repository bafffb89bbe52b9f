"""What happens, in the order of its time: cards are opened, money is withdrawn and repaid, some of it by thieves."""

from collections import Counter
from collections.abc import Iterator, Sequence
from random import Random

from msgspec import Struct

from bank.card import CardCommand, OpenCard, Repay, Withdraw
from bank.cents import money_of
from bank.workload.people import Holder, People, people
from bank.workload.plan import HOUR_MS, Plan, hours

_REPAYS_AT = 0.8
"""Whoever has used so much of the limit repays all, but now and then somebody does not think of it and is refused."""

_FORGETS = 0.15
_MINUTE_MS = 60_000
_OFTEN = (6, 15)
_MUCH_CENTS = (120_000, 240_000)
_AMONG = 100_000
_RING_MS = 4_000


class Act(Struct, frozen=True):
    """One command, and when it is given."""

    at_ms: int
    command: CardCommand


def acts(plan: Plan) -> Iterator[Act]:
    """All of the plan's, one after another: memory holds the cards and one hour.

    As many withdrawals as the plan has; repayments come beside them.
    """
    chance = Random(plan.seed)  # noqa: S311 - the same again by its seed
    who = people(plan, chance)
    for holder in who.holders:
        yield Act(plan.begin_ms, OpenCard(holder.card, limit=money_of(holder.limit_cents), customer=holder.customer))
    used = dict.fromkeys((holder.card for holder in who.holders), 0)
    counts = hours(plan, chance)
    fraud = _bouts(plan, counts, chance)
    for number, count in enumerate(counts):
        begin_ms = plan.begin_ms + number * HOUR_MS
        for holder, withdrawal in _hour(who, chance, begin_ms, count, fraud[number]):
            yield from _with_repayment(holder, withdrawal, used, chance)


def _bouts(plan: Plan, counts: Sequence[int], chance: Random) -> Counter[int]:
    """How many bouts of fraud each hour has; an hour with more withdrawals has more."""
    bouts = plan.withdrawals * plan.fraud // _AMONG
    return Counter(chance.choices(range(len(counts)), weights=counts, k=bouts) if bouts else ())


_Withdrawal = tuple[int, int, str]
"""When, how many cents, and where."""


def _hour(who: People, chance: Random, begin_ms: int, count: int, bouts: int) -> list[tuple[Holder, _Withdrawal]]:
    found = list[tuple[Holder, _Withdrawal]]()
    for _ in range(bouts):
        bout = _often(who, chance, begin_ms) if chance.random() < 0.5 else _much(who, chance, begin_ms)
        if len(found) + len(bout) > count:
            break
        found += bout
    for _ in range(count - len(found)):
        merchant = who.merchant(chance)
        at_ms = begin_ms + chance.randrange(HOUR_MS)
        found.append((who.holder(chance), (at_ms, merchant.cents(chance), merchant.name)))
    found.sort(key=lambda each: each[1][0])
    return found


def _often(who: People, chance: Random, begin_ms: int) -> list[tuple[Holder, _Withdrawal]]:
    """Somebody tries a stolen card, again and again within a minute."""
    holder, merchant = who.holder(chance), who.merchant(chance)
    at_ms = begin_ms + chance.randrange(HOUR_MS - _MINUTE_MS)
    return [
        (holder, (at_ms + number * chance.randint(500, _RING_MS), chance.randint(100, 900), merchant.name))
        for number in range(chance.randint(*_OFTEN))
    ]


def _much(who: People, chance: Random, begin_ms: int) -> list[tuple[Holder, _Withdrawal]]:
    """Somebody empties a card of a large limit in a few withdrawals within a quarter of an hour."""
    rich = max((who.holder(chance) for _ in range(20)), key=lambda holder: holder.limit_cents)
    merchant, quarter = who.merchant(chance), HOUR_MS // 4
    at_ms = begin_ms + chance.randrange(HOUR_MS - quarter)
    return [(rich, (at_ms + chance.randrange(quarter), chance.randint(*_MUCH_CENTS), merchant.name)) for _ in range(5)]


def _with_repayment(holder: Holder, withdrawal: _Withdrawal, used: dict[str, int], chance: Random) -> Iterator[Act]:
    at_ms, cents, merchant = withdrawal
    card, limit = holder.card, holder.limit_cents
    if used[card] and used[card] + cents > limit * _REPAYS_AT and chance.random() > _FORGETS:
        yield Act(at_ms, Repay(card, amount=money_of(used[card])))
        used[card] = 0
    if used[card] + cents <= limit:
        used[card] += cents
    yield Act(at_ms, Withdraw(card, amount=money_of(cents), merchant=merchant))

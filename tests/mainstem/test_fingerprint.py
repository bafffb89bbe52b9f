"""A fold whose code or types have changed has another name; one that is loaded again has the same."""

import functools
import operator
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec
import pytest

from mainstem import Decider, Snapshots
from mainstem.errors import ConfigurationError
from mainstem.fingerprint import fingerprint
from mainstem.messages import Command, Event

SHOP = '''
import enum, functools, re, sys
from decimal import Decimal
from msgspec import Struct
from mainstem import Command, Event

class Kind(enum.Enum):
    SMALL = 1
    LARGE = 2

class Priced(Event, frozen=True):
    amount: int
    kind: Kind = Kind.SMALL

class Part(Struct, frozen=True):
    left: int = 0
    right: int = 0
    def both(self):
        return self.left + self.right

class Basket(Struct, frozen=True):
    total: int = 0
    part: Part = Part()
    def plus(self, amount):
        return Basket(self.total + amount, self.part)

class Scale:
    def __init__(self, factor):
        self.factor = factor
    def apply(self, amount):
        return amount * self.factor

class Ask(Command, frozen=True):
    basket: str

FACTOR = Decimal("1.5")
SCALE = Scale(2)
NAME = re.compile("[a-z]+")

def deep(amount):
    return amount + 1

def helper(amount, step=1):
    return deep(amount) if amount in {"a", "b", "c", "d", "e"} else amount + step

def make(limit):
    def limited(amount):
        return min(amount, limit)
    return limited

limited = make(100)

@functools.lru_cache
def cached(amount):
    return amount + 2

@functools.singledispatch
def dispatched(event, basket):
    raise TypeError(event)

@dispatched.register
def _(event: Priced, basket):
    return basket.plus(event.amount)

TABLE = {Priced: lambda basket, event: dispatched(event, basket)}

def other():
    return 3

def evolve(basket, event):
    """Add the amount."""
    try:
        amount = limited(helper(event.amount)) * FACTOR
        if NAME.match("x") and event.kind is Kind.LARGE:
            amount = SCALE.apply(cached(amount)) + sys.maxsize
    except ValueError:
        amount = 0
    return TABLE[type(event)](basket, event)
'''


def loaded(source: str) -> Decider[Any, Any, Any]:
    shop = ModuleType("shop")
    sys.modules["shop"] = shop
    try:
        exec(source, vars(shop))  # noqa: S102 - the source is above
        decider: Decider[Any, Any, Any] = Decider(
            category="basket",
            initial=shop.Basket(),
            decide=lambda _state, _command: [],
            evolve=shop.evolve,
            target=lambda _command: "1",
            commands=(shop.Ask,),
            events=(shop.Priced,),
        )
        decider.fingerprint()
        return decider
    finally:
        del sys.modules["shop"]


@pytest.fixture(scope="module")
def known() -> str:
    return loaded(SHOP).fingerprint()


@pytest.mark.parametrize(
    ("old", "new"),
    [
        pytest.param("amount = 0", "amount = 1", id="a constant of evolve"),
        pytest.param("except ValueError", "except TypeError", id="an exception caught"),
        pytest.param("amount + 1", "amount - 1", id="a function that a called function calls"),
        pytest.param("step=1", "step=2", id="a default"),
        pytest.param("make(100)", "make(200)", id="what a closure holds"),
        pytest.param("min(amount, limit)", "max(amount, limit)", id="the code of a closure"),
        pytest.param("amount + 2", "amount + 3", id="a function behind a cache"),
        pytest.param("basket.plus(event.amount)", "basket.plus(-event.amount)", id="what a single dispatch chooses"),
        pytest.param("lambda basket, event: d", "lambda basket, event: not d", id="a function in a table"),
        pytest.param('Decimal("1.5")', 'Decimal("1.50")', id="a value of the module"),
        pytest.param("Scale(2)", "Scale(3)", id="what an object of the module holds"),
        pytest.param("amount * self.factor", "amount + self.factor", id="a method of an object of the module"),
        pytest.param("self.total + amount", "self.total - amount", id="a method of the state"),
        pytest.param("self.left + self.right", "self.left", id="a method of a part of the state"),
        pytest.param("right: int = 0", "right: int = 1", id="a default deep in the state"),
        pytest.param("total: int = 0", "total: float = 0", id="a type of the state"),
        pytest.param(
            "left: int = 0\n    right: int = 0", "right: int = 0\n    left: int = 0", id="the order of fields"
        ),
        pytest.param("kind: Kind = Kind.SMALL", "kind: Kind = Kind.LARGE", id="a default of an event"),
        pytest.param("LARGE = 2", "LARGE = 3", id="a value of an enumeration"),
        pytest.param('"[a-z]+"', '"[A-Z]+"', id="a pattern"),
        pytest.param('"d", "e"', '"d", "f"', id="an element of a set"),
    ],
)
def test_a_change_gives_another_name(known: str, old: str, new: str) -> None:
    assert old in SHOP
    assert loaded(SHOP.replace(old, new)).fingerprint() != known


@pytest.mark.parametrize(
    ("old", "new"),
    [
        pytest.param("", "", id="loaded again"),
        pytest.param("return 3", "return 4", id="a function that nobody calls"),
        pytest.param("def evolve(", "\n\n# a comment\ndef evolve(", id="lines and comments"),
    ],
)
def test_what_makes_no_difference_keeps_the_name(known: str, old: str, new: str) -> None:
    assert loaded(SHOP.replace(old, new, 1)).fingerprint() == known


def test_another_initial_state_gives_another_name() -> None:
    class Counter(msgspec.Struct, frozen=True):
        n: int = 0

    class Counted(Event, frozen=True):
        pass

    class Count(Command, frozen=True):
        pass

    def made(initial: Counter, version: str | None = None) -> Decider[Count, Counted, Counter]:
        return Decider(
            category="counter",
            initial=initial,
            decide=lambda _state, _command: [],
            evolve=lambda state, _event: state,
            target=lambda _command: "1",
            commands=(Count,),
            events=(Counted,),
            snapshots=Snapshots(every_events=10, version=version),
        )

    names = {made(Counter(n), version).fingerprint() for n in (0, 1) for version in (None, "1", "2")}
    assert len(names) == 6


_PRINT = """
from bank.card import CARD
from tests.mainstem.test_fingerprint import SHOP, loaded
print(CARD.fingerprint(), loaded(SHOP).fingerprint())
"""


def test_another_process_finds_the_same_name(tmp_path: Path) -> None:
    """Whatever the order of its sets, and whether the module was compiled or loaded as bytecode."""
    found = {
        subprocess.run(
            [sys.executable, "-c", _PRINT],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": str(Path.cwd()), **caching},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed, caching in (("1", {}), ("2", {}), ("3", {"PYTHONPYCACHEPREFIX": str(tmp_path)}))
    }
    assert len(found) == 1


def test_what_a_function_counts_while_it_runs_is_no_part_of_it() -> None:
    seen = 0

    def counting(state: int, event: int) -> int:
        nonlocal seen
        seen += 1
        return state + event

    before = fingerprint(counting)
    counting(1, 2)
    assert fingerprint(counting) == before


def test_partial_methods_and_objects_are_seen_through() -> None:
    class Adder:
        def __init__(self, step: int) -> None:
            self.step = step

        def __call__(self, state: int, event: int) -> int:
            return state + event * self.step

        def add(self, state: int, event: int) -> int:
            return state + event + self.step

    def plus(step: int, state: int, event: int) -> int:
        return state + event * step

    found = [Adder(1), Adder(2), Adder(1).add, Adder(2).add, functools.partial(plus, 1), functools.partial(plus, 2)]
    assert len({fingerprint(each) for each in found}) == 6
    assert fingerprint(Adder(1)) == fingerprint(Adder(1))


def test_a_fold_whose_code_cannot_be_seen_needs_a_version() -> None:
    card = loaded(SHOP)
    with pytest.raises(ConfigurationError, match="cannot be seen"):
        _with_evolve(card, operator.add, None)
    assert _with_evolve(card, operator.add, Snapshots(every_events=1, version="1")).fingerprint()


def _with_evolve(decider: Decider[Any, Any, Any], evolve: Any, snapshots: Snapshots | None) -> Decider[Any, Any, Any]:
    return Decider(
        category=decider.category,
        initial=decider.initial,
        decide=decider.decide,
        evolve=evolve,
        target=decider.target,
        commands=decider.commands,
        events=decider.events,
        snapshots=snapshots,
    )

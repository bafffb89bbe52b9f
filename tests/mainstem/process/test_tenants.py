"""Processes of tenants: begun by a tenant's event they act in that tenant, and none can be told in another's name."""

import time
from decimal import Decimal
from pathlib import Path
from typing import Any

from msgspec import Struct

from bank.card import CARD, BlockCard, Card, MoneyWithdrawn, OpenCard, Withdraw
from mainstem import EVENT_TOPIC, Application, Heard, Hearing, ProcessManager, Reaction, heard_event, recorded_events
from mainstem.assembly import embedded
from mainstem.eventstore.port import Refusal
from mainstem.history import History
from mainstem.messages import Origin, Recorded
from mainstem.process.rows import InboxRow, inbox_of
from mainstem.settings import Settings


class Emptied(Struct, frozen=True, tag=True):
    """Something was withdrawn from the card."""

    card: str


class Watch(Struct, frozen=True):
    """Nothing is to be known."""


def _react(watch: Watch, message: Any, _now_ms: int) -> Reaction[Watch]:
    if isinstance(message, Emptied):
        return Reaction(watch, send=(BlockCard(card=message.card, reason="used"),))
    return Reaction(watch)


def _heard(recorded: Recorded[Any]) -> Heard | None:
    """A process may have a name that no card has: what an application may do by mistake."""
    if not isinstance(recorded.payload, MoneyWithdrawn):
        return None
    return heard_event(recorded, recorded.id.removeprefix("x").replace(".", "/"), Emptied(recorded.id))


def _application(heard: Any = _heard) -> Application:
    events = recorded_events(CARD.events, categories=[CARD.category])
    watch = ProcessManager(
        name="watch",
        initial=Watch(),
        react=_react,
        messages=(Emptied,),
        commands=(BlockCard,),
        hears=(Hearing(EVENT_TOPIC, events, heard),),
    )
    return Application(name="watching", deciders=(CARD,), processes=(watch,))


def _use(running: Any, card: str, tenant: str | None) -> None:
    for command in (OpenCard(card=card, limit=Decimal(10)), Withdraw(card=card, amount=Decimal(1))):
        running.commands.execute(command, origin=Origin(tenant=tenant))


def _status(running: Any, card: str, tenant: str | None) -> str:
    state: Card = History(running.events, CARD).at(card, tenant=tenant).state
    return state.status


def test_what_a_tenants_event_begins_acts_in_the_tenant(tmp_path: Path) -> None:
    with embedded(_application(), Settings(data_dir=tmp_path, tenants="acme,globex")) as running:
        for tenant in (None, "acme", "globex"):
            running.commands.execute(OpenCard(card="1", limit=Decimal(10)), origin=Origin(tenant=tenant))
        running.commands.execute(Withdraw(card="1", amount=Decimal(1)), origin=Origin(tenant="acme"))
        assert running.settle(30)
        assert [_status(running, "1", tenant) for tenant in (None, "acme", "globex")] == ["active", "blocked", "active"]
        last = running.events.read("/acme/debit_card-1")[-1]
        assert (last.correlation_id, last.causation_id) == ("/acme/watch-1", "/acme/watch-1:1")
        assert [(each.id, each.pending) for each in running.processes.list(tenant="acme")] == [("1", 0)]
        assert running.processes.list() == running.processes.list(tenant="globex") == []
        assert running.processes.find("watch", "1", "acme") is not None
        assert running.processes.find("watch", "/acme/1") is None


def test_no_process_is_told_in_a_tenants_name(tmp_path: Path) -> None:
    """A name that a tenant's would be taken for is a dead letter, and nothing is told to anybody."""
    with embedded(_application(), Settings(data_dir=tmp_path, tenants="acme")) as running:
        _use(running, "1", "acme")
        assert running.settle(30)
        steps = len(running.events.read("/acme/watch-1"))
        _use(running, "x.acme.1", None)
        assert running.settle(30)
        assert len(running.events.read("/acme/watch-1")) == steps
        assert _status(running, "x.acme.1", None) == "active"
        assert running.views.parked("watch-1").keys() == {"debit_card-x.acme.1"}
        _use(running, "2", "acme")
        assert running.settle(30)
        assert _status(running, "2", "acme") == "blocked"


def test_without_tenants_such_a_name_is_one_like_any_other(tmp_path: Path) -> None:
    with embedded(_application(), Settings(data_dir=tmp_path)) as running:
        _use(running, "x.acme.1", None)
        assert running.settle(30)
        assert _status(running, "x.acme.1", None) == "blocked"
        assert [each.id for each in running.processes.list()] == ["/acme/1"]


def test_processes_of_each_are_listed_in_pages_of_their_own(tmp_path: Path) -> None:
    """Those of no tenant are before and behind those of tenants, by the order of characters."""
    with embedded(_application(), Settings(data_dir=tmp_path, tenants="a,a-b,b")) as running:
        for name in ("x-1", "x_", "0", "1", "a"):
            _use(running, name, None)
        for tenant in ("a", "a-b", "b"):
            for name in ("0", "1"):
                _use(running, name, tenant)
        assert running.settle(60)
        own = ["-1", "0", "1", "_", "a"]
        assert [each.id for each in running.processes.list()] == own
        for limit in range(1, 6):
            assert [each.id for each in running.processes.list(limit=limit)] == own[:limit]
        for tenant in ("a", "a-b", "b"):
            assert [each.id for each in running.processes.list(tenant=tenant)] == ["0", "1"]
            assert [each.id for each in running.processes.list(tenant=tenant, limit=1)] == ["0"]
        assert running.processes.list(tenant="b", status="stuck") == []


def test_a_process_that_knows_of_no_tenants_does_nothing_for_them(tmp_path: Path) -> None:
    """Rather than for what is of none: the settings of one process of several were left behind."""
    with embedded(_application(), Settings(data_dir=tmp_path)) as running:
        row = InboxRow("card:1", "/acme/1", "card", 1, "card:1", '{"type":"Emptied","card":"1"}')
        kept = Refusal(
            stream="/acme/debit_card-1",
            command="Withdraw",
            content=b"{}",
            reason="no",
            text="no",
            refused_at_ms=1,
            actor="tess",
        )
        with running.events.transaction() as transaction:
            transaction.keep_refusal(kept)
        with running.views.transaction() as writing:
            writing.put(inbox_of(running.application.processes[0], 1), [row])
        deadline = time.monotonic() + 30
        while (reason := running.driver.status().reason) is None and time.monotonic() < deadline:
            time.sleep(0.01)
        assert "name them in MAINSTEM_TENANTS of every process" in str(reason)
        assert running.events.read("watch-/acme/1") == []

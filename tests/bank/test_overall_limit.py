"""The cards of one customer share an overall limit: what they decide, alone and with each other."""

from collections.abc import Sequence
from contextlib import ExitStack, closing
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
import pytest
from hypothesis import given as for_all
from hypothesis import settings as effort
from hypothesis import strategies as st
from typer.testing import CliRunner

from bank.card import (
    CARD,
    DEBIT_CARD,
    BlockCard,
    CardBlocked,
    CardOpened,
    CloseCard,
    GiveBack,
    MoneyRepaid,
    MoneyWithdrawn,
    OpenCard,
    Repay,
    SettleTransfer,
    UnblockCard,
    Withdraw,
)
from bank.customer import CUSTOMER, RemoveOverallLimit, SetOverallLimit
from bank.main import application
from bank.overall import OverallLimitRemoved, OverallLimitSet, customer_tag
from bank.transfer import TRANSFER, TransferRequested
from mainstem import Command, Event, Refused
from mainstem.assembly import embedded
from mainstem.cli import app
from mainstem.command.answer import Answer
from mainstem.command.handler import Handler, Request
from mainstem.eventstore.sqlite import SqliteEventStore
from mainstem.history import TagHistory
from mainstem.messages import SYSTEM
from mainstem.settings import Settings
from mainstem.testing import given


def m(text: str) -> Decimal:
    return Decimal(text)


OPENED = CardOpened(limit=m("100.00"), customer="c-1")
LIMIT = OverallLimitSet(customer="c-1", limit=m("150.00"))
ELSEWHERE = MoneyWithdrawn(amount=m("80.00"))


def test_a_card_may_be_opened_for_a_customer() -> None:
    given(CARD).when(OpenCard(card="a", limit=m("100"), customer="c-1")).then(OPENED)
    given(CARD).when(OpenCard(card="a", limit=m("100"))).then(CardOpened(limit=m("100.00")))


@pytest.mark.parametrize("name", ["", "x" * 37, "a b", "ü", "-a", "x" * 1000])
def test_an_unusable_name_is_no_customer(name: str) -> None:
    given(CARD).when(OpenCard(card="a", limit=m("1"), customer=name)).then_refused("invalid-customer")
    given(CUSTOMER).when(SetOverallLimit(customer=name, limit=m("1"))).then_refused("invalid-customer")


def test_all_cards_together_stay_within_the_overall_limit() -> None:
    """To the cent; what the card itself has left counts first."""
    story = given(CARD, OPENED).elsewhere(LIMIT, OPENED, ELSEWHERE)
    story.when(Withdraw(card="a", amount=m("70"))).then(MoneyWithdrawn(amount=m("70.00")))
    text = "Card a not able to withdraw 70.01. All cards of customer c-1 have 70 left"
    story.when(Withdraw(card="a", amount=m("70.01"))).then_refused("overall-limit-exceeded", text)
    story.when(Withdraw(card="a", amount=m("100.01"))).then_refused("insufficient-balance")


def test_what_the_card_itself_uses_counts_too() -> None:
    story = given(CARD, OPENED, MoneyWithdrawn(amount=m("60.00"))).elsewhere(LIMIT, ELSEWHERE)
    story.when(Withdraw(card="a", amount=m("10.01"))).then_refused("overall-limit-exceeded")
    story.when(Withdraw(card="a", amount=m("10"))).then(MoneyWithdrawn(amount=m("10.00")))


def test_a_repayment_on_any_card_makes_room() -> None:
    story = given(CARD, OPENED).elsewhere(LIMIT, ELSEWHERE, MoneyRepaid(amount=m("30.00")))
    story.when(Withdraw(card="a", amount=m("100"))).then(MoneyWithdrawn(amount=m("100.00")))


def test_what_a_blocked_card_uses_still_counts() -> None:
    story = given(CARD, OPENED).elsewhere(LIMIT, ELSEWHERE, CardBlocked(note="lost"))
    story.when(Withdraw(card="a", amount=m("71"))).then_refused("overall-limit-exceeded")


def test_what_is_held_for_a_transfer_counts_until_it_comes_back() -> None:
    held = MoneyWithdrawn(amount=m("60.00"), transfer="t-1")
    story = given(CARD, OPENED, held).elsewhere(LIMIT, ELSEWHERE)
    story.when(Withdraw(card="a", amount=m("20"))).then_refused("overall-limit-exceeded")
    story.when(Withdraw(card="a", amount=m("60"), transfer="t-1")).then()
    back = given(CARD, OPENED, held, MoneyRepaid(amount=m("60.00"), transfer="t-1")).elsewhere(LIMIT, ELSEWHERE)
    back.when(Withdraw(card="a", amount=m("20"))).then(MoneyWithdrawn(amount=m("20.00")))


def test_without_an_overall_limit_a_card_has_its_own_alone() -> None:
    given(CARD, OPENED).elsewhere(OPENED, ELSEWHERE).when(Withdraw(card="a", amount=m("100"))).then(
        MoneyWithdrawn(amount=m("100.00"))
    )


def test_a_card_of_no_customer_is_decided_alone() -> None:
    story = given(CARD, CardOpened(limit=m("100.00"))).elsewhere(LIMIT)
    with pytest.raises(AssertionError, match="it has no tags"):
        story.when(Withdraw(card="a", amount=m("1")))


def test_an_overall_limit_is_never_below_what_is_used() -> None:
    """Of the same limit nothing comes."""
    story = given(CUSTOMER, LIMIT).elsewhere(OPENED, ELSEWHERE)
    story.when(SetOverallLimit(customer="c-1", limit=m("80"))).then(OverallLimitSet(customer="c-1", limit=m("80.00")))
    text = "Customer c-1 cannot have the overall limit 79.99. Used is 80"
    story.when(SetOverallLimit(customer="c-1", limit=m("79.99"))).then_refused("overall-limit-below-used", text)
    story.when(SetOverallLimit(customer="c-1", limit=m("150"))).then()
    story.when(SetOverallLimit(customer="c-1", limit=m("0.001"))).then_refused("invalid-amount")


def test_an_overall_limit_is_removed() -> None:
    """A card has its own alone then; where there is none, nothing comes of it; and another can be set."""
    removed = OverallLimitRemoved(customer="c-1")
    given(CUSTOMER, LIMIT).when(RemoveOverallLimit(customer="c-1")).then(removed)
    given(CUSTOMER).when(RemoveOverallLimit(customer="c-1")).then()
    given(CUSTOMER, LIMIT, removed).when(RemoveOverallLimit(customer="c-1")).then()
    given(CUSTOMER).when(RemoveOverallLimit(customer="a b")).then_refused("invalid-customer")
    given(CARD, OPENED).elsewhere(LIMIT, ELSEWHERE, removed).when(Withdraw(card="a", amount=m("100"))).then(
        MoneyWithdrawn(amount=m("100.00"))
    )
    given(CUSTOMER, LIMIT, removed).elsewhere(ELSEWHERE, LIMIT, removed).when(
        SetOverallLimit(customer="c-1", limit=m("80"))
    ).then(OverallLimitSet(customer="c-1", limit=m("80.00")))


def test_everything_that_happens_to_the_cards_is_found_by_the_customer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In Python and on the command line, across streams; cards of others, and of nobody, are not."""
    settings = Settings(data_dir=tmp_path, topic_partitions=1)
    with embedded(application, settings) as running:
        for command in (
            OpenCard(card="a", limit=m("100"), customer="c-1"),
            OpenCard(card="b", limit=m("100"), customer="c-1"),
            OpenCard(card="c", limit=m("100"), customer="c-2"),
            OpenCard(card="d", limit=m("100")),
            SetOverallLimit(customer="c-1", limit=m("50")),
            *(Withdraw(card=card, amount=m("20")) for card in "abcd"),
        ):
            running.commands.execute(command)
        with pytest.raises(Refused, match="have 10 left"):
            running.commands.execute(Withdraw(card="a", amount=m("20")))
        found = TagHistory(running.events, application.deciders).events(customer_tag("c-1"))
        assert running.settle()
    expected = [
        ("debit_card-a", "CardOpened"),
        ("debit_card-b", "CardOpened"),
        ("customer-c-1", "OverallLimitSet"),
        ("debit_card-a", "MoneyWithdrawn"),
        ("debit_card-b", "MoneyWithdrawn"),
    ]
    assert [(each.stream, type(each.happened.event).__name__) for each in found] == expected
    monkeypatch.setenv("MAINSTEM_DATA_DIR", str(tmp_path))
    shown = CliRunner().invoke(app, ["events", "tagged", "customer:c-1", "--after", "1", "--limit", "3", "--json"])
    assert shown.exit_code == 0, shown.output
    lines = msgspec.json.decode(shown.output.encode())
    assert [(line["number"], line["stream"], line["type"]) for line in lines] == [
        (number, *each) for number, each in enumerate(expected[1:4], 2)
    ]
    assert "customer-c-1" in CliRunner().invoke(app, ["events", "tagged", "customer:c-1"]).output


class Writer:
    """One process's writer on the store that all have, with what it remembers."""

    def __init__(self, path: Path) -> None:
        self.store = SqliteEventStore(path, [DEBIT_CARD], clock_ms=lambda: 1_000)
        self._handler = Handler([CARD, CUSTOMER], clock_ms=lambda: 1_000, remembered=2)

    def carry_out(self, commands: Sequence[Command], *, lost: bool = False) -> None:
        """A batch, in one transaction; the power goes before it is committed where it is `lost`."""
        requests = [Request(command, None, SYSTEM) for command in commands]
        self._handler.begin()
        try:
            with self.store.transaction() as transaction:
                for routed in self._handler.expect(transaction, requests):
                    outcome = self._handler.handle(transaction, routed)
                    assert isinstance(outcome, Answer | Refused)
                if lost:
                    raise KeyError("power")
        except KeyError:
            self._handler.forget()
            return
        self._handler.committed(lambda _: False)

    def close(self) -> None:
        """Give the store back."""
        self.store.close()


_CARDS = st.sampled_from(["a", "b", "c", "d"])
_AMOUNTS = st.integers(1, 60).map(Decimal)
_COMMANDS: st.SearchStrategy[Command] = st.one_of(
    st.builds(Withdraw, card=_CARDS, amount=_AMOUNTS),
    st.builds(Withdraw, card=_CARDS, amount=_AMOUNTS, transfer=st.sampled_from(["t-1", "t-2"])),
    st.builds(Repay, card=_CARDS, amount=_AMOUNTS),
    st.builds(GiveBack, card=_CARDS, transfer=st.sampled_from(["t-1", "t-2"])),
    st.builds(SettleTransfer, card=_CARDS, transfer=st.sampled_from(["t-1", "t-2"])),
    st.builds(SetOverallLimit, customer=st.just("c-1"), limit=_AMOUNTS),
    st.builds(RemoveOverallLimit, customer=st.just("c-1")),
    st.builds(OpenCard, card=_CARDS, limit=st.just(Decimal(50)), customer=st.just("c-1")),
    st.builds(BlockCard, card=_CARDS, reason=st.just("why")),
    st.builds(UnblockCard, card=_CARDS),
    st.builds(CloseCard, card=_CARDS),
)


_BATCHES = st.lists(st.tuples(st.integers(0, 2), st.booleans(), st.lists(_COMMANDS, max_size=4)), max_size=25)


@effort(max_examples=50, deadline=None)
@for_all(_BATCHES)
def test_whoever_writes_the_cards_use_no_more_than_they_may(batches: list[tuple[int, bool, list[Command]]]) -> None:
    """Any commands in any batches, some of which are lost, by three writers in any order: by events and by rows."""
    with TemporaryDirectory() as folder, ExitStack() as stack:
        writers = [stack.enter_context(closing(Writer(Path(folder) / "events.db"))) for _ in range(3)]
        writers[0].carry_out([OpenCard(card=card, limit=Decimal(50), customer="c-1") for card in "ab"])
        for number, lost, commands in batches:
            writers[number].carry_out(commands, lost=lost)
            used, limit = Decimal(0), Decimal("Infinity")
            for each in TagHistory(writers[0].store, [CARD, CUSTOMER]).events(customer_tag("c-1"), limit=10_000):
                event = each.happened.event
                used += _moved(event)
                if isinstance(event, OverallLimitSet | OverallLimitRemoved):
                    limit = event.limit if isinstance(event, OverallLimitSet) else Decimal("Infinity")
                assert used <= limit
            assert used == sum((row.used_limit for row in writers[0].store.states(DEBIT_CARD)), Decimal(0))


def _moved(event: Event) -> Decimal:
    if isinstance(event, MoneyWithdrawn):
        return event.amount
    return -event.amount if isinstance(event, MoneyRepaid) else Decimal(0)


@pytest.mark.parametrize(("limit", "phase", "used"), [("60", "completed", (10, 40)), ("59", "refused", (0, 50))])
def test_a_transfer_between_two_cards_needs_room_while_it_is_under_way(
    tmp_path: Path, limit: str, phase: str, used: tuple[int, int]
) -> None:
    """Afterwards as much is used together as before."""
    with embedded(application, Settings(data_dir=tmp_path, topic_partitions=1)) as running:
        for command in (
            OpenCard(card="a", limit=m("100"), customer="c-1"),
            OpenCard(card="b", limit=m("100"), customer="c-1"),
            SetOverallLimit(customer="c-1", limit=m(limit)),
            Withdraw(card="b", amount=m("50")),
        ):
            running.commands.execute(command)
        asked = TransferRequested("t-1", "a", "b", m("10"))
        running.commands.execute(running.processes.beginning(TRANSFER, "t-1", asked))
        assert running.settle()
        transfer = running.processes.find(TRANSFER.name, "t-1")
        assert transfer is not None
        assert (transfer.state.phase, transfer.state.reason) == (phase, "" if used[0] else "overall-limit-exceeded")
        rows = {row.id: row.used_limit for row in running.events.states(DEBIT_CARD)}
        assert (int(rows["a"]), int(rows["b"])) == used

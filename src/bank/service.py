"""The bank as its HTTP application asks it: commands, and questions of the views and the analytical store."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any, TypeVar

from litestar import Request, Response
from msgspec import Struct
from msgspec.structs import replace

from bank.analytics import Facts
from bank.balance import CARD_BALANCE, CardBalance
from bank.card import CARD, CardCommand, DebitCard, amount_of
from bank.customer import CustomerCommand, RemoveOverallLimit, SetOverallLimit
from bank.holder import CARD_HOLDER
from bank.refusal import REFUSAL
from bank.statement import MONEY_WITHDRAWAL
from bank.transfer import TRANSFER, Transfer, TransferRequested
from mainstem import AsOf, Refused, iso_time, position_token
from mainstem.assembly import Running
from mainstem.history import Happened, History
from mainstem.process.step import Stepped
from mainstem.query.access import Grant, grant_of
from mainstem.query.cursor import read_cursor
from mainstem.query.input import idempotency_key
from mainstem.query.reading import POSITION_HEADER
from mainstem.query.web import json_response
from mainstem.refusals import KeptRefusal, RefusalReader, retry_of
from mainstem.tenancy import qualified, shown
from mainstem.view.port import ViewStore

R = TypeVar("R")
_Request = Request[Any, Any, Any]

_READERS = 4

BANK = "bank"
"""What a customer sees in the place of an actor that is somebody else."""


class CardView(Struct, frozen=True, rename="camel", omit_defaults=True):
    """A card: `balance` is what can still be withdrawn. `holder` is there where it is asked for and has one."""

    id: str
    limit: Decimal
    used: Decimal
    balance: Decimal
    status: str
    version: int
    holder: str | None = None


class CustomerView(Struct, frozen=True, rename="camel"):
    """A customer: `limit` is what all of the customer's cards may use together, null where nothing says so."""

    id: str
    limit: Decimal | None
    version: int


class StatementLine(Struct, frozen=True, rename="camel"):
    """A line of the mini statement."""

    id: str
    debit_card_id: str
    amount: Decimal
    transaction_date: str


class CardEventView(Struct, frozen=True, rename="camel"):
    """Something that happened to a card: what, when it occurred and was recorded, who asked, and because of what."""

    version: int
    type: str
    data: dict[str, Any]
    occurred_at: str
    recorded_at: str
    actor: str
    correlation_id: str | None
    causation_id: str | None


class CardChange(Struct, frozen=True, rename="camel"):
    """A field of a card that has another value at the later of two moments."""

    field: str
    before: Any
    after: Any


class CardDifference(Struct, frozen=True, rename="camel"):
    """The versions of a card at two moments, and what differs."""

    from_version: int
    to_version: int
    changes: list[CardChange]


class RefusalView(Struct, frozen=True, rename="camel"):
    """A refused command: why, when, and who asked."""

    id: str
    card: str
    command: str
    reason: str
    detail: str
    refused_at: str
    actor: str


class TransferView(Struct, frozen=True, rename="camel"):
    """A transfer and how far it is; `reason` is why the money stays where it was. It has `ended`, or goes on."""

    transfer_id: str
    from_card: str
    to_card: str
    amount: Decimal
    status: str
    ended: bool
    reason: str | None
    detail: str | None
    requested_at: str
    changed_at: str


class Bank:
    """The bank's questions and commands, asked of the running application."""

    def __init__(self, running: Running) -> None:
        self._running = running
        self._readers = ThreadPoolExecutor(_READERS, thread_name_prefix="query")
        self._analysts = ThreadPoolExecutor(_READERS, thread_name_prefix="analytics")
        self._history = History(running.events, CARD)

    def facts(self, grant: Grant) -> Facts:
        """The facts of the analytical store that the request may ask for."""
        return Facts(self._running.olap, grant.tenant, self.apart)

    @property
    def views(self) -> ViewStore:
        """The views."""
        return self._running.views

    @property
    def refused(self) -> RefusalReader:
        """The refused commands, as the command side keeps them."""
        return self._running.events.refusals

    @property
    def apart(self) -> bool:
        """Whether there are tenants, which are kept apart."""
        return self._running.tenants.apart

    async def end(self) -> None:
        """Called by the server after the last request."""
        self._readers.shutdown(wait=False)
        self._analysts.shutdown(wait=False)

    async def command(self, request: _Request, command: CardCommand, status: int, location: str) -> Response[Any]:
        """Send the command; the answer is the card as it stands after it, with the position to wait for."""
        grant = grant_of(request)
        grant.check(command.card)
        answer = await self._running.commands.send(
            command, key=grant.key(idempotency_key(request)), origin=grant.origin
        )
        return _answered(answer, status, location, grant)

    async def command_of_customer(self, request: _Request, command: CustomerCommand) -> Response[Any]:
        """Send the command; the answer is the customer as it stands after it."""
        grant = grant_of(request)
        answer = await self._running.commands.send(
            command, key=grant.key(idempotency_key(request)), origin=grant.origin
        )
        return _answered_customer(command, answer)

    async def retry(self, request: _Request, kept: KeptRefusal) -> Response[Any]:
        """Send a refused command again, once, as the caller. Raises InvalidCommand where it cannot be read today."""
        grant = grant_of(request)
        made = retry_of(kept, self._running.application.all_deciders(), grant.subject)
        answer = await self._running.commands.send(
            made.command, key=made.key, origin=made.origin, retry_of=made.retry_of
        )
        if isinstance(made.command, SetOverallLimit | RemoveOverallLimit):
            return _answered_customer(made.command, answer)
        return _answered(answer, 200, f"/cards/{shown(grant.tenant, answer.aggregate_id)}", grant)

    async def transfer(self, request: _Request, asked: TransferRequested) -> Response[Any]:
        """Begin a transfer, or show how far the same one is. Raises Refused for another of its name."""
        grant = grant_of(request)
        grant.check(asked.from_card)
        command = self._running.processes.beginning(TRANSFER, asked.transfer, asked)
        await self._running.commands.send(command, origin=grant.origin)
        view = await self.read(request, lambda grant: self.transferred(grant, asked.transfer))
        return json_response(view, 202, {"Location": f"/transfers/{asked.transfer}"})

    def transferred(self, grant: Grant, transfer: str) -> TransferView:
        """How far a transfer is. Raises Refused for an unknown one, Forbidden where its card is not the caller's."""
        found = self._running.processes.find(TRANSFER.name, transfer, grant.tenant)
        grant.check("" if found is None else found.state.from_card)
        if found is None:
            raise Refused("transfer-unknown", f"Transfer {transfer} does not exist")
        return _view_of_transfer(found)

    async def read(self, request: _Request, question: Callable[[Grant], R]) -> R:
        """Ask a store, off the event loop. The question is told what the request may touch."""
        return await asyncio.get_running_loop().run_in_executor(self._readers, question, grant_of(request))

    async def analyse(self, request: _Request, question: Callable[[Grant], R]) -> R:
        """Ask the analytical store, whose answers may take seconds: nobody who asks for views waits behind them."""
        return await asyncio.get_running_loop().run_in_executor(self._analysts, question, grant_of(request))

    def card(self, grant: Grant, card_id: str) -> CardView:
        """The card in the balance view. Raises Refused for an unknown one."""
        rows = self._running.views.find(CARD_BALANCE, {"id": qualified(grant.tenant, card_id)}, limit=1)
        if not rows:
            raise Refused("card-unknown", f"Card {card_id} does not exist")
        holders = self._running.views.get(CARD_HOLDER, [(qualified(grant.tenant, card_id),)])
        opened = self._running.vault.open_all(list(holders.values()), qualified(grant.tenant, ""))
        return _view_of_balance(rows[0], card_id, opened[0].holder if opened else None)

    def card_at(self, grant: Grant, card_id: str, moment: AsOf) -> CardView:
        """The card as it stood, from its events. Raises Refused for one that did not exist then."""
        past = self._history.at(card_id, moment, tenant=grant.tenant)
        if past.row is None:
            raise Refused("card-unknown", f"Card {card_id} did not exist then")
        holder = self._running.vault.open(past.state, qualified(grant.tenant, "")).holder
        return replace(_view_of_state(past.row, grant), holder=holder)

    def happened(self, grant: Grant, card_id: str, limit: int, cursor: str | None) -> list[CardEventView]:
        """A page of the card's events, oldest first. Raises Refused for an unknown card."""
        query = qualified(grant.tenant, f"/cards/{card_id}/history")
        after = 0 if cursor is None else int(read_cursor(cursor, (int,), query)[0])
        found = self._history.events(card_id, after, limit, tenant=grant.tenant)
        if not found and not self._history.events(card_id, limit=1, tenant=grant.tenant):
            raise Refused("card-unknown", f"Card {card_id} does not exist")
        events = self._running.vault.open_all([each.event for each in found], qualified(grant.tenant, ""))
        return [_view_of_event(replace(e, event=event), grant) for e, event in zip(found, events, strict=True)]

    def difference(self, grant: Grant, card_id: str, earlier: AsOf, later: AsOf) -> CardDifference:
        """What changed between two moments. Raises Refused for a card that did not exist at the later one."""
        found = self._history.between(card_id, earlier, later, tenant=grant.tenant)
        if not found.after.version:
            raise Refused("card-unknown", f"Card {card_id} did not exist then")
        before, after = self._running.vault.open_all(
            [found.before.state, found.after.state], qualified(grant.tenant, "")
        )
        changes = [CardChange(e.field, getattr(before, e.field), getattr(after, e.field)) for e in found.changes]
        return CardDifference(found.before.version, found.after.version, changes)

    def lines(self, grant: Grant, card_id: str, limit: int, cursor: str | None) -> list[StatementLine]:
        """A page of the mini statement, newest first."""
        query = qualified(grant.tenant, f"/moneywithdrawals?debitCardId={card_id}")
        after = None if cursor is None else read_cursor(cursor, (str,), query)
        rows = self._running.views.find(
            MONEY_WITHDRAWAL,
            {"debit_card_id": qualified(grant.tenant, card_id)},
            order=("id",),
            descending=True,
            after=after,
            limit=limit,
        )
        return [StatementLine(r.id, card_id, r.amount, iso_time(r.transaction_date_ms)) for r in rows]

    def refusals(self, grant: Grant, card_id: str, limit: int, cursor: str | None) -> list[RefusalView]:
        """A page of refused commands, newest first."""
        query = qualified(grant.tenant, f"/cards/{card_id}/refusals")
        after = None if cursor is None else read_cursor(cursor, (str,), query)
        of_card = {"card": qualified(grant.tenant, card_id)}
        rows = self._running.views.find(REFUSAL, of_card, order=("id",), descending=True, after=after, limit=limit)
        return [
            RefusalView(r.id, card_id, r.command, r.reason, r.text, iso_time(r.refused_at_ms), _actor(r.actor, grant))
            for r in rows
        ]


def _answered(answer: Any, status: int, location: str, grant: Grant) -> Response[Any]:
    headers = {POSITION_HEADER: position_token(answer.position), "Location": location}
    if answer.replayed:
        headers["Idempotency-Replayed"] = "true"
    return json_response(_view_of_state(answer.row, grant), status, headers)


def _answered_customer(command: CustomerCommand, answer: Any) -> Response[Any]:
    """No view shows customers, so there is no position to wait for."""
    headers = {"Idempotency-Replayed": "true"} if answer.replayed else {}
    limit = None
    if isinstance(command, SetOverallLimit):
        limit = amount_of(command.limit, "limit", zero_allowed=True)
    return json_response(CustomerView(command.customer, limit, answer.version), 200, headers)


def _view_of_state(row: Any, grant: Grant) -> CardView:
    if not isinstance(row, DebitCard):
        raise TypeError("a command for a card is answered with its state row")
    balance = row.initial_limit - row.used_limit
    card_id = shown(grant.tenant, row.id)
    return CardView(card_id, row.initial_limit, row.used_limit, balance, row.status, row.version)


def _actor(actor: str, grant: Grant) -> str:
    """Who it was, as far as the caller may know: customers see no names of those who work at the bank."""
    return actor if grant.only is None or actor == grant.subject else BANK


def _view_of_event(happened: Happened, grant: Grant) -> CardEventView:
    event = happened.event
    return CardEventView(
        happened.version,
        type(event).__name__,
        {name: getattr(event, name) for name in event.__struct_fields__},
        iso_time(happened.occurred_at_ms),
        iso_time(happened.recorded_at_ms),
        _actor(happened.actor, grant),
        happened.correlation_id,
        happened.causation_id,
    )


def _view_of_transfer(step: Stepped) -> TransferView:
    transfer: Transfer = step.state
    return TransferView(
        transfer.id,
        transfer.from_card,
        transfer.to_card,
        transfer.amount,
        transfer.phase,
        step.status == "ended",
        transfer.reason or None,
        transfer.text or None,
        iso_time(step.begun_at_ms),
        iso_time(step.changed_at_ms),
    )


def _view_of_balance(row: CardBalance, card_id: str, holder: str | None) -> CardView:
    return CardView(card_id, row.card_limit, row.used, row.card_limit - row.used, row.status, row.version, holder)

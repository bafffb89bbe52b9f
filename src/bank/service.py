"""The bank as its HTTP application asks it: commands, and questions of the views and the analytical store."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any, TypeVar

from litestar import Request, Response
from msgspec import Struct

from bank.balance import CARD_BALANCE, CardBalance
from bank.card import CardCommand, DebitCard
from bank.refusal import REFUSAL
from bank.statement import MONEY_WITHDRAWAL, iso_time
from mainstem import Olap, Origin, Refused, position_token, read_position_token
from mainstem.assembly import Running
from mainstem.query.access import grant_of
from mainstem.query.cursor import read_cursor
from mainstem.query.freshness import Freshness
from mainstem.query.input import idempotency_key
from mainstem.query.web import POSITION_HEADER, json_response

R = TypeVar("R")
_Request = Request[Any, Any, Any]

_READERS = 4


class CardView(Struct, frozen=True, rename="camel"):
    """A card: `balance` is what can still be withdrawn."""

    id: str
    limit: Decimal
    used: Decimal
    balance: Decimal
    status: str
    version: int


class StatementLine(Struct, frozen=True, rename="camel"):
    """A line of the mini statement."""

    id: str
    debit_card_id: str
    amount: Decimal
    transaction_date: str


class RefusalView(Struct, frozen=True, rename="camel"):
    """A refused command: why, when, and who asked."""

    id: str
    card: str
    command: str
    reason: str
    detail: str
    refused_at: str
    actor: str


class Bank:
    """The bank's questions and commands, asked of the running application."""

    def __init__(self, running: Running) -> None:
        self._running = running
        self._wait_s = running.settings.query_wait_max_ms / 1000
        self._readers = ThreadPoolExecutor(_READERS, thread_name_prefix="query")
        self._freshness: Freshness | None = None

    @property
    def olap(self) -> Olap:
        """The analytical store."""
        return self._running.olap

    async def begin(self) -> None:
        """Called by the server, in its event loop, before the first request."""
        self._freshness = Freshness(self._running.views, asyncio.get_running_loop())

    async def end(self) -> None:
        """Called by the server after the last request."""
        if self._freshness is not None:
            self._freshness.close()
        self._readers.shutdown(wait=False)

    async def command(self, request: _Request, command: CardCommand, status: int, location: str) -> Response[Any]:
        """Send the command; the answer is the card as it stands after it, with the position to wait for."""
        grant = grant_of(request)
        grant.check(command.card)
        answer = await self._running.commands.send(
            command, key=grant.key(idempotency_key(request)), origin=Origin(actor=grant.subject)
        )
        headers = {POSITION_HEADER: position_token(answer.position), "Location": location}
        if answer.replayed:
            headers["Idempotency-Replayed"] = "true"
        return json_response(_view_of_state(answer.row), status, headers)

    async def read(self, question: Callable[[], R], group: str = "", *tokens: str | None) -> R:
        """Ask a store, off the event loop, once the group's view has the position that was named (if any)."""
        token = next((token for token in tokens if token is not None), None)
        if token is not None and self._freshness is not None:
            await self._freshness.reached(group, read_position_token(token), self._wait_s)
        return await asyncio.get_running_loop().run_in_executor(self._readers, question)

    def card(self, card_id: str) -> CardView:
        """The card in the balance view. Raises Refused for an unknown one."""
        rows = self._running.views.find(CARD_BALANCE, {"id": card_id}, limit=1)
        if not rows:
            raise Refused("card-unknown", f"Card {card_id} does not exist")
        return _view_of_balance(rows[0])

    def lines(self, card_id: str, limit: int, cursor: str | None) -> list[StatementLine]:
        """A page of the mini statement, newest first."""
        after = None if cursor is None else read_cursor(cursor, (str,))
        rows = self._running.views.find(
            MONEY_WITHDRAWAL,
            {"debit_card_id": card_id},
            order=("id",),
            descending=True,
            after=after,
            limit=limit,
        )
        return [StatementLine(r.id, r.debit_card_id, r.amount, iso_time(r.transaction_date_ms)) for r in rows]

    def refusals(self, card_id: str, limit: int, cursor: str | None) -> list[RefusalView]:
        """A page of refused commands, newest first."""
        after = None if cursor is None else read_cursor(cursor, (str,))
        rows = self._running.views.find(
            REFUSAL, {"card": card_id}, order=("id",), descending=True, after=after, limit=limit
        )
        return [
            RefusalView(r.id, r.card, r.command, r.reason, r.text, iso_time(r.refused_at_ms), r.actor) for r in rows
        ]


def _view_of_state(row: Any) -> CardView:
    if not isinstance(row, DebitCard):
        raise TypeError("a command for a card is answered with its state row")
    balance = row.initial_limit - row.used_limit
    return CardView(row.id, row.initial_limit, row.used_limit, balance, row.status, row.version)


def _view_of_balance(row: CardBalance) -> CardView:
    return CardView(row.id, row.card_limit, row.used, row.card_limit - row.used, row.status, row.version)

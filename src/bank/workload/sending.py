"""A workload over the public HTTP API: its rhythm at another pace, each card's commands in their order."""

import asyncio
import re
import time
import zlib
from collections.abc import Callable
from typing import Any

import httpx
import msgspec

from bank.card import CardCommand, OpenCard, Repay, Withdraw
from bank.workload.acts import Act, acts
from bank.workload.plan import Plan
from bank.workload.told import Told, kind_of
from mainstem.errors import StoreUnavailable

_TRIES, _WAIT_S = 10, 0.5
"""So often the answer to a command may be lost."""

_PATIENCE_S = 600.0
"""So long a bank may say again and again that a command should come later: many share what it takes in a minute."""

_WAIT_MAX_S = 60.0
"""As long as a bank may say that it is to be left alone; a limit of requests a minute never says more."""

_ANSWER_S = 30.0
_COME_AGAIN = (
    httpx.codes.TOO_MANY_REQUESTS,
    httpx.codes.BAD_GATEWAY,
    httpx.codes.SERVICE_UNAVAILABLE,
    httpx.codes.GATEWAY_TIMEOUT,
)
_SECONDS = re.compile(r"[0-9]{1,9}", re.ASCII)
_AHEAD = 50
"""How many commands wait for a connection."""


class _Sender:
    """`connections` at once; a card always has the same."""

    def __init__(self, url: str, token: str | None, connections: int, run: str, tell: Callable[[int], None]) -> None:
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        limits = httpx.Limits(max_connections=connections, max_keepalive_connections=connections)
        self._client = httpx.AsyncClient(base_url=url, headers=headers, timeout=_ANSWER_S, limits=limits)
        self._queues: list[asyncio.Queue[tuple[int, CardCommand] | None]] = [
            asyncio.Queue(_AHEAD) for _ in range(connections)
        ]
        self._run = run
        self._tell = tell
        self.told = Told()

    async def send(self, plan: Plan, rate: float | None) -> None:
        """All of them, on average `rate` a second; as fast as they are answered where there is none."""
        async with self._client, asyncio.TaskGroup() as group:
            for queue in self._queues:
                group.create_task(self._each(queue))
            await self._give(plan, rate)
            for queue in self._queues:
                await queue.put(None)

    async def _give(self, plan: Plan, rate: float | None) -> None:
        lasts_s = 0.0 if rate is None else plan.withdrawals / rate
        pace = lasts_s / (plan.end_ms - plan.begin_ms)
        began = time.monotonic()
        for number, act in enumerate(acts(plan)):
            await self._until(began + (act.at_ms - plan.begin_ms) * pace)
            await self._queues[self._place(act)].put((number, act.command))

    @staticmethod
    async def _until(due: float) -> None:
        left = due - time.monotonic()
        if left > 0:
            await asyncio.sleep(left)

    def _place(self, act: Act) -> int:
        return zlib.crc32(act.command.card.encode()) % len(self._queues)

    async def _each(self, queue: "asyncio.Queue[tuple[int, CardCommand] | None]") -> None:
        while (found := await queue.get()) is not None:
            number, command = found
            await self._ask(number, command)
            self._tell(isinstance(command, Withdraw))

    async def _ask(self, number: int, command: CardCommand) -> None:
        path, body = _request(command)
        headers = {"Idempotency-Key": f"{self._run}-{number}", "Content-Type": "application/json"}
        deadline, lost = time.monotonic() + _PATIENCE_S, 0
        while True:
            wait_s = _WAIT_S * (lost + 1)
            try:
                answer = await self._client.post(path, content=body, headers=headers)
            except httpx.TransportError as error:
                why, lost = type(error).__name__, lost + 1
            else:
                if answer.is_success:
                    self.told.accepted[kind_of(command)] += 1
                    return
                why = _reason(answer)
                if answer.status_code == httpx.codes.CONFLICT:
                    self.told.refused[why] += 1
                    return
                if answer.status_code not in _COME_AGAIN:
                    break
                wait_s = _told_to_wait_s(answer, wait_s)
            if lost == _TRIES or time.monotonic() + wait_s > deadline:
                break
            self.told.again += 1
            await asyncio.sleep(wait_s)
        self.told.failed[why] += 1


def send(
    url: str, plan: Plan, *, rate: float | None, connections: int, token: str | None, tell: Callable[[int], None]
) -> Told:
    """Ask for all of it; `tell` hears how many more withdrawals are done.

    A command whose answer was lost is asked for again by its key. Raises StoreUnavailable where nobody answers.
    """
    try:
        httpx.get(f"{url}/health/live", timeout=_ANSWER_S).raise_for_status()
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise StoreUnavailable(f"no bank answers at {url}: {type(error).__name__}: {error}") from error
    sender = _Sender(url, token, connections, f"workload-{plan.seed}-{time.time_ns()}", tell)
    asyncio.run(sender.send(plan, rate))
    return sender.told


def _request(command: CardCommand) -> tuple[str, bytes]:
    encode: Any = msgspec.json.Encoder(decimal_format="number").encode
    match command:
        case OpenCard():
            return "/cards", encode({"id": command.card, "limit": command.limit, "customer": command.customer})
        case Withdraw():
            body = {"debitCard": command.card, "amount": command.amount, "merchant": command.merchant}
            return "/moneywithdrawals", encode(body)
        case Repay():
            return f"/cards/{command.card}/repayments", encode({"amount": command.amount})
    raise TypeError(f"a workload has no {type(command).__name__}")


def _told_to_wait_s(answer: httpx.Response, else_s: float) -> float:
    """As long as the answer says, which may say it by a date or by nothing that can be read."""
    text = answer.headers.get("Retry-After", "")
    return min(float(text), _WAIT_MAX_S) if _SECONDS.fullmatch(text) else else_s


def _reason(answer: httpx.Response) -> str:
    try:
        return str(answer.json()["type"]).rpartition(":")[2]
    except (ValueError, KeyError, TypeError):
        return f"HTTP {answer.status_code}"

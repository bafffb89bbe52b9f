"""Clients of several API processes that withdraw under load, with idempotency keys, until they are told to end."""

import random
import threading
import time
import uuid
from collections.abc import Sequence

import httpx

HOT = 2
COLD = 12
_HOT_SHARE = 0.7
_CLIENTS = 8
_ASK_S = 10.0
_AGAIN_S = 0.1
_LONGEST_S = 180.0
_ALL_ANSWERED_S = 90.0
_LATER = frozenset((503, 504))


class Load:
    """Withdraws 1 at a time from a few hot and some cold cards, at a bounded rate and for a bounded time.

    What got no answer, or was told to come later, is asked again with the same key, of the next process in turn: so
    each key is acknowledged once, and a withdrawal that was carried out although its answer was lost is not repeated.
    """

    def __init__(self, urls: Sequence[str], *, rate_per_s: float = 60.0, limit: int = 1_000_000) -> None:
        self._urls = urls
        self._pause_s = _CLIENTS / rate_per_s
        self._name = uuid.uuid4().hex[:12]
        self.cards = [f"load-{self._name}-{number}" for number in range(HOT + COLD)]
        self._limit = limit
        self._end = threading.Event()
        self._lock = threading.Lock()
        self.acknowledged = dict.fromkeys(self.cards, 0)
        self.unanswered = dict.fromkeys(self.cards, 0)
        self.surprises: list[str] = []
        self._threads = [threading.Thread(target=self._work, args=(number,)) for number in range(_CLIENTS)]

    def begin(self) -> None:
        """Open the cards, then withdraw."""
        with httpx.Client(base_url=self._urls[0], timeout=_ASK_S) as client:
            for card in self.cards:
                client.post("/cards", json={"id": card, "limit": self._limit}).raise_for_status()
        self._deadline = time.monotonic() + _LONGEST_S
        for thread in self._threads:
            thread.start()

    def await_more(self, count: int = 30, within_s: float = 30.0) -> None:
        """Until so many more have been acknowledged."""
        before, deadline = self.total, time.monotonic() + within_s
        while self.total < before + count:
            assert time.monotonic() < deadline, (
                f"{self.total - before} of {count} within {within_s} s: {self.surprises}"
            )
            time.sleep(0.02)

    def end(self) -> None:
        """No new withdrawals; those on their way are asked for until each has its answer, or the time is over."""
        self._end.set()
        self._deadline = min(self._deadline, time.monotonic()) + _ALL_ANSWERED_S
        for thread in self._threads:
            thread.join(_ALL_ANSWERED_S + 2 * _ASK_S)

    @property
    def total(self) -> int:
        """How many were acknowledged."""
        with self._lock:
            return sum(self.acknowledged.values())

    def _work(self, number: int) -> None:
        choice = random.Random(f"{self._name}-{number}")
        with httpx.Client(timeout=_ASK_S) as client:
            count = 0
            while not self._end.wait(choice.uniform(0, 2 * self._pause_s)) and time.monotonic() < self._deadline:
                count += 1
                hot = choice.random() < _HOT_SHARE
                card = choice.choice(self.cards[:HOT] if hot else self.cards[HOT:])
                self._withdraw(client, card, f"{self._name}-{number}-{count}", number + count)

    def _withdraw(self, client: httpx.Client, card: str, key: str, turn: int) -> None:
        while time.monotonic() < self._deadline or not self._end.is_set():
            status = self._attempt(client, self._urls[turn % len(self._urls)], card, key)
            if status == httpx.codes.CREATED:
                with self._lock:
                    self.acknowledged[card] += 1
                return
            turn += 1
            time.sleep(_AGAIN_S)
        with self._lock:
            self.unanswered[card] += 1

    def _attempt(self, client: httpx.Client, url: str, card: str, key: str) -> int:
        content = {"debitCard": card, "amount": 1, "merchant": "Corner Shop"}
        try:
            answer = client.post(f"{url}/moneywithdrawals", json=content, headers={"Idempotency-Key": key})
        except httpx.TransportError:
            return 0
        if answer.status_code != httpx.codes.CREATED and answer.status_code not in _LATER:
            with self._lock:
                self.surprises.append(f"{answer.status_code}: {answer.text[:300]}")
        return answer.status_code

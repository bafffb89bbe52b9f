"""A client that asks for cards all the time: no answer is an error, and none is older than one of before."""

import threading
from collections.abc import Callable, Sequence

import httpx

_ASK_S = 20.0


class Reader:
    """Asks from entering to leaving; `url` says where, each time."""

    def __init__(self, url: Callable[[], str], cards: Sequence[str]) -> None:
        self._url, self._cards = url, cards
        self._stop, self._up = threading.Event(), threading.Event()
        self._up.set()
        self._thread = threading.Thread(target=self._work)
        self.wrong: list[str] = []
        self.asked = 0

    def __enter__(self) -> "Reader":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._up.set()
        self._thread.join(60)

    def interrupt(self) -> None:
        """Whoever is asked goes away for a while."""
        self._up.clear()

    def resume(self) -> None:
        """It is there again."""
        self._up.set()

    def _work(self) -> None:
        seen: dict[str, tuple[int, int]] = dict.fromkeys(self._cards, (0, 0))
        while not self._stop.is_set():
            self._up.wait(60)
            for card in self._cards:
                try:
                    found = self._ask(card)
                except httpx.TransportError:  # it is gone for a moment
                    continue
                if isinstance(found, str) or found[0] < seen[card][0] or found[1] < seen[card][1]:
                    self.wrong.append(f"{card}: {found}, seen was {seen[card]}")
                else:
                    seen[card] = found
                self.asked += 1

    def _ask(self, card: str) -> tuple[int, int] | str:
        """The version of its balance, and how many lines its statement has; or what is wrong."""
        balance = httpx.get(f"{self._url()}/cards/{card}", timeout=_ASK_S)
        lines = httpx.get(
            f"{self._url()}/moneywithdrawals", params={"debitCardId": card, "limit": 1000}, timeout=_ASK_S
        )
        if balance.status_code == 404 and lines.status_code == 200:
            return 0, len(lines.json())  # the view does not have it yet
        if (balance.status_code, lines.status_code) != (200, 200):
            return f"{balance.status_code} {balance.text[:200]}, {lines.status_code} {lines.text[:200]}"
        return int(balance.json()["version"]), len(lines.json())


class AnalyticsReader:
    """Asks several processes in turn for what was withdrawn from cards, from entering to leaving."""

    def __init__(self, urls: Sequence[str], cards: Sequence[str]) -> None:
        self._urls, self._cards = urls, cards
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work)
        self.wrong: list[str] = []
        self.asked = 0

    def __enter__(self) -> "AnalyticsReader":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(60)

    def _work(self) -> None:
        seen = dict.fromkeys(self._cards, 0)
        while not self._stop.wait(0.02):
            card, url = self._cards[self.asked % len(self._cards)], self._urls[self.asked % len(self._urls)]
            answer = httpx.get(f"{url}/analytics/cards", params={"debitCardId": card}, timeout=_ASK_S)
            self.asked += 1
            if answer.status_code != httpx.codes.OK:
                self.wrong.append(f"{answer.status_code}: {answer.text[:200]}")
                continue
            found = sum(each["withdrawals"] for each in answer.json())
            if found < seen[card]:
                self.wrong.append(f"{card}: {found} withdrawals at {url}, seen were {seen[card]}")
            seen[card] = max(found, seen[card])

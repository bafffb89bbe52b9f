"""From the POST to where it shows: the mini statement, and the analytical store. A real process, over HTTP."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field

import httpx

from bank_under_test import bank
from figures import Figure, percentile, quiet, show

SAMPLES = 500
CARD = "123456789"
_LOOK_S = 0.001
_PATIENCE_S = 10.0
_START_S = 600.0
_SETTLED_S = 1.0


@dataclass
class Seen:
    """Seconds from each POST to its answer, to its line in the statement, and to its sum in the analytical store."""

    answered: list[float] = field(default_factory=list)
    statement: list[float] = field(default_factory=list)
    analytics: list[float] = field(default_factory=list)


def one_after_another(
    client: httpx.Client,
    card: str,
    samples: int,
    *,
    begun: int | None = None,
    pause_s: float = 0.0,
    patience_s: float = _PATIENCE_S,
    most_s: float = float("inf"),
) -> Seen:
    """The statement by asking with the command's position, the analytics by asking again.

    `begun` is what `begin` has found. After `most_s` no further sample is begun.
    """
    seen = Seen()
    begun = begin(client, card) if begun is None else begun
    until = time.perf_counter() + most_s
    for number in range(1, samples + 1):
        if time.perf_counter() > until:
            break
        began = time.perf_counter()
        answer = client.post("/moneywithdrawals", json={"debitCard": card, "amount": 1}).raise_for_status()
        seen.answered.append(time.perf_counter() - began)
        _await_statement(client, card, answer.headers["Mainstem-Position"], began + patience_s)
        seen.statement.append(time.perf_counter() - began)
        while _analysed(client, card) < begun + number:
            if time.perf_counter() - began > patience_s:
                raise AssertionError(f"withdrawal {number} is not in the analytical store after {patience_s} s")
            time.sleep(_LOOK_S)
        seen.analytics.append(time.perf_counter() - began)
        time.sleep(pause_s)
    return seen


def _await_statement(client: httpx.Client, card: str, position: str, until: float) -> None:
    """Asked again where the application has waited as long as it does for anybody."""
    asked = {"debitCardId": card, "position": position, "limit": 1}
    while (lines := client.get("/moneywithdrawals", params=asked)).status_code == httpx.codes.SERVICE_UNAVAILABLE:
        if time.perf_counter() > until:
            break
    lines.raise_for_status()


def begin(client: httpx.Client, card: str) -> int:
    """How many there are, once a first one is there, and all that came before it.

    Druid, just deployed, knows nothing of its datasource for a while, which the application answers with 503.
    """
    client.post("/moneywithdrawals", json={"debitCard": card, "amount": 1}).raise_for_status()
    deadline, last = time.perf_counter() + _START_S, 0
    while True:
        try:
            found = _analysed(client, card)
        except httpx.HTTPStatusError:
            found = 0
        if found and found == last:
            return found
        if time.perf_counter() > deadline:
            raise AssertionError(f"the analytical store does not come to rest within {_START_S} s")
        last = found
        time.sleep(_SETTLED_S)


def _analysed(client: httpx.Client, card: str) -> int:
    rows = client.get("/analytics/cards", params={"debitCardId": card}).raise_for_status().json()
    return int(rows[0]["withdrawals"]) if rows else 0


def figures_of(seen: Seen, aims: Mapping[str, float | None]) -> list[Figure]:
    """Medians and 99th percentiles; the aims are of the latter, in milliseconds."""
    figures = []
    for name, values, aim in (
        ("POST answered", seen.answered, None),
        ("POST to visible in the statement", seen.statement, aims["statement"]),
        ("POST to visible in the analytical store", seen.analytics, aims["analytical store"]),
    ):
        figures.append(Figure(f"{name}, p50", percentile(values, 50) * 1000, None, "ms", "", ""))
        p99 = percentile(values, 99) * 1000
        figures.append(Figure(f"{name}, p99", p99, aim, "ms", "the aim", "<= 1" if aim else ""))
    return figures


def main() -> None:
    """On a bank of its own."""
    quiet()
    with bank() as client:
        seen = one_after_another(client, CARD, SAMPLES)
    aims = {"statement": 20.0, "analytical store": 300.0}
    show(f"Freshness, {SAMPLES} withdrawals one after another", figures_of(seen, aims))


if __name__ == "__main__":
    main()

"""From the POST to where it shows: the mini statement, and the analytical store. A real process, over HTTP."""

import time

from bank_under_test import bank
from figures import Figure, percentile, quiet, show

SAMPLES = 500
CARD = "123456789"
_LOOK_S = 0.001
_PATIENCE_S = 10.0


def main() -> None:
    """One withdrawal after another: the statement by asking with its position, the analytics by asking again."""
    quiet()
    with bank() as client:
        statement, analytics, acknowledged = [], [], []
        for number in range(1, SAMPLES + 1):
            began = time.perf_counter()
            answer = client.post("/moneywithdrawals", json={"debitCard": CARD, "amount": 1}).raise_for_status()
            acknowledged.append(time.perf_counter() - began)
            position = answer.headers["Mainstem-Position"]
            lines = client.get("/moneywithdrawals", params={"debitCardId": CARD, "position": position, "limit": 1})
            lines.raise_for_status()
            statement.append(time.perf_counter() - began)
            while True:
                rows = client.get("/analytics/cards", params={"debitCardId": CARD}).raise_for_status().json()
                if rows and rows[0]["withdrawals"] >= number:
                    break
                if time.perf_counter() - began > _PATIENCE_S:
                    raise AssertionError(f"withdrawal {number} is not in the analytical store after {_PATIENCE_S} s")
                time.sleep(_LOOK_S)
            analytics.append(time.perf_counter() - began)
    figures = []
    for name, values, aim in (
        ("POST answered", acknowledged, None),
        ("POST to visible in the statement", statement, 20.0),
        ("POST to visible in the analytical store", analytics, 300.0),
    ):
        figures.append(Figure(f"{name}, p50", percentile(values, 50) * 1000, None, "ms", "", ""))
        p99 = percentile(values, 99) * 1000
        figures.append(Figure(f"{name}, p99", p99, aim, "ms", "the aim", "<= 1" if aim else ""))
    show(f"Freshness, {SAMPLES} withdrawals one after another", figures)


if __name__ == "__main__":
    main()

"""What the peers' listeners share: the statement's line of a change, its table, and a record of their commits."""

import json
import sys
import time
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import pymysql

BATCH = 5_000
_INSERT = "INSERT IGNORE INTO money_withdrawal (id, debit_card_id, amount, transaction_date_ms) VALUES (%s, %s, %s, %s)"


def _line(message: dict[str, Any]) -> tuple[str, str, Decimal, int]:
    """The statement's line of a change that raised the used limit."""
    before, after, source = message["before"], message["after"], message["source"]
    identity = f"{source['file']}:{source['pos']:012d}:{source['row']:03d}"
    amount = Decimal(after["used_limit"]) - Decimal(before["used_limit"])
    return identity, after["id"], amount, after["occurred_at_ms"]


class Lines:
    """The table, and after which time so many of `events` changes were committed; says "ready" after the first."""

    def __init__(self, events: int, port: int, database: str) -> None:
        self._connection = pymysql.connect(
            host="127.0.0.1", port=port, user="mainstem", password="mainstem", database=database
        )
        self._events = events
        self._began = 0.0
        self._commits: list[tuple[int, float]] = []

    def write(self, messages: Sequence[dict[str, Any]]) -> bool:
        """Insert the lines and commit; whether all are there."""
        self._began = self._began or time.monotonic()
        with self._connection.cursor() as cursor:
            cursor.executemany(_INSERT, [_line(each) for each in messages])
        self._connection.commit()
        if not self._commits:
            _say("ready")
        done = len(messages) + (self._commits[-1][0] if self._commits else 0)
        self._commits.append((done, time.monotonic()))
        return done >= self._events

    def tell(self) -> None:
        """The rate since the first message came, and all commits."""
        done, ended = self._commits[-1]
        _say(json.dumps({"rate": done / (ended - self._began), "commits": self._commits}))


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()

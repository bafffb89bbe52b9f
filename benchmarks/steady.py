"""A steady load: `python steady.py URL RATE SECONDS` withdraws so often each second, whatever the answers take.

It prints how many were accepted a second, how many were not, and percentiles of the milliseconds from when each was
due, so that what had to wait counts too.
"""

import asyncio
import itertools
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from urllib.parse import urlsplit

CONNECTIONS, CARDS = 64, 1_000
"""So many requests may be under way; cards take turns."""


@dataclass
class _Seen:
    answered: list[float] = field(default_factory=list)
    failed: int = 0


class _Connection:
    """HTTP/1.1 by hand: a client with all its features takes more of the processor than the server that is measured."""

    def __init__(self, host: str, port: int) -> None:
        self._host, self._port = host, port

    async def open(self) -> None:
        self._reader, self._writer = await asyncio.open_connection(self._host, self._port)

    async def ask(self, method: str, path: str, body: bytes) -> int:
        """The status of the answer."""
        head = f"{method} {path} HTTP/1.1\r\nHost: {self._host}\r\nContent-Type: application/json\r\n"
        self._writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        answer = (await self._reader.readuntil(b"\r\n\r\n")).lower()
        length = answer.partition(b"content-length:")[2].partition(b"\r\n")[0]
        await self._reader.readexactly(int(length))
        return int(answer.split(b" ", 2)[1])

    def close(self) -> None:
        self._writer.close()


async def _withdraw(connection: _Connection, due: Iterator[tuple[int, float]], until: float, seen: _Seen) -> None:
    for number, at in due:
        if at >= until:
            return
        await asyncio.sleep(max(0.0, at - time.monotonic()))
        body = b'{"debitCard":"steady-%d","amount":1.00}' % (number % CARDS)
        if await connection.ask("POST", "/moneywithdrawals", body) == 201:
            seen.answered.append(time.monotonic() - at)
        else:
            seen.failed += 1


async def _load(url: str, rate: float, seconds: float) -> dict[str, float]:
    host, port = urlsplit(url).hostname or "", urlsplit(url).port or 80
    connections = [_Connection(host, port) for _ in range(CONNECTIONS)]
    for connection in connections:
        await connection.open()
    for card in range(CARDS):
        await connections[0].ask("POST", "/cards", b'{"id":"steady-%d","limit":1000000000000}' % card)
    print("loading", flush=True)
    seen, began = _Seen(), time.monotonic()
    due = ((number, began + number / rate) for number in itertools.count())
    await asyncio.gather(*(_withdraw(connection, due, began + seconds, seen) for connection in connections))
    for connection in connections:
        connection.close()
    ordered = sorted(seen.answered)
    return {
        "rate": len(ordered) / (time.monotonic() - began),
        "failed": seen.failed,
        "p50_ms": ordered[len(ordered) // 2] * 1000,
        "p99_ms": ordered[len(ordered) * 99 // 100] * 1000,
    }


if __name__ == "__main__":
    print(json.dumps(asyncio.run(_load(sys.argv[1], float(sys.argv[2]), float(sys.argv[3])))))

"""Under which names the pages are served."""

import asyncio
from collections.abc import MutableMapping
from typing import Any

import pytest

from mainstem.dashboard.guarding import Guarded


async def _page(scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b""})


def _status(bound: str, host: str, origin: str | None = None, names: tuple[str, ...] = ()) -> int:
    headers = [(b"host", host.encode())] + ([] if origin is None else [(b"origin", origin.encode())])
    told: list[MutableMapping[str, Any]] = []

    async def send(message: MutableMapping[str, Any]) -> None:
        told.append(message)

    asyncio.run(Guarded(_page, bound, names)({"type": "http", "headers": headers}, _nothing, send))
    return int(told[0]["status"])


async def _nothing() -> MutableMapping[str, Any]:
    return {"type": "http.disconnect"}


@pytest.mark.parametrize(
    ("bound", "host", "status"),
    [
        ("127.0.0.1", "127.0.0.1:8090", 200),
        ("127.0.0.1", "localhost:8090", 200),
        ("::1", "[::1]:8090", 200),
        ("127.0.0.1", "bank.example:8090", 421),
        ("127.0.0.1", "localhost.bank.example", 421),
        ("127.0.0.1", "", 421),
        ("127.0.0.1", "[::1", 421),
        ("0.0.0.0", "bank.example:8090", 200),  # noqa: S104 - nothing listens
    ],
)
def test_on_loopback_only_its_own_names_are_served(bound: str, host: str, status: int) -> None:
    assert _status(bound, host) == status


@pytest.mark.parametrize(("host", "status"), [("localhost", 200), ("Bank.example:80", 200), ("other.example", 421)])
def test_where_names_are_given_no_other_is_served(host: str, status: int) -> None:
    assert _status("0.0.0.0", host, names=("bank.example",)) == status  # noqa: S104 - nothing listens


def test_an_origin_is_the_address_itself() -> None:
    assert _status("127.0.0.1", "127.0.0.1:8090", "http://127.0.0.1:8090") == 200
    assert _status("127.0.0.1", "127.0.0.1:8090", "http://127.0.0.1:8080") == 403
    assert _status("127.0.0.1", "127.0.0.1:8090", "http://[") == 403
    assert _status("0.0.0.0", "bank.example", "http://other.example") == 403  # noqa: S104 - nothing listens

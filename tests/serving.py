"""The bank's HTTP application in the test's own process, on a clock that the test moves."""

from typing import Any
from urllib.parse import urlsplit

from litestar.testing import TestClient

Client = TestClient[Any]


def pages(client: Client, path: str, **query: Any) -> list[dict[str, Any]]:
    """All rows, page by page, as the Link headers lead."""
    found = list[dict[str, Any]]()
    answer = client.get(path, params=query)
    while True:
        assert answer.status_code == 200, answer.text
        found += answer.json()
        link = answer.headers.get("link")
        if link is None:
            return found
        parts = urlsplit(link[1 : link.index(">")])
        answer = client.get(f"{parts.path}?{parts.query}")

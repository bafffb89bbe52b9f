"""Bad input to a real process: each a clear 4xx problem that changes nothing, never a 500, and the bank goes on."""

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from tests.process import BankProcess, bank_process

CARD = "123456789"
_JSON = {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
def bank(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BankProcess]:
    folder: Path = tmp_path_factory.mktemp("bad-input")
    with bank_process(folder / "data") as process:
        with process.client() as client:
            post(client, "/cards", {"id": "blocked", "limit": 100}).raise_for_status()
            post(client, "/cards/blocked/block", {"reason": "lost"}).raise_for_status()
            post(client, "/cards", {"id": "closed", "limit": 100}).raise_for_status()
            post(client, "/cards/closed/close", {}).raise_for_status()
        yield process
        assert "fault in the program" not in process.text()


@pytest.fixture
def client(bank: BankProcess) -> Iterator[httpx.Client]:
    with bank.client() as client:
        yield client


def post(client: httpx.Client, path: str, content: Any) -> httpx.Response:
    return client.post(path, json=content)


def state(client: httpx.Client) -> tuple[Any, ...]:
    """All that a withdrawal or another command could have changed."""
    cards = tuple(client.get(f"/cards/{card}").json() for card in (CARD, "blocked", "closed"))
    return (*cards, client.get("/moneywithdrawals", params={"debitCardId": CARD}).json())


def problem(answer: httpx.Response) -> str:
    """The problem's type; the answer is one in RFC 9457's form."""
    assert answer.headers["content-type"] == "application/problem+json"
    content = answer.json()
    assert content["status"] == answer.status_code
    assert content["title"]
    assert content["detail"]
    name = content["type"]
    assert name.startswith("urn:mainstem:problem:")
    return str(name).removeprefix("urn:mainstem:problem:")


def body(amount: str, card: str = CARD) -> bytes:
    return f'{{"debitCard":"{card}","amount":{amount}}}'.encode()


_BODIES: list[tuple[str, bytes, int, str]] = [
    ("zero", body("0"), 422, "invalid-amount"),
    ("zero with places", body("0.00"), 422, "invalid-amount"),
    ("negative zero", body("-0.0"), 422, "invalid-amount"),
    ("negative", body("-5"), 422, "invalid-amount"),
    ("three decimals", body("1.005"), 422, "invalid-amount"),
    ("three decimals by exponent", body("1005e-3"), 422, "invalid-amount"),
    ("tiny", body("1e-400"), 422, "invalid-amount"),
    ("huge", body("1e400"), 422, "invalid-amount"),
    ("huger", body("1e999999999999"), 422, "invalid-amount"),
    ("an exponent that no number has", body("1e999999999999999999999"), 422, "invalid-input"),
    ("many digits", body("1" * 1_000), 422, "invalid-input"),
    ("NaN", body("NaN"), 400, "malformed-request"),
    ("infinity", body("Infinity"), 400, "malformed-request"),
    ("hexadecimal", body("0x10"), 400, "malformed-request"),
    ("leading zero", body("010"), 400, "malformed-request"),
    ("a string", body('"10.00"'), 422, "invalid-input"),
    ("null", body("null"), 422, "invalid-input"),
    ("true", body("true"), 422, "invalid-input"),
    ("a list", body("[10]"), 422, "invalid-input"),
    ("an object", body('{"value":10}'), 422, "invalid-input"),
    ("amount missing", b'{"debitCard":"123456789"}', 422, "invalid-input"),
    ("card missing", b'{"amount":10}', 422, "invalid-input"),
    ("card null", b'{"debitCard":null,"amount":10}', 422, "invalid-input"),
    ("card a number", b'{"debitCard":123456789,"amount":10}', 422, "invalid-input"),
    ("card empty", body("10", ""), 422, "invalid-input"),
    ("card with a blank", body("10", "123 456"), 422, "invalid-input"),
    ("card with NUL", body("10", "123\\u0000"), 422, "invalid-input"),
    ("card in odd Unicode", body("10", "１２３\\u202e\\ud83d\\udcb6"), 422, "invalid-input"),
    ("half a surrogate pair", body("10", "\\ud83d"), 400, "malformed-request"),
    ("card too long", body("10", "1" * 37), 422, "invalid-input"),
    ("a path as a card", body("10", "../../etc/passwd"), 422, "invalid-input"),
    ("SQL as a card", body("10", "' OR 1=1 --"), 422, "invalid-input"),
    ("a field too many", b'{"debitCard":"123456789","amount":10,"limit":5}', 422, "invalid-input"),
    ("an amount twice", b'{"debitCard":"123456789","amount":1,"amount":2}', 400, "malformed-request"),
    ("the same amount twice", b'{"amount":1,"debitCard":"123456789", "amount" : 1}', 400, "malformed-request"),
    ("a card twice, once in disguise", b'{"debitCard":"1","debit\\u0043ard":"2","amount":1}', 400, "malformed-request"),
    ("an object with a field twice", body('{"a":1,"a":2}'), 400, "malformed-request"),
    ("nested objects", body('{"a":' * 900 + "1" + "}" * 900), 422, "invalid-input"),
    ("many digits twice", body("9" * 5_000 + ',"amount":1'), 400, "malformed-request"),
    ("many digits beside a merchant", body("9" * 5_000 + ',"merchant":"x"'), 422, "invalid-input"),
    ("no UTF-8 as an amount", body("1").replace(b"1}", b'"\xff","merchant":"x"}'), 400, "malformed-request"),
    ("over the limit", body("10000.01"), 409, "insufficient-balance"),
    ("an unknown card", body("10", "unheard-of"), 404, "card-unknown"),
    ("a blocked card", body("10", "blocked"), 409, "card-blocked"),
    ("a closed card", body("10", "closed"), 409, "card-closed"),
    ("nothing", b"", 400, "malformed-request"),
    ("cut off", b'{"debitCard":"123456789","amo', 400, "malformed-request"),
    ("two objects", body("10") + body("10"), 400, "malformed-request"),
    ("a trailing comma", b'{"debitCard":"123456789","amount":10,}', 400, "malformed-request"),
    ("a list of objects", b"[" + body("10") + b"]", 422, "invalid-input"),
    ("no UTF-8", b'{"debitCard":"\xff\xfe","amount":10}', 400, "malformed-request"),
    ("UTF-16", body("10").decode().encode("utf-16"), 400, "malformed-request"),
    ("NUL", b"\0" * 100, 400, "malformed-request"),
    ("deeply nested", b'{"debitCard":' + b"[" * 30_000, 422, "invalid-input"),
    ("deeply nested amount", b'{"debitCard":"1","amount":' + b"[" * 30_000, 400, "malformed-request"),
    ("too large", b'{"debitCard":"' + b"1" * 70_000 + b'","amount":10}', 413, "body-too-large"),
]


@pytest.mark.parametrize(("content", "status", "name"), [each[1:] for each in _BODIES], ids=[e[0] for e in _BODIES])
def test_a_bad_withdrawal(client: httpx.Client, content: bytes, status: int, name: str) -> None:
    before = state(client)
    answer = client.post("/moneywithdrawals", content=content, headers=_JSON)
    assert (answer.status_code, problem(answer)) == (status, name), answer.text
    assert state(client) == before


def test_an_amount_twice_however_deep_the_first_is(client: httpx.Client) -> None:
    """Also where it is just not too deep for the one that reads the body, and too deep for another."""
    before = state(client)
    for depth in range(900, 1_000):
        content = body("[" * depth + "]" * depth + ',"amount":1')
        answer = client.post("/moneywithdrawals", content=content, headers=_JSON)
        assert (answer.status_code, problem(answer)) == (400, "malformed-request"), depth
    assert state(client) == before


@pytest.mark.parametrize(
    "content_type", [None, "text/plain", "application/x-www-form-urlencoded", "multipart/form-data"]
)
def test_another_content_type(client: httpx.Client, content_type: str | None) -> None:
    before = state(client)
    headers = {} if content_type is None else {"Content-Type": content_type}
    answer = client.post("/moneywithdrawals", content=body("10"), headers=headers)
    assert (answer.status_code, problem(answer)) == (415, "unsupported-media-type")
    assert state(client) == before


@pytest.mark.parametrize(
    ("method", "path", "content", "status", "name"),
    [
        ("POST", "/cards", {"id": CARD, "limit": 5}, 409, "card-exists"),
        ("POST", "/cards", {"id": "new", "limit": -1}, 422, "invalid-amount"),
        ("POST", "/cards", {"id": "né", "limit": 1}, 422, "invalid-input"),
        ("POST", f"/cards/{CARD}/repayments", {"amount": 1}, 409, "repayment-too-large"),
        ("POST", "/cards/unheard-of/repayments", {"amount": 1}, 404, "card-unknown"),
        ("PUT", f"/cards/{CARD}/limit", {"limit": "5"}, 422, "invalid-input"),
        ("POST", f"/cards/{CARD}/block", {"reason": ""}, 422, "invalid-input"),
        ("POST", f"/cards/{CARD}/block", {"reason": "   "}, 422, "invalid-input"),
        ("POST", f"/cards/{CARD}/block", {"reason": "\u00a0\u3000"}, 422, "invalid-input"),
        ("POST", f"/cards/{CARD}/block", {"reason": "a\u0000b"}, 422, "invalid-input"),
        ("POST", f"/cards/{CARD}/block", {"reason": "x" * 201}, 422, "invalid-input"),
        ("POST", "/cards/closed/block", {"reason": '"reason": "a:b:c"'}, 409, "card-closed"),
        ("POST", "/cards/closed/unblock", {}, 409, "card-closed"),
        ("POST", "/cards/closed/close", {}, 409, "card-closed"),
    ],
)
def test_other_bad_commands(client: httpx.Client, method: str, path: str, content: Any, status: int, name: str) -> None:
    before = state(client)
    answer = client.request(method, path, json=content)
    assert (answer.status_code, problem(answer)) == (status, name), answer.text
    assert state(client) == before


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/moneywithdrawals", 400),
        ("/moneywithdrawals?debitCardId=", 400),
        ("/moneywithdrawals?debitCardId=%00", 400),
        ("/moneywithdrawals?debitCardId=%F0%9F%92%B6", 400),
        ("/moneywithdrawals?debitCardId=%ff%fe", 400),
        (f"/moneywithdrawals?debitCardId={CARD}&limit=0", 400),
        (f"/moneywithdrawals?debitCardId={CARD}&limit=1001", 400),
        (f"/moneywithdrawals?debitCardId={CARD}&limit=many", 400),
        (f"/moneywithdrawals?debitCardId={CARD}&cursor=nonsense", 400),
        (f"/moneywithdrawals?debitCardId={CARD}&cursor={'A' * 5000}", 400),
        (f"/moneywithdrawals?debitCardId={CARD}&position=nonsense", 400),
        (f"/moneywithdrawals?debitCardId={CARD}&position=", 400),
        ("/cards/unheard-of", 404),
        ("/cards/%00", 400),
        (f"/cards/{CARD}?asOf=", 400),
        (f"/cards/{CARD}?asOf=2026-01-31", 400),
        (f"/cards/{CARD}?asOf=999999999", 400),
        (f"/cards/{CARD}?asOf=1&time=never", 400),
        ("/cards/unheard-of?asOf=2026-01-31T09:30:00Z", 404),
        ("/cards/unheard-of/history", 404),
        (f"/cards/{CARD}/history?cursor=nonsense", 400),
        (f"/cards/{CARD}/history?cursor=Wzk5OTk5OTk5OTk5OTk5OTk5OTk5XQ", 400),
        (f"/cards/{CARD}/history?cursor=Wy0xXQ", 400),
        (f"/cards/{CARD}/difference", 400),
        (f"/cards/{CARD}/difference?from=1&to=0", 400),
        ("/cards/unheard-of/difference?from=0", 404),
        ("/cards/%2e%2e%2fetc", 404),
        ("/analytics/spending?grain=minute", 400),
        ("/analytics/cards?limit=-1", 400),
        ("/analytics/cards?debitCardId=%27", 400),
        ("/analytics/query?debitCardId=%27", 400),
        ("/analytics/query?measures=count;sum:amount", 400),
        ("/analytics/query?groupBy=nothing", 400),
        ("/analytics/query?filters=nonsense", 400),
        ("/analytics/query?cursor=nonsense", 400),
        ("/nowhere", 404),
        ("/%00", 404),
    ],
)
def test_a_bad_question(client: httpx.Client, path: str, status: int) -> None:
    answer = client.get(path)
    assert answer.status_code == status, answer.text
    problem(answer)


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/actions?listener=nobody", "listener-unknown"),
        ("/actions?listener=", "listener-unknown"),
        ("/dead-letters?listener=nobody", "listener-unknown"),
        ("/dead-letters/nobody/0-1", "listener-unknown"),
        ("/processes?manager=nobody", "process-unknown"),
    ],
)
def test_a_question_about_what_there_is_not(client: httpx.Client, path: str, name: str) -> None:
    answer = client.get(path)
    assert (answer.status_code, problem(answer)) == (404, name)
    assert "known are " in answer.json()["detail"]


def test_another_method(client: httpx.Client) -> None:
    answer = client.request("DELETE", f"/cards/{CARD}")
    assert (answer.status_code, problem(answer)) == (405, "method-not-allowed")
    assert "GET" in answer.headers["allow"]


@pytest.mark.parametrize("key", ["", "a b", "x" * 256, "schlüssel"])
def test_a_bad_idempotency_key(client: httpx.Client, key: str) -> None:
    before = state(client)
    headers = [(b"Content-Type", b"application/json"), (b"Idempotency-Key", key.encode())]
    answer = client.post("/moneywithdrawals", content=body("10"), headers=headers)
    assert (answer.status_code, problem(answer)) == (400, "malformed-request")
    assert state(client) == before


def _raw(bank: BankProcess, sent: bytes, more: bytes = b"", times: int = 0) -> bytes:
    """What the server answers to bytes that no client library would send."""
    place = urlsplit(bank.url)
    assert place.hostname is not None
    found = b""
    with socket.create_connection((place.hostname, place.port or 0), timeout=10) as connection:
        try:
            connection.sendall(sent)
            for _ in range(times):
                connection.sendall(more)
        except (BrokenPipeError, ConnectionResetError):
            pass  # the server has had enough, and has answered
        try:
            while part := connection.recv(65_536):
                found += part
                if b"\r\n\r\n" in found:
                    break
        except ConnectionResetError:
            pass
    return found


def test_an_id_of_ten_megabytes(bank: BankProcess, client: httpx.Client) -> None:
    """In the body, in the query and in the path."""
    before = state(client)
    answer = client.post("/moneywithdrawals", content=body("1", "1" * 10_000_000), headers=_JSON)
    assert (answer.status_code, problem(answer)) == (413, "body-too-large")
    for start in (b"GET /moneywithdrawals?debitCardId=", b"GET /cards/"):
        found = _raw(bank, start, b"1" * 100_000, times=100)
        assert found == b"" or found.split()[1][:1] == b"4", found[:200]
    assert state(client) == before


@pytest.mark.parametrize(
    "sent",
    [
        b"NONSENSE\r\n\r\n",
        b"GET / HTTP/9.9\r\nHost: x\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 200,
        b"POST /moneywithdrawals HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n",
        b"POST /moneywithdrawals HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef",
        b"POST /moneywithdrawals HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"GET /\0 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nX-Large: " + b"a" * 1_000_000 + b"\r\n\r\n",
    ],
)
def test_what_is_no_http(bank: BankProcess, client: httpx.Client, sent: bytes) -> None:
    before = state(client)
    found = _raw(bank, sent)
    assert found == b"" or found.split()[1][:1] == b"4", found[:200]
    assert state(client) == before


def test_a_client_that_goes_away_in_the_middle(bank: BankProcess, client: httpx.Client) -> None:
    before = state(client)
    place = urlsplit(bank.url)
    head = (
        b"POST /moneywithdrawals HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 500\r\n\r\n"
    )
    for _ in range(20):
        with socket.create_connection((place.hostname or "", place.port or 0), timeout=10) as connection:
            connection.sendall(head + body("10"))
    assert state(client) == before


def test_a_body_that_breaks_off_before_its_end(bank: BankProcess, client: httpx.Client) -> None:
    """A caller that goes on listening is told; whoever watches the server sees no fault of its own."""
    head = b"POST /moneywithdrawals HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    place = urlsplit(bank.url)
    with socket.create_connection((place.hostname or "", place.port or 0), timeout=10) as connection:
        connection.sendall(head + b"Content-Length: 500\r\n\r\n" + body("10"))
        connection.shutdown(socket.SHUT_WR)
        answer = connection.recv(65_536)
    assert answer.startswith(b"HTTP/1.1 400 "), answer
    assert b"urn:mainstem:problem:malformed-request" in answer
    assert 'status="500"' not in client.get("/metrics").text


def test_minus_zero_is_zero(client: httpx.Client) -> None:
    answer = client.post("/cards", json={"id": "minus-zero", "limit": -0.0})
    assert (answer.status_code, answer.json()["limit"]) == (201, 0)
    assert "-0" not in answer.text


def test_two_idempotency_keys_are_none(client: httpx.Client) -> None:
    keys = [("Idempotency-Key", "one"), ("Idempotency-Key", "two")]
    answer = client.post("/moneywithdrawals", json={"debitCard": CARD, "amount": 1}, headers=keys)
    assert (answer.status_code, problem(answer)) == (400, "malformed-request")


def test_a_number_keeps_every_digit(client: httpx.Client) -> None:
    """No float ever touches it."""
    client.post("/cards", content=b'{"id":"exact","limit":9999999999999999.99}', headers=_JSON).raise_for_status()
    answer = client.post("/moneywithdrawals", content=body("9999999999999999.98", "exact"), headers=_JSON)
    assert answer.status_code == 201
    assert '"balance":0.01' in answer.text
    assert json.loads(answer.text, parse_float=str)["used"] == "9999999999999999.98"


@pytest.mark.parametrize(
    ("path", "field", "said"),
    [
        ("/moneywithdrawals", "debitCardId", "the parameter debitCardId is missing: it must be a text"),
        ("/moneywithdrawals?debitCardId=%27", "debitCardId", "must be a text of the form ^[A-Za-z0-9]"),
        ("/moneywithdrawals?debitCardId=a&limit=many", "limit", "must be a whole number from 1 to 1000, not 'many'"),
        ("/moneywithdrawals?debitCardId=a&limit=1001", "limit", "must be a whole number from 1 to 1000, not '1001'"),
        (f"/moneywithdrawals?debitCardId=a&limit={'9' * 99}", "limit", f"not '{'9' * 40}'"),
        ("/moneywithdrawals?debitCardId=a&cursor=nonsense", "", "the cursor 'nonsense' is not one that this query"),
        ("/moneywithdrawals?debitCardId=a&position=nonsense", "", "the position 'nonsense' is not one that a command"),
        ("/cards/%00", "card_id", "card_id must be a text of the form ^[A-Za-z0-9]"),
        (f"/cards/{CARD}?asOf=yesterday", "asOf", "asOf: 'yesterday' is no moment: name a version, as 7, or a time"),
        (f"/cards/{CARD}?asOf=1&time=never", "time", "time must be one of occurred, recorded, not 'never'"),
        (f"/cards/{CARD}/difference?from=x", "from", "from: 'x' is no moment"),
        (f"/cards/{CARD}/difference?from=0&to=x", "to", "to: 'x' is no moment"),
        ("/analytics/spending?grain=minute", "grain", "grain must be one of hour, day, not 'minute'"),
        ("/refusals?from=x", "from", "from: 'x' is no time: name a time with its zone"),
        ("/refusals/7", "refusal_id", "refusal_id must be a text of the form ^[0-9]{16}$, not '7'"),
        ("/moneywithdrawals?debitcardId=1", "debitcardId", "no parameter 'debitcardId' here; known are cursor, debitC"),
        ("/analytics/top-cards?debitCardId=1", "debitCardId", "no parameter 'debitCardId' here; known are limit"),
        ("/analytics/cards?debitcardid=1", "debitcardid", "no parameter 'debitcardid' here; known are debitCardId, li"),
        (f"/cards/{CARD}/history?Limit=5", "Limit", "no parameter 'Limit' here; known are cursor, limit"),
        ("/analytics/top-cards?limit=1&limit=2", "limit", "the parameter limit is given twice"),
        (f"/refusals/{'0' * 16}?x=1", "x", "no parameter 'x' here; known are position"),
        (f"/refusals?{'x' * 99}=1", "x" * 40, f"no parameter '{'x' * 40}' here"),
    ],
)
def test_a_bad_parameter_is_named(client: httpx.Client, path: str, field: str, said: str) -> None:
    """With what was given, shortened, and what it must be."""
    answer = client.get(path)
    assert (answer.status_code, answer.json().get("field", "")) == (400, field), answer.text
    assert said in answer.json()["detail"]


@pytest.mark.parametrize(
    "path",
    [
        f"/moneywithdrawals?debitCardId={CARD}",
        f"/cards/{CARD}",
        "/cards/unheard-of",
        "/refusals?limit=1",
        "/moneywithdrawals?limit=0",
        "/health/live",
        "/health/ready",
        "/reconciliation",
        "/openapi",
        "/openapi/openapi.json",
        "/nowhere",
    ],
)
def test_head_is_get_without_its_body(client: httpx.Client, path: str) -> None:
    whole, head = client.get(path), client.head(path)
    assert (head.status_code, head.content) == (whole.status_code, b"")
    for name in ("content-type", "content-length", "link"):
        assert head.headers.get(name) == whole.headers.get(name), name


def test_head_of_what_is_no_get(client: httpx.Client) -> None:
    """It changes nothing, is counted as what it is, and the methods that there are are named."""
    answer = client.head(f"/cards/{CARD}/block")
    assert (answer.status_code, answer.headers["allow"]) == (405, "OPTIONS, POST")
    assert client.delete(f"/cards/{CARD}").headers["allow"] == "GET, HEAD, OPTIONS"
    assert client.head("/health/live").status_code == 200
    assert 'http_requests_total{method="HEAD",route="/health/live",status="200"}' in client.get("/metrics").text


def test_probes_may_say_what_they_like(client: httpx.Client) -> None:
    assert client.get("/health/live?nocache=1").status_code == 200


def test_a_cursor_goes_with_its_query(client: httpx.Client) -> None:
    """Of another card, or of another route, it would lead to a page that nobody asked for."""
    post(client, "/moneywithdrawals", {"debitCard": CARD, "amount": 99_999})
    post(client, "/moneywithdrawals", {"debitCard": "blocked", "amount": 1})
    cursors = []
    for path in (f"/cards/{CARD}/history", "/cards/blocked/history", "/refusals", "/refusals?reason=card-blocked"):
        answer = client.get(path, params={**httpx.QueryParams(httpx.URL(path).query), "limit": 1}).raise_for_status()
        url = httpx.URL(answer.links["next"]["url"])
        assert client.get(url).status_code == 200
        cursors.append((path, url.params["cursor"]))
    for path, _ in cursors:
        for other, cursor in cursors:
            query = {**httpx.QueryParams(httpx.URL(path).query), "cursor": cursor}
            answer = client.get(httpx.URL(path).path, params=query)
            assert answer.status_code == (200 if path == other else 400), (path, other)

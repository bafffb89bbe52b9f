"""Tokens, hosts and limits of a real process: what is no good token is turned away, and what callers do is theirs."""

import base64
import hashlib
import hmac
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import jwt
import pytest

from mainstem import Position, position_token
from tests.process import BankProcess, bank_process
from tests.tokens import AUDIENCE, SECRET, KeyServer, bearer, claims, jwk, key_server, pem, rsa_key, token

CARD = "123456789"
_EVENTUALLY_S = 10.0
_PAUSE_MS = 100


@pytest.fixture(scope="module")
def bank(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BankProcess]:
    folder: Path = tmp_path_factory.mktemp("tokens") / "data"
    with bank_process(folder, auth_key=SECRET, auth_audience=AUDIENCE, auth_issuer="us") as process:
        yield process
        text = process.text()
        assert "fault in the program" not in text
        assert "eyJ" not in text  # as every token begins


def mine(**changed: Any) -> str:
    """A token that the bank of this module takes, but for what is changed."""
    return token(**({"iss": "us"} | changed))


def ask(bank: BankProcess, authorization: str) -> httpx.Response:
    with bank.client() as client:
        return client.get(f"/cards/{CARD}", headers={"Authorization": authorization})


def kind(answer: httpx.Response) -> str:
    assert answer.headers["content-type"] == "application/problem+json"
    return str(answer.json()["type"]).rpartition(":")[2]


def unsigned(**changed: object) -> str:
    return jwt.encode(claims(**({"iss": "us"} | changed)), "", algorithm="none")


def part(content: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(content).encode()).decode().rstrip("=")


def seconds_from_now(seconds: int) -> int:
    """A claim's time; asked for when the test runs, which may be an hour after the tests were read."""
    return int(time.time()) + seconds


_BAD: dict[str, Callable[[], str]] = {
    "garbage": lambda: "garbage",
    "dots": lambda: "...",
    "cut off": lambda: mine()[:-10],
    "without a signature": lambda: mine().rpartition(".")[0] + ".",
    "another payload": lambda: ".".join((mine().split(".")[0], part(claims(sub="eve")), mine().split(".")[2])),
    "expired": lambda: mine(exp=seconds_from_now(-3600)),
    "without an end": lambda: mine(exp=None),
    "end is a text": lambda: mine(exp="tomorrow"),
    "end is a number as a text": lambda: mine(exp=str(seconds_from_now(3600))),
    "end is infinite": lambda: mine(exp=float("inf")),
    "end is a list": lambda: mine(exp=[seconds_from_now(3600)]),
    "end is true": lambda: mine(exp=True),
    "not yet valid": lambda: mine(nbf=seconds_from_now(3600)),
    "made tomorrow": lambda: mine(iat=seconds_from_now(86_400)),
    "another audience": lambda: mine(aud="shop"),
    "no audience": lambda: mine(aud=None),
    "another issuer": lambda: mine(iss="them"),
    "no issuer": lambda: mine(iss=None),
    "no subject": lambda: mine(sub=None),
    "empty subject": lambda: mine(sub=""),
    "long subject": lambda: mine(sub="x" * 201),
    "subject with a control character": lambda: mine(sub="a\0b"),
    "unsigned": unsigned,
    "another secret": lambda: mine(key=SECRET + "!"),
    "scope is a number": lambda: mine(scope=7),
    "scope is an object": lambda: mine(scope={"teller": True}),
    "cards is a text": lambda: mine(scope="customer", cards=CARD),
    "cards has a number": lambda: mine(scope="customer", cards=[123456789]),
    "cards is an object": lambda: mine(scope="customer", cards={CARD: True}),
    "10,000 cards": lambda: mine(scope="customer", cards=[f"{n:09}" for n in range(10_000)]),
    "huge": lambda: "x" * 60_000,
    "deeply nested": lambda: ".".join((part({"alg": "HS256"}), "W" * 4_000, "x")),
    "critical header": lambda: jwt.encode(claims(iss="us"), SECRET, headers={"crit": ["new"], "new": 1}),
    "claims are a list": lambda: ".".join((part({"alg": "HS256", "typ": "JWT"}), part([1]), "x")),
}


@pytest.mark.parametrize("name", _BAD)
def test_a_bad_token(bank: BankProcess, name: str) -> None:
    shown = _BAD[name]()
    answer = ask(bank, f"Bearer {shown}")
    assert (answer.status_code, kind(answer)) == (401, "invalid-token"), answer.text
    assert answer.headers["www-authenticate"].startswith('Bearer error="invalid_token", error_description="')
    assert shown not in answer.text + str(answer.headers)


def test_a_good_token_is_taken_in_any_spelling_of_the_scheme(bank: BankProcess) -> None:
    for scheme in ("Bearer", "bearer", "BEARER"):
        assert ask(bank, f"{scheme} {mine()}").status_code == 200
    assert ask(bank, f"Bearer {mine(scope=['teller', 'analyst'])}").status_code == 200
    assert ask(bank, f"Bearer {mine(exp=int(time.time()) - 5)}").status_code == 200  # clocks differ a little


@pytest.mark.parametrize("shown", ["", "Bearer", "Basic dTpw", "Token x", "Bearer a b", "Bearer \xe4"])
def test_what_is_no_bearer_token(bank: BankProcess, shown: str) -> None:
    with bank.client() as client:
        answer = client.get(f"/cards/{CARD}", headers={b"Authorization": shown.encode("latin-1")})
    assert (answer.status_code, kind(answer)) == (401, "unauthenticated")
    assert answer.headers["www-authenticate"] == "Bearer"


def test_several_authorizations_are_none(bank: BankProcess) -> None:
    with bank.client() as client:
        twice = [("Authorization", f"Bearer {mine()}")] * 2
        answer = client.get(f"/cards/{CARD}", headers=twice)
    assert (answer.status_code, kind(answer)) == (400, "malformed-request")


def test_a_token_elsewhere_is_not_seen(bank: BankProcess) -> None:
    with bank.client() as client:
        assert client.get(f"/cards/{CARD}", params={"access_token": mine()}).status_code == 401
        assert client.get(f"/cards/{CARD}", headers={"Cookie": f"access_token={mine()}"}).status_code == 401


def test_a_customer_slips_no_other_card_past_the_check(bank: BankProcess) -> None:
    shown = bearer(mine(sub="carla", scope="customer", cards=["own"]))
    with bank.client() as client:
        for query in (
            f"debitCardId=own&debitCardId={CARD}",
            f"debitCardId={CARD}&debitCardId=own",
            "limit=1",
            "debitCardId=",
            f"debitCardId=own&position={position_token(Position(CARD, 1))}",
            f"debitCardId=own&position=x&position={position_token(Position(CARD, 1))}",
        ):
            answer = client.get(f"/moneywithdrawals?{query}", headers=shown)
            assert (answer.status_code, kind(answer)) == (403, "forbidden"), query
        header = {"Mainstem-Position": position_token(Position(CARD, 1))}
        assert client.get("/moneywithdrawals?debitCardId=own", headers=shown | header).status_code == 403
        assert client.get("/moneywithdrawals?debitCardId=own", headers=shown).status_code == 200
        spelt = client.get("/cards/%31%32%33456789", headers=shown)
        assert spelt.status_code == 403
        body = b'{"debitCard":"own","debitCard":"123456789","amount":1}'
        json_header = {"Content-Type": "application/json"}
        assert client.post("/moneywithdrawals", content=body, headers=shown | json_header).status_code == 400


def test_who_asked_is_kept(bank: BankProcess) -> None:
    with bank.client() as client:
        shown = bearer(mine(sub="tess"))
        client.post("/moneywithdrawals", json={"debitCard": CARD, "amount": 99999}, headers=shown)
        deadline = time.monotonic() + _EVENTUALLY_S
        while not (found := client.get(f"/cards/{CARD}/refusals", headers=shown).json()):
            assert time.monotonic() < deadline
        assert found[0]["actor"] == "tess"


def test_a_customer_sees_no_name_of_those_who_work_at_the_bank(bank: BankProcess) -> None:
    with bank.client() as client:
        teller = bearer(mine(sub="tess"))
        client.post("/cards", json={"id": "annas", "limit": 10}, headers=teller)
        anna = bearer(mine(sub="anna", scope="customer", cards=["annas"]))
        for shown in (teller, anna):
            client.post("/moneywithdrawals", json={"debitCard": "annas", "amount": 99}, headers=shown)
            client.post("/moneywithdrawals", json={"debitCard": "annas", "amount": 1}, headers=shown)
        deadline = time.monotonic() + _EVENTUALLY_S
        while len(found := client.get("/cards/annas/refusals", headers=anna).json()) < 2:
            assert time.monotonic() < deadline
        assert [each["actor"] for each in found] == ["anna", "bank"]
        happened = client.get("/cards/annas/history", headers=anna).json()
        assert [each["actor"] for each in happened] == ["bank", "bank", "anna"]
        happened = client.get("/cards/annas/history", headers=teller).json()
        assert [each["actor"] for each in happened] == ["tess", "tess", "anna"]


def test_an_idempotency_key_is_the_callers_own(bank: BankProcess) -> None:
    with bank.client() as client:

        def withdraw(subject: str, key: str) -> httpx.Response:
            shown = bearer(mine(sub=subject))
            body = {"debitCard": CARD, "amount": 1}
            return client.post("/moneywithdrawals", json=body, headers=shown | {"Idempotency-Key": key})

        first = withdraw("tess", "k" * 255)
        assert withdraw("tess", "k" * 255).headers["idempotency-replayed"] == "true"
        others = withdraw("tom", "k" * 255)
        assert "idempotency-replayed" not in others.headers
        assert others.json()["version"] > first.json()["version"]
        # The key under which the bank itself has opened its first card is nobody else's to ask for.
        assert "idempotency-replayed" not in withdraw("tess", "bank-first-card").headers


def test_what_does_not_work_is_for_operators(bank: BankProcess) -> None:
    with bank.client() as client:
        assert client.get("/health/ready").json() == {"status": "up", "troubles": {}}
        assert client.get("/health/ready", headers=bearer("garbage")).status_code == 401


def test_the_command_line_shows_its_token(bank: BankProcess, tmp_path: Path) -> None:
    (tmp_path / "token").write_text(mine(sub="olaf", scope="operator") + "\n")
    environment = {**os.environ, "MAINSTEM_DATA_DIR": str(bank.folder)}
    command = [sys.executable, "-m", "mainstem", "status"]
    refused = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)
    assert refused.returncode == 2
    assert "MAINSTEM_AUTH_TOKEN" in refused.stderr
    environment["MAINSTEM_AUTH_TOKEN_FILE"] = str(tmp_path / "token")
    shown = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=60)
    assert "relay" in shown.stdout


@pytest.fixture
def keys() -> Iterator[KeyServer]:
    with key_server() as server:
        yield server


def _until(bank: BankProcess, shown: str, status: int) -> httpx.Response:
    deadline = time.monotonic() + _EVENTUALLY_S
    while (answer := ask(bank, f"Bearer {shown}")).status_code != status:
        assert time.monotonic() < deadline, answer.text
        time.sleep(0.02)
    return answer


def test_keys_are_changed_while_it_runs(tmp_path: Path, keys: KeyServer) -> None:
    """A new key works, a withdrawn one ends, and made-up names do not make it ask again and again."""
    first, second = rsa_key(), rsa_key()
    keys.serve(jwk(first, "first"))
    settings = {"auth_jwks_url": keys.url, "auth_audience": AUDIENCE, "auth_jwks_pause_ms": str(_PAUSE_MS)}
    with bank_process(tmp_path / "data", **settings) as bank:
        of_first, of_second = token(first, "RS256", "first"), token(second, "PS256", "second")
        assert ask(bank, f"Bearer {of_first}").status_code == 200
        assert ask(bank, f"Bearer {of_second}").status_code == 401
        keys.serve(jwk(second, "second"))
        _until(bank, of_second, 200)
        answer = ask(bank, f"Bearer {of_first}")
        assert (answer.status_code, kind(answer)) == (401, "invalid-token")

        keys.status = 500
        unknown = token(rsa_key(), "RS256", "third")
        assert kind(_until(bank, unknown, 503)) == "keys-unavailable"
        assert ask(bank, f"Bearer {of_second}").status_code == 200
        keys.status = 200
        _until(bank, unknown, 401)

        asked, began = keys.asked, time.monotonic()
        for number in range(200):
            assert ask(bank, f"Bearer {token(second, 'RS256', f'made-up-{number}')}").status_code in (401, 429)
        fetches = (time.monotonic() - began) * 1000 / _PAUSE_MS + 2
        assert keys.asked - asked <= fetches


@pytest.mark.parametrize("signed", ["RS256 with the right key", "HS256 with the public key", "none"])
def test_the_public_key_is_no_secret(tmp_path: Path, signed: str) -> None:
    """A token signed by HMAC with the public key's text is not taken for one signed with the private key."""
    key = rsa_key()
    shown = {
        "RS256 with the right key": token(key, "RS256"),
        "none": jwt.encode(claims(), "", algorithm="none"),
        "HS256 with the public key": _hmac_by_hand(pem(key)),
    }[signed]
    with bank_process(tmp_path / "data", auth_key=pem(key), auth_audience=AUDIENCE) as bank:
        assert ask(bank, f"Bearer {shown}").status_code == (200 if signed.startswith("RS256") else 401)


def _hmac_by_hand(secret: str) -> str:
    """The library refuses to sign so."""
    signed = f"{part({'alg': 'HS256', 'typ': 'JWT'})}.{part(claims())}"
    signature = hmac.new(secret.encode(), signed.encode(), hashlib.sha256).digest()
    return f"{signed}.{base64.urlsafe_b64encode(signature).decode().rstrip('=')}"


def test_a_caller_may_not_ask_too_often(tmp_path: Path) -> None:
    limits = {"rate_limit_per_minute": "6", "rate_limit_burst": "3"}
    with bank_process(tmp_path / "data", auth_key=SECRET, auth_audience=AUDIENCE, **limits) as bank:
        tess, tom = f"Bearer {token(sub='tess')}", f"Bearer {token(sub='tom')}"
        assert [ask(bank, tess).status_code for _ in range(4)] == [200, 200, 200, 429]
        answer = ask(bank, f"Bearer {token(sub='tess', jti='another')}")
        assert (answer.status_code, kind(answer)) == (429, "too-many-requests")
        assert 1 <= int(answer.headers["retry-after"]) <= 10
        assert ask(bank, tom).status_code == 200
        assert [ask(bank, "Bearer x").status_code for _ in range(4)] == [401, 401, 401, 429]
        assert httpx.get(f"{bank.url}/health/live").status_code == 200  # a probe of the same address
        assert ask(bank, tom).status_code == 200


def _raw(bank: BankProcess, *lines: bytes) -> bytes:
    place = urlsplit(bank.url)
    with socket.create_connection((place.hostname, place.port), timeout=10) as connection:
        connection.sendall(b"\r\n".join((*lines, b"Connection: close", b"", b"")))
        return connection.makefile("rb").read()


@pytest.mark.parametrize("names", [None, "bank.example.com, Other.example.com"])
def test_it_answers_for_its_own_hosts(tmp_path: Path, names: str | None) -> None:
    more = {} if names is None else {"http_names": names}
    with bank_process(tmp_path / "data", **more) as bank:
        get = b"GET /health/live HTTP/1.1"
        for host in (b"localhost", b"LOCALHOST:8080", b"127.0.0.1", b"[::1]:8080", b"localhost."):
            assert b" 200 " in _raw(bank, get, b"Host: " + host).split(b"\r\n")[0], host
        for host in (
            b"evil.example.com",
            b"localhost.evil.example.com",
            b"127.0.0.1.evil.example.com:80",
            b"",
            b"[::1",
        ):
            answer = _raw(bank, get, b"Host: " + host)
            assert b" 200 " not in answer.split(b"\r\n")[0], host
        answer = _raw(bank, get, b"Host: evil.example.com")
        assert b" 421 " in answer.split(b"\r\n")[0]
        assert b"urn:mainstem:problem:misdirected-request" in answer
        given = _raw(bank, get, b"Host: other.example.com:443").split(b"\r\n")[0]
        assert (b" 200 " in given) is (names is not None)


def test_beyond_loopback_it_asks_who_calls(tmp_path: Path) -> None:
    with bank_process(tmp_path / "data", http_host="0.0.0.0", auth_key=SECRET, auth_audience=AUDIENCE) as bank:  # noqa: S104
        assert ask(bank, "").status_code == 401
        assert ask(bank, f"Bearer {token()}").status_code == 200

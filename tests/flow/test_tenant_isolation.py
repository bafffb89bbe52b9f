"""Tenants beside each other answer as each would alone: random commands and questions, with ids that all use."""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from itertools import count
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mainstem import read_position_token
from mainstem.assembly import Embedded
from tests.web import Web, bank_here

_EXAMPLES = 25
_TENANTS = (None, "acme", "north-bank")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+Z")
_NUMBER = re.compile(r"(?<=refusal:)\d{16}|^\d{16}$|^[\w.-]+:\d{12}:\d{3}$")
"""What the installation names things by, which has no meaning beside that: refusals, and lines of a statement."""

_AT = re.compile(r"^\d{15}(?=:)")
"""The time with which the name of a payment begins."""

_COMMANDS: Mapping[str, tuple[str, str]] = {
    "open": ("POST", "/cards"),
    "withdraw": ("POST", "/moneywithdrawals"),
    "repay": ("POST", "/cards/{card}/repayments"),
    "limit": ("PUT", "/cards/{card}/limit"),
    "block": ("POST", "/cards/{card}/block"),
    "unblock": ("POST", "/cards/{card}/unblock"),
    "close": ("POST", "/cards/{card}/close"),
    "overall": ("PUT", "/customers/{customer}/limit"),
    "transfer": ("POST", "/transfers"),
}
_QUESTIONS = (
    "/cards/{card}",
    "/cards/{card}?asOf=2",
    "/moneywithdrawals?debitCardId={card}",
    "/moneywithdrawals?debitCardId={card}&limit=1",
    "/cards/{card}/history",
    "/cards/{card}/history?limit=1",
    "/cards/{card}/difference?from=1",
    "/cards/{card}/refusals",
    "/refusals?limit=4",
    "/refusals?debitCardId={card}",
    "/refusals/counts",
    "/refusals/counts?by=day",
    "/analytics/cards",
    "/analytics/cards?debitCardId={card}",
    "/analytics/top-cards",
    "/analytics/spending",
    "/analytics/query?measures=count,sum:amount,distinct:debitCardId&groupBy=debitCardId",
    "/analytics/query?measures=count,sum:amount&groupBy=debitCardId,amount&grain=month&limit=1",
    "/analytics/query?measures=sum:amount,count&groupBy=debitCardId&top=2",
    "/analytics/query?debitCardId={card}&measures=min:amount,max:amount,avg:amount,p50:amount",
    '/analytics/query?filters=[{{"dimension":"debitCardId","eq":"{card}","not":true}}]&groupBy=debitCardId',
    '/analytics/query?filters=[{{"dimension":"debitCardId","prefix":"/acme/"}}]&groupBy=debitCardId',
    '/analytics/query?filters=[{{"dimension":"debitCardId","prefix":"","not":true}}]',
    '/analytics/query?filters=[{{"dimension":"debitCardId","atLeast":"/","below":"z"}}]&groupBy=debitCardId',
    '/analytics/query?filters=[{{"dimension":"debitCardId","in":["{card}","/acme/{card}"]}}]&groupBy=debitCardId',
    "/cards/{card}/spending",
    "/spending?day={day}",
    "/spending?day={day}&limit=1",
    "/suspicious?kind=velocity",
    "/suspicious?kind=velocity&limit=1",
    "/suspicious?kind=amount&debitCardId={card}",
    "/customers/{customer}",
    "/customers/{customer}/cards",
    "/customers/{customer}/cards?limit=1",
    "/payments?text=caf*",
    "/payments?text=caf*&limit=2",
    "/payments?text=rent&debitCardId={card}",
    "/payments?text=rent&customer={customer}",
    "/transfers/{transfer}",
    "/processes",
    "/processes?manager=transfer&status=ended",
    "/processes?limit=1",
)

_amounts = st.sampled_from([0, 1, 5, 40, 90])
_keys = st.sampled_from([None, "k1", "k2"])
_whose = st.sampled_from(_TENANTS)
_cards = st.sampled_from(["a", "b"])
_command = st.tuples(st.just("command"), _whose, st.sampled_from(sorted(_COMMANDS)), _cards, _amounts, _keys)
_question = st.tuples(st.just("question"), _whose, st.sampled_from(_QUESTIONS), _cards, st.booleans())
_retry = st.tuples(st.just("retry"), _whose)
_steps = st.lists(st.one_of(_command, _command, _question, _retry), min_size=4, max_size=14)


class Side:
    """One installation, as one tenant uses it; what it answers, with what means nothing replaced by its order."""

    def __init__(self, running: Embedded, asked: Web, tenant: str | None) -> None:
        self._running, self._web = running, asked
        self._headers = {} if tenant is None else {"X-Tenant": tenant}
        self._names: dict[str, str] = {}
        self.position: str | None = None

    def ask(self, method: str, path: str, **more: Any) -> httpx.Response:
        """Once nothing is on its way any more."""
        assert self._running.settle(30)
        headers = {**self._headers, **more.pop("headers", {})}
        return self._web.ask(method, path, headers=headers, **more)

    def plain(self, answer: httpx.Response) -> Any:
        """The answer as it can be compared."""
        headers = [answer.headers.get(name) for name in ("location", "idempotency-replayed")]
        token = answer.headers.get("mainstem-position")
        if token is not None:  # that of a query's answer is a time
            headers.append(token if read_position_token(token).key else "time")
        return answer.status_code, self._told(answer.json()), headers, sorted(map(str, answer.links))

    def _told(self, content: Any) -> Any:
        if isinstance(content, dict):
            return {name: self._told(value) for name, value in content.items()}
        if isinstance(content, list):
            return [self._told(each) for each in content]
        if not isinstance(content, str):
            return content
        return _NUMBER.sub(self._name, _AT.sub("time", _TIME.sub("time", content)))

    def _name(self, found: re.Match[str]) -> str:
        return self._names.setdefault(found[0], f"name {len(self._names) + 1}")


@pytest.fixture(scope="module")
def sides(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str | None, Sequence[Side]]]:
    """Of each tenant its side of the installation of all of them, and of one of its own."""
    folder = tmp_path_factory.mktemp("isolation")
    guarded = {"bank_block_after_refusals": "3", "seal_every_ms": "0"}
    with ExitStack() as stack:
        shared = stack.enter_context(bank_here(folder / "shared", tenants="acme,north-bank", **guarded))
        found = {}
        for tenant in _TENANTS:
            own = guarded if tenant is None else {**guarded, "tenants": tenant}
            alone = stack.enter_context(bank_here(folder / str(tenant), **own))
            found[tenant] = (Side(*shared, tenant), Side(*alone, tenant))
        yield found


def _body(what: str, card: str, other: str, amount: int, transfer: str, customer: str) -> dict[str, Any]:
    bodies: dict[str, dict[str, Any]] = {
        "open": {"id": card, "limit": amount, "customer": customer},
        "withdraw": {"debitCard": card, "amount": amount, "merchant": f"Café {card}", "reference": "Rent"},
        "repay": {"amount": amount},
        "limit": {"limit": amount},
        "block": {"reason": "lost"},
        "overall": {"limit": amount},
        "transfer": {"transferId": transfer, "fromCard": card, "toCard": other, "amount": amount},
    }
    return bodies.get(what, {})


_numbers = count(1)


@settings(max_examples=_EXAMPLES, deadline=None, database=None, suppress_health_check=list(HealthCheck))
@given(steps=_steps)
def test_every_answer_is_what_the_tenant_alone_is_told(
    sides: Mapping[str | None, Sequence[Side]], steps: Sequence[tuple[Any, ...]]
) -> None:
    """Each step is done on both sides of its tenant, and answered the same."""
    run = f"{next(_numbers)}"
    names = {"transfer": f"{run}-t", "customer": f"{run}-c"}
    for tenant in _TENANTS:
        for card in ("a", "b"):
            body = _body("open", f"{run}-{card}", "", 100, **names)
            answers = [side.plain(side.ask("POST", "/cards", json=body)) for side in sides[tenant]]
            assert answers[0] == answers[1]
    for kind, tenant, *step in steps:
        pair = sides[tenant]
        if kind == "command":
            _same_command(pair, run, names, *step)
        elif kind == "question":
            _same_question(pair, run, names, *step)
        else:
            _same_retry(pair)


def _same_command(
    pair: Sequence[Side], run: str, names: Mapping[str, str], what: str, card: str, amount: int, key: str | None
) -> None:
    method, path = _COMMANDS[what]
    path = path.format(card=f"{run}-{card}", **names)
    body = _body(what, f"{run}-{card}", f"{run}-{'b' if card == 'a' else 'a'}", amount, **names)
    headers = {} if key is None else {"Idempotency-Key": f"{run}-{key}"}
    answers = [side.ask(method, path, json=body, headers=headers) for side in pair]
    if what == "transfer" and all(answer.is_success for answer in answers):
        return  # how far it is by now is a matter of time
    assert pair[0].plain(answers[0]) == pair[1].plain(answers[1])
    for side, answer in zip(pair, answers, strict=True):
        side.position = answer.headers.get("mainstem-position", side.position)


def _same_question(pair: Sequence[Side], run: str, names: Mapping[str, str], path: str, card: str, waits: bool) -> None:
    paths: list[str | None] = [path.format(card=f"{run}-{card}", day=_today(), **names)] * 2
    for _ in range(6):
        answers = []
        for side, at in zip(pair, paths, strict=True):
            takes = waits and side.position is not None and path.startswith(("/cards/{card}?", "/moneywithdrawals"))
            answers.append(side.ask("GET", str(at), headers={"Mainstem-Position": side.position} if takes else {}))
        assert pair[0].plain(answers[0]) == pair[1].plain(answers[1]), path
        assert answers[0].status_code < 500
        paths = [answer.links.get("next", {}).get("url") for answer in answers]
        if None in paths:
            assert paths == [None, None]
            return


def _today() -> str:
    return f"{datetime.now(UTC):%Y-%m-%d}"


def _same_retry(pair: Sequence[Side]) -> None:
    """Of the last refused command of the tenant, by the name that each installation has given it."""
    found = [side.ask("GET", "/refusals?limit=1").json() for side in pair]
    assert len(found[0]) == len(found[1])
    if found[0]:
        answers = [
            side.plain(side.ask("POST", f"/refusals/{one[0]['id']}/retry", json={}))
            for side, one in zip(pair, found, strict=True)
        ]
        assert answers[0] == answers[1]


def test_lists_name_what_is_of_the_tenant_alone(sides: Mapping[str | None, Sequence[Side]]) -> None:
    """Of cards of one name, of which one tenant's are used; nor does the cursor of one lead another on."""
    run = f"{next(_numbers)}"
    shared = {tenant: pair[0] for tenant, pair in sides.items()}
    for side in shared.values():
        body = {"id": f"{run}-a", "limit": 10_000, "customer": f"{run}-c"}
        side.ask("POST", "/cards", json=body).raise_for_status()
    for _ in range(5):
        paid = {"debitCard": f"{run}-a", "amount": 1_000, "merchant": f"shop{run}", "reference": "tenants"}
        shared["acme"].ask("POST", "/moneywithdrawals", json=paid).raise_for_status()
    questions = (
        f"/cards/{run}-a/spending?limit=1",
        f"/spending?day={_today()}&limit=1",
        "/suspicious?kind=velocity&limit=1",
        "/suspicious?kind=amount&limit=1",
        f"/payments?text=shop{run}&limit=1",
        f"/payments?text=tenants&customer={run}-c&limit=1",
    )
    for question in questions:
        answer = shared["acme"].ask("GET", question)
        (row,) = answer.json()
        assert row["debitCardId"] == f"{run}-a", question
        assert "acme" not in answer.text
        following = answer.links["next"]["url"]
        for tenant in (None, "north-bank"):
            found = shared[tenant].ask("GET", question.replace("limit=1", "limit=1000"))
            assert f"{run}-a" not in {each["debitCardId"] for each in found.json()}, question
            assert shared[tenant].ask("GET", following).status_code == 400
    used = {tenant: side.ask("GET", f"/customers/{run}-c").json()["used"] for tenant, side in shared.items()}
    assert used == {None: 0, "acme": 5_000, "north-bank": 0}

"""One poller for all pages, with limits; and the API's answers as they are."""

import asyncio
from collections.abc import Awaitable, Callable
from decimal import Decimal
from pathlib import Path
from typing import TypeVar

import pytest

from mainstem import Position, position_token
from mainstem.dashboard.api import Api, ApiAway, ApiError
from mainstem.dashboard.watch import Watch
from mainstem.errors import ConfigurationError
from mainstem.settings import Secret
from tests.process import BankProcess, bank_process, free_port

T = TypeVar("T")


@pytest.fixture(scope="module")
def bank(tmp_path_factory: pytest.TempPathFactory) -> object:
    folder: Path = tmp_path_factory.mktemp("api") / "data"
    with bank_process(folder, query_wait_max_ms="60000") as process:
        yield process


def _with_api(url: str, work: Callable[[Api], Awaitable[T]]) -> T:
    async def run() -> T:
        api = Api(url)
        try:
            return await work(api)
        finally:
            await api.close()

    return asyncio.run(run())


def test_amounts_are_exact_and_a_query_waits_for_a_position(bank: BankProcess) -> None:
    async def work(api: Api) -> None:
        card = {"id": "exact", "limit": Decimal("1234567890123.45")}
        opened = await api.post("/cards", card, key="k-1")
        assert opened.content["limit"] == Decimal("1234567890123.45")
        found = await api.get("/cards/exact", position=opened.position)
        assert found.content["balance"] == Decimal("1234567890123.45")
        again = await api.post("/cards", card, key="k-1")
        assert again.content == opened.content

    _with_api(bank.url, work)


def test_a_view_that_is_late_is_told_and_not_taken_for_an_api_that_is_away(bank: BankProcess) -> None:
    """Though this API would wait for longer than the client does."""

    async def work(api: Api) -> None:
        await api.post("/cards", {"id": "late", "limit": 1})
        with pytest.raises(ApiError) as late:
            await api.get("/cards/late", position=position_token(Position("late", 99)))
        assert (late.value.status, late.value.kind) == (503, "not-yet-there")

    _with_api(bank.url, work)


def test_a_problem_says_what_the_api_says(bank: BankProcess) -> None:
    async def work(api: Api) -> None:
        with pytest.raises(ApiError, match="nobody") as unknown:
            await api.get("/cards/nobody")
        assert (unknown.value.status, unknown.value.kind) == (404, "card-unknown")
        with pytest.raises(ApiError, match="amount") as unfit:
            await api.post("/moneywithdrawals", {"debitCard": "1", "amount": "1"})
        assert unfit.value.status == 422

    _with_api(bank.url, work)


def test_when_to_try_again_is_known(tmp_path: Path) -> None:
    async def work(api: Api) -> None:
        watch = Watch(api)
        followed = watch.follow("/cards/123456789")
        for _ in range(3):
            await watch.look()
        assert followed.error is None
        with pytest.raises(ApiError) as error:
            await api.get("/cards/123456789")
        assert (error.value.status, error.value.kind) == (429, "too-many-requests")
        assert error.value.retry_after_s
        await watch.ask(followed)
        assert "requests a minute" in str(followed.error)
        version = followed.version
        await watch.look()  # it is not yet due
        assert followed.version == version

    with bank_process(tmp_path / "data", rate_limit_per_minute="6", rate_limit_burst="3") as bank:
        _with_api(bank.url, work)


def test_nobody_answers() -> None:
    async def work(api: Api) -> None:
        with pytest.raises(ApiAway, match="does not answer"):
            await api.get("/status")
        watch = Watch(api)
        followed = watch.follow("/status")
        await watch.look()
        assert "does not answer" in str(watch.away)
        assert (followed.content, followed.error) == (None, None)

    _with_api(f"http://127.0.0.1:{free_port()}", work)


def test_what_many_follow_is_asked_for_once(bank: BankProcess) -> None:
    async def work(api: Api) -> None:
        watch = Watch(api)
        first, second = watch.follow("/status"), watch.follow("/status", 5)
        assert first is second
        await watch.look()
        await watch.look()
        assert (first.version, len(first.recent)) == (2, 2)
        watch.leave(first)
        await watch.look()
        assert first.version == 3
        watch.leave(second)
        await watch.look()
        assert first.version == 3

    _with_api(bank.url, work)


def test_what_two_tenants_have_is_asked_for_apart(tmp_path: Path) -> None:
    async def work(api: Api) -> None:
        for tenant, limit in (("acme", 5), ("north-bank", 7)):
            await api.within(tenant).post("/cards", {"id": "same", "limit": limit})
        watch = Watch(api)
        acme, north, none = (watch.follow("/cards/same", tenant=each) for each in ("acme", "north-bank", None))
        deadline = asyncio.get_running_loop().time() + 10
        while acme.content is None or north.content is None:
            assert asyncio.get_running_loop().time() < deadline
            await watch.look()
            await asyncio.sleep(0.05)
        assert (acme.content["limit"], north.content["limit"]) == (5, 7)
        assert none.error is not None

    with bank_process(tmp_path / "data", tenants="acme,north-bank") as bank:
        _with_api(bank.url, work)


def test_how_much_is_followed_has_a_limit() -> None:
    async def work(api: Api) -> None:
        watch = Watch(api)
        for number in range(200):
            watch.follow(f"/cards/{number}")
        with pytest.raises(ApiError, match="200 things"):
            watch.follow("/cards/one-more")
        watch.follow("/cards/1")

    _with_api("http://127.0.0.1:1", work)


@pytest.mark.parametrize(
    "url", ["127.0.0.1:8080", "ftp://there", "http://", "http://me:secret@there", "http://there?x=1"]
)
def test_an_address_that_is_none(url: str) -> None:
    with pytest.raises(ConfigurationError) as error:
        Api(url)
    assert "secret" not in str(error.value)


def test_a_token_is_not_sent_in_plain_text() -> None:
    with pytest.raises(ConfigurationError, match="https"):
        Api("http://bank.example", Secret("t"))
    Api("https://bank.example", Secret("t"))
    Api("http://[::1]:8080", Secret("t"))

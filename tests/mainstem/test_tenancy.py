"""Names of tenants, and the names made of them: no two things have one, and nothing can be named as another's."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mainstem.errors import ConfigurationError
from mainstem.messages import Recorded
from mainstem.tenancy import (
    Tenants,
    is_tenant,
    key_of,
    own_key,
    qualified,
    read_stream,
    served_tenants,
    shown,
    span,
    split,
    stream_of,
    unqualified,
)

_TEXT = st.text(alphabet=st.sampled_from("/-a0b_. é"), min_size=1, max_size=12)
tenants = st.one_of(st.none(), st.from_regex(r"[a-z0-9][a-z0-9-]{0,31}", fullmatch=True))
few_tenants = st.sampled_from([None, "a", "a-a", "a-", "0", "ab"])
categories = st.sampled_from(["a", "ab", "_", "b0", "é"])
ids = st.one_of(_TEXT, st.text(min_size=1, max_size=20).filter(str.isprintable))


def named(tenant: str | None, category: str, id_: str) -> str:
    return qualified(tenant, f"{category}-{id_}")


@given(tenants, categories, ids)
def test_a_stream_says_whose_it_is(tenant: str | None, category: str, id_: str) -> None:
    assert read_stream(named(tenant, category, id_)) == (tenant, category, id_)
    assert key_of(named(tenant, category, id_)) == qualified(tenant, id_)


@given(few_tenants, categories, ids, few_tenants, categories, ids)
def test_no_id_makes_the_name_of_another_stream(
    tenant: str | None, category: str, id_: str, other: str | None, others: str, another: str
) -> None:
    """Not of another aggregate, not of another category, not of another tenant, whatever an id is made of."""
    if (tenant, category, id_) != (other, others, another):
        assert named(tenant, category, id_) != named(other, others, another)


@given(few_tenants, ids, few_tenants, ids)
def test_no_usable_id_makes_the_key_of_another_row(
    tenant: str | None, id_: str, other: str | None, another: str
) -> None:
    """Where tenants are kept apart no id begins with a slash: that alone is needed."""
    if (tenant, id_) != (other, another) and not id_.startswith("/") and not another.startswith("/"):
        assert qualified(tenant, id_) != qualified(other, another)
        assert split(qualified(tenant, id_)) == (tenant, id_)


@given(few_tenants, ids, few_tenants)
def test_a_key_is_the_tenants_own_or_none(tenant: str | None, id_: str, asking: str | None) -> None:
    if not id_.startswith("/"):
        assert unqualified(asking, qualified(tenant, id_)) == (id_ if asking == tenant else None)
        assert shown(tenant, qualified(tenant, id_)) == id_


@given(few_tenants.filter(bool), ids, few_tenants, ids)
def test_a_tenants_names_are_beside_each_other(tenant: str | None, id_: str, other: str | None, another: str) -> None:
    """Between two bounds, where no name of anybody else is, in the order of characters that the engines have."""
    begin, end = span(tenant)
    assert begin.encode() <= qualified(tenant, id_).encode() < end.encode()
    if other != tenant and not another.startswith("/"):
        assert not begin.encode() <= qualified(other, another).encode() < end.encode()
    first, behind = span(None)
    assert first < begin < end < behind


@given(tenants.filter(bool), categories, ids)
def test_the_stream_of_a_key(tenant: str | None, category: str, id_: str) -> None:
    assert stream_of(category, qualified(tenant, id_), apart=True) == named(tenant, category, id_)
    assert stream_of(category, f"/{id_}", apart=False) == f"{category}-/{id_}"


@given(st.text(alphabet=string.printable, min_size=1, max_size=300))
def test_an_idempotency_key_of_a_tenant_is_one_that_no_client_names(key: str) -> None:
    """A client's has no blank; and it is short enough to be kept, however long the key is."""
    found = own_key("acme", key)
    assert " " in found
    assert len(found) < 200
    assert own_key(None, key) == key
    assert own_key("globex", key) != found


@pytest.mark.parametrize("name", ["acme", "0", "north-bank", "a" * 32, "a-"])
def test_what_a_tenant_may_be_called(name: str) -> None:
    assert is_tenant(name)
    assert served_tenants(f" {name} ") == (name,)


@pytest.mark.parametrize("name", ["", "Acme", "-a", "a" * 33, "a/b", "a_b", "a b", "é", "a\n", ".", "..", "ａ"])
def test_what_no_tenant_may_be_called(name: str) -> None:
    assert not is_tenant(name)
    with pytest.raises(ConfigurationError, match="MAINSTEM_TENANTS names"):
        served_tenants(f"acme,{name}" if name.strip() == name else f"acme,{name}x y")


def test_each_tenant_is_named_once() -> None:
    with pytest.raises(ConfigurationError, match="twice"):
        served_tenants("acme,globex,acme")
    with pytest.raises(ConfigurationError, match="more than 1000"):
        served_tenants(",".join(f"t{n}" for n in range(1001)))
    assert served_tenants(None) == ()


def test_without_tenants_nothing_is_kept_apart() -> None:
    assert not Tenants().apart
    assert Tenants((), frozenset({"acme"})).apart  # not served any more, and its rows are there


def test_an_event_says_whose_it_is() -> None:
    def recorded(stream: str) -> Recorded[None]:
        return Recorded(stream=stream, version=1, occurred_at_ms=1, recorded_at_ms=1, actor="a", payload=None)

    nobodys, ours = recorded("card-1-/2"), recorded("/north-bank/card-1-2")
    assert (nobodys.tenant, nobodys.id, nobodys.aggregate_id) == (None, "1-/2", "1-/2")
    assert (ours.tenant, ours.id, ours.aggregate_id) == ("north-bank", "1-2", "/north-bank/1-2")

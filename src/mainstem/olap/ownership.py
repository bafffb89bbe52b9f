"""A question of one tenant: asked of the tenant's facts alone, in the names that the tenant knows.

Where tenants are kept apart, one text dimension holds keys, as `/acme/123` for the `123` of tenant acme. Every filter
of it is turned into one of keys, and one more holds the question to the tenant's own, whatever else is asked; so
nothing that a client names can lead out of them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from mainstem.errors import ConfigurationError
from mainstem.olap.asking import Found, answered
from mainstem.olap.port import Datasource, Olap
from mainstem.olap.question import Equal, Filter, Not, OneOf, Plain, Prefix, Question, Range
from mainstem.tenancy import qualified, shown, span


@dataclass(frozen=True)
class Owner:
    """Whose facts are asked for: those of `tenant`, or of none, by the keys that `dimension` holds.

    All there are, where tenants are not kept `apart` and none is named.
    """

    dimension: str
    tenant: str | None = None
    apart: bool = False

    def check(self, datasource: Datasource) -> None:
        """Raises ConfigurationError where the dimension holds no keys."""
        if self.dimension not in {each.name for each in datasource.dimensions if each.kind == "text"}:
            raise ConfigurationError(f"datasource {datasource.name}: {self.dimension} is none of its text dimensions")


def answered_for(olap: Olap, question: Question, owner: Owner) -> Found:
    """The answer of the owner's facts. Raises what `answered` raises."""
    owner.check(question.datasource)
    found = answered(olap, _within(question, owner))
    if owner.tenant is None:
        return found
    keyed = [column.name == owner.dimension for column in found.columns]

    def named(values: Sequence[Any]) -> tuple[Any, ...]:
        return tuple(shown(owner.tenant, v) if own else v for v, own in zip(values, keyed, strict=False))

    rows = [named(row) for row in found.rows]
    return replace(found, rows=rows, more=None if found.more is None else named(found.more))


def _within(question: Question, owner: Owner) -> Question:
    if owner.tenant is None and not owner.apart:
        return question
    first, following = span(owner.tenant)
    own = Range(owner.dimension, at_least=first, below=following)
    if owner.tenant is None:
        return replace(question, within=Not(own))
    where = tuple(_qualified(each, owner) for each in question.where)
    after = question.behind
    if after is not None:
        after = tuple(_key(v, owner) if n == owner.dimension else v for n, v in zip(question.keys, after, strict=True))
    return replace(question, within=own, where=where, behind=after)


def _qualified(found: Filter, owner: Owner) -> Filter:
    if isinstance(found, Not):
        return Not(_plainly(found.filter, owner))
    return _plainly(found, owner)


def _plainly(found: Plain, owner: Owner) -> Plain:
    if found.dimension != owner.dimension:
        return found
    match found:
        case Equal(value=value):
            return replace(found, value=_key(value, owner))
        case OneOf(values=values):
            return replace(found, values=tuple(_key(value, owner) for value in values))
        case Prefix(text=text):
            return replace(found, text=_key(text, owner))
        case Range():
            named = {name: getattr(found, name) for name in ("at_least", "above", "at_most", "below")}
            return replace(found, **{name: _key(v, owner) for name, v in named.items() if v is not None})


def _key(value: Any, owner: Owner) -> str:
    return qualified(owner.tenant, value)

"""Who calls, and what they may: tokens, the table of who may call what, limits for each caller."""

from mainstem.query.access.caller import Caller, Grant, Whole, grant_of, may_see, tenant_of
from mainstem.query.access.gate import Access, Gate, access_of
from mainstem.query.access.rules import Own, Rule, may, public
from mainstem.query.access.tenant import TENANT_HEADER

__all__ = [
    "TENANT_HEADER",
    "Access",
    "Caller",
    "Gate",
    "Grant",
    "Own",
    "Rule",
    "Whole",
    "access_of",
    "grant_of",
    "may",
    "may_see",
    "public",
    "tenant_of",
]

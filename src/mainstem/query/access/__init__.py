"""Who calls, and what they may: tokens, the table of who may call what, limits for each caller."""

from mainstem.query.access.caller import Caller, Grant, grant_of, may_see
from mainstem.query.access.gate import Access, Gate, access_of
from mainstem.query.access.rules import Own, Rule, may, public

__all__ = ["Access", "Caller", "Gate", "Grant", "Own", "Rule", "access_of", "grant_of", "may", "may_see", "public"]

"""How fresh an answer has to be, and how long a caller would wait for that.

`Prefer: wait=SECONDS` is RFC 7240's; what of it was honoured stands in `Preference-Applied`. A preference that is not
known, or cannot be read, is ignored, as that RFC says.
"""

import re
from collections.abc import Sequence

from msgspec import Struct

from mainstem.query.problems import InvalidInput

MAX_AGE_HEADER = "Mainstem-Max-Age"
"""On a query: the view may have let no record wait for longer than so many seconds."""

APPLIED_HEADER = "Preference-Applied"

_WAIT = re.compile(r'wait\s*=\s*(?:"(\d{1,9})"|(\d{1,9}))', re.IGNORECASE)
_AGE_MAX = 31_536_000


class Wanted(Struct, frozen=True):
    """What a caller wants of an answer: a position in the view, an age of it, and how long to wait for these."""

    position: str | None = None
    max_age_s: int | None = None
    wait_s: float | None = None

    def patience_s(self, longest_s: float) -> float:
        """How long to wait, at most as long as the settings allow."""
        return longest_s if self.wait_s is None else min(self.wait_s, longest_s)

    def applied(self, longest_s: float) -> dict[str, str]:
        """The header that says what was honoured; none where there was nothing to wait for."""
        if self.wait_s is None or (self.position is None and self.max_age_s is None):
            return {}
        return {APPLIED_HEADER: f"wait={self.patience_s(longest_s):g}"}


def wanted(positions: Sequence[str | None], prefer: str | None, max_age: str | None) -> Wanted:
    """Of the first position that is given, and of the two headers. Raises InvalidInput (400) for an unreadable age."""
    position = next((each for each in positions if each is not None), None)
    return Wanted(position, _age(max_age), _wait(prefer))


def _wait(prefer: str | None) -> float | None:
    """The first `wait` counts; parameters behind a semicolon are none of it."""
    for each in (prefer or "").split(","):
        found = _WAIT.fullmatch(each.partition(";")[0].strip())
        if found is not None:
            return float(found[1] or found[2])
    return None


def _age(text: str | None) -> int | None:
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= 9 and int(text) <= _AGE_MAX):
        what = f"{MAX_AGE_HEADER} must be seconds, a whole number from 0 to {_AGE_MAX}"
        raise InvalidInput(MAX_AGE_HEADER.lower(), what, reason="invalid-query", status=400)
    return int(text)

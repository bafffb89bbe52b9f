"""The bank's own settings, beside those of the platform: read from variables that begin with `BANK_`."""

from typing import Annotated

from msgspec import Meta, Struct


class BankSettings(Struct, frozen=True, kw_only=True):
    """What can be chosen where the bank runs."""

    block_after_refusals: Annotated[int, Meta(ge=0, le=1_000)] = 0
    """After how many refused withdrawals within a time the bank blocks a card; 0 for never."""

    block_within_ms: Annotated[int, Meta(ge=1, le=31 * 24 * 3_600_000)] = 600_000
    """Within which time."""

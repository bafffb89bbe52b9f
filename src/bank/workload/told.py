"""What has become of a workload."""

from collections import Counter
from dataclasses import dataclass, field

from bank.card import CardCommand, OpenCard, Withdraw


@dataclass
class Told:
    """How many were accepted by kind and refused by reason, how often one was asked again, and what failed for good."""

    accepted: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    again: int = 0
    failed: Counter[str] = field(default_factory=Counter)


def kind_of(command: CardCommand) -> str:
    """What such commands are called together."""
    if isinstance(command, OpenCard):
        return "cards"
    return "withdrawals" if isinstance(command, Withdraw) else "repayments"

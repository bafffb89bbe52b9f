"""A bank at work, made up: customers, cards and merchants, the rhythm of days and weeks, bursts, and fraud."""

from bank.workload.acts import Act, acts
from bank.workload.plan import Plan

__all__ = ["Act", "Plan", "acts"]

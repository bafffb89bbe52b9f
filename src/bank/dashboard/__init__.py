"""The bank's own pages in the dashboard: a card with its statement, spending, and a card's history.

They know the bank by its HTTP API alone.
"""

from bank.dashboard import card, history, spending
from mainstem.dashboard.frame import Page

PAGES = (
    Page("/card", "Card", card.build, of_tenant=True),
    Page("/spending", "Spending", spending.build, of_tenant=True),
    Page("/history", "History", history.build, of_tenant=True),
)

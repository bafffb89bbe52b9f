"""The bank's own pages in the dashboard: a card with its statement, spending, and a card's history.

They know the bank by its HTTP API alone.
"""

from bank.dashboard import card, history, spending
from mainstem.dashboard.frame import Page

PAGES = (
    Page("/card", "Card", card.build),
    Page("/spending", "Spending", spending.build),
    Page("/history", "History", history.build),
)

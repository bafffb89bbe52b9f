"""What several of the bank's routes take, and what the OpenAPI document says of it."""

import re

from bank.card import CARD_ID
from mainstem.query.openapi import money_schema, text_schema
from mainstem.query.problems import InvalidInput
from mainstem.query.web import problem_responses

CARD_SCHEMA = text_schema(rf"^{CARD_ID.pattern}$", "The card's id", "123456789")
AMOUNT_SCHEMA = money_schema(0.01, "An amount of money")
REFUSING = problem_responses(400, 404, 409, 413, 415, 422, 503, 504)


def card_id_of(text: str, field: str) -> str:
    """The card's id that the field holds. Raises InvalidInput for what cannot be one."""
    return named(text, field, CARD_ID)


def named(text: str, field: str, pattern: re.Pattern[str]) -> str:
    """The id that the field holds. Raises InvalidInput for what cannot be one."""
    if not pattern.fullmatch(text):
        raise InvalidInput(field, f"{field} must be 1 to 36 letters, digits, '.', '_' or '-', a letter or digit first")
    return text

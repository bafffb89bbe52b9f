"""What several of the bank's routes take, and what the OpenAPI document says of it."""

from bank.card import CARD_ID
from mainstem.query.openapi import money_schema, text_schema
from mainstem.query.problems import InvalidInput
from mainstem.query.web import problem_responses

CARD_SCHEMA = text_schema(rf"^{CARD_ID.pattern}$", "The card's id", "123456789")
AMOUNT_SCHEMA = money_schema(0.01, "An amount of money")
REFUSING = problem_responses(400, 404, 409, 413, 415, 422, 503, 504)


def card_id_of(text: str, field: str) -> str:
    if not CARD_ID.fullmatch(text):
        raise InvalidInput(field, f"{field} must be 1 to 36 letters, digits, '.', '_' or '-', a letter or digit first")
    return text

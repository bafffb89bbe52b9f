"""Who may call what of the bank."""

from collections.abc import Mapping

from mainstem.query.access import Own, Rule, may
from mainstem.query.bindings import BINDING_RULES
from mainstem.query.dead_letters import DEAD_LETTER_RULES
from mainstem.query.layers import LAYER_RULES
from mainstem.query.privacy import PRIVACY_RULES
from mainstem.query.processes import PROCESS_RULES
from mainstem.query.rebuilds import REBUILD_RULES
from mainstem.query.web import OPERATOR

CARDS_CLAIM = "cards"
"""The claim of a customer's token that lists their cards."""

CUSTOMER, TELLER, ANALYST = "customer", "teller", "analyst"

_ON_CARD = Own(CUSTOMER, path="card_id")
_ASKED_FOR = Own(CUSTOMER, query="debitCardId")

WHO_MAY: Mapping[str, Rule] = {
    "POST /moneywithdrawals": may(TELLER, own=Own(CUSTOMER)),  # the card stands in the body: `Bank.command` checks it
    "GET /moneywithdrawals": may(TELLER, ANALYST, own=_ASKED_FOR),
    "POST /cards": may(TELLER),
    "GET /cards/{card_id}": may(TELLER, own=_ON_CARD),
    "GET /cards/{card_id}/history": may(TELLER, own=_ON_CARD),
    "GET /cards/{card_id}/difference": may(TELLER, own=_ON_CARD),
    "POST /cards/{card_id}/repayments": may(TELLER, own=_ON_CARD),
    "PUT /cards/{card_id}/limit": may(TELLER),
    "POST /cards/{card_id}/block": may(TELLER),
    "POST /cards/{card_id}/unblock": may(TELLER),
    "POST /cards/{card_id}/close": may(TELLER),
    "GET /cards/{card_id}/spending": may(TELLER, ANALYST, own=_ON_CARD),
    "GET /spending": may(TELLER, ANALYST),
    "GET /payments": may(TELLER, ANALYST, own=_ASKED_FOR),
    "GET /suspicious": may(TELLER, ANALYST),
    "POST /transfers": may(TELLER, own=Own(CUSTOMER)),  # from a card of their own: `Bank.transfer` checks it
    "GET /transfers/{transfer_id}": may(TELLER, own=Own(CUSTOMER)),  # the same
    "GET /customers/{customer_id}": may(TELLER),
    "GET /customers/{customer_id}/cards": may(TELLER),
    "PUT /customers/{customer_id}/limit": may(TELLER),
    "DELETE /customers/{customer_id}/limit": may(TELLER),
    "GET /cards/{card_id}/refusals": may(TELLER, own=_ON_CARD),
    "GET /refusals": may(TELLER, OPERATOR),
    "GET /refusals/counts": may(TELLER, OPERATOR),
    "GET /refusals/{refusal_id}": may(TELLER, OPERATOR),
    "POST /refusals/{refusal_id}/retry": may(TELLER, OPERATOR),
    **PROCESS_RULES,
    **PRIVACY_RULES,
    **DEAD_LETTER_RULES,
    **BINDING_RULES,
    **REBUILD_RULES,
    **LAYER_RULES,
    "GET /analytics/cards": may(ANALYST, own=_ASKED_FOR),
    "GET /analytics/top-cards": may(ANALYST),
    "GET /analytics/spending": may(ANALYST, own=_ASKED_FOR),
    "GET /analytics/query": may(ANALYST, own=_ASKED_FOR),
}
"""Every route of the bank's own, and of its processes and listeners, with the scopes that may call it."""
